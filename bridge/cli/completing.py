"""`engram-bridge cutover complete | verify | rehearse | mismatches | explain`."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from bridge import certificate
from bridge.cli.cutover import Force, OneTable, Who, Why, moves, refused, slot_now, told
from bridge.cli.options import DEFAULT_FILE, TABLES, AsJson, ConfigFile, LedgerPlace, carried, existing_ledger, load
from bridge.config import Config
from bridge.console import console as make_console
from bridge.console import human_seconds
from bridge.cutover import GatesClosed, me
from bridge.errors import BridgeError, ConfigError
from bridge.ledger import Serving
from bridge.postgres import connect
from bridge.rehearsal import Rehearsal, Step, compared, stopped_at
from bridge.returning import Budget
from bridge.wiring import open_target


def cutover_complete(
    table: OneTable,
    engram_only: Annotated[
        bool, typer.Option("--engram-only", help="The last step: PostgreSQL is not asked any more for reads of this table.")
    ] = False,
    folder: Annotated[Path, typer.Option("--certificate", help="The folder that the certificate is written to.")] = Path(),
    config: ConfigFile = None,
    ledger: LedgerPlace = None,
    who: Who = None,
    why: Why = "",
    force: Force = False,
) -> int:
    """Let Engram answer all reads of a table, if all gates are open, and write the certificate; PostgreSQL stays behind them."""
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise ConfigError(f"there is no folder {folder} to write to", hint="Make it, or name another one by --certificate.")
    settings = load(config, None, None, ledger)
    with moves(settings, who) as at:
        at.versions = _versions(settings)
        try:
            act, document = at.complete(carried(at.ledger, table), why=why, force=force, engram_only=engram_only)
        except GatesClosed as closed:
            return refused(closed)
    told(act)
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(document["evidence"]["made"]))
    file = folder / f"certificate-{act.label}-{moment}.json"
    file.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    file.with_suffix(".md").write_text(certificate.render(document), encoding="utf-8")
    make_console().print(Text(f"{file}, and .md beside it; sha256 {document['sha256']}"))
    return 0


def _versions(settings: Config) -> dict[str, str]:
    """Of PostgreSQL and of Engram, as far as they tell."""
    told = {"postgresql": "not known", "engram": "not known"}
    target = open_target(settings)
    try:
        with connect(settings.source.url, application_name="engram-bridge cutover") as connection:
            told["postgresql"] = connection.info.parameter_status("server_version") or "not known"
        told["engram"] = target.version()
    except BridgeError as error:
        make_console(stderr=True).print(Text(f"not all versions are known: {error}", style="yellow"))
    finally:
        target.close()
    return told


def cutover_verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The JSON of a certificate; the .md beside it is compared, too.")],
    config: ConfigFile = None,
    ledger: LedgerPlace = None,
) -> int:
    """Whether a certificate is as it was made; with a configuration or a ledger, also whether the audit trail knows it."""
    try:
        document: Any = json.loads(file.read_text(encoding="utf-8"))
        beside = file.with_suffix(".md")
        markdown = beside.read_text(encoding="utf-8") if beside.exists() else None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}", hint="Name the JSON of a certificate.") from error
    faults = certificate.faults(document, markdown)
    console = make_console()
    for fault in faults:
        console.print(Text(f"{file}: {fault}", style="bold red"))
    if faults:
        return 1
    console.print(
        Text(f"{file}: sha256 {document['sha256']} is that of its evidence{'' if markdown is None else ', so is its .md'}")
    )
    if ledger is None and config is None and not DEFAULT_FILE.exists():
        return 0
    book = existing_ledger(load(config, None, None, ledger))
    try:
        acts = Serving(book).audit(1_000_000, document["evidence"]["table"])
    finally:
        book.close()
    known = next((act for act in acts if act.detail.get("certificate") == document["sha256"]), None)
    if known is None:
        console.print(Text("the audit trail of this ledger does not know it", style="bold red"))
        return 1
    console.print(Text(f"it is line {known.number} of the audit trail: {known.who}, {known.verb}"))
    return 0


def cutover_mismatches(
    table: Annotated[str | None, typer.Argument(metavar="[TABLE]", help="Of this table only.")] = None,
    config: ConfigFile = None,
    ledger: LedgerPlace = None,
    as_json: AsJson = False,
) -> int:
    """Rows that differed between PostgreSQL and Engram, and not by lag, until they are explained."""
    book = existing_ledger(load(config, None, None, ledger))
    try:
        found = Serving(book).mismatches(carried(book, table) if table is not None else None)
    finally:
        book.close()
    if as_json:
        print(json.dumps([asdict(one) for one in found], ensure_ascii=False, indent=2))
        return 0
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("table", "key", "columns", "times", "first", "last"):
        shown.add_column(heading, overflow="fold")
    for one in found:
        ages = (f"{human_seconds(time.time() - at)} ago" for at in (one.first, one.last))
        shown.add_row(one.label, one.key, ", ".join(one.columns), str(one.times), *ages)
    make_console().print(shown if found else "nothing differs")
    return 0


def cutover_explain(
    table: OneTable,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key as `cutover mismatches` shows it, or all.")],
    why: Annotated[str, typer.Option("--why", help="What it was, for the audit trail.")],
    config: ConfigFile = None,
    ledger: LedgerPlace = None,
    who: Who = None,
) -> int:
    """Settle a mismatch whose reason was found; the gates ask for clean comparisons from then on."""
    with moves(load(config, None, None, ledger), who) as at:
        many = at.explain(carried(at.ledger, table), None if key == "all" else key, why)
    make_console().print(f"{many} mismatch(es) settled")
    return 0


def cutover_rehearse(
    table: OneTable,
    reads: Annotated[
        int, typer.Option("--reads", min=1, max=10_000, help="Keys that are read from both sides at each share.")
    ] = 100,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0, max=3600, help="Seconds at each share, for reads of the proxies.")
    ] = 5.0,
    seed: Annotated[int, typer.Option("--seed", help="Draws the same keys again.")] = 0,
    config: ConfigFile = None,
    ledger: LedgerPlace = None,
    who: Who = None,
    as_json: AsJson = False,
) -> int:
    """Play the path 0 → 100 → 0 in shadow, PostgreSQL answering everything, and say what would have happened."""
    from bridge.validation.attending import open_sides

    settings = load(config, None, None, ledger)
    book = existing_ledger(settings)
    try:
        label = carried(book, table)
        with open_sides(settings, book) as sides:
            if label not in sides.mapping.plans:
                raise ConfigError(f"{label} is not carried now", hint=TABLES)
            plan = sides.mapping.plans[label]
            for space in plan.spaces:
                sides.target.open(space)
            rehearsal = Rehearsal(
                sides,
                plan,
                who or me(),
                settings.cutover.thresholds(),
                settings.cutover.budget() or Budget(),
                lambda: slot_now(settings, book),
                reads,
                seconds,
                seed,
            )
            steps = list(rehearsal.play())
    finally:
        book.close()
    stop = stopped_at(steps)
    if as_json:
        print(json.dumps({"table": label, "clear": stop is None, "steps": [asdict(step) for step in steps]}, indent=2))
    else:
        _show(label, steps, stop)
    return 0 if stop is None else 1


def _show(label: str, steps: list[Step], stop: Step | None) -> None:
    console = make_console()
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for heading in (
        "share",
        "keys",
        "read",
        "same",
        "lag",
        "wrong",
        "Engram p50/p99",
        "PostgreSQL p50/p99",
        "by proxies",
        "would have",
    ):
        shown.add_column(heading, justify="left" if heading == "would have" else "right", overflow="fold")
    for step in steps:
        verdict = (
            f"been taken back: {step.back}"
            if step.back
            else f"been refused: {', '.join(step.closed)}"
            if step.closed
            else "gone well"
        )
        shown.add_row(
            f"{step.share} %",
            f"{step.keys:,}",
            f"{step.read:,}",
            f"{step.same:,}",
            str(step.lag),
            str(len(step.findings) + step.unsettled),
            _times(step.engram_p50, step.engram_p99),
            _times(step.postgres_p50, step.postgres_p99),
            f"{compared(step):,}",
            verdict,
        )
    console.print(shown)
    for step in steps:
        for found in step.findings:
            console.print(Text(f"{step.share} %: {found.memory_id}: {found.kind}", style="red"))
    if not any(step.proxies for step in steps):
        console.print("no reads came through a proxy meanwhile: the times are those of the rehearsal's own reads")
    if stop is None:
        console.print(Text(f"{label}: the way is clear", style="bold green"))
    else:
        console.print(Text(f"{label}: it would have ended at {stop.share} %", style="bold red"))


def _times(p50: float | None, p99: float | None) -> str:
    return "–" if p50 is None or p99 is None else f"≤ {p50:g} / {p99:g} ms"
