"""A one-shot migration from its order to its report: begun, or gone on with; carried; checked; told."""

from __future__ import annotations

import logging
import secrets
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from bridge.config import Config, without_password
from bridge.embedding import Embedders
from bridge.engram.client import EngramTarget
from bridge.errors import BridgeError, CheckFailed, ConfigError
from bridge.ledger import Ledger, Migration, Migrations
from bridge.ledger.migrations import MIGRATE
from bridge.ledger.removal import remove
from bridge.lsn import format_lsn
from bridge.migration import checking, telling
from bridge.migration import checkpoint as checkpoints
from bridge.migration.admitting import Examined, examine
from bridge.migration.attempt import Attempt, Settings
from bridge.migration.carrying import Manner, assemble, left_to_read, require_same_source
from bridge.migration.checkpoint import FINISHED, INTERRUPTED, Checkpoint
from bridge.migration.held import HeldSnapshot
from bridge.migration.order import Order
from bridge.migration.orphans import find_references
from bridge.migration.progress import Watcher
from bridge.report import Document, orphan_sentence
from bridge.wiring import open_embedders, open_ledger, open_target

logger = logging.getLogger(__name__)

PROBES = 3
"""How often a server that loses writes now and then may fail before it is refused."""


def new_id() -> str:
    """An id for a migration that was given none."""
    return f"migration-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def begin(order: Order, base: Config, settings: Settings, console: Console) -> Attempt | Migration:
    """Everything up to the first row; a migration that the checkpoint says is complete is answered as it stands in the ledger.

    Raises ConfigError, CheckFailed for what stands in the way, LedgerHeld, SourceChanged, Transient for what cannot be reached.
    """
    known = None
    if settings.checkpoint is not None:
        known = checkpoints.read(settings.checkpoint)
        checkpoints.usable(settings.checkpoint)
    if known is not None and settings.checkpoint is not None:
        ledger = without_password(base.ledger)
        known.require(settings.checkpoint, target=base.target.http, ledger=ledger, order=order.as_dict())
        if settings.migration_id not in (None, known.migration_id):
            raise ConfigError(
                f"the checkpoint {settings.checkpoint} is of the migration {known.migration_id}, not of {settings.migration_id}",
                hint="Leave --migration-id away to go on with it, or name another file.",
            )
    examined = examine(order, base)
    if known is not None and settings.checkpoint is not None:
        server = examined.answers.server
        there = {"system_identifier": server.system_identifier or "", "database": server.database}
        known.require(settings.checkpoint, source=there)
    refuse(examined)
    for found in examined.findings:
        if found.level == "warning":
            logger.warning("%s", found.what, extra={"hint": found.remedy})
    embedders = open_embedders(examined.chosen.config)
    try:
        return _begin(order, settings, examined, embedders, known, console)
    except BaseException:
        embedders.close()
        raise


def refuse(examined: Examined) -> None:
    """Raise CheckFailed for what the migration cannot begin with."""
    errors = examined.errors
    if len(errors) == 1:
        raise CheckFailed(errors[0].what, hint=errors[0].remedy)
    if errors:
        lines = [f"  {number}. {found.what}\n     {found.remedy}" for number, found in enumerate(errors, 1)]
        raise CheckFailed(f"{len(errors)} things stand in the way:\n" + "\n".join(lines), hint="--dry-run shows all of it.")


def _begin(
    order: Order, settings: Settings, examined: Examined, embedders: Embedders, known: Checkpoint | None, console: Console
) -> Attempt | Migration:
    config = examined.chosen.config
    target = open_target(config)
    try:
        require_sound(target)
        ledger = open_ledger(config)
        _acquire(ledger)
    except BaseException:
        target.close()
        raise
    held: HeldSnapshot | None = None
    try:
        if known is not None and ledger.facts()["ledger_id"] != known.ledger_id:
            raise CheckFailed(
                f"the checkpoint {settings.checkpoint} belongs to another ledger than {ledger.place.shown}",
                hint="Give the ledger that it was written beside (--ledger PATH); without it name another checkpoint file.",
            )
        migration = _known(ledger, order, settings, known)
        finished = known is not None and migration is not None and migration.ended is not None and migration.result is not None
        if finished and migration is not None and Migrations(ledger).rollback_of(migration.number) is None:
            ledger.close()
            embedders.close()
            target.close()
            return migration
        chosen = set(examined.chosen.labels)
        tables = [(one.table.schema, one.table.name) for one in examined.tables if one.table.label in chosen]
        held = HeldSnapshot.take(config.source.url, tables)
        require_same_source(ledger, held)
        return _attempt(order, settings, examined, (ledger, target, embedders, held), migration, console)
    except BaseException:
        if held is not None:
            held.close()
        target.close()
        _give_back(ledger)
        raise


def _acquire(ledger: Ledger) -> None:
    """Hold the ledger, or leave it: one in which nothing is yet is that of somebody who has just begun. Raises LedgerHeld."""
    try:
        ledger.acquire()
    except BaseException:
        ledger.close()
        raise


