"""What is learnt of an Engram whose answers are not waited for, because PostgreSQL has answered meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from api.engram import KEPT_SAMPLES, MEASURE_EVERY, BreakerOpen, DeadlineExceeded, EngramReads, HurriedUp

QUICK, DEADLINE = 0.001, 0.1


def at_once(limit: asyncio.Timeout) -> None:
    """PostgreSQL answers in no time."""
    limit.reschedule(asyncio.get_running_loop().time())


def test_one_that_hangs_after_quick_answers_is_soon_left_alone() -> None:
    """Each question is hurried up at first; the measure follows within a few of its steps, and then the breaker opens."""

    async def main() -> None:
        async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        listening = await asyncio.start_server(never, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        engram = EngramReads(address, None, deadline=DEADLINE, took=lambda _label, _milliseconds: None)
        for _ in range(KEPT_SAMPLES):
            engram._measure("public.users", QUICK)
        ends: list[type] = []
        for _round in range(8):
            asked = [engram.get("space", "users_1", "public.users", at_once) for _ in range(MEASURE_EVERY)]
            ends += [type(answer) for answer in await asyncio.gather(*asked, return_exceptions=True)]
        assert set(ends) <= {HurriedUp, DeadlineExceeded, BreakerOpen}
        assert ends[0] is HurriedUp
        with pytest.raises(BreakerOpen):
            await engram.get("space", "users_1", "public.users", at_once)
        await engram.close()
        listening.close()

    asyncio.run(main())
