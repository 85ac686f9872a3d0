"""The rules of `check`, each on facts of its own: what goes wrong is said with where and a remedy, what is right says nothing."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import yaml
from rich.console import Console

from bridge import capacity
from bridge.check import Finding, setting, source_findings
from bridge.check_places import duration, place_findings
from bridge.check_report import Report, TableSummary
from bridge.config import Target
from bridge.errors import RENEW
from bridge.facts import (
    Facts,
    LedgerFacts,
    PublicationFacts,
    RoleFacts,
    SpaceFacts,
    TableFacts,
    TargetFacts,
)
from bridge.preflight_target import plain_grpc
from bridge.selection import names_of
from bridge.spaces import TableOptions
from tests.unit.good_facts import GOOD, LEDGER, MEMBER, OWN, ROLE, SERVER, SLOT, USERS, facts_with, facts_with_table


def _findings(facts: Facts) -> list[Finding]:
    return source_findings(facts) + place_findings(facts)


def _told(facts: Facts) -> dict[str, Finding]:
    return {finding.code: finding for finding in _findings(facts)}


def test_nothing_is_said_against_what_is_right() -> None:
    """A good source, target and ledger give no error and no warning; what spaces cost is told."""
    for facts in (GOOD, facts_with(slot=SLOT, ledger=OWN, publication=PublicationFacts(members=MEMBER))):
        assert [(finding.level, finding.code) for finding in _findings(facts)] == [("info", "space.cost")]


# facts, code, level, part of what is said, part of the remedy
RULES = [
    (facts_with(server=replace(SERVER, version=110022)), "source.version", "error", "PostgreSQL 11 is too old", "12 or later"),
    (
        facts_with(server=replace(SERVER, wal_level="replica")),
        "source.wal_level",
        "error",
        "is replica",
        "SET wal_level = 'logical'",
    ),
    (facts_with(server=replace(SERVER, standby=True)), "source.standby", "error", "standby", "primary"),
    (facts_with(server=replace(SERVER, slots=(4, 4))), "source.slots", "error", "4 of 4", "max_replication_slots = 8"),
    (facts_with(server=replace(SERVER, senders=(9, 9))), "source.senders", "error", "9 of 9", "max_wal_senders = 13"),
    (facts_with(server=replace(SERVER, encoding="SQL_ASCII")), "source.encoding", "warning", "SQL_ASCII", "UTF8"),
    (
        facts_with(role=replace(ROLE, replication=False)),
        "role.replication",
        "error",
        "may not replicate",
        'ROLE "o\'neil ""x""" REPLICATION;',
    ),
    (
        facts_with(role=replace(ROLE, may_create=False)),
        "role.create",
        "error",
        "CREATE on the database shop",
        'ON DATABASE "shop" TO "o\'',
    ),
    (facts_with(slot=replace(SLOT, plugin="wal2json")), "slot.other", "error", "wal2json", "pg_drop_replication_slot('s')"),
    (facts_with(slot=replace(SLOT, database="other")), "slot.other", "error", "in the database other", "source.slot"),
    (
        facts_with(slot=replace(SLOT, lost="wal_removed"), ledger=OWN),
        "slot.lost",
        "error",
        "is lost (wal_removed)",
        RENEW,
    ),
    (facts_with(slot=SLOT), "slot.unknown", "error", "this ledger did not make it", "Use the ledger it belongs to"),
    (facts_with(slot=replace(SLOT, holder="pid 4"), ledger=OWN), "slot.active", "warning", "in use by pid 4", "Stop that one"),
    (
        facts_with_table(readable=False),
        "table.select",
        "error",
        "may not read public.users",
        'SELECT ON TABLE "public"."users" TO "o\'neil',
    ),
    (facts_with_table(schema_usable=False), "schema.usage", "error", "the schema public", 'USAGE ON SCHEMA "public" TO'),
    (facts_with_table(row_security=True), "table.row_security", "error", "row-level security", "BYPASSRLS; or exclude"),
    (facts_with_table(persistence="u"), "table.unlogged", "error", "is unlogged", "SET LOGGED"),
    (facts_with_table(generated=("full",)), "table.generated", "info", "public.users are not carried", ""),
    (facts_with_table(inheritance_parent=True), "table.inheritance", "warning", "tables inherit", "own names"),
    (
        facts_with_table(key=()),
        "table.no_key",
        "error",
        "no primary key",
        "REPLICA IDENTITY FULL; and in the configuration tables: {users: {duplicates: collapse}}",
    ),
    (facts_with_table(key=(), identity="f"), "table.no_key", "error", "no primary key", "collapse"),
    (
        facts_with_table(key=(), identity="f", options=TableOptions(collapse=True)),
        "table.duplicates",
        "warning",
        "become one",
        "primary key",
    ),
    (facts_with_table(key_deferrable=True), "table.deferrable_key", "error", "is deferrable", "NOT DEFERRABLE"),
    (
        facts_with_table(identity="n", identity_columns=()),
        "table.identity_nothing",
        "error",
        "NOTHING",
        "REPLICA IDENTITY DEFAULT;",
    ),
    (
        facts_with_table(identity="i", identity_columns=("email",)),
        "table.identity",
        "error",
        "does not hold its primary key",
        "IDENTITY DEFAULT",
    ),
    (
        replace(facts_with_table(kind="p"), server=replace(SERVER, version=120000)),
        "table.partitioned",
        "error",
        "partitioned",
        "13 or later",
    ),
    (
        facts_with_table(owned=False),
        "publication.owner",
        "error",
        "does not own public.users",
        'PUBLICATION "p" FOR TABLE ONLY "public"."users" WITH',
    ),
    (
        facts_with(publication=PublicationFacts(owned=False)),
        "publication.members",
        "error",
        "lacks public.users",
        'ADD TABLE ONLY "public"',
    ),
    (
        facts_with(publication=PublicationFacts(extent="all tables")),
        "publication.extent",
        "error",
        "for all tables",
        "DROP PUBLICATION",
    ),
    (
        facts_with(publication=PublicationFacts(lacking=("delete",))),
        "publication.actions",
        "error",
        "not publish delete",
        "SET (publish",
    ),
    (
        facts_with(publication=PublicationFacts(via_root=False)),
        "publication.root",
        "error",
        "partitions' names",
        "via_partition_root = true",
    ),
    (facts_with(publication=PublicationFacts(filtered=("a.b",))), "publication.filtered", "error", "columns of a.b", "SET TABLE"),
    (
        facts_with_table(rows=100_000),
        "space.limit",
        "error",
        "100,000 each; a space may hold 90,000",
        "Set tables: {users: {shards: 4}}",
    ),
    (
        facts_with_table(rows=400_000, options=TableOptions(shards=5)),
        "space.time",
        "warning",
        "take the server about",
        "shards: 1",
    ),
    (facts_with_table(rows=40_000), "space.search", "warning", "40,000 rows", "shards: 2"),
    (facts_with(target=TargetFacts(False, "no answer", "Start it.")), "target.unreachable", "error", "no answer", "Start it."),
    (facts_with(target=TargetFacts(probe={"a": True, "b": False})), "target.behaviour", "error", "relies on: b", "Engram server"),
    (
        facts_with(target=TargetFacts(spaces={"users": SpaceFacts(3, True)})),
        "target.foreign",
        "error",
        "space users",
        "space_prefix",
    ),
    (facts_with(ledger=LedgerFacts("l", "no folder", "Make it.")), "ledger.unusable", "error", "no folder", "Make it."),
    (facts_with(ledger=replace(LEDGER, free=1_000)), "ledger.disk", "error", "0 MB left", "Make room"),
    (facts_with(ledger=replace(LEDGER, free=100_000_001)), "ledger.disk", "warning", "for 100 rows", "Make room"),
    (facts_with(ledger=replace(LEDGER, holder="process 5")), "ledger.held", "warning", "would be refused: process 5", "stop it"),
    (
        facts_with(ledger=replace(OWN, system_identifier="8"), slot=SLOT),
        "ledger.source",
        "error",
        "another source",
        "right ledger",
    ),
    (facts_with(ledger=replace(OWN, database="x"), slot=SLOT), "ledger.source", "error", "another source", "right ledger"),
    (
        facts_with(ledger=replace(OWN, timeline=3), slot=SLOT),
        "ledger.timeline",
        "error",
        "the ledger's is 3",
        RENEW,
    ),
    (
        facts_with(ledger=replace(OWN, spaces={"public.users": ("users-0", "users-1")}), slot=SLOT),
        "ledger.spaces",
        "error",
        "public.users is in the space(s) users-0, users-1, the configuration says users",
        "number of shards back",
    ),
    (
        facts_with(ledger=replace(OWN, stopped={"public.users": "its column 'a' was dropped"}), slot=SLOT),
        "ledger.stopped",
        "warning",
        "public.users is stopped, its changes are not carried: its column 'a' was dropped",
        "engram-bridge resync public.users",
    ),
    (facts_with(target=TargetFacts(plain_grpc="engram:50051")), "target.plain", "warning", "to engram:50051 goes unen", "tunnel"),
    (facts_with(ledger=replace(OWN, slot="t"), slot=None), "ledger.slot", "error", "slot is t", "source.slot: t"),
    (
        facts_with(ledger=OWN, slot=None),
        "slot.missing",
        "error",
        "is gone",
        RENEW,
    ),
    (
        facts_with(ledger=OWN, slot=replace(SLOT, confirmed=101)),
        "slot.ahead",
        "error",
        "0/65, the ledger only up to 0/64",
        "older",
    ),
]


