"""The read side's part of the ledger: routes and who changed them, what proxies count, what differed, what was validated.

Any process writes here: proxies, commands, the running bridge. Nothing of it decides about what is written to the target, so it
is not fenced by the right to write the rest, and each change is one short transaction.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, delete, func, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bridge.ledger import tables
from bridge.ledger.ledger import Ledger
from bridge.ledger.patience import waits
from bridge.ledger.rows import upsert
from bridge.reads import Mode, Route

MINUTE = 60.0
KEPT_MINUTES = 7 * 24 * 60
EVER, ROUTED = 0, -1
"""Minutes that are none: what was counted ever, and what of it before the table's route was set last."""


@dataclass(frozen=True, slots=True)
class Act:
    """One line of the audit trail. `at` is in seconds since 1970, `detail` what belongs to the verb: old and new, why, gates."""

    number: int
    at: float
    who: str
    verb: str
    label: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A row that differed for good. `columns` are names; no value is kept."""

    label: str
    key: str
    columns: tuple[str, ...]
    first: float
    last: float
    times: int


@dataclass(frozen=True, slots=True)
class Validation:
    """A validation that was asked for; `began`, `ended` and `result` are None until then."""

    number: int
    asked: float
    who: str
    detail: dict[str, Any]
    began: float | None
    ended: float | None
    result: dict[str, Any] | None


class Serving:
    """What a ledger says about reads. Methods may be called from any thread and process."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.patience = ledger.patience

    # routes and the audit trail

    @waits
    def routes(self) -> dict[str, Route]:
        """The routes that are not the usual one (everything from PostgreSQL), by table."""
        with self._ledger.reading() as connection:
            rows = connection.execute(select(tables.routes)).all()
        return {row.label: Route(Mode(row.mode), row.share, row.since) for row in rows}

    def route(self, label: str, route: Route, *, who: str, verb: str, detail: Mapping[str, Any]) -> Act:
        """Change where reads go, and note it, in one transaction. `since` is set to now. `detail` gets `from` and `to` added."""
        made = self._route(label, route, who, verb, detail, None)
        assert made is not None, "nothing stands against it"
        return made

    def route_from(self, seen: Route, label: str, route: Route, *, who: str, verb: str, detail: Mapping[str, Any]) -> Act | None:
        """The same, if the route is still the one that was seen; None when somebody has changed it since."""
        return self._route(label, route, who, verb, detail, seen)

    def _route(self, label: str, route: Route, who: str, verb: str, detail: Mapping[str, Any], seen: Route | None) -> Act | None:
        now = time.time()
        r = tables.routes.c
        with self._ledger.shared() as connection:
            old = connection.execute(select(r.mode, r.share).where(r.label == label)).first()
            before = {"mode": old[0], "share": old[1]} if old is not None else {"mode": Mode.POSTGRES.value, "share": 0}
            if seen is not None:  # whoever comes second waits here for the first, and finds another route
                same = (r.label == label, r.mode == seen.mode.value, r.share == seen.share, r.since == seen.since)
                if connection.execute(delete(tables.routes).where(*same)).rowcount == 0:
                    return None
            made: dict[str, object] = {"label": label, "mode": route.mode.value, "share": route.share, "since": now}
            upsert(connection, tables.routes, ("label",), [made])
            c = tables.readings.c
            connection.execute(delete(tables.readings).where(c.label == label, c.minute == ROUTED))
            ever = select(c.label, literal(ROUTED), c.what, c.count).where(c.label == label, c.minute == EVER)
            connection.execute(tables.readings.insert().from_select(["label", "minute", "what", "count"], ever))
            noted = {**detail, "from": before, "to": {"mode": route.mode.value, "share": route.share}}
            row = {"at": now, "who": who, "verb": verb, "label": label, "detail": json.dumps(noted)}
            number = connection.execute(tables.audit.insert().values(**row).returning(tables.audit.c.id)).scalar_one()
        return Act(int(number), now, who, verb, label, noted)

    def note(self, *, who: str, verb: str, label: str, detail: Mapping[str, Any]) -> None:
        """Add a line to the audit trail that changes no route."""
        row = {"at": time.time(), "who": who, "verb": verb, "label": label, "detail": json.dumps(dict(detail))}
        with self._ledger.shared() as connection:
            connection.execute(tables.audit.insert().values(**row))

    @waits
    def audit(self, limit: int = 100, label: str | None = None) -> list[Act]:
        """The newest lines of the audit trail, newest first."""
        query = select(tables.audit).order_by(tables.audit.c.id.desc()).limit(limit)
        if label is not None:
            query = query.where(tables.audit.c.label == label)
        with self._ledger.reading() as connection:
            rows = connection.execute(query).all()
        return [Act(row.id, row.at, row.who, row.verb, row.label, json.loads(row.detail)) for row in rows]

    # counts

    def count(self, counts: Mapping[tuple[str, str], int], *, now: float | None = None) -> None:
        """Add to this minute's counts and to those of ever: by (table, name of `bridge.reads`). Old minutes go now and then."""
        if not counts:
            return
        minute = int((time.time() if now is None else now) // MINUTE)
        rows = [
            {"label": label, "minute": when, "what": what, "count": n}
            for (label, what), n in counts.items()
            for when in (minute, EVER)
        ]
        r = tables.readings
        with self._ledger.shared() as connection:
            insert = postgresql.insert(r) if connection.dialect.name == "postgresql" else sqlite.insert(r)
            added = insert.on_conflict_do_update(
                index_elements=["label", "minute", "what"], set_={"count": r.c.count + insert.excluded.count}
            )
            connection.execute(added, rows)
            if minute % 60 == 0:
                connection.execute(delete(r).where(r.c.minute < minute - KEPT_MINUTES, r.c.minute > EVER))

    @waits
    def counts(self, minutes: float | None = None, *, since: float = 0.0, now: float | None = None) -> dict[str, dict[str, int]]:
        """What was counted by table: in the last so many minutes (the running one included), or since a moment; else ever.

        A week of minutes is kept.
        """
        r = tables.readings.c
        first = int(since // MINUTE)
        if minutes is not None:
            first = max(first, int(((time.time() if now is None else now) - minutes * MINUTE) // MINUTE) + 1)
        span = r.minute >= first if first > EVER else r.minute == EVER
        query = select(r.label, r.what, func.sum(r.count)).where(span).group_by(r.label, r.what)
        found: dict[str, dict[str, int]] = {}
        with self._ledger.reading() as connection:
            for label, what, count in connection.execute(query):
                found.setdefault(label, {})[what] = int(count)
        return found

    @waits
    def counts_since_route(self) -> dict[str, dict[str, int]]:
        """What was counted by table since its route was set; ever, where it never was."""
        r = tables.readings.c
        signed = func.sum(case((r.minute == EVER, r.count), else_=-r.count))
        query = select(r.label, r.what, signed).where(r.minute.in_((EVER, ROUTED))).group_by(r.label, r.what)
        found: dict[str, dict[str, int]] = {}
        with self._ledger.reading() as connection:
            for label, what, count in connection.execute(query):
                if count:
                    found.setdefault(label, {})[what] = int(count)
        return found

    @waits
    def series(self, minutes: int, *, now: float | None = None) -> list[tuple[int, str, str, int]]:
        """The counts of the last so many minutes, one by one: minute, table, name, count, in the order of time."""
        r = tables.readings.c
        first = int((time.time() if now is None else now) // MINUTE) - minutes + 1
        query = select(r.minute, r.label, r.what, r.count).where(r.minute >= first).order_by(r.minute)
        with self._ledger.reading() as connection:
            return [(row[0], row[1], row[2], row[3]) for row in connection.execute(query)]

    # mismatches

    def mismatch(self, label: str, key: str, columns: Sequence[str]) -> None:
        """Keep a true mismatch: which row, which columns."""
        now, m = time.time(), tables.mismatches
        here = (m.c.label == label, m.c.key == key)
        with self._ledger.shared() as connection:
            again = update(m).where(*here).values(columns=json.dumps(list(columns)), last=now, times=m.c.times + 1)
            if connection.execute(again).rowcount == 0:
                row = {"label": label, "key": key, "columns": json.dumps(list(columns)), "first": now, "last": now, "times": 1}
                connection.execute(m.insert().values(**row))

    @waits
    def mismatches(self, label: str | None = None) -> list[Mismatch]:
        """What differed and was not settled, the newest first."""
        query = select(tables.mismatches).order_by(tables.mismatches.c.last.desc())
        if label is not None:
            query = query.where(tables.mismatches.c.label == label)
        with self._ledger.reading() as connection:
            rows = connection.execute(query).all()
        return [Mismatch(r.label, r.key, tuple(json.loads(r.columns)), r.first, r.last, r.times) for r in rows]

    def settle(self, label: str, key: str | None = None) -> int:
        """Forget mismatches that were explained: of one key, or of a whole table. Answers how many."""
        m = tables.mismatches
        gone = delete(m).where(m.c.label == label)
        with self._ledger.shared() as connection:
            return int(connection.execute(gone if key is None else gone.where(m.c.key == key)).rowcount)

    # validations

    def ask_validation(self, who: str, detail: Mapping[str, Any], *, begun: bool = False) -> int:
        """Ask the running bridge for a validation, or note one that the caller does himself; answers its number."""
        now = time.time()
        row = {"asked": now, "who": who, "detail": json.dumps(dict(detail)), "began": now if begun else None}
        with self._ledger.shared() as connection:
            answer = connection.execute(tables.validations.insert().values(**row).returning(tables.validations.c.id))
            return int(answer.scalar_one())

    @waits
    def validations(self, limit: int = 20) -> list[Validation]:
        """The newest ones, newest first."""
        query = select(tables.validations).order_by(tables.validations.c.id.desc()).limit(limit)
        with self._ledger.reading() as connection:
            rows = connection.execute(query).all()
        return [
            Validation(
                r.id, r.asked, r.who, json.loads(r.detail), r.began, r.ended, None if r.result is None else json.loads(r.result)
            )
            for r in rows
        ]

    def begin_validation(self, number: int, detail: Mapping[str, Any] | None = None) -> None:
        """It is under way; `detail` in place of what was asked, where more is known now."""
        v = tables.validations
        values = {"began": time.time()} | ({} if detail is None else {"detail": json.dumps(dict(detail))})
        with self._ledger.shared() as connection:
            connection.execute(update(v).where(v.c.id == number).values(**values))

    def end_validation(self, number: int, result: Mapping[str, Any]) -> None:
        """It has ended; `result["clean"]` says whether nothing was found."""
        v = tables.validations
        with self._ledger.shared() as connection:
            connection.execute(update(v).where(v.c.id == number).values(ended=time.time(), result=json.dumps(dict(result))))
