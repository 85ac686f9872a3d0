"""`/metrics` for Prometheus, `/livez` and `/readyz` for Kubernetes.

The metrics are the figures that the page and `status` show, under Prometheus's names and units. They are those of the whole
bridge, counted by all proxies together: every process that can be scraped tells the same, so rules and boards take the highest of
them, never the sum. Labels are tables that are carried, and names of fixed sets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from importlib import metadata
from typing import Any, get_args

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector as Source

from api.access import caller_of
from api.problems import Problem
from api.proxy import Proxy
from bridge.collector import Collector
from bridge.errors import BridgeError
from bridge.figures import Figures
from bridge.lsn import parse_lsn
from bridge.reads import BOUNDS_MS, Mode, Reason, Served, Shadow
from bridge.status import PHASES
from bridge.trouble import Severity

logger = logging.getLogger(__name__)

router = APIRouter()

READY_SECONDS = 2.0
FRESH_SECONDS = 5.0
WAL_STATUSES = ("reserved", "extended", "unreserved", "lost")
STATES = ("new", "loading", "loaded", "stopped")
EVER = "all"
NOBODY = "503"


@router.get("/metrics", summary="Metrics for Prometheus", operation_id="metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """All figures, as Prometheus reads them."""
    if caller_of(request).tenant is not None:
        raise Problem(403, "The metrics are not for one tenant", "They take the read token or the operate token.")
    text = await asyncio.to_thread(exposition, request.app.state.figures)
    return Response(text, media_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


@router.get("/livez", summary="Whether this process answers", operation_id="livez", response_class=Response)
async def livez() -> Response:
    """200 as long as the event loop runs: whoever gets no answer may restart this process."""
    return Response("ok\n", media_type="text/plain", headers={"Cache-Control": "no-store"})


@router.get("/readyz", summary="Whether reads can be answered", operation_id="readyz", response_class=Response)
async def readyz(request: Request) -> Response:
    """200 while the ledger can be read and PostgreSQL or Engram can answer; otherwise no reads should be sent here."""
    lacking = await _lacking(request)
    if lacking is not None:
        raise Problem(503, "Reads cannot be answered now", lacking)
    return Response("ok\n", media_type="text/plain", headers={"Cache-Control": "no-store"})


async def _lacking(request: Request) -> str | None:
    """What stands against sending reads here."""
    proxy: Proxy = request.app.state.proxy
    try:
        async with asyncio.timeout(READY_SECONDS):
            await proxy.ledger.standing("", [])
            if not proxy.postgres.down:
                return None
            figures: Figures = await asyncio.to_thread(request.app.state.figures.now)
    except TimeoutError:
        return "The ledger does not answer."
    except BridgeError:
        return "The ledger cannot be read."
    if figures.status.target["health"] != "unreachable" and (figures.staleness or FRESH_SECONDS) < FRESH_SECONDS:
        return None
    return "PostgreSQL cannot be reached, and Engram has nothing that is new enough."


def exposition(figures: Collector) -> bytes:
    """The text of a scrape. That the ledger cannot be read is a metric, too."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Scrape(figures))
    return generate_latest(registry)


class _Scrape(Source):
    def __init__(self, figures: Collector) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """The families of one scrape."""
        try:
            figures = self._figures.now()
        except BridgeError as error:
            logger.warning("no metrics: the ledger cannot be read: %s", error)
            yield _one("ledger_readable", "Whether the ledger can be read.", 0)
            return
        yield _one("ledger_readable", "Whether the ledger can be read.", 1)
        yield from families(figures)


def families(figures: Figures) -> Iterator[Metric]:
    """All metrics of some figures. What is not known is left out."""
    yield from _bridge(figures)
    yield from _heartbeat(figures)
    yield from _slot(figures)
    yield from _target(figures)
    yield from _tables(figures)
    yield from _routes(figures)
    yield from _reads(figures)
    yield from _proof(figures)
    yield from _reconciliation(figures)


# families


def _bridge(figures: Figures) -> Iterator[Metric]:
    status = figures.status
    info = GaugeMetricFamily("engram_bridge_build_info", "The version.", labels=["version"])
    info.add_metric([metadata.version("engram-bridge")], 1)
    yield info
    yield _one("running", "Whether a bridge runs and measures.", figures.heartbeat.running)
    yield _states("phase", "How far the whole is.", PHASES, status.phase)
    position = _gauge("position_bytes", "The four positions, as bytes of WAL.", "position")
    for name, lsn in status.positions.items():
        position.add_metric([name], parse_lsn(lsn))
    yield position
    yield _one("lag_bytes", "WAL that is flushed at the source and not proven in Engram.", status.lag["bytes"])
    yield _one("staleness_seconds", "Age of the moment up to which all is known to be in Engram.", figures.staleness)
    yield _one("covered_timestamp_seconds", "That moment.", status.lag["covered"])
    yield _percentiles("commit_to_proven_seconds", "From commit to proven, newest changes.", status.lag, ("50", "99"))
    events = CounterMetricFamily("engram_bridge_events", "What the bridge has counted over all runs.", labels=["event"])
    for name, count in sorted(status.totals.items()):
        if name not in ("memories", "parked", "pending_edges"):
            events.add_metric([name], count)
    yield events
    trouble = _gauge("troubles", "What is wrong now, by urgency.", "severity")
    for severity in get_args(Severity):
        trouble.add_metric([severity], sum(one.severity == severity for one in figures.trouble))
    yield trouble