@pytest.mark.parametrize(
    ("facts", "code", "level", "what", "remedy"), RULES, ids=[f"{rule[1]}-{n}" for n, rule in enumerate(RULES)]
)
def test_a_rule_says_what_where_and_remedy(facts: Facts, code: str, level: str, what: str, remedy: str) -> None:
    """Each condition gives its finding, and no other finding of that level or worse."""
    found = _told(facts)
    finding = found[code]
    assert (finding.level, finding.where != "") == (level, True)
    assert what in finding.what
    assert remedy in finding.remedy
    rank = {"error": 2, "warning": 1, "info": 0}
    others = [other for other in found.values() if other.code not in (code, "space.cost") and rank[other.level] >= rank[level]]
    assert others == []


def test_existing_things_need_no_rights() -> None:
    """With the slot there, no free one is needed; with the publication complete, no ownership; a superuser owns all."""
    full = replace(SERVER, slots=(4, 4))
    published = PublicationFacts(owned=False, members=MEMBER)
    table = (replace(GOOD.tables[0], owned=False),)
    assert set(_told(facts_with(server=full, slot=SLOT, ledger=OWN, publication=published, tables=table))) == {"space.cost"}
    super_user = RoleFacts("postgres", superuser=True, replication=False)
    assert set(_told(facts_with(role=super_user, tables=table))) == {"space.cost"}


