"""The report of a migration as JSON values: what `--report FILE.json` holds, and what the other forms are made from.

Ids and keys stand in it, values of rows never. Times are seconds since 1970, durations seconds. `SCHEMA` is raised when a member
changes its meaning or goes; members are added without.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypedDict

SCHEMA: Final = 1

Outcome = Literal["ok", "failed", "investigate", "rollback"]

EXIT_CODES: Final[dict[Outcome, int]] = {"ok": 0, "failed": 1, "investigate": 3, "rollback": 4}
"""What a command ends with. 2 is an error of usage, of which there is no report."""


class Snapshot(TypedDict):
    """One consistent view of the source: its position, when it was taken, and the tables that were read at it."""

    lsn: str
    at: float
    tables: list[str]


class SourceReport(TypedDict):
    """The database that was read."""

    system_identifier: str
    timeline: int
    database: str
    server_version: str
    snapshots: list[Snapshot]


class TargetReport(TypedDict):
    """The server that was written. `epoch`: when its present life began, as it says itself."""

    url: str
    version: str
    epoch: str | None
    capacity: int


class TableReport(TypedDict):
    """One table.

    `rows` were read, `loaded` of them written and proven, `unchanged` were there already. `edges`: references to memories that
    are there; `external`: to tables that were not chosen, and to rows that were left out; `orphans`: to rows that PostgreSQL does
    not have.
    """

    table: str
    spaces: list[str]
    rows: int
    loaded: int
    unchanged: int
    edges: int
    external: int
    orphans: int
    parked: int
    seconds: float
    rows_per_second: float
    note: str


class Orphan(TypedDict):
    """A reference to a row that PostgreSQL does not have: the constraint, the child's memory id, the missing parent's."""

    constraint: str
    child: str
    parent: str


class Orphans(TypedDict):
    """All of them are counted, the first of them listed."""

    count: int
    listed: list[Orphan]
    not_listed: int


class ParkedKey(TypedDict):
    """A row that could not be written, by its memory id, and why."""

    id: str
    reason: str


class Writes(TypedDict):
    """Writes to Engram, those that it dropped without a word and that were sent again, and its restarts meanwhile."""

    sent: int
    dropped_and_recovered: int
    target_restarts: int


class Document(TypedDict):
    """The whole. `reasons`: why the outcome is what it is, a sentence each. `validation`: None when none was made."""

    schema: int
    tool: str
    migration_id: str
    outcome: Outcome
    exit_code: int
    reasons: list[str]
    source: SourceReport
    target: TargetReport
    began: float
    ended: float
    seconds: float
    resumed: bool
    command: str
    tables: list[TableReport]
    edges: int
    edges_held_by: str
    orphans: Orphans
    parked: list[ParkedKey]
    writes: Writes
    validation: dict[str, Any] | None
    environment: dict[str, str]
    advice: list[str]
