"""docs/privileges.md, tried: its statements are run as they stand, and each role does what the document says and no more."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bridge.sandbox.postgres import SandboxPostgres
from tests.acceptance.conftest import MakeRig
from tests.acceptance.traces import configure, refused, traces
from tests.rig import Rig

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "privileges.md"


def statements(name: str) -> list[str]:
    """The statements of a block of the document."""
    found = re.search(rf"<!-- {name} -->\n```sql\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert found is not None, f"the document has no block {name}"
    return [statement.strip() for statement in found[1].split(";") if statement.strip()]


@pytest.fixture
def shop(own_postgres: SandboxPostgres) -> str:
    """A fresh server with the database `shop`, whose tables belong to `shop_owner`; the owner's URL."""
    _as_superuser(own_postgres.url(), "create role shop_owner login", "create database shop owner shop_owner")
    _as_superuser(
        own_postgres.url("shop"),
        "alter schema public owner to shop_owner",
        "set role shop_owner",
        "create table customers (id int primary key, name text)",
        "create table orders (id int primary key, customer int references customers, note text)",
        "insert into customers select n, 'customer ' || n from generate_series(1, 50) n",
        "insert into orders select n, n % 50 + 1, 'note ' || n from generate_series(1, 100) n",
    )
    return own_postgres.url("shop")


def _as_superuser(url: str, *run: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in run:
            connection.execute(statement.encode())


def _rig(make_rig: MakeRig, shop: str, user: str) -> Rig:
    """A rig on the shop, whose bridge connects as `user`, with the names of the document."""
    rig = make_rig(shop)
    url = make_conninfo("", **{name: str(value) for name, value in (conninfo_to_dict(shop) | {"user": user}).items()})
    configure(rig, source={"url": url, "publication": "engram_bridge"})
    return rig


def test_the_reader_looks_and_may_not_run(make_rig: MakeRig, shop: str) -> None:
    """`init` and `check` work; `run` is refused with the right that is missing, and leaves nothing behind."""
    _as_superuser(shop, *statements("reader"), *statements("publication"))
    rig = _rig(make_rig, shop, "bridge_reader")
    draft = rig.folder / "draft.yaml"
    done = rig.bare("init", "--source", rig.config.source.url, "--output", str(draft))
    assert done.returncode == 0, done.stderr
    assert "customers:" in draft.read_text()
    checked = rig.command("check")
    assert checked.returncode == 1
    assert "1 error(s)" in checked.stdout
    assert "role.replication" in checked.stdout
    before = traces(rig)
    refused(rig, 1, "the role bridge_reader may not replicate", 'ALTER ROLE "bridge_reader" REPLICATION;')
    assert traces(rig) == before
    assert before.ledger is None


def test_the_replicator_runs_on_what_is_prepared(make_rig: MakeRig, shop: str) -> None:
    """It cannot make the publication, and is told who can; with one it loads, follows, and takes a new table when it may."""
    _as_superuser(shop, *statements("replicator"))
    rig = _rig(make_rig, shop, "bridge")
    before = traces(rig)
    refused(rig, 1, "it does not own public.customers, public.orders", 'CREATE PUBLICATION "engram_bridge" FOR TABLE ONLY')
    assert traces(rig) == before
    _as_superuser(shop, "set role shop_owner", *statements("publication"))
    assert rig.command("check").returncode == 0
    rig.catch_up()
    assert {one.table: one.rows for one in rig.prove()} == {"public.customers": 50, "public.orders": 100}
    with psycopg.connect(rig.config.source.url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("delete from orders")
    _as_superuser(shop, "set role shop_owner", "delete from orders where id < 10", "create table invoices (id int primary key)")
    _as_superuser(shop, "insert into invoices values (1), (2)")
    checked = rig.command("check").stdout
    assert "may not read public.invoices" in checked
    assert "the publication engram_bridge lacks public.invoices" in checked
    _as_superuser(shop, "set role shop_owner", *statements("later"))
    assert rig.command("check").returncode == 0
    rig.catch_up()
    assert {one.table: one.rows for one in rig.prove()} == {"public.customers": 50, "public.orders": 91, "public.invoices": 2}


def test_the_replicator_needs_all_of_it(make_rig: MakeRig, shop: str) -> None:
    """Each right less is refused by name, with the statement that gives it."""
    _as_superuser(shop, *statements("replicator"), *statements("publication"), "revoke usage on schema public from public")
    rig = _rig(make_rig, shop, "bridge")
    for takes, says, gives in (
        (
            "revoke select on orders from bridge",
            "may not read public.orders",
            'GRANT SELECT ON TABLE "public"."orders" TO "bridge"',
        ),
        (
            "revoke usage on schema public from bridge",
            "may not use the schema public",
            'GRANT USAGE ON SCHEMA "public" TO "bridge"',
        ),
        ("alter role bridge noreplication", "may not replicate", 'ALTER ROLE "bridge" REPLICATION'),
    ):
        _as_superuser(shop, takes)
        refused(rig, 1, says, gives)
        _as_superuser(shop, gives)
    assert rig.command("check").returncode == 0


def test_the_admin_prepares_for_itself(make_rig: MakeRig, shop: str) -> None:
    """It makes publication and slot, and adds what comes later; without CREATE on the database it is told so."""
    _as_superuser(shop, *statements("admin"))
    rig = _rig(make_rig, shop, "bridge_admin")
    _as_superuser(shop, "revoke create on database shop from bridge_admin, shop_owner")
    refused(rig, 1, "it lacks CREATE on the database shop", 'GRANT CREATE ON DATABASE "shop" TO "bridge_admin"')
    _as_superuser(shop, *(statement for statement in statements("admin") if "CREATE ON DATABASE" in statement))
    rig.catch_up()
    rig.prove()
    _as_superuser(shop, "set role shop_owner", "create table invoices (id int primary key)", "insert into invoices values (1)")
    rig.catch_up()
    assert {one.table for one in rig.prove()} == {"public.customers", "public.orders", "public.invoices"}
