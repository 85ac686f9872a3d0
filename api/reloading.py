"""SIGHUP: the configuration is read again, and what a running proxy can take over it does: tokens, certificate, promises.

A file that is wrong changes nothing. What takes a new start is named, and stays as it was.
"""

from __future__ import annotations

import asyncio
import logging
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from api.access import Access, require_safe
from bridge.config import Config
from bridge.config import Table as Options
from bridge.config_serving import Serve
from bridge.differences import changed_keys
from bridge.errors import BridgeError

logger = logging.getLogger(__name__)

PROMISES = ("max_staleness", "min_lsn_wait")
TOKENS = ("read_token", "operate_token", "tenant_tokens")
FILES = ("tls_certificate", "tls_key")

_CHANGEABLE = re.compile(rf"serve\.({'|'.join(PROMISES + TOKENS + FILES)})(\..+)?|tables\..+\.max_staleness", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Again:
    """How a process reads its configuration again. `certificate` has its new connections use the files of `serve`.

    `read` raises BridgeError, `certificate` OSError (SSLError is one), and keeps the old ones then. `early`: whether SIGHUP came
    before it was followed.
    """

    read: Callable[[], Config]
    certificate: Callable[[Serve], None]
    early: Callable[[], bool] = lambda: False


@asynccontextmanager
async def following(app: FastAPI, again: Again) -> AsyncIterator[None]:
    """SIGHUP is followed meanwhile, and the one that came earlier; behind it is ignored."""
    asked, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, asked.set)
    if again.early():  # asked only now: between the two nothing is lost
        asked.set()
    task = asyncio.create_task(_follow(app, again, asked), name="configuration")
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        task.cancel()


async def _follow(app: FastAPI, again: Again, asked: asyncio.Event) -> None:
    while True:
        await asked.wait()
        asked.clear()
        try:
            await reload(app, again)
        except Exception:
            logger.exception("the configuration was not read again")


async def reload(app: FastAPI, again: Again) -> None:
    """Read the configuration again and apply it. A mistake in it is logged, and changes nothing."""
    before: Config = app.state.settings
    try:
        fresh = await asyncio.to_thread(again.read)
        changed = changed_keys(before, fresh)
        merged = checked(before, fresh, again)
    except (BridgeError, OSError) as error:
        refused(error)
        return
    app.state.settings = app.state.proxy.settings = merged
    app.state.access = Access(merged.serve)
    app.state.proxy.tables.follow(merged)
    now = [key for key in changed if _CHANGEABLE.fullmatch(key)]
    logger.info("the configuration was read again", extra={"changed": now})
    later = [key for key in changed if key not in now]
    if later:
        logger.warning("these keys take effect with the next start", extra={"keys": later})


def checked(before: Config, fresh: Config, again: Again) -> Config:
    """What counts from now on, its certificate in use. Raises BridgeError and OSError where there is a mistake in it."""
    merged = merge(before, fresh)
    require_safe(merged.serve)
    again.certificate(merged.serve)
    return merged


def refused(error: BridgeError | OSError) -> None:
    """Log why the configuration stays as it was."""
    if isinstance(error, BridgeError):
        logger.error("the configuration was not read again: %s", error, extra={"hint": error.hint})
    else:
        logger.error("the configuration was not read again: the certificate cannot be used: %s", error)


def merge(before: Config, fresh: Config) -> Config:
    """The configuration with what can change of the fresh one.

    Without a certificate none can come, and one cannot go: whoever listens in clear goes on with it.
    """
    names = PROMISES + TOKENS + (FILES if None not in (before.serve.tls_certificate, fresh.serve.tls_certificate) else ())
    serve = before.serve.model_copy(update={name: getattr(fresh.serve, name) for name in names})
    tables = {
        name: options.model_copy(update={"max_staleness": fresh.tables.get(name, Options()).max_staleness})
        for name, options in before.tables.items()
    }
    return before.model_copy(update={"serve": serve, "tables": tables})