def _heartbeat(figures: Figures) -> Iterator[Metric]:
    beat, status = figures.heartbeat, figures.status
    lag = {f"p{share}_ms": getattr(beat, f"p{share}_ms") for share in (50, 95, 99)}
    yield _percentiles(
        "heartbeat_lag_seconds", "The bridge's own beat through the whole path, five minutes.", lag, ("50", "95", "99")
    )
    yield _one("heartbeat_age_seconds", "Since a beat came through.", beat.age_seconds)
    yield _one("heartbeat_waiting_seconds", "For how long the oldest beat is under way.", beat.waiting_seconds)
    yield _one("source_clock_offset_seconds", "By how much the source's clock is ahead.", beat.clock_offset_seconds)
    yield _one("wire_silence_seconds", "Since the last byte from the walsender.", status.source["wire_silence_seconds"])


def _slot(figures: Figures) -> Iterator[Metric]:
    slot = figures.status.slot
    yield _one("source_answers", "Whether PostgreSQL can be asked for the slot.", slot["known"])
    if slot["known"]:
        yield _one("slot_exists", "Whether the slot is there.", slot["exists"])
        yield _one("slot_active", "Whether somebody reads the slot.", slot["active"])
        yield _one("slot_retained_bytes", "WAL that the slot keeps.", slot["retained_wal_bytes"])
        yield _one("slot_safe_bytes", "WAL until the slot is lost; absent without a limit.", slot["safe_wal_bytes"])
        yield _states("slot_wal_status", "The slot's WAL, as PostgreSQL says.", WAL_STATUSES, slot["wal_status"])
    yield _one("slot_retained_limit_bytes", "source.max_retained_wal.", slot["max_retained_bytes"])
    yield _one("slot_time_to_loss_seconds", "Until the slot is lost at the rate of the last minutes.", slot["seconds_to_loss"])
    yield _one("source_wal_rate_bytes", "WAL that the source writes in a second.", slot["wal_bytes_per_second"])


def _target(figures: Figures) -> Iterator[Metric]:
    target = figures.status.target
    yield _one("target_reachable", "Whether Engram answers the bridge.", target["reachable"])
    yield _one("target_repaired", "Whether all was compared since Engram's last start.", target["repaired"])
    starts = CounterMetricFamily("engram_bridge_target_starts", "Starts of Engram that were seen.")
    starts.add_metric([], target["starts_seen"])
    yield starts
    newest = figures.epochs[0] if figures.epochs else None
    yield _one("target_start_timestamp_seconds", "When its last start was seen.", newest.seen if newest else None)


def _tables(figures: Figures) -> Iterator[Metric]:
    tables = figures.status.tables
    state = _gauge("table_state", "How far a table is.", "table", "state")
    for table in tables:
        for name in STATES:
            state.add_metric([table.name, name], table.state == name)
    yield state
    for name, told, attribute in (
        ("table_rows", "Rows that Engram must hold, all proven.", "expected"),
        ("table_estimated_rows", "Rows of the source, by its statistics.", "rows_estimated"),
        ("table_chunks", "Chunks of the snapshot.", "chunks"),
        ("table_done_chunks", "Those that are loaded.", "chunks_done"),
        ("table_parked_keys", "Rows that are set aside.", "parked"),
        ("table_pending_edges", "References whose parent is not there.", "pending_edges"),
        ("table_space_fill_ratio", "How full its fullest space is, of target.limit.", "space_fill"),
        ("table_searchable_rows", "Rows that recall by embedding knows.", "search_rows"),
        ("table_loading_rows_per_second", "Speed of the snapshot.", "rows_per_second"),
        ("table_loading_eta_seconds", "Until the snapshot is through.", "eta_seconds"),
    ):
        family = _gauge(name, told, "table")
        for table in tables:
            if (value := getattr(table, attribute)) is not None:
                family.add_metric([table.name], value)
        yield family


def _routes(figures: Figures) -> Iterator[Metric]:
    mode = _gauge("table_mode", "Where a table's reads go.", "table", "mode")
    share = _gauge("table_share_ratio", "Share of its keys that Engram answers, or that are compared.", "table")
    for label in _carried(figures):
        for name in Mode:
            mode.add_metric([label, name.value], figures.reads[label].mode == name)
        share.add_metric([label], figures.reads[label].share / 100)
    yield mode
    yield share


