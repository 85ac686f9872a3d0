"""What a person sees: the status as a table, progress bars while tables load, then one live line of lag."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from bridge.evidence import TableEvidence
from bridge.figures import Figures
from bridge.measured import HeartbeatFigures
from bridge.reads import Mode
from bridge.running import Bridge
from bridge.status import REPAIRED, Status
from bridge.trouble import Severity, told

QUIET_SECONDS = 10.0
"""How often a line is printed where nobody watches."""


def console(*, stderr: bool = False) -> Console:
    """A console that does not squeeze tables into 80 columns where its output goes to a file or a pipe."""
    made = Console(stderr=stderr, highlight=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=140)


def human_bytes(number: float | None) -> str:
    """Bytes for people."""
    if number is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(number) < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def human_seconds(seconds: float | None) -> str:
    """A duration for people."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


TOLD_WITH_TABLES = frozenset({"capacity", "refused", "table-stopped"})
"""Troubles that stand below the tables, with what else is under way with them."""

STYLES: dict[Severity, str] = {"critical": "bold red", "warning": "yellow", "note": ""}


def render_figures(figures: Figures) -> RenderableType:
    """Everything on a screen: what is wrong stands first, with what to do."""
    wrong: list[RenderableType] = []
    for one in (one for one in figures.trouble if one.name not in TOLD_WITH_TABLES):
        wrong += [Text.assemble((f"{one.severity:9}", STYLES[one.severity]), " ", told(one)), Text(f"          → {one.do}")]
    if wrong:
        wrong.append(Text())
    beat = Text.assemble(("heartbeat  ", "bold"), _beat_line(figures.heartbeat))
    compared = Text.assemble(("reconciled ", "bold"), _reconciled_line(figures))
    return Group(*wrong, *_head(figures.status), beat, compared, Text(), *_tables(figures.status), *_reads(figures))


def _beat_line(beat: HeartbeatFigures) -> str:
    """Lag through the whole path."""
    if not beat.running:
        return "–"
    if beat.refused or not beat.every_seconds:
        return "none is sent"
    if beat.p50_ms is None:
        return f"the first is under way for {human_seconds(beat.waiting_seconds)}"
    shares = ", ".join(
        f"{name} {human_seconds((value or 0) / 1000)}"
        for name, value in (("p50", beat.p50_ms), ("p95", beat.p95_ms), ("p99", beat.p99_ms))
    )
    return f"{shares}; the last came {human_seconds(beat.age_seconds)} ago"


def _reconciled_line(figures: Figures) -> str:
    """The last round over everything, what is under way, and what is not mended."""
    found, parts = figures.reconciliation, []
    if found.last is not None:
        took, ago = human_seconds(found.last.seconds), human_seconds(figures.at - found.last.ended)
        parts.append(f"{found.last.rows:,} rows and {found.last.memories:,} memories in {took}, {ago} ago")
        parts.append("nothing differed" if found.last.clean else f"{found.last.found:,} found, {found.last.mended:,} mended")
    if found.under_way is not None:
        parts.append(f"a round is under way: {found.under_way.done} of {found.under_way.stages} stages")
    if found.open:
        parts.append(f"{sum(found.open.values()):,} not mended")
    return "; ".join(parts) or "no round has ended yet"


def _reads(figures: Figures) -> list[RenderableType]:
    """How reads are routed and who answers them; nothing where nobody has read anything and nothing was routed."""
    shown = {label: one for label, one in figures.reads.items() if one.mode != Mode.POSTGRES or one.windows["all"].answered}
    if not shown:
        return []
    table = Table(box=None, pad_edge=False, header_style="bold")
    headings = ("reads of 5 min", "mode", "by Engram", "by PostgreSQL", "failed", "p50 ms", "p99 ms", "because", "mismatches")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("reads of 5 min", "mode", "because") else "right")
    for label, one in shown.items():
        recent = one.windows["5m"]
        who = recent.ms.get("engram") or recent.ms.get("postgres")
        because = ", ".join(
            f"{reason} {count:,}" for reason, count in sorted(recent.reasons.items(), key=lambda item: -item[1])[:3]
        )
        wrong = figures.mismatch_counts.get(label, 0)
        table.add_row(
            label,
            f"{one.mode} {one.share} %" if one.mode in (Mode.ENGRAM, Mode.SHADOW) else one.mode,
            f"{recent.served['engram'] + recent.served['ledger']:,}",
            f"{recent.served['postgres']:,}",
            Text(f"{recent.failed:,}", style="red" if recent.failed else ""),
            f"{who.p50:.0f}" if who else "–",
            f"{who.p99:.0f}" if who else "–",
            because,
            Text(str(wrong), style="red" if wrong else ""),
        )
    return [Text(), table]


