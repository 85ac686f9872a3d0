"""A second question for a slow answer: PostgreSQL is asked while Engram still may answer, and the first of both counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

Bodies: TypeAlias = "dict[str, str]"


class Hedge:
    """One question to PostgreSQL, asked when `begin` is called; its answer hurries up whoever waits for the other one."""

    def __init__(self, ask: Callable[[], Awaitable[Bodies]]) -> None:
        self._ask = ask
        self._task: asyncio.Task[Bodies] | None = None

    @property
    def begun(self) -> bool:
        """Whether it was asked."""
        return self._task is not None

    def begin(self, limit: asyncio.Timeout) -> None:
        """Ask. `limit` is that of the other question, and ends when there is an answer here."""

        def answered(task: asyncio.Task[Bodies]) -> None:
            if not task.cancelled() and task.exception() is None and limit.when() is not None:
                _end(limit)

        self._task = asyncio.create_task(self._asked(), name="hedge")
        self._task.add_done_callback(answered)

    async def _asked(self) -> Bodies:
        return await self._ask()

    async def answer(self) -> Bodies:
        """What PostgreSQL said. Raises what asking it raised."""
        assert self._task is not None
        return await self._task


def _end(limit: asyncio.Timeout) -> None:
    try:
        limit.reschedule(asyncio.get_running_loop().time())
    except RuntimeError:
        return  # the other question was answered meanwhile
