"""The production checklist: what is to be true before, after and at the end of a migration, and what of it is. Pure.

What a machine can see is ticked by what was seen; everything else by a person, who confirms it with a name and a reason. Nobody's
word ticks what a machine sees otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from bridge.check import Finding
from bridge.gates import EDGES, VALIDATION, Gate, TableInputs, closed
from bridge.reads import Mode

Strategy = Literal["all-at-once", "staged", "dual-write"]
Phase = Literal["before", "loaded", "reads", "source"]
State = Literal["done", "open", "not needed"]

PHASES: Mapping[Phase, str] = {
    "before": "before anything is carried",
    "loaded": "when all is loaded",
    "reads": "before reads move to Engram",
    "source": "before PostgreSQL goes",
}
WORDS: Mapping[str, tuple[Phase, str]] = {
    "backup": ("before", "PostgreSQL is backed up, and the backup can be read"),
    "memory": ("before", "Engram's machine and the ledger's disk have the room that is estimated"),
    "references": ("before", "foreign keys were tried on a small set of rows, and look right in Engram"),
    "window": ("before", "the run is in a maintenance window: what is written meanwhile is missed"),
    "watching": ("before", "somebody watches the source's sessions and its WAL while it is read"),
    "time": ("before", "there is time for the load and, 10 to 15 % more, for the checks afterwards"),
    "rollback": ("reads", "the way back was rehearsed: reads to PostgreSQL, memories forgotten"),
    "release": ("source", "all tables have been answered by Engram for at least one release of the application"),
    "restore": ("source", "the last backup of PostgreSQL was restored somewhere"),
    "writes": ("source", "it is decided where writes go from now on"),
}
"""What a person confirms, by the name under which it is kept."""

SEEN: Mapping[str, tuple[Phase, str]] = {
    "check": ("before", "nothing stands against the start"),
    "subset": ("before", "some tables, or some rows of each, were tried first"),
    "checkpoint": ("before", "what is done is written down where it lasts"),
    "loaded": ("loaded", "every table is loaded"),
    "parked": ("loaded", "no key is set aside"),
    "orphans": ("loaded", "every reference leads to a memory, or is allowed not to"),
    "validated": ("loaded", "the newest validation of every table is clean and young"),
    "gates": ("reads", "the gates of every table are open"),
    "share": ("source", "Engram answers all reads of every table"),
    "evidence": ("source", "the newest validation of every table is clean and young"),
}
"""What is looked at, by name."""

STREAMING = (
    "slot.",
    "publication.",
    "role.replication",
    "role.create",
    "source.wal",
    "source.slot",
    "source.senders",
    "source.plugin",
)
FOLLOWED = ("table.unlogged", "table.deferrable_key", "table.identity", "source.walsender", "source.failover", "source.standby")
"""Findings of `check` that matter only to who follows changes."""

NAMED = 3


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Somebody's word. `at` is in seconds since 1970."""

    who: str
    at: float
    why: str


@dataclass(frozen=True, slots=True)
class Known:
    """What was seen. `findings` of `check`, None when it was not asked; `ledger` is the ledger's place, `kept` that it is there.

    `tried`: a migration of some tables or some rows has ended. `gates` and `tables` are those of the cutover. `loading`: seconds
    that loading is predicted to take.
    """

    ledger: str
    kept: bool = False
    findings: Sequence[Finding] | None = None
    loading: float | None = None
    tried: bool = False
    gates: Sequence[Gate] = ()
    tables: Sequence[TableInputs] = ()
    confirmed: Mapping[str, Confirmation] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tick:
    """One line of the list. `told` is what was seen or said; `remedy` what to do while it is open."""

    name: str
    phase: Phase
    asks: str
    by: Literal["seen", "person"]
    state: State
    told: str = ""
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def ticks(known: Known, strategy: Strategy) -> list[Tick]:
    """The whole list, in the order of the phases."""
    found = [*_before(known, strategy), *_loaded(known), *_later(known)]
    found += [_confirmed(name, known, strategy) for name in WORDS]
    order = list(PHASES)
    return sorted(found, key=lambda tick: order.index(tick.phase))


def still_open(found: Sequence[Tick], phase: Phase | None = None) -> list[Tick]:
    """What is not done, of a phase or of all."""
    return [tick for tick in found if tick.state == "open" and phase in (None, tick.phase)]


def _seen(name: str, done: bool | None, told: str, remedy: str = "") -> Tick:
    phase, asks = SEEN[name]
    return Tick(name, phase, asks, "seen", "done" if done else "open", told, "" if done else remedy)