def _tables(status: Status) -> list[RenderableType]:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("table", "state", "rows ~", "expected", "proven", "pending edges", "parked", "search", "ETA"):
        table.add_column(heading, justify="left" if heading in ("table", "state") else "right")
    for row in status.tables:
        rows = row.rows_estimated if row.rows_estimated >= 0 else row.rows_loaded
        table.add_row(
            row.name,
            Text(row.state, style="red" if row.state == "stopped" else ""),
            f"{rows:,}",
            f"{row.expected:,}",
            f"{row.proven:,}",
            str(row.pending_edges),
            Text(str(row.parked), style="red" if row.parked else ""),
            "complete" if row.searchable else f"{row.search_rows:,} of {row.expected:,}",
            human_seconds(row.eta_seconds) if row.state in ("new", "loading") else "",
        )
    return [table, *_reasons(status)]


def _head(status: Status) -> list[RenderableType]:
    running = f"running: {status.held_by}" if status.held_by else "not running"
    lines: list[RenderableType] = [
        Text.assemble(("phase      ", "bold"), _phase_line(status), "  ·  ", running),
        Text.assemble(("positions  ", "bold"), "  ".join(f"{name} {value}" for name, value in status.positions.items())),
        Text.assemble(("lag        ", "bold"), _lag_line(status)),
    ]
    slot = status.slot
    if slot.get("known") and slot.get("exists"):
        state = f"WAL kept {human_bytes(slot['retained_wal_bytes'])}, {slot['wal_status'] or 'status unknown'}"
        if slot["seconds_to_loss"] is not None:
            state += f", lost in {human_seconds(slot['seconds_to_loss'])} if nothing is read"
        lines.append(Text.assemble(("slot       ", "bold"), f"{status.source['slot']}: {state}"))
    elif slot.get("known"):
        lines.append(Text.assemble(("slot       ", "bold"), ("missing", "red")))
    target = status.target
    health = target["health"]
    style = "" if health == REPAIRED else "yellow"
    starts = f"seen starting {target['starts_seen']} time(s)"
    lines.append(Text.assemble(("target     ", "bold"), f"epoch {target['epoch'] or '–'}, {starts}, ", (health, style)))
    texts = {name: status.totals.get(f"texts_{name}", 0) for name in ("from_model", "from_cache", "cut")}
    if any(texts.values()):
        told = f"{texts['from_model']:,} from the model, {texts['from_cache']:,} from the cache, {texts['cut']:,} too long, cut"
        lines.append(Text.assemble(("texts      ", "bold"), told))
    return lines


def _phase_line(status: Status) -> str:
    """The phase. Consistent is what the target is known to be: while it cannot be asked, as of the last proof."""
    if status.phase != f"target {status.target['health']}":
        return status.phase
    covered = status.lag["covered"]
    since = time.strftime(" as of %Y-%m-%d %H:%M:%S", time.localtime(covered)) if covered else " before"
    return f"{status.phase}, consistent{since}"


def _lag_line(status: Status) -> str:
    lag = status.lag
    measured = f"commit → proven p50 {lag['p50_ms']} ms, p99 {lag['p99_ms']} ms" if lag["p50_ms"] is not None else ""
    return f"{human_bytes(lag['bytes'])}, {human_seconds(lag['seconds'])}  {measured}".rstrip()


def _reasons(status: Status) -> list[RenderableType]:
    """Why tables are stopped, and what to do about it; what is under way with whole tables."""
    lines: list[RenderableType] = []
    for table in status.tables:
        if table.reason:
            lines += [Text(f"{table.name}: stopped: {table.reason}", style="red"), Text(f"    → {table.remedy}")]
    lines += [Text(one.sentence, style="red" if one.waiting else "yellow") for one in status.crowded]
    return lines + [Text(f"{one.table}: {one.sentence}", style="yellow") for one in status.under_way]


