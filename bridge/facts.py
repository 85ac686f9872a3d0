"""What `check` knows about source, target and ledger before it judges: plain facts, collected by `bridge.preflight`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.choices import Choices
from bridge.lsn import Lsn
from bridge.schema import Table
from bridge.spaces import TableOptions


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The source's server and database. `version` is `server_version_num`; `slots` and `senders` are (used, at most).

    `lacks_plugin`: the output plugin of the configuration cannot be loaded there.
    """

    version: int
    database: str
    wal_level: str = "logical"
    standby: bool = False
    encoding: str = "UTF8"
    slots: tuple[int, int] = (0, 10)
    senders: tuple[int, int] = (0, 10)
    system_identifier: str | None = None
    timeline: int | None = None
    lacks_plugin: bool = False

    @property
    def senders_taken(self) -> bool:
        """No walsender is free."""
        return self.senders[0] >= self.senders[1]


@dataclass(frozen=True, slots=True)
class EndpointFacts:
    """What the source's address leads to. `probed` connections reached `servers` different ones.

    `pooled`: another process answers than the one that the connection was made to. `moving`: one connection is served by several
    processes. `host` is empty for a socket of this host. `clock_offset` is seconds that the source's clock is ahead of ours,
    within `clock_error`. `walsender` is why a replication connection is refused, if it is.
    """

    host: str = ""
    address: str = ""
    encrypted: bool = False
    verified: bool = False
    probed: int = 1
    servers: int = 1
    pooled: bool = False
    moving: bool = False
    clock_offset: float = 0.0
    clock_error: float = 0.0
    walsender: str = ""


@dataclass(frozen=True, slots=True)
class WalFacts:
    """WAL of the source: bytes that a slot may keep (None: no limit; before 13 there `can_limit` no one), bytes written a second.

    `sender_timeout` and `idle_timeout`, after which a slot that nobody uses is lost, are seconds, 0 for none. `sample` is a
    position and the server's time at which it was taken.
    """

    keep_limit: int | None = None
    can_limit: bool = True
    sender_timeout: float = 60.0
    idle_timeout: int = 0
    rate: float = 0.0
    sample: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class FailoverFacts:
    """What the source's address and settings say about standbys. `session_attributes` is the URL's target_session_attrs;
    `standby_slots` the server's synchronized_standby_slots, empty where it has none."""

    wanted: bool = False
    hosts: int = 1
    session_attributes: str = "any"
    standby_slots: str = ""


@dataclass(frozen=True, slots=True)
class RoleFacts:
    """The role we connect as. `replication`: by attribute, as superuser, or by a provider's role that stands for it."""

    name: str
    superuser: bool = False
    replication: bool = True
    may_create: bool = True


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """The slot of the configuration's name, where there is one. `lost`: why it cannot be streamed from any more."""

    plugin: str
    database: str | None
    confirmed: Lsn | None = None
    lost: str | None = None
    holder: str | None = None


@dataclass(frozen=True, slots=True)
class PublicationFacts:
    """The publication of the configuration's name, where there is one. `members` are (schema, table)."""

    owned: bool = True
    extent: str | None = None
    lacking: tuple[str, ...] = ()
    via_root: bool = True
    filtered: tuple[str, ...] = ()
    members: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """What ANALYZE found of a column, where the role may know it: mean width in bytes, and how many different values there are.

    `distinct` is the server's estimate: a number of values, or below zero a share of the rows; 0 when it is not known.
    """

    width: int
    distinct: float


@dataclass(frozen=True, slots=True)
class OtherRelations:
    """What the database has beside tables, by label: none of it is carried."""

    views: tuple[str, ...] = ()
    materialized_views: tuple[str, ...] = ()
    foreign_tables: tuple[str, ...] = ()
    temporary_tables: tuple[str, ...] = ()
    sequences: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TableFacts:
    """One table that is to be carried. `rows` is an estimate, `counted` says whether it was counted; `spaces` its spaces.

    `out_of_line` is what its large values take beside the rows (TOAST), in bytes, partitions included; `toastable` are the
    columns that such values can be in. `columns` are the facts of its columns, by name, where there are any.
    """

    table: Table
    options: TableOptions = field(default_factory=TableOptions)
    readable: bool = True
    schema_usable: bool = True
    owned: bool = True
    rows: int = 0
    spaces: tuple[str, ...] = ()
    counted: bool = False
    out_of_line: int = 0
    toastable: tuple[str, ...] = ()
    columns: Mapping[str, ColumnFacts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpaceFacts:
    """A space that is already there: rows that count against its capacity, and whether memories in it are not ours."""

    counted: int
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """The Engram server. `failure` and `remedy` when it cannot be used; `probe`: behaviour -> whether it is there.

    `plain_grpc` is the gRPC address where it is on another host, is not encrypted, and was meant to be a secret.
    """

    reachable: bool = True
    failure: str = ""
    remedy: str = ""
    version: str = "unknown"
    probe: Mapping[str, bool] = field(default_factory=dict)
    spaces: Mapping[str, SpaceFacts] = field(default_factory=dict)
    limit: int = 90_000
    plain_grpc: str = ""


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """The ledger's place and, when there is a ledger, what it says. `failure` and `remedy` when it cannot be used at all.

    `unavailable`: its server is away, which can end by itself. `free` is the bytes left on its disk. `confirmed` is the last
    position told to the slot; None before there was a slot. `plugin` is the slot's.
    `making` is the slot that a start began to make and was ended before it could note where it begins. By table: the `spaces`
    that its memories are in, why those that are `stopped` are, and name and identity of the one of `models` that it was embedded
    by. `renewal`: system and database for which a new slot is
    asked, or begun and not made; `renewal_moved`: they are others than those of its
    memories. `choices`: where it knows better than the configuration. In PostgreSQL, `server` is the system identifier and the
    database that it is in, and `notes` are what is risky about the place, each with its remedy.
    """

    location: str
    failure: str = ""
    remedy: str = ""
    unavailable: bool = False
    notes: tuple[tuple[str, str], ...] = ()
    server: tuple[str, str] | None = None
    free: int | None = None
    exists: bool = False
    ledger_id: str | None = None
    system_identifier: str | None = None
    timeline: int | None = None
    database: str | None = None
    slot: str | None = None
    confirmed: Lsn | None = None
    making: str | None = None
    plugin: str | None = None
    holder: str | None = None
    renewal: tuple[str, str] | None = None
    renewal_moved: bool = False
    spaces: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stopped: Mapping[str, str] = field(default_factory=dict)
    choices: Choices = field(default_factory=Choices)
    models: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """All of them. What could not be collected is None; why, stands in the findings of `preflight`.

    `vector_cache` is what the cache of vectors may take, in bytes; 0 when nothing is kept. `plugin` is the configured one.
    """

    slot_name: str
    publication_name: str
    server: ServerFacts | None = None
    role: RoleFacts | None = None
    slot: SlotFacts | None = None
    publication: PublicationFacts | None = None
    tables: tuple[TableFacts, ...] = ()
    target: TargetFacts | None = None
    ledger: LedgerFacts | None = None
    endpoint: EndpointFacts | None = None
    wal: WalFacts | None = None
    others: OtherRelations | None = None
    vector_cache: int = 0
    plugin: str = "pgoutput"
    failover: FailoverFacts | None = None
