"""What callers can pile up in the read side, and what a request is told when something cannot be learnt anew."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from api.encoders import Encoders
from api.proxy import Proxy
from api.searches import Search
from api.textual import AT_ONCE, Textual
from bridge.embedding.encoder import Encoder
from bridge.errors import BridgeError, ConfigError, EmbedderUnavailable, LedgerUnavailable, SourceUnavailable


def test_a_search_does_not_wait_for_its_turn_for_ever() -> None:
    """Those before it take all that PostgreSQL has for them: the next is told so, and its turn is not lost."""

    async def main() -> None:
        proxy = SimpleNamespace(settings=SimpleNamespace(serve=SimpleNamespace(postgres_timeout=0.05)))
        textual, ends = Textual(cast(Proxy, proxy)), asyncio.Event()

        async def asked(*_: Any) -> list[Any]:
            await ends.wait()
            return []

        textual._asked = asked  # type: ignore[method-assign]
        search = cast(Search, SimpleNamespace(tables=[SimpleNamespace(label="public.users", plan=object())]))
        first = [asyncio.create_task(textual.find(search)) for _ in range(AT_ONCE)]
        await asyncio.sleep(0)
        for _ in range(3):
            with pytest.raises(SourceUnavailable):
                await asyncio.wait_for(textual.find(search), 10)
        ends.set()
        assert await asyncio.gather(*first) == [[]] * AT_ONCE
        assert await textual.find(search) == []

    asyncio.run(main())


def test_a_text_that_nobody_waits_for_any_more_is_not_embedded() -> None:
    """Or else those of a busy minute would be worked off while all that come later wait too long, too."""
    ends, texts = threading.Event(), []

    def encode(some: list[str], *, urgent: bool) -> None:
        texts.extend(some)
        ends.wait(30)

    async def main() -> None:
        given = SimpleNamespace(model="hashing", options=lambda: None, cache_mb=0)
        encoders = Encoders(cast(Any, SimpleNamespace(embedding=given, vector_cache=None)), deadline=0.05)
        encoder = cast(Encoder, SimpleNamespace(encode=encode))
        for number in range(10):
            with pytest.raises(EmbedderUnavailable):
                await encoders.encode(encoder, [str(number)])
        ends.set()
        encoders._threads.shutdown(wait=True)

    asyncio.run(main())
    assert texts == ["0", "1"]


@pytest.mark.parametrize("error", [LedgerUnavailable("away"), ConfigError("no such tenant column")])
def test_tables_that_cannot_be_learnt_anew_are_no_defect(error: BridgeError) -> None:
    """A request that found its table changed is told that PostgreSQL cannot answer now: 503, not 500."""

    async def main() -> None:
        proxy = object.__new__(Proxy)

        async def refresh() -> None:
            raise error

        proxy.tables = cast(Any, SimpleNamespace(refresh=refresh))
        with pytest.raises(SourceUnavailable):
            await proxy.ask_postgres(cast(Any, SimpleNamespace(label="public.users", question=None)), ["1"])

    asyncio.run(main())
