"""The models that search asks with, in threads: an encoder blocks, and a model takes seconds to be loaded.

A model is loaded when a search first needs it. Who waits for it waits as long as Engram may take for an answer; then
PostgreSQL answers, while the loading goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bridge.config import Config
from bridge.embedding import Embedders, open_cache
from bridge.embedding.encoder import Encoded, Encoder
from bridge.errors import BridgeError, EmbedderUnavailable
from bridge.mapping import TablePlan

logger = logging.getLogger(__name__)

THREADS = 2
TELL_AGAIN = 60.0

_Made = TypeVar("_Made")


class Encoders:
    """Texts to vectors for an event loop."""

    def __init__(self, settings: Config, *, deadline: float) -> None:
        given = settings.embedding
        self._embedders = Embedders(given.model, given.options(), open_cache(settings.vector_cache, given.cache_mb))
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="search-encoder")
        self._deadline = deadline
        self._told = float("-inf")

    async def close(self) -> None:
        """After the last search; a text that is being embedded is waited for."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self._embedders.close()

    async def of(self, plan: TablePlan) -> Encoder:
        """The encoder of a table, loaded. Raises EmbedderUnavailable."""
        loading = asyncio.get_running_loop().run_in_executor(self._threads, self._embedders.for_table, plan)
        return await self._waited(loading)

    async def encode(self, encoder: Encoder, texts: Sequence[str]) -> Encoded:
        """The vectors of these texts. Raises EmbedderUnavailable."""

        def work() -> Encoded:
            return encoder.encode(texts, urgent=True)

        return await self._waited(asyncio.get_running_loop().run_in_executor(self._threads, work))

    async def _waited(self, work: asyncio.Future[_Made]) -> _Made:
        """What nobody waits for any more is not begun; what has begun goes on."""
        try:
            return await asyncio.wait_for(work, self._deadline)
        except TimeoutError as error:
            raise EmbedderUnavailable("the model takes longer than a search may") from error
        except BridgeError as error:
            if time.monotonic() - self._told > TELL_AGAIN:
                self._told = time.monotonic()
                logger.warning("searches cannot be embedded now: %s", error, extra={"hint": error.hint})
            raise EmbedderUnavailable(str(error), hint=error.hint) from error
