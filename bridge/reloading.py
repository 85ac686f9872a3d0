"""SIGHUP: the configuration is read again, and what can change while the bridge runs does.

A file that is wrong changes nothing. What cannot change without a new start is named, and stays as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from bridge.config import Config
from bridge.config_cutover import Cutover
from bridge.config_sections import Reconcile
from bridge.differences import changed_keys
from bridge.errors import BridgeError
from bridge.running import Bridge

logger = logging.getLogger(__name__)


def _parking(bridge: Bridge, config: Config) -> None:
    bridge.shop.retry_first, bridge.shop.retry_last = config.parked.retry_first, config.parked.retry_last


def _limit(bridge: Bridge, config: Config) -> None:
    bridge.shop.limit = config.target.limit


def _rewriting(bridge: Bridge, config: Config) -> None:
    bridge.watch.set_share(config.target.rewrite_share)


def _snapshot(bridge: Bridge, config: Config) -> None:
    bridge.loader.workers, bridge.loader.chunk_rows = config.snapshot.workers, config.snapshot.chunk_rows


def _slot(bridge: Bridge, config: Config) -> None:
    watch = bridge.housekeeping.slot_watch
    if watch is not None:
        watch.limit, watch.drop = config.source.max_retained_bytes, config.source.on_max_retained == "drop"


def _cutover(bridge: Bridge, config: Config) -> None:
    if bridge.housekeeping.oversight is not None:
        bridge.housekeeping.oversight.follow(config.cutover)


def _reconcile(bridge: Bridge, config: Config) -> None:
    bridge.reconciling.config = config


CHANGEABLE: dict[str, Callable[[Bridge, Config], None]] = {
    "parked.retry_first": _parking,
    "parked.retry_last": _parking,
    "source.max_retained_wal": _slot,
    "source.on_max_retained": _slot,
    "target.limit": _limit,
    "target.rewrite_share": _rewriting,
    "snapshot.workers": _snapshot,
    "snapshot.chunk_rows": _snapshot,
    **{f"reconcile.{name}": _reconcile for name in Reconcile.model_fields},
    **{f"cutover.{name}": _cutover for name in Cutover.model_fields},
}
"""Keys that take effect at once. Workers and sizes of chunks do with the next table that is loaded."""


def reload(bridge: Bridge, read: Callable[[], Config]) -> None:
    """Read the configuration again and apply it. Never raises: a running bridge does not end for a mistake in a file."""
    try:
        fresh = read()
    except BridgeError as error:
        logger.error("the configuration was not read again: %s", error, extra={"hint": error.hint})
        return
    changed = changed_keys(bridge.config, fresh)
    now = [path for path in changed if path in CHANGEABLE]
    for apply in dict.fromkeys(CHANGEABLE[path] for path in now):
        apply(bridge, fresh)
    bridge.config = _merged(bridge.config, fresh, now)
    logger.info("the configuration was read again", extra={"changed": now})
    later = [path for path in changed if path not in CHANGEABLE]
    if later:
        logger.warning("these keys take effect with the next start", extra={"keys": later})


def _merged(config: Config, fresh: Config, paths: list[str]) -> Config:
    """The configuration with these keys of the fresh one."""
    for path in paths:
        section, name = path.split(".")
        inner = getattr(config, section).model_copy(update={name: getattr(getattr(fresh, section), name)})
        config = config.model_copy(update={section: inner})
    return config