def require_sound(target: EngramTarget) -> None:
    """That a row which is written over gRPC is read over HTTP, and what else everything relies on. Raises CheckFailed."""
    for _round in range(PROBES):
        wrong = [behaviour for behaviour, there in target.probe().items() if not there]
        if not wrong:
            return
    raise CheckFailed(
        f"the server does not do what everything relies on: {', '.join(wrong)}",
        hint="Check that --target and --grpc lead to the same Engram server, and that its disk is not full.",
    )


def _give_back(ledger: Ledger) -> None:
    """Close the ledger of a start that failed; one that this start has made, and by which no migration began, is removed: its
    tables would keep the spaces that were asked for, and other ones be refused."""
    with suppress(BridgeError):
        if ledger.is_new and not Migrations(ledger).all():
            remove(ledger)
            return
    ledger.close()


def _known(ledger: Ledger, order: Order, settings: Settings, known: Checkpoint | None) -> Migration | None:
    """The migration that is to be gone on with: the checkpoint's, or one of the same order that has not ended."""
    migrations = Migrations(ledger)
    if known is not None:
        return migrations.find(known.migration_id)
    open_ones = [one for one in migrations.all() if one.kind == MIGRATE and one.ended is None]
    if settings.migration_id is not None:
        same = migrations.find(settings.migration_id)
        if same is not None and same.kind != MIGRATE:
            raise ConfigError(f"the id {settings.migration_id!r} is that of a `run` on this ledger", hint="Name another one.")
        return next((one for one in open_ones if one.id == settings.migration_id), None)
    return next((one for one in reversed(open_ones) if one.detail.get("order") == order.as_dict()), None)


def _attempt(
    order: Order,
    settings: Settings,
    examined: Examined,
    parts: tuple[Ledger, Any, Embedders, HeldSnapshot],
    known: Migration | None,
    console: Console,
) -> Attempt:
    ledger, target, embedders, held = parts
    chosen = examined.chosen
    going_on = known is not None and known.ended is None
    migration_id = known.id if known is not None else settings.migration_id or new_id()
    chosen = chosen.under(migration_id)
    snapshots = list(known.detail.get("snapshots", [])) if going_on and known is not None else []
    carrying = assemble(chosen, ledger, target, embedders, held, Manner(settings.workers, settings.batch, going_on))
    left = left_to_read(carrying)
    snapshots.append({"lsn": format_lsn(held.position), "at": held.at.timestamp(), "tables": left})
    detail = {
        "source": chosen.config.source.shown,
        "target": chosen.config.target.http,
        "grpc": chosen.config.target.grpc_address,
        "tables": list(chosen.labels),
        "order": order.as_dict(),
        "command": settings.command,
        "snapshots": snapshots,
    }
    migrations = Migrations(ledger)
    number = migrations.begin(migration_id, MIGRATE, detail)
    carrying.shop.migration = number
    found = migrations.find(migration_id)
    assert found is not None, "it has just begun"
    if going_on:
        logger.info("a migration is gone on with", extra={"migration": migration_id, "snapshot": snapshots[-1]["lsn"]})
    else:
        logger.info("a migration begins", extra={"migration": migration_id, "snapshot": snapshots[-1]["lsn"]})
    labels = {one.number: label for label, one in carrying.plan.mapping.plans.items()}
    estimates = {one.number: examined.rows.get(label, 0) for label, one in carrying.plan.mapping.plans.items()}
    return Attempt(
        order, settings, examined, carrying, found, number, snapshots, ledger.counters(), Watcher(console, labels, estimates)
    )


def report(attempt: Attempt, *, validate: bool, ending: threading.Event) -> Document | None:
    """Check what was carried, and keep what came of it: the migration is complete. Raises what a check can fail of.

    None when it was to end before all was checked: then nothing is kept, and the same command checks again.
    """
    counted = telling.count(attempt)
    labels = attempt.examined.chosen.labels
    carrying = attempt.carrying
    references = find_references(
        carrying.ledger, carrying.plan.mapping, carrying.held, carrying.target, labels=labels, partial=attempt.partial
    )
    if references.orphans["count"]:
        logger.warning("%s", orphan_sentence(references.orphans["count"]), extra={"hint": "the report lists them"})
    found = None
    if validate and counted:
        name = f"migration {attempt.migration.id}"
        found = checking.validate(carrying, list(counted), name, earlier=attempt.earlier, ending=ending.is_set)
    if ending.is_set():
        return None
    verdict = telling.judge(attempt, counted, found)
    document = telling.document_of(attempt, counted, verdict, references, found)
    if document["outcome"] == "failed":  # tables were left out: once that is mended, the same command goes on with them
        attempt.checkpoint(INTERRUPTED, force=True)
        return document
    Migrations(attempt.carrying.ledger).end(attempt.number, document)
    attempt.checkpoint(FINISHED, force=True, exit_code=document["exit_code"])
    return document