def render_evidence(evidence: list[TableEvidence]) -> Table:
    """The comparison as a table a person likes to read."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True)
    columns = ("rows", "memories", "edges", "deleted", "missing", "wrong", "extra", "wrong edges", "missing edges")
    totals = {name: sum(getattr(one, name.replace(" ", "_")) for one in evidence) for name in columns}
    table.add_column("table", footer="total", no_wrap=True)
    for name in columns:
        bad = name in columns[4:] and totals[name]
        table.add_column(name, justify="right", footer=Text(f"{totals[name]:,}", style="bold red" if bad else "bold"))
    table.add_column("")
    for one in evidence:
        cells = [f"{getattr(one, name.replace(' ', '_')):,}" for name in columns]
        table.add_row(one.table, *cells, Text("proven", style="green") if one.proven else Text("NOT PROVEN", style="bold red"))
    return table


class LiveView:
    """Progress bars while tables load and a line of lag afterwards; a line each 10 s where nobody watches."""

    def __init__(self, bridge: Bridge, console: Console) -> None:
        self._bridge = bridge
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("chunks  {task.fields[rows]:,} rows  {task.fields[speed]:,.0f}/s"),
            TimeRemainingColumn(),
            console=console,
        )
        self._bars: dict[int, TaskID] = {}
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._said = 0.0
        self._seen = (0, time.monotonic())
        self._parked_count, self._parked_at = 0, float("-inf")

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self) -> None:
        """Show how it stands now."""
        if self._live is not None:
            self._live.update(Group(self._loading(), Text(self._line())))
        elif time.monotonic() - self._said >= QUIET_SECONDS:
            self._said = time.monotonic()
            print(self._line(), file=sys.stderr, flush=True)

    def _loading(self) -> Progress:
        bridge = self._bridge
        figures = bridge.housekeeping.gauges()["loading"]
        for number, progress in list(bridge.loader.progress.items()):
            plan = bridge.shop.mapping.numbered.get(number)
            if plan is None:
                continue
            if number not in self._bars:
                self._bars[number] = self._progress.add_task(plan.table.label, total=progress.chunks, rows=0, speed=0.0)
            speed = (figures.get(str(number)) or {}).get("rows_per_second") or 0.0
            self._progress.update(
                self._bars[number],
                completed=progress.chunks_done,
                rows=progress.rows,
                speed=speed,
                visible=progress.chunks_done < progress.chunks,
            )
        return self._progress

    def _parked(self, now: float) -> int:
        """The number of parked keys, asked for once a second."""
        if now - self._parked_at >= 1.0:
            self._parked_count, self._parked_at = self._bridge.ledger.parked_count(), now
        return self._parked_count

    def _line(self) -> str:
        bridge = self._bridge
        now = time.monotonic()
        rate = (bridge.recorder.changes - self._seen[0]) / max(now - self._seen[1], 0.001)
        self._seen = (bridge.recorder.changes, now)
        behind = max(bridge.stream.received - bridge.recorder.confirmed, 0)
        lag = bridge.housekeeping.lag()
        parts = [
            "consistent" if bridge.consistent else "loading",
            f"behind {human_bytes(behind)}",
            f"{bridge.recorder.changes:,} changes ({rate:,.0f}/s)",
        ]
        if lag:
            parts.append(f"commit → proven p50 {lag['p50']:.0f} ms p99 {lag['p99']:.0f} ms")
        if self._live is None and not bridge.consistent:
            parts.insert(1, f"{sum(progress.rows for progress in list(bridge.loader.progress.values())):,} rows loaded")
        parked = self._parked(now)
        if parked:
            parts.append(f"{parked:,} parked")
        if bridge.recorder.dropped:
            parts.append(f"{bridge.recorder.dropped:,} dropped by the target, recovered")
        if not bridge.watch.reachable or bridge.pool.trouble:
            parts.append("target: waiting")
        elif not bridge.watch.repaired:
            parts.append("target: being compared")
        if bridge.stream.trouble:
            parts.append("source: waiting")
        return "  ·  ".join(parts)