def test_tables_in_one_space_are_added_up() -> None:
    """Two tables that share a space by configuration may fill it together, though neither does alone."""
    other = replace(USERS, name="others")
    tables = tuple(TableFacts(table, rows=60_000, spaces=("shared",)) for table in (USERS, other))
    finding = _told(facts_with(tables=tables))["space.shared"]
    assert "share the space shared with about 120,000 rows" in finding.what


def test_many_spaces_are_warned_of() -> None:
    """Each space costs the server memory and threads; dozens of them are a warning."""
    spaces = tuple(f"users-{number}" for number in range(50))
    finding = _told(facts_with(tables=(replace(GOOD.tables[0], spaces=spaces),)))["space.cost"]
    assert finding.level == "warning"
    assert "50 space(s), 50 of them new: sparse files of 155 GB" in finding.what
    assert "one space for several" in finding.remedy


def test_an_unreachable_source_leaves_the_rest() -> None:
    """Without the source's facts, target and ledger are judged all the same."""
    told = _told(Facts("s", "p", target=TargetFacts(False, "down", "up"), ledger=LEDGER))
    assert list(told) == ["target.unreachable"]


def test_loading_time_follows_the_measurements() -> None:
    """The curve adds up to what a real server took: 100,300 rows in 5,004 s, within a tenth; and grows with every row."""
    assert abs(capacity.filling_seconds(100_300) / 5_004 - 1) < 0.1
    assert capacity.filling_seconds(0) == 0
    times = [capacity.filling_seconds(rows) for rows in range(0, 200_000, 500)]
    assert times == sorted(set(times))
    assert capacity.loading_seconds(80_000, 4) < capacity.loading_seconds(80_000, 1) / 3


@pytest.mark.parametrize("rows", [0, 1, 33_000, 33_001, 90_000, 500_000, 3_000_000, 20_000_000])
def test_the_proposal_fits(rows: int) -> None:
    """The proposed number of shards keeps every space within the limit, and is 1 where 1 will do."""
    proposed = capacity.proposed_shards(rows, 90_000)
    assert capacity.rows_per_space(rows, proposed) <= 90_000
    assert (proposed == 1) == (rows <= 33_000)


@pytest.mark.parametrize(("seconds", "said"), [(4.4, "4 s"), (600, "10 min"), (7_200, "2.0 h"), (10**6, "11.6 days")])
def test_durations_are_readable(seconds: float, said: str) -> None:
    """Seconds, minutes, hours and days."""
    assert duration(seconds) == said


def test_a_running_bridge_is_told_once() -> None:
    """Its ledger is held, and its slot in use by it: that is one thing. A slot that another one uses is another."""
    used = replace(SLOT, holder="pid 4")
    assert "slot.active" not in _told(facts_with(slot=used, ledger=replace(OWN, holder="process 5")))
    assert "slot.active" in _told(facts_with(slot=used, ledger=OWN))


