"""The ledger's schema as it is now, in SQLAlchemy Core: nothing that only one database has.

It is made, and brought up to date, by the steps of `bridge.ledger.steps`; a ledger of a newer version than theirs is refused.
LSNs are stored as integers (they stay far below 2^63), versions as the sortable text of `bridge.lsn`.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, SmallInteger, Table, Text, text

from bridge.ledger.steps import STEPS

SCHEMA_VERSION = max(STEPS)

metadata = MetaData()

facts = Table(
    "facts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""Single values: schema version, identity of ledger and source, slot, positions, target epoch, how the last run ended."""

tables = Table(
    "tables",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("label", Text, nullable=False),
    Column("role", Text, nullable=False, default="serving"),
    Column("origin", Integer, nullable=False),
    Column("spaces", Text, nullable=False),
    Column("columns", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("floor", Text, nullable=False, default=""),
    Column("reached", BigInteger, nullable=False, default=0),
    Column("rows_estimated", BigInteger, nullable=False, default=-1),
)
"""Generations of carried tables. `state`: new, loading (chunks planned), loaded (all chunks proven), stopped (parked, `reason`
says why). `role`: serving (the one that answers), filling (loaded into new spaces, to take its place), retired (its memories are
forgotten, then it goes). `origin`: the number of the table's first generation, by which edges and lookups name it for good."""

Index(
    "tables_serving",
    tables.c.label,
    unique=True,
    sqlite_where=text("role = 'serving'"),
    postgresql_where=text("role = 'serving'"),
)

asked = Table(
    "asked",
    metadata,
    Column("label", Text, primary_key=True),
    Column("verb", Text, primary_key=True),
    Column("detail", Text, nullable=False),
    Column("made", Float, nullable=False),
    Column("refused", Text),
)
"""What is to be done with whole tables: add, remove, reshard; `detail` is JSON. Gone when done; kept, with why, when refused."""

choices = Table(
    "choices",
    metadata,
    Column("label", Text, primary_key=True),
    Column("verb", Text, primary_key=True),
    Column("detail", Text, nullable=False),
)
"""Where the ledger knows better than the configuration: tables added, removed, resharded. `detail` is JSON."""

memories = Table(
    "memories",
    metadata,
    Column("tbl", Integer, primary_key=True, autoincrement=False),
    Column("key", Text, primary_key=True),
    Column("shard", SmallInteger, nullable=False),
    Column("version", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("refs", Text, nullable=False),
    Column("live", Boolean(create_constraint=False), nullable=False),
    Column("xid", BigInteger),
    Column("refreshed", BigInteger, nullable=False, default=0),
    Column("epoch", Integer, nullable=False, default=0, server_default="0"),
    Column("migration", Integer, nullable=False, default=0, server_default="0"),
    Column("mark", BigInteger, nullable=False, default=0, server_default="0"),
    sqlite_with_rowid=False,
)
"""What Engram must hold: one row a memory, or a tombstone (`live` false). Everything here was proven when it was written.

`epoch` is the number of the start of the target that was known when it was written: recall by embedding forgets older ones.
`migration` is the number of the migration whose id the memory in Engram bears, or bore; 0: written before that was kept.
`mark` is the second digest of its body, by which PostgreSQL can compare rows without sending them; 0: not known.
"""

edges = Table(
    "edges",
    metadata,
    Column("tbl", Integer, primary_key=True, autoincrement=False),
    Column("key", Text, primary_key=True),
    Column("constraint_name", Text, primary_key=True),
    Column("parent", Integer, nullable=False),
    Column("parent_key", Text),
    Column("lookup", Text),
    Column("lookup_value", Text),
    sqlite_with_rowid=False,
)
"""Every non-null foreign key of every live row. `parent_key` null: the parent's alternate key is not known yet."""

Index("edges_in", edges.c.parent, edges.c.parent_key)
Index(
    "edges_lookup",
    edges.c.lookup,
    edges.c.lookup_value,
    sqlite_where=edges.c.lookup.is_not(None),
    postgresql_where=edges.c.lookup.is_not(None),
)

alternates = Table(
    "alternates",
    metadata,
    Column("tbl", Integer, primary_key=True, autoincrement=False),
    Column("key", Text, primary_key=True),
    Column("lookup", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""The values under which a parent is found when a foreign key points at another unique key than its memory key."""

Index("alternates_value", alternates.c.lookup, alternates.c.value)

chunks = Table(
    "chunks",
    metadata,
    Column("tbl", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("after", Text),
    Column("upto", Text),
    Column("done", Boolean(create_constraint=False), nullable=False, default=False),
    Column("rows", BigInteger, nullable=False, default=0),
    Column("reached", BigInteger, nullable=False, default=0),
)
"""The chunk plan of every table: key ranges as JSON arrays of the key columns' text, null for open ends."""

parked = Table(
    "parked",
    metadata,
    Column("tbl", Integer, primary_key=True, autoincrement=False),
    Column("key", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("xid", BigInteger),
    Column("since", Float, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("retry_at", Float),
    Column("dropped", Boolean(create_constraint=False), nullable=False, default=False),
)
"""Keys that could not be applied (law 8): reason and latest version, never content."""

spaces = Table(
    "spaces",
    metadata,
    Column("name", Text, primary_key=True),
    Column("pristine", Boolean(create_constraint=False), nullable=False),
    Column("repaired", Text, nullable=False, default=""),
    Column("rewritten", Integer, nullable=False, default=0, server_default="0"),
)
"""Spaces in use. `pristine`: it was empty when this ledger began; `repaired`: the target epoch it was last compared in;
`rewritten`: the number of the newest epoch in which no row of an earlier one was left in it."""

epochs = Table(
    "epochs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Text, nullable=False),
    Column("seen", Float, nullable=False),
    Column("repaired", Float),
)
"""The target's starts, as they were seen; `repaired` when all spaces had been compared."""

requests = Table(
    "requests",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("verb", Text, nullable=False),
    Column("tbl", Integer, nullable=False),
    Column("key", Text, nullable=False),
    Column("made", Float, nullable=False),
)
"""What another process asks the running bridge to do."""

counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""Totals over all runs: changes applied, writes dropped by the target and recovered, restarts, ..."""

gauges = Table(
    "gauges",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("at", Float, nullable=False),
)
"""What the running process measures, once a second, for `status` in another one. JSON values."""

writers = Table(
    "writers",
    metadata,
    Column("token", Text, primary_key=True),
    Column("steps", BigInteger, nullable=False),
    Column("about", Text, nullable=False),
)
"""In PostgreSQL: the run that may write, by its token, how many durable steps the ledger has seen, and who it is (JSON)."""

routes = Table(
    "routes",
    metadata,
    Column("label", Text, primary_key=True),
    Column("mode", Text, nullable=False),
    Column("share", SmallInteger, nullable=False),
    Column("since", Float, nullable=False),
)
"""Where the reads of a table go: postgres, shadow, engram (with a share of its keys, percent) or engram-only. None: postgres."""

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("who", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
"""Who changed what about the reads, and why; `detail` is JSON. Nothing is ever removed from it."""

readings = Table(
    "readings",
    metadata,
    Column("label", Text, primary_key=True),
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("what", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""What all proxies have counted, by table and minute since 1970. The names of `what` are those of `bridge.reads`."""

mismatches = Table(
    "mismatches",
    metadata,
    Column("label", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("columns", Text, nullable=False),
    Column("first", Float, nullable=False),
    Column("last", Float, nullable=False),
    Column("times", Integer, nullable=False),
)
"""Rows that differed between PostgreSQL and Engram, and not by lag: the names of the columns as a JSON array, never values."""

validations = Table(
    "validations",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("asked", Float, nullable=False),
    Column("who", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("began", Float),
    Column("ended", Float),
    Column("result", Text),
)
"""Validations that were asked for, and what they found; `detail` and `result` are JSON."""

migrations = Table(
    "migrations",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("began", Float, nullable=False),
    Column("ended", Float),
    Column("detail", Text, nullable=False),
    Column("result", Text),
)
"""Everything that has written memories, by the id that stands in their stamps. `kind`: migrate or run. `detail` is what was
ordered, without secrets; `result` the report when it has ended; both are JSON."""

findings = Table(
    "findings",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("found", Float, nullable=False),
    Column("label", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("cause", Text),
    Column("mended", Float),
    Column("how", Text),
)
"""What reconciliation found to differ, and how it was mended. `side`: between the ledger and what (source or target)."""

reconciliations = Table(
    "reconciliations",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("asked", Float, nullable=False),
    Column("who", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("began", Float),
    Column("seen", Float),
    Column("ended", Float),
    Column("position", Text),
    Column("result", Text),
)
"""Rounds of reconciliation: those of the running bridge itself and those that were asked for. `seen`: when it was last worked at.
`detail` is what was ordered, `position` where it is, `result` what it found; all are JSON."""

Index(
    "findings_open",
    findings.c.label,
    findings.c.key,
    sqlite_where=findings.c.mended.is_(None),
    postgresql_where=findings.c.mended.is_(None),
)
