"""`python -m bench.migration`: the documented commands on a database of 12 tables, from the dry run to the second opinion.

Prints what a person would see: plan, progress, report, what a kill -9 costs, and the comparison of every row by somebody who
believes nobody (`bridge.evidence`). Ends with 1 when anything is not as it should be.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from bench.database import SETTINGS, execute
from bridge.capacity import SEARCHABLE_ROWS
from bridge.config import Config
from bridge.evidence import compare
from bridge.ledger import Ledger
from bridge.postgres import connect
from bridge.sandbox import shop
from bridge.sandbox.engram.process import SandboxEngram
from bridge.sandbox.postgres import SandboxPostgres
from bridge.wiring import make_plan, open_target

ORPHANS = 42
TICKETS = 2_000

# Rows from before there was a foreign key: it was added without a look at them.
LEGACY = (
    "create table tickets (id bigint primary key, user_id bigint, subject text not null, created_at timestamptz not null)",
    f"""insert into tickets
        select n, case when n <= {ORPHANS} then 90000000 + n when n % 10 = 0 then null
                       else (select min(id) from users) + n % (select count(*) from users) end,
               'Ticket ' || n, timestamptz '2019-01-01' + n * interval '3 hours'
          from generate_series(1, {TICKETS}) n""",
    "alter table tickets add constraint tickets_user foreign key (user_id) references users not valid",
    "analyze tickets",
)


@dataclass(slots=True)
class Stage:
    """One database, one Engram, one ledger; what is wrong is collected."""

    folder: Path
    url: str
    engram: SandboxEngram
    wrong: list[str] = field(default_factory=list)

    def command(self, *arguments: str) -> list[str]:
        """`migrate-postgresql` as documented, but for the hosts, and for where this sandbox has its gRPC side and its ledger."""
        places = ["--source", self.url, "--target", self.engram.http]
        return [*MIGRATE, *places, "--grpc", self.engram.grpc, "--ledger", str(self.folder / "ledger.db"), *arguments]

    def run(self, *arguments: str, told: bool = True) -> tuple[int, float]:
        """To its end; answers code and seconds."""
        return _run(self.command(*arguments), told=told)

    def expect(self, right: bool, what: str) -> None:
        """Say it, and remember what is not so."""
        print(f"  {'ok  ' if right else 'WRONG'} {what}", flush=True)
        if not right:
            self.wrong.append(what)

    def config(self) -> Config:
        """What the commands after a migration are told."""
        target = {"http": self.engram.http, "grpc": self.engram.grpc}
        return Config.model_validate({"source": self.url, "target": target, "ledger": str(self.folder / "ledger.db")})

    def evidence(self) -> None:
        """Every row and edge of PostgreSQL against what Engram answers now."""
        config = self.config()
        ledger, target = Ledger(config.ledger), open_target(config)
        try:
            with connect(self.url) as connection:
                plan = make_plan(config, ledger, connection, register=False)
                for space in plan.mapping.spaces:
                    target.open(space)
                found = compare(connection, target, plan.mapping, ledger)
        finally:
            target.close()
            ledger.close()
        rows, edges = sum(one.rows for one in found), sum(one.edges for one in found)
        bad = [one for one in found if not one.proven]
        self.expect(
            not bad, f"{rows:,} rows and {edges:,} edges of {len(found)} tables compared one by one: {bad or 'all alike'}"
        )


MIGRATE = [sys.executable, "-m", "bridge.cli.migrating"]


def _run(command: Sequence[str], *, told: bool = True) -> tuple[int, float]:
    began = time.monotonic()
    print(f"\n$ {_shown(command)}", flush=True)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=None if told else subprocess.DEVNULL, check=False)
    seconds = time.monotonic() - began
    print(f"[exit {done.returncode}, {seconds:.1f} s]", flush=True)
    return done.returncode, seconds


def _shown(command: Sequence[str]) -> str:
    if list(command[: len(MIGRATE)]) == MIGRATE:
        return " ".join(["migrate-postgresql", *command[len(MIGRATE) :]])
    return " ".join(["engram-bridge", *command[3:]])


def whole(stage: Stage, arguments: argparse.Namespace) -> None:
    """Dry run, run, report, second opinion."""
    report = stage.folder / "report.json"
    flags = ("--batch-size", "5000", "--parallel-workers", "8")
    code, _seconds = stage.run(*flags, "--dry-run")
    stage.expect(code == 0, "the dry run finds nothing in the way")
    if arguments.rows > SEARCHABLE_ROWS:  # as the dry run advises: in one space search would find what does not match
        flags += ("--shards", "order_items:2")
    checkpoint = ("--checkpoint-file", str(stage.folder / "pg_migration.json"))
    code, seconds = stage.run(*flags, *checkpoint, "--validate", "--report", str(report))
    document = json.loads(report.read_text(encoding="utf-8"))
    stage.expect(code == document["exit_code"] == 0, f"exit code {code}, the report says {document['outcome']}")
    rows, number = sum(table["rows"] for table in document["tables"]), len(document["tables"])
    stage.expect(rows >= arguments.rows, f"{rows:,} rows of {number} tables in {seconds:.0f} s: {rows / seconds:,.0f}/s")
    found = document["orphans"]
    stage.expect(found["count"] == ORPHANS == len(found["listed"]), f"{ORPHANS} orphans, each by name")
    print(f"    for example {found['listed'][0]}")
    result = document["validation"]
    stage.expect(bool(result and result["clean"]), "the validation is clean")
    if result:
        print(f"    it took {result['seconds']:.1f} s, {result['seconds'] / document['seconds']:.0%} of the whole time")
    stage.evidence()
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True, exist_ok=True)
        (arguments.keep / "report.json").write_text(report.read_text(encoding="utf-8"), encoding="utf-8")


def killed(stage: Stage) -> None:
    """kill -9 in the middle, the same command again, and the same result; then once more for nothing."""
    checkpoint, batch = stage.folder / "pg_migration.json", 500
    flags = ("--batch-size", str(batch), "--parallel-workers", "4", "--checkpoint-file", str(checkpoint), "--report")
    command = stage.command(*flags, str(stage.folder / "report.json"))
    print(f"\n$ {_shown(command)}   # killed in the middle", flush=True)
    log = (stage.folder / "killed.log").open("wb")
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    stage.expect(_until_rows(process, checkpoint, 2_000), "it had come some way when it was killed")
    process.send_signal(signal.SIGKILL)
    process.wait()
    log.close()
    before = json.loads(checkpoint.read_text(encoding="utf-8"))["tables"]
    done = sum(table["rows"] for table in before.values())
    code, _seconds = stage.run(*flags, str(stage.folder / "report.json"))
    document = json.loads((stage.folder / "report.json").read_text(encoding="utf-8"))
    stage.expect(code == 3 and document["resumed"], "gone on with: exit code 3, since its rows are of two snapshots")
    rows = sum(table["rows"] for table in document["tables"])
    print(f"    {done:,} of {rows:,} rows stood in the checkpoint when it was killed")
    stage.evidence()
    code, _seconds = stage.run(*flags, str(stage.folder / "report.json"))
    stage.expect(code == 3, "the same command once more finds the migration complete, and answers as it did")


def _until_rows(process: subprocess.Popen[bytes], checkpoint: Path, rows: int, patience: float = 300.0) -> bool:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and process.poll() is None:
        if checkpoint.exists() and sum(one["rows"] for one in json.loads(checkpoint.read_text())["tables"].values()) >= rows:
            return True
        time.sleep(0.1)
    return False


def main() -> int:
    """Both, on databases of their own."""
    parser = argparse.ArgumentParser(prog="bench.migration", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the large database, at least")
    parser.add_argument("--only", choices=("whole", "killed"), default=None, help="one of the two alone")
    parser.add_argument("--keep", type=Path, default=None, help="folder that the report is kept in")
    arguments = parser.parse_args()
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=True)  # between the lines of the commands, also in a file
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}")
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="engram-bridge-migration-", ignore_cleanup_errors=True) as place:
        postgres = SandboxPostgres(Path(place) / "data", settings=SETTINGS)
        postgres.start()
        try:
            for name, rows in (("whole", round(arguments.rows * 1.08)), ("killed", 8_000)):
                if arguments.only not in (None, name):
                    continue
                folder = Path(place) / name
                folder.mkdir()
                url = _database(postgres.url(), name, rows)
                with SandboxEngram(folder / "engram") as engram:
                    stage = Stage(folder, url, engram)
                    whole(stage, arguments) if name == "whole" else killed(stage)
                    wrong += stage.wrong
        finally:
            postgres.stop("immediate")
    print(f"\n{'everything is as it should be' if not wrong else 'NOT as it should be: ' + '; '.join(wrong)}")
    return 1 if wrong else 0


def _database(server: str, name: str, rows: int) -> str:
    execute(server, f"create database {name} template template0 encoding 'UTF8'")
    url = psycopg.conninfo.make_conninfo(server, dbname=name)
    shop.create(url)
    made = shop.seed(url, rows)
    execute(url, *LEGACY)
    print(f"\n== database {name}: {made + TICKETS:,} rows in {len(shop.TABLES) + 1} tables")
    return url


if __name__ == "__main__":
    sys.exit(main())
