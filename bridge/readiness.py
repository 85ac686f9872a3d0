"""From the ledger and the slot to what the gates are judged by: read here once, for commands, page and the running bridge."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from bridge.gates import Gate, Inputs, Kept, TableInputs, Thresholds, Validated, judge
from bridge.ledger import Act, Findings, Ledger, Mismatch, Reconciliations, Serving, Validation, resyncing
from bridge.reads import BOUNDS_MS, Counts, Mode, Route, Shadow, quantile, shadow
from bridge.returning import failures
from bridge.status import FRESH_SECONDS, SlotFigures

GAUGE = "gates"
SHADOW_SECONDS = 24 * 3600.0
"""How far back comparisons count; for a table that Engram answers already, from before it began to."""

READ_MINUTES = 15
"""Over how many minutes errors and the target's latency are judged."""

VALIDATIONS = 200
ACTS = 1000


def gates_now(ledger: Ledger, slot: SlotFigures | None, thresholds: Thresholds) -> tuple[Inputs, list[Gate]]:
    """The gates as they stand now. `slot` is None when PostgreSQL cannot be asked. Raises LedgerUnavailable."""
    inputs = read_inputs(ledger, slot)
    return inputs, judge(inputs, thresholds, kept(ledger.gauges()))


def kept(gauges: Mapping[str, tuple[Any, float]]) -> Kept:
    """How the gates stood when the running bridge last looked."""
    return Kept.of(gauges.get(GAUGE, (None, 0.0))[0])


def read_inputs(ledger: Ledger, slot: SlotFigures | None, *, tables: bool = True) -> Inputs:
    """Everything that the gates are judged by. Raises LedgerUnavailable.

    Counts all memories (about a second for a million): not for every second. Without `tables` it is only what all have in common.
    """
    now = time.time()
    facts, gauges, epochs = ledger.facts(), ledger.gauges(), ledger.epochs()
    proven = int(facts.get("proven", 0))

    def gauge(name: str) -> Any:
        value, at = gauges.get(name, (None, 0.0))
        return value if now - at <= FRESH_SECONDS else None

    last = Reconciliations(ledger).last_ended()
    measured = gauge("slot") or {}
    beat, lags = gauge("heartbeat") or {}, gauge("lag_ms") or {}
    newest = epochs[-1] if epochs else None
    return Inputs(
        now=now,
        running=ledger.held_by() is not None,
        lag_bytes=max(slot.flush_lsn - proven, 0) if slot is not None and slot.exists else None,
        heartbeat_p99=_heartbeat(beat, lags),
        wire_silence=gauge("wire_silence"),
        slot_exists=slot.exists if slot is not None else None,
        slot_active=slot is not None and slot.active,
        wal_status=slot.wal_status if slot is not None else None,
        seconds_to_loss=measured.get("seconds_to_loss"),
        epoch=newest[0] if newest is not None else None,
        epoch_seen=newest[1] if newest is not None else None,
        round_began=last.result["began"] if last is not None and last.result is not None else None,
        unmended=len(Findings(ledger).open()),
        repaired=newest is not None and newest[2] is not None and not gauge("comparing"),
        reachable=gauge("target_reachable"),
        tables=tuple(_tables(ledger, facts, proven, newest[0] if newest is not None else None, now)) if tables else (),
    )


def only_some(marker: str | None) -> bool:
    """Whether the newest one-shot migration of a table was to leave rows out. A delta (`since` alone) adds to what is there."""
    restriction = json.loads(marker)[1] if marker is not None else None
    return restriction is not None and (restriction["until"] is not None or restriction["limit"] is not None)


def _finite(milliseconds: float | None) -> float | None:
    """JSON knows no infinity: what is beyond all bounds is twice the highest."""
    return 2.0 * BOUNDS_MS[-1] if milliseconds is not None and math.isinf(milliseconds) else milliseconds


def _heartbeat(beat: Mapping[str, Any], lags: Mapping[str, Any]) -> float | None:
    """Seconds; one that is still under way for longer counts. Where no beat may be sent, that of the newest changes."""
    p99 = beat.get("p99_ms") if not beat.get("refused") else lags.get("p99")
    return None if p99 is None else max(p99 / 1000, float(beat.get("waiting_seconds") or 0.0))


