"""Every command of the README and of `docs/` is run as it stands there, but for ports and folders, and prints what is said.

A document's story runs all commands of its blocks in order; one that nobody runs is named below, with the reason. Commands in the
prose, with TABLE and N for what the reader knows, are held against the command line by `tests/unit/test_docs.py`.
"""

from __future__ import annotations

import glob
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
import yaml

from bridge.sandbox.engram.process import SandboxEngram
from bridge.sandbox.postgres import SandboxPostgres
from tests.documents import ROOT, Command, Done, Shell, blocks, commands, unlike, wait_until_proven
from tests.patience import PATIENCE
from tests.poolers import free_port

README = "README.md"
NOT_RUN: Mapping[str, str] = {
    "make install && export": "the tests run in what it makes; the rest of the line is played by the shell of this test",
    "ENGRAM_HTTP=": "needs a real Engram server; tests/contract runs against the sandbox",
    "make demo TARGET=": "needs a real Engram server; CI runs the demo against the sandbox",
    "deploy/secrets.sh": "tests/unit/test_deploying.py runs it",
    "docker compose": "needs Docker; tests/acceptance/test_deploying.py runs what it starts",
    "pip install ": "needs a package index; the extras are held against pyproject.toml below",
    "engram-bridge reshard orders --model minilm": "tests/acceptance/test_altering.py embeds by another model",
    'curl -H "Authorization: Bearer $(cat deploy/secrets': "tests/acceptance/test_deploying.py asks with these tokens",
}
"""Beginnings of commands that no story runs, and why."""

STORIES = {
    "tour": (README, "docs/runbook.md"),
    "reads": (
        "docs/proxy.md",
        "docs/operators-page.md",
        "docs/cutover.md",
        "docs/validation.md",
        "docs/reconciliation.md",
        "docs/ledger.md",
    ),
    "migrations": ("docs/strategies.md", "docs/migration-report.md"),
}
"""Which story runs the commands of which documents."""

QUERIES = """
queries:
  - {query: customer 7, table: customers, expect: [customers_7]}
"""


def skipped(command: Command) -> str | None:
    """Why it is not run."""
    return next((why for beginning, why in NOT_RUN.items() if command.text.startswith(beginning)), None)


def told(document: str) -> list[Command]:
    """The commands of a document that are run."""
    return [command for command in commands(ROOT / document) if skipped(command) is None]