def _before(known: Known, strategy: Strategy) -> Iterator[Tick]:
    command = "engram-bridge check" if strategy == "dual-write" else "migrate-postgresql --dry-run"
    if known.findings is None:
        yield _seen("check", False, "not asked", f"`{command}`")
    else:
        findings = [one for one in known.findings if strategy == "dual-write" or not _only_streaming(one.code)]
        errors = [one for one in findings if one.level == "error"]
        warnings = sum(one.level == "warning" for one in findings)
        told = f"{len(errors)} error(s), {warnings} warning(s)" + (f": {errors[0].what}" if errors else "")
        yield _seen("check", not errors, told, f"`{command}` names each with its remedy.")
    tried = known.tried or "subset" in known.confirmed
    word = known.confirmed.get("subset")
    told = "a migration of some tables or rows has ended" if known.tried else _said(word) if word else "none has ended"
    yield _seen(
        "subset", tried, told, "`migrate-postgresql --limit 100` into an Engram to try with, or `--tables`; or confirm it."
    )
    broken = [one for one in known.findings or () if one.level == "error" and one.code.startswith("ledger.")]
    where = f"{'the ledger is' if known.kept else 'it will be'} {known.ledger}"
    yield _seen("checkpoint", not broken and known.findings is not None, broken[0].what if broken else where, f"`{command}`")


def _only_streaming(code: str) -> bool:
    return code.startswith((*STREAMING, *FOLLOWED))


def _loaded(known: Known) -> Iterator[Tick]:
    tables = known.tables
    loading = [table.label for table in tables if table.state != "loaded" or table.resync or table.partial]
    some = ", ".join(table.label for table in tables if table.partial)
    remedy = f"`migrate-postgresql` without --limit and --until reads the rest of {some}." if some else "`engram-bridge status`"
    yield _seen("loaded", bool(tables) and not loading, _count(tables, loading, "loaded"), remedy)
    parked = [table.label for table in tables if table.parked]
    yield _seen("parked", bool(tables) and not parked, _count(tables, parked, "without one"), "`engram-bridge parked list`")
    orphans = _shut(known, EDGES)
    yield _seen(
        "orphans",
        bool(tables) and not orphans,
        _count(tables, orphans, "without one that does not") if orphans or not _nowhere(known) else _nowhere(known),
        "Mend them in PostgreSQL, put placeholders into Engram, or allow so many by cutover.max_pending_edges.",
    )
    yield _validated("validated", known)


def _nowhere(known: Known) -> str:
    """What is pending, and that it is allowed; empty where nothing is."""
    pending = sum(table.pending_edges for table in known.tables)
    bound = next((gate.threshold for gate in known.gates if gate.name == EDGES), 0)
    return f"{pending} lead nowhere; {bound} of a table are allowed by cutover.max_pending_edges" if pending else ""


def _validated(name: str, known: Known) -> Tick:
    bad = _shut(known, VALIDATION)
    return _seen(name, bool(known.tables) and not bad, _count(known.tables, bad, "validated"), "`engram-bridge validate`")


def _later(known: Known) -> Iterator[Tick]:
    shut = {table.label: [gate.name for gate in closed(known.gates, table.label)] for table in known.tables}
    names = sorted({name for gates in shut.values() for name in gates})
    told = f"closed: {', '.join(names)}" if names else "all are open" if known.tables else "nothing is carried yet"
    yield _seen("gates", bool(known.tables) and not names, told, "`engram-bridge cutover status` says what to do about each.")
    elsewhere = [table.label for table in known.tables if not _all_by_engram(table)]
    yield _seen(
        "share",
        bool(known.tables) and not elsewhere,
        _count(known.tables, elsewhere, "at 100 %"),
        "`engram-bridge cutover complete TABLE`",
    )
    yield _validated("evidence", known)


def _all_by_engram(table: TableInputs) -> bool:
    return table.route.mode is Mode.ENGRAM_ONLY or (table.route.mode is Mode.ENGRAM and table.route.share == 100)


def _shut(known: Known, gate: str) -> list[str]:
    """The tables whose gate of this name is closed."""
    return [one.table for one in known.gates if one.name == gate and not one.open]


def _count(tables: Sequence[TableInputs], bad: Sequence[str], good: str) -> str:
    if not tables:
        return "nothing is carried yet"
    if not bad:
        return f"{len(tables)} table(s) {good}"
    more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    return f"{len(tables) - len(bad)} of {len(tables)} table(s) {good}; not {', '.join(bad[:NAMED])}{more}"


def _confirmed(name: str, known: Known, strategy: Strategy) -> Tick:
    phase, asks = WORDS[name]
    if name == "window" and strategy == "dual-write":
        return Tick(name, phase, asks, "person", "not needed", "changes are followed: no window is needed")
    word = known.confirmed.get(name)
    hint = _hint(name, known)
    if word is None:
        return Tick(name, phase, asks, "person", "open", hint, f"`engram-bridge checklist --confirm {name} --why …`")
    return Tick(name, phase, asks, "person", "done", "; ".join(filter(None, (_said(word), hint))))


def _said(word: Confirmation) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(word.at))
    return f"{word.who}, {when}" + (f": {word.why}" if word.why else "")


def _hint(name: str, known: Known) -> str:
    """What helps a person to judge."""
    if name == "memory":
        return next((one.what for one in known.findings or () if one.code == "storage.estimate"), "")
    if name == "time" and known.loading is not None:
        return f"loading is predicted to take {known.loading:.0f} s of Engram's time"
    return ""