def _reads(figures: Figures) -> Iterator[Metric]:
    """Counted over all that ever was, by all proxies."""
    answered = _counter("reads", "Rows answered, by who did.", "table", "by")
    fallen = _counter("read_fallbacks", "Rows that PostgreSQL answered, by why.", "table", "reason")
    failed = _counter("read_failures", "Reads that nobody could answer, by status.", "table", "status")
    compared = _counter("shadow_reads", "Answers of both that were compared, by what was found.", "table", "found")
    took = HistogramMetricFamily("engram_bridge_read_duration_seconds", "Time of answers.", labels=["table", "by"])
    for label in _carried(figures):
        ever = figures.reads[label].windows[EVER]
        for by in Served:
            answered.add_metric([label, by.value], ever.served[by.value])
        for reason in Reason:
            fallen.add_metric([label, reason.value], ever.reasons.get(reason.value, 0))
        for status, count in sorted(({NOBODY: 0} | ever.errors).items()):  # a first failure is seen only after a 0
            failed.add_metric([label, status], count)
        for found in Shadow:
            compared.add_metric([label, found.value], ever.shadow[found.value])
        for who, times in ever.ms.items():
            took.add_metric([label, who], _buckets(times.within), None)
    yield from (answered, fallen, failed, compared, took)


def _proof(figures: Figures) -> Iterator[Metric]:
    differ = _gauge("mismatched_keys", "Rows that differ, and not by lag.", "table")
    for label in _carried(figures):
        differ.add_metric([label], figures.mismatch_counts.get(label, 0))
    yield differ
    gate = _gauge("gate_open", "Gates of the cutover; without a table, of all.", "gate", "table")
    for one in figures.gates:
        gate.add_metric([one.name, one.table], one.open)
    yield gate
    ended = next((one for one in figures.validations if one.ended is not None and one.result is not None), None)
    yield _one("last_validation_timestamp_seconds", "When the last validation ended.", ended.ended if ended else None)
    clean = ended.result.get("clean") if ended is not None and ended.result is not None else None
    yield _one("last_validation_clean", "Whether it found nothing.", clean)


def _reconciliation(figures: Figures) -> Iterator[Metric]:
    found = figures.reconciliation
    last, now = found.last, found.under_way
    yield _one(
        "last_round_began_timestamp_seconds", "When the last whole round of reconciliation began.", last.began if last else None
    )
    yield _one("last_round_ended_timestamp_seconds", "When it ended.", last.ended if last else None)
    yield _one("last_round_duration_seconds", "How long it took.", last.seconds if last else None)
    yield _one("last_round_clean", "Whether it found nothing.", last.clean if last else None)
    yield _one("round_stages", "Stages of the round that is under way.", now.stages if now else None)
    yield _one("round_done_stages", "Those that are done.", now.done if now else None)
    unmended = _gauge("unmended_findings", "Differences that reconciliation has found and not mended.", "table")
    for label in _carried(figures):
        unmended.add_metric([label], found.open.get(label, 0))
    yield unmended
    recent = _gauge("recent_findings", "What reconciliation has found in a day, by kind and cause.", "table", "kind", "cause")
    for one in found.recent:
        recent.add_metric([one.table, one.kind, one.cause or "unknown"], one.count)
    yield recent


# parts of families


def _carried(figures: Figures) -> list[str]:
    """Tables that are carried: what was counted of others, once, makes no labels."""
    return [table.name for table in figures.status.tables if table.name in figures.reads]


def _gauge(name: str, told: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"engram_bridge_{name}", told, labels=labels)


def _counter(name: str, told: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"engram_bridge_{name}", told, labels=labels)


def _one(name: str, told: str, value: float | bool | None) -> GaugeMetricFamily:
    """A gauge without labels, and without a sample where nothing is known."""
    family = _gauge(name, told)
    if value is not None:
        family.add_metric([], float(value))
    return family


def _states(name: str, told: str, known: Iterable[str], now: str | None) -> GaugeMetricFamily:
    """1 for the one that it is in, 0 for the others."""
    family = _gauge(name, told, name.rpartition("_")[2])
    for one in known:
        family.add_metric([one], one == now)
    return family


def _percentiles(name: str, told: str, lag: dict[str, Any], shares: Iterable[str]) -> GaugeMetricFamily:
    family = _gauge(name, told, "percentile")
    for share in shares:
        if (milliseconds := lag.get(f"p{share}_ms")) is not None:
            family.add_metric([share], milliseconds / 1000)
    return family


def _buckets(within: dict[str, int]) -> list[tuple[str, float]]:
    """Counts by bound as a histogram has them: each with all below it."""
    buckets, seen = [], 0
    for bound in BOUNDS_MS:
        seen += within.get(str(bound), 0)
        buckets.append((f"{bound / 1000:g}", float(seen)))
    return [*buckets, ("+Inf", float(seen + within.get("more", 0)))]