@pytest.mark.parametrize("path", [ROOT / README, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name)
def test_every_command_is_in_a_story_or_says_why_not(path: Path) -> None:
    """A document with commands that nobody runs is added to a story."""
    document = path.relative_to(ROOT).as_posix()
    in_stories = {one for documents in STORIES.values() for one in documents}
    assert document in in_stories or not told(document), f"{document}: no story runs {told(document)[0].text!r}"


def test_what_is_not_run_is_still_written_somewhere() -> None:
    """A reason whose command has gone is struck out; extras that are to be installed exist."""
    every = [command for path in (ROOT / README, *(ROOT / "docs").glob("*.md")) for command in commands(path)]
    for beginning in NOT_RUN:
        assert any(command.text.startswith(beginning) for command in every), beginning
    extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for command in every:
        for extra in re.findall(r"pip install 'engram-bridge\[(\w+)\]'", command.text):
            assert f"\n{extra} = [" in extras


class Story:
    """Runs commands, and holds what they print against what the document says."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell

    def run(self, command: Command, *, code: int = 0, prints: bool = True) -> Done:
        """One command; `prints`: what it prints is compared."""
        done = self.shell.run(command.text)
        assert done.code == code, f"{command.document}: {command.text}\nended with {done.code}:\n{done.output}"
        if prints:
            deadline = time.monotonic() + PATIENCE
            while missing := unlike(command.output, self._printed(command, done)):
                if not command.text.endswith(" &") or time.monotonic() > deadline:
                    break
                time.sleep(0.1)
            assert not missing, f"{command.document}: {command.text}\ndid not print\n{missing}\nbut\n{done.output}"
        return done

    def _printed(self, command: Command, done: Done) -> str:
        """In the background it goes on printing."""
        if command.text.endswith(" &") and self.shell.log is not None and self.shell.log.exists():
            return self.shell.log.read_text(encoding="utf-8")
        return done.output


@pytest.fixture
def programs() -> Path:
    """Where psql and the like are."""
    try:
        return SandboxPostgres(Path("unused")).bin_path
    except Exception as error:  # noqa: BLE001 - as the other fixtures: no server, no test
        pytest.skip(str(error))


def test_the_tour_goes_as_the_readme_says(tmp_path: Path, programs: Path) -> None:
    """From two servers to an empty machine: README's tour, then the runbook's commands on what it has made."""
    postgres, http, grpc, page = (free_port() for _ in range(4))
    folder = tmp_path / "shop"
    folder.mkdir()
    shell = Shell(
        folder,
        {
            "--port 15432": f"--port {postgres}",
            "127.0.0.1:15432": f"127.0.0.1:{postgres}",
            "engram-bridge sandbox engram": f"engram-bridge sandbox engram --port {http} --grpc-port {grpc}",
            "127.0.0.1:7432": f"127.0.0.1:{http}",
            "127.0.0.1:50051": f"127.0.0.1:{grpc}",
            "127.0.0.1:8432": f"127.0.0.1:{page}",
            "/tmp/shop": str(folder),
            "kill %1 %2": "kill %1 %2; wait %1 %2",
            "engram-bridge down": "engram-bridge down --yes",
        },
        programs,
    )
    source = f"postgresql://shop_app@127.0.0.1:{postgres}/shop"
    try:
        _tour(Story(shell), folder, source, grpc)
        _runbook(Story(shell), folder, source)
    finally:
        shell.close()
    assert not folder.exists()
    assert not Path(f"{folder}-postgres").exists()


def _tour(story: Story, folder: Path, source: str, grpc: int) -> None:
    """The README, top to bottom."""
    configuration = next(text for heading, text in blocks(ROOT / README, "yaml") if heading == "A five-minute tour")
    for shown, meant in story.shell.replaced.items():
        configuration = configuration.replace(shown, meant)
    configuration = configuration.replace("target: http", f"target:\n  grpc: 127.0.0.1:{grpc}\n  http: http", 1)
    story.shell.run(f"export ENGRAM_GRPC=127.0.0.1:{grpc}")
    checks = 0
    for command in told(README):
        if command.text == "engram-bridge check" and not checks:
            (folder / "bridge.yaml").write_text(configuration, encoding="utf-8")
            checks += 1
            story.run(command, code=1)
        elif command.text == "engram-bridge status" or "parked list" in command.text:
            _again(story, command)
        else:
            story.run(command)
            if command.text.startswith("psql") and (folder / "shop.db").exists():
                wait_until_proven(source, str(folder / "shop.db"))


def _again(story: Story, command: Command) -> None:
    """Until it prints what is said: a person types it again, too."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            story.run(command)
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


def _runbook(story: Story, folder: Path, source: str) -> None:
    """The runbook's commands, on the bridge of the tour, up to its removal."""

    def sql(*statements: str) -> None:
        with psycopg.connect(source, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    grants = next(text for heading, text in blocks(ROOT / "docs" / "runbook.md", "sql") if heading == "New tables")
    before: dict[str, Callable[[], object]] = {
        "engram-bridge resync --new-slot": lambda: story.shell.run("kill -TERM $forever; wait $forever"),
        "engram-bridge add invoices": lambda: sql(
            "create table invoices (id int primary key, note text)",
            "insert into invoices values (1, 'Paid.')",
            *filter(str.strip, grants.split(";")),
        ),
        "engram-bridge parked list": lambda: sql("update customers set bio = repeat('long ', 1000000) where id = 9"),
        "engram-bridge down": lambda: story.shell.run("kill -TERM $forever; wait $forever"),
    }
    for command in told("docs/runbook.md"):
        words = command.text.split("#")[0].strip()
        before.get(words, lambda: None)()
        if words == "engram-bridge parked list":
            _again(story, command)
        else:
            story.run(command, prints=False)
        if words in ("engram-bridge run", "engram-bridge add invoices", "engram-bridge resync public.customers"):
            wait_until_proven(source, str(folder / "shop.db"))


@pytest.fixture
def reads(tmp_path: Path, own_postgres: SandboxPostgres) -> Iterator[tuple[Story, Path, str]]:
    """A shop that is carried, with a proxy; the story, its folder, and the source's URL."""
    with psycopg.connect(own_postgres.url(), autocommit=True) as connection:
        connection.execute("create role shop_app login")
        connection.execute("create role bridge login replication superuser")
        connection.execute("create database shop owner shop_app")
        connection.execute("create database database")
    source = own_postgres.url("shop")
    with psycopg.connect(source, autocommit=True) as connection:
        connection.execute("create table customers (id int primary key, name text)")
        connection.execute("create table orders (id int primary key, customer int references customers, total numeric(10, 2))")
        connection.execute("insert into customers select n, 'customer ' || n from generate_series(1, 50) n")
        connection.execute("insert into orders select n, n % 50 + 1, n * 1.25 from generate_series(1, 300) n")
    folder = tmp_path / "shop"
    folder.mkdir()
    port = free_port()
    with SandboxEngram(tmp_path / "engram") as engram:
        own = source.replace("postgres@", "bridge@")
        document = {
            "source": own,
            "target": {"http": engram.http, "grpc": engram.grpc},
            "ledger": "shop.db",
            "heartbeat": {"seconds": 0.2},
            "serve": {"port": port, "max_staleness": 60.0},
            "cutover": {
                "steady": 0.5,
                "min_shadow_reads": 1,
                "max_heartbeat": 60.0,
                "max_silence": 300.0,
                "max_target_p99": 60.0,
            },
        }
        (folder / "bridge.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
        shell = Shell(
            folder,
            {
                "127.0.0.1:15432": f"127.0.0.1:{own_postgres.port}",
                "127.0.0.1:7432": engram.http.removeprefix("http://"),
                "127.0.0.1:8432": f"127.0.0.1:{port}",
                "postgresql://bridge@host/database": own.replace("/shop", "/database"),
                "postgresql://reader@host/database http://engram:7432 user_memories": f"{own} {engram.http} orders",
                "./scripts/": f"{ROOT}/scripts/",
                "cutover rehearse orders": "cutover rehearse orders --reads 20 --seconds 0",
            },
            own_postgres.bin_path,
        )
        try:
            yield Story(shell), folder, source
        finally:
            shell.close()


def test_reads_move_as_the_documents_say(reads: tuple[Story, Path, str]) -> None:
    """The proxy, the page, a table's way to Engram and back, the ledger moved to a server and copied."""
    story, folder, source = reads
    story.run(Command("", "", "engram-bridge run --serve"))
    wait_until_proven(source, str(folder / "shop.db"))
    for command in (*told("docs/proxy.md"), *told("docs/operators-page.md")):
        _until_it_answers(story, command)
    for command in told("docs/cutover.md"):
        certificates = glob.glob(str(folder / "certificate-*.json"))
        if certificates:
            story.shell.replaced["certificate-public.orders-20261121T101500Z.json"] = certificates[0]
            story.shell.replaced[".hexdigest())' FILE"] = f".hexdigest())' {certificates[0]}"
        _moved(story, command)
    (folder / "queries.yaml").write_text(QUERIES, encoding="utf-8")
    for command in (*told("docs/validation.md"), *told("docs/reconciliation.md")):
        story.run(command)
    _ledger(story, folder, source)


def _until_it_answers(story: Story, command: Command) -> None:
    """The proxy begins beside the bridge."""
    deadline = time.monotonic() + PATIENCE
    while story.shell.run(f"{command.text} --fail >answer.txt").code:
        assert time.monotonic() < deadline, command.text
        time.sleep(0.3)


def _moved(story: Story, command: Command) -> None:
    """A step may find a gate that is still closed, because nobody has measured since the last one. The application reads on."""
    deadline = time.monotonic() + PATIENCE
    story.shell.run("curl -s 'http://127.0.0.1:8432/v1/orders/[1-40]' >reads.txt")
    while (done := story.shell.run(command.text)).code:
        assert time.monotonic() < deadline, f"{command.text}\n{done.output}"
        time.sleep(0.5)


def _ledger(story: Story, folder: Path, source: str) -> None:
    """docs/ledger.md: asked, exported, imported, gone on with, copied."""
    queries = {text.split(";")[0].strip() for _heading, text in blocks(ROOT / "docs" / "ledger.md", "sql")}
    for command in told("docs/ledger.md"):
        if command.text.startswith("psql"):
            continue  # once the ledger is there: below
        if "ledger export" in command.text:
            story.shell.run("kill -TERM $forever; wait $forever")
        story.run(command, prints=False)
        if command.text.startswith("engram-bridge run"):
            wait_until_proven(source, yaml.safe_load((folder / "bridge.yaml").read_text(encoding="utf-8"))["ledger"])
    for command in told("docs/ledger.md"):
        if command.text.startswith("psql"):
            story.run(command)
            for query in queries - {""}:
                if "unixepoch" not in query:
                    quoted = query.replace('"', '\\"')
                    story.run(Command("docs/ledger.md", "", re.sub(r'-c ".*"', f'-c "{quoted}"', command.text)))
    assert (folder / "shop-copy.db").exists()


SHOP = (
    "create table customers (id int primary key, name text, created_at timestamptz default '2026-01-01')",
    "create table orders (id int primary key, customer int references customers, note text, created_at timestamptz)",
    "insert into customers select n, 'customer ' || n from generate_series(1, 50) n",
    """insert into orders select n, n % 50 + 1, 'note ' || n, '2026-01-01'::timestamptz + n * interval '1 day'
       from generate_series(1, 300) n""",
)


def test_migrations_go_as_the_strategies_say(tmp_path: Path, own_postgres: SandboxPostgres) -> None:
    """Each strategy from its first command to its last, in a folder and with an Engram of its own."""
    with psycopg.connect(own_postgres.url(), autocommit=True) as connection:
        for statement in (
            "create role shop_app login",
            "create role bridge login replication",
            "create database shop owner shop_app",
        ):
            connection.execute(statement.encode())
    with psycopg.connect(own_postgres.url("shop", user="shop_app"), autocommit=True) as connection:
        for statement in (*SHOP, "grant select on customers, orders to bridge"):
            connection.execute(statement.encode())
    by_heading: dict[str, list[Command]] = {}
    for command in (*told("docs/strategies.md"), *told("docs/migration-report.md")):
        by_heading.setdefault(command.heading, []).append(command)
    trial = [free_port(), free_port()]
    for number, wanted in enumerate(by_heading.values()):
        folder = tmp_path / f"strategy-{number}" / "shop"
        folder.mkdir(parents=True)
        with SandboxEngram(folder.parent / "engram") as engram:
            page = free_port()
            replaced = {
                "127.0.0.1:15432": f"127.0.0.1:{own_postgres.port}",
                "reader@localhost/shop": f"bridge@127.0.0.1:{own_postgres.port}/shop",
                "127.0.0.1:7432": engram.http.removeprefix("http://"),
                "localhost:7432": engram.http.removeprefix("http://"),
                "127.0.0.1:8432": f"127.0.0.1:{page}",
                "--port 7433 --grpc-port 50052": f"--port {trial[0]} --grpc-port {trial[1]}",
                "127.0.0.1:7433": f"127.0.0.1:{trial[0]}",
                "127.0.0.1:50052": f"127.0.0.1:{trial[1]}",
                "./scripts/": f"{ROOT}/scripts/",
            }
            shell = Shell(folder, replaced, own_postgres.bin_path)
            try:
                _strategy(Story(shell), folder, engram, page, wanted)
            finally:
                shell.close()


def _strategy(story: Story, folder: Path, engram: SandboxEngram, page: int, wanted: list[Command]) -> None:
    """The commands under one heading."""
    text = next(text for heading, text in blocks(ROOT / "docs" / "strategies.md", "yaml") if heading == "All at once")
    for shown, meant in story.shell.replaced.items():
        text = text.replace(shown, meant)
    settings = yaml.safe_load(text)
    settings["target"] = {"http": engram.http, "grpc": engram.grpc}
    story.shell.run(f"export ENGRAM_GRPC={engram.grpc} SOURCE={settings['source']} TARGET={engram.http}")
    following = any(command.text.startswith("engram-bridge init") for command in wanted)
    if not following:
        (folder / "bridge.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    for command in wanted:
        if command.text.startswith("engram-bridge check") and following:
            settings = yaml.safe_load((folder / "bridge.yaml").read_text(encoding="utf-8"))
            settings |= {"target": {"http": engram.http, "grpc": engram.grpc}, "serve": {"port": page}}
            (folder / "bridge.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
            owner = settings["source"].replace("bridge@", "shop_app@")
            story.shell.run(f"engram-bridge check --sql | psql -q {owner}")
        story.run(command)
        if command.text == "engram-bridge run --serve":
            wait_until_proven(settings["source"], str(folder / "engram-bridge.db"))


def test_statements_of_the_documents_run(database: str) -> None:
    """SQL that a reader would copy: what to look at while tables are read, an index for searches, tables for other sources."""
    texts = [text for name in ("tuning", "searching", "other-sources") for _, text in blocks(ROOT / "docs" / f"{name}.md", "sql")]
    assert len(texts) == 5
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create table products (id int primary key, name text, description text)")
        for text in texts:
            for statement in filter(str.strip, text.split(";\n")):
                connection.execute(statement.encode())