def _tables(ledger: Ledger, facts: Mapping[str, str], frontier: int, epoch: str | None, now: float) -> Iterable[TableInputs]:
    serving = Serving(ledger)
    records, routes, reading = ledger.tables(), serving.routes(), resyncing(facts)
    parked = Counter(key[0] for key, waiting in ledger.parked_keys() if not waiting.dropped)
    pending, live = ledger.pending_edges(), ledger.live_counts()
    compared = {space for record in records for space in record.spaces if _compared(ledger, space, epoch)}
    mismatches = Counter(found.label for found in serving.mismatches())
    recent = serving.counts(READ_MINUTES, now=now)
    validated = newest_validations(serving.validations(VALIDATIONS))
    shadows = _shadows(serving, [record.label for record in records], routes, now)
    for record in records:
        counts = recent.get(record.label, {})
        reads, failed = failures(counts)
        rows = {shard: live.get((record.number, shard), 0) for shard in range(len(record.spaces))}
        yield TableInputs(
            label=record.label,
            route=routes.get(record.label, Route()),
            state=record.state,
            reason=record.reason,
            passed=record.reached <= frontier,
            resync=record.number in reading,
            partial="slot" not in facts and only_some(facts.get(f"migrated:{record.number}")),
            rows=sum(rows.values()),
            proven=sum(count for shard, count in rows.items() if record.spaces[shard] in compared),
            parked=parked[record.number],
            pending_edges=pending.get(record.number, 0),
            mismatches=mismatches[record.label],
            shadow=shadows.get(record.label, 0),
            target_p99=_finite(quantile(counts, "target", 0.99)),
            reads=reads,
            failed=failed,
            validated=validated.get(record.label),
        )


def _compared(ledger: Ledger, space: str, epoch: str | None) -> bool:
    known = ledger.space(space)
    return known is not None and epoch is not None and known[1] == epoch


def newest_validations(found: Iterable[Validation]) -> dict[str, Validated]:
    """The newest validation of each table that has ended with a result, from a list that begins with the newest."""
    newest: dict[str, Validated] = {}
    for one in found:
        if one.ended is None or one.result is None:
            continue
        for label, table in one.result.get("tables", {}).items():
            newest.setdefault(
                label,
                Validated(
                    number=one.number,
                    ended=one.ended,
                    clean=bool(table["clean"]),
                    rows=int(table["rows"]),
                    sampled=int(table["sampled"]),
                    epoch=one.result.get("epoch"),
                    findings=int(table["findings"]),
                ),
            )
    return newest


def newest_validation(serving: Serving, label: str) -> Validation | None:
    """The one that the gate is judged by."""
    found = serving.validations(VALIDATIONS)
    newest = newest_validations(found).get(label)
    return next((one for one in found if newest is not None and one.number == newest.number), None)


def _shadows(serving: Serving, labels: Iterable[str], routes: Mapping[str, Route], now: float) -> dict[str, int]:
    """Clean comparisons of each table since its last mismatch, or since it was explained."""
    troubles = _last_troubles(serving.mismatches(), serving.audit(ACTS))
    everywhere = serving.counts(since=now - SHADOW_SECONDS)
    found = {}
    for label in labels:
        begin = now - SHADOW_SECONDS
        if routes.get(label, Route()).mode in (Mode.ENGRAM, Mode.ENGRAM_ONLY):
            begin = _began(serving.audit(ACTS, label), routes[label]) - SHADOW_SECONDS
        trouble = troubles.get(label, 0.0)
        if trouble > begin or begin < now - SHADOW_SECONDS:
            # The minute of the trouble counts for nothing: it is not known what of it came before.
            since = max(begin, trouble + 60 if trouble else 0.0)
            found[label] = clean(serving.counts(since=since).get(label, {}))
        else:
            found[label] = clean(everywhere.get(label, {}))
    return found


def clean(counts: Counts) -> int:
    """Comparisons that found both alike, or unlike by lag only."""
    return counts.get(shadow(Shadow.SAME), 0) + counts.get(shadow(Shadow.LAG), 0)


def _last_troubles(mismatches: Iterable[Mismatch], acts: Iterable[Act]) -> dict[str, float]:
    last: dict[str, float] = {}
    for label, at in [(found.label, found.last) for found in mismatches] + [
        (act.label, act.at) for act in acts if act.verb == "explain"
    ]:
        last[label] = max(last.get(label, 0.0), at)
    return last


def _began(acts: Iterable[Act], route: Route) -> float:
    """When Engram began to answer reads of a table, without a return since; the acts begin with the newest."""
    began = route.since
    for act in acts:
        to, before = act.detail.get("to"), act.detail.get("from")
        if to is None or before is None:
            continue
        if to["mode"] not in (Mode.ENGRAM, Mode.ENGRAM_ONLY):
            break
        began = act.at
    return began
