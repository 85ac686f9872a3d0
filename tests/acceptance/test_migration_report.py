"""What a migration leaves to be read: orphans by name, three forms of one report, and a page that a manager opens anywhere."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from tests import ready
from tests.browser import chromium
from tests.migrating import Migrator
from tests.patience import PATIENCE

ORPHANS = 42

SCHEMA = (
    "create table users (id int primary key, name text)",
    "create table orders (id int primary key, user_id int, note text)",
    "create table audits (id int primary key, order_id int references orders (id), user_id int references users (id))",
    "insert into users select n, 'User ' || n from generate_series(1, 300) n",
    """insert into orders select n, case when n <= 42 then 900 + n when n % 7 = 0 then null else n % 300 + 1 end, 'Order ' || n
         from generate_series(1, 400) n""",
    "insert into audits select n, n, n % 300 + 1 from generate_series(1, 50) n",
    "alter table orders add constraint orders_user_fk foreign key (user_id) references users (id) not valid",
)
REFERRING = sum(1 for n in range(ORPHANS + 1, 401) if n % 7)


@pytest.fixture
def migrator(tmp_path: Path, database: str) -> Iterator[Migrator]:
    """Orders from before there was a foreign key, and an Engram."""
    made = Migrator(tmp_path, database)
    made.sql(*SCHEMA)
    yield made
    made.close()


def looked_again(migrator: Migrator) -> dict[str, Any]:
    """`engram-bridge orphans` on the ledger of the migration."""
    command = [*ready.command(), "orphans", "--json", "--source", migrator.source, "--target", migrator.engram.http]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=migrator.folder, env=migrator.environment
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_orphans_do_not_stop_it_and_each_is_named(migrator: Migrator) -> None:
    """The guide's sentence on stderr, exit code 0, all rows loaded; 42 in the report by constraint, child and missing parent."""
    path = migrator.folder / "report.json"
    done = migrator.run("--no-validate", "--report", str(path))
    assert done.returncode == 0, done.stderr
    assert "Found 42 orphaned foreign keys" in done.stderr
    report = json.loads(path.read_text())
    tables = {table["table"]: table for table in report["tables"]}
    assert [tables[f"public.{name}"]["rows"] for name in ("users", "orders", "audits")] == [300, 400, 50]
    assert (tables["public.orders"]["edges"], tables["public.orders"]["orphans"]) == (REFERRING, ORPHANS)
    assert (tables["public.audits"]["edges"], tables["public.audits"]["orphans"]) == (100, 0)
    assert report["edges"] == REFERRING + 100
    found = {(one["constraint"], one["child"], one["parent"]) for one in report["orphans"]["listed"]}
    assert found == {("orders_user_fk", f"orders_{n}", f"users_{900 + n}") for n in range(1, ORPHANS + 1)}
    assert (report["orphans"]["count"], report["orphans"]["not_listed"]) == (ORPHANS, 0)
    assert looked_again(migrator)["orphans"] == report["orphans"], "looked at again without the migration"


def test_what_leaves_the_chosen_tables_is_no_orphan(migrator: Migrator) -> None:
    """With some tables only, and with a limit, references to what was left out are counted apart; a later stage finds them."""
    (table,) = migrator.migrate("--no-validate", "--tables", "audits")["tables"]
    assert (table["edges"], table["external"], table["orphans"]) == (0, 100, 0)
    later = migrator.migrate("--no-validate", "--tables", "orders,users")
    assert [one for one in later["advice"] if one.startswith("public.audits was carried before a table that it refers to")]
    assert looked_again(migrator)["unlinked"] == ["public.audits"]
    (table,) = migrator.migrate("--no-validate", "--tables", "audits")["tables"]
    assert (table["edges"], table["external"], table["orphans"]) == (100, 0, 0)
    assert looked_again(migrator)["unlinked"] == []
    limited = migrator.migrate("--no-validate", "--tables", "orders,users", "--limit", "100", "--ledger", "other.db", *ELSEWHERE)
    tables = {table["table"]: table for table in limited["tables"]}
    assert tables["public.orders"]["rows"] == tables["public.users"]["rows"] == 100
    wanted = sum(1 for n in range(ORPHANS + 1, 101) if n % 7)
    there = sum(1 for n in range(ORPHANS + 1, 101) if n % 7 and n % 300 + 1 <= 100)
    assert tables["public.orders"]["edges"] == there
    assert tables["public.orders"]["external"] == wanted - there
    assert tables["public.orders"]["orphans"] == ORPHANS


SCREENS: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390))
ELSEWHERE = ("--table-to-space", "orders:orders_2,users:users_2")


def test_one_report_in_three_forms(migrator: Migrator) -> None:
    """JSON, text and HTML say the same; what is printed is the text; none of them has a row's value or a password."""
    path = migrator.folder / "report.html"
    done = migrator.run("--no-validate", "--report", str(path), "--parallel-workers", "1", "--batch-size", "7")
    assert done.returncode == 0, done.stderr
    page, text = path.read_text(), done.stdout
    for one in ("Found 42 orphaned foreign keys", "orders_user_fk", "users_942", "public.audits", "exit code 0"):
        assert one in page
        assert one in text
    assert "--batch-size is 7" in text
    assert "Order 17" not in page + text
    assert not re.search(r"(src|href)=|url\(|<script|@import", page), "nothing is fetched"


def test_the_page_is_read_on_any_screen(migrator: Migrator) -> None:
    """In a real browser, light and dark, wide and on a telephone: nothing runs off, nothing is asked for, colours differ."""
    path = migrator.folder / "report.html"
    assert migrator.run("--no-validate", "--report", str(path)).returncode == 0
    grounds = set()
    with chromium() as browser:
        for scheme, width in SCREENS:
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page = context.new_page()
            asked: list[str] = []
            said: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.on("console", lambda message, said=said: said.append(message.text))
            page.goto(path.as_uri())
            assert asked == [path.as_uri()]
            assert said == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator("h1").inner_text().startswith("Migration migration-")
            assert page.locator(".verdict").is_visible()
            assert page.get_by_role("region", name="Orphaned foreign keys").locator("tbody tr").count() == ORPHANS
            grounds.add((scheme, page.evaluate("getComputedStyle(document.body).backgroundColor")))
            context.close()
    assert len({colour for _scheme, colour in grounds}) == 2