def test_spaces_that_are_there_cost_nothing() -> None:
    """Nothing is said of files and threads when no space is new."""
    told = _told(facts_with(target=TargetFacts(spaces={"users": SpaceFacts(3)})))
    assert told["space.cost"].what == "1 space(s), all of them there already"


@pytest.mark.parametrize("label", ["public.users", "app.users", "public.a b", "public.on", "public.it's: {x}", "public.a.b"])
def test_settings_can_be_copied(label: str) -> None:
    """What a remedy says to set is YAML that names the table as the configuration knows it."""
    (name,) = yaml.safe_load(setting(label, "shards: 4"))["tables"]
    table = replace(USERS, schema=label.split(".", 1)[0], name=label.split(".", 1)[1])
    assert name in names_of(table)


@pytest.mark.parametrize(
    ("keys", "plain"),
    [
        ({"http": "http://engram:7432"}, ""),
        ({"http": "https://engram:7432"}, "engram:50051"),
        ({"http": "http://engram:7432", "api_key": "k"}, "engram:50051"),
        ({"http": "https://engram", "grpc": "127.0.0.1:9"}, ""),
        ({"http": "https://engram", "grpc": "[::1]:9"}, ""),
        ({"http": "http://localhost:7432", "api_key": "k"}, ""),
    ],
)
def test_what_goes_unencrypted_against_the_will(keys: dict[str, str], plain: str) -> None:
    """gRPC to another host, where HTTP is encrypted or a key is sent: the address is known as plain."""
    assert plain_grpc(Target.model_validate(keys)) == plain


def test_remedies_are_printed_in_one_piece() -> None:
    """A statement longer than the screen is not broken, and nothing follows it; estimates bear a ~, counts do not."""
    remedy = "GRANT SELECT ON TABLE " + ", ".join(f'"public"."table_{number}"' for number in range(20)) + ' TO "bridge";'
    tables = (TableSummary("public.a", 1_000, ("a",), 3.0), TableSummary("public.b", 20, ("b",), 3.0, counted=True))
    console = Console(file=io.StringIO(), width=60)
    Report((Finding("error", "e", "t", "it fails", remedy),), tables).show(console)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert f"    → {remedy}" in lines
    assert [line.split()[1] for line in lines[1:3]] == ["~1,000", "20"]


def test_the_report_is_for_people_and_machines() -> None:
    """The worst comes first, brackets in names stay, the exit code is 1 exactly when there is an error."""
    warning = Finding("warning", "w", "t", "table [red] is odd", "Look.")
    error = Finding("error", "e", "t", "it fails", "")
    tables = (TableSummary("public.[bold]", 1_000, ("a-0", "a-1"), 3.0),)
    report = Report((warning, error), tables)
    console = Console(file=io.StringIO(), width=200)
    console.print(report.render())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.index("it fails") < text.index("table [red] is odd") < text.index("→ Look.")
    assert "public.[bold]" in text
    assert "a-0 … a-1" in text
    assert "1 error(s), 1 warning(s)" in text
    assert report.exit_code == 1
    assert report.as_dict()["findings"][1] == {"level": "error", "code": "e", "where": "t", "what": "it fails", "remedy": ""}
    assert Report((warning,), ()).exit_code == 0
    console.print(Report((replace(warning, code="ledger.held"),), ()).render())
    assert "`run` is at work already" in console.file.getvalue()  # type: ignore[attr-defined]
    assert Report((), ()).as_dict() == {"ok": True, "findings": [], "tables": []}


def test_a_ledger_on_the_sources_server_says_what_it_costs() -> None:
    """In the source database more than beside it; on another server, or in a file, nothing."""

    def told(system: str, database: str) -> str | None:
        found = _told(facts_with(ledger=replace(LEDGER, free=None, server=(system, database)))).get("ledger.inside")
        return found.what if found is not None else None

    assert "in the source database itself" in (told("7", "shop") or "")
    assert "on the source's server" in (told("7", "other") or "")
    assert told("8", "shop") is None
    assert told("", "shop") is None
    assert "ledger.inside" not in _told(GOOD)


def test_what_is_risky_about_a_ledgers_server_is_a_warning() -> None:
    """With its remedy, and never an error: the run may be meant."""
    finding = _told(facts_with(ledger=replace(LEDGER, notes=(("fsync is off", "Set it."),))))["ledger.server"]
    assert (finding.level, finding.what, finding.remedy) == ("warning", "fsync is off", "Set it.")
