"""SIGHUP to a process of the proxy that is still being started: it is neither ended by it nor deaf to it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from api.access import Access
from api.reloading import Again, following
from bridge.cli.serving import Early
from bridge.config import Config
from bridge.config_serving import Serve


def config(token: str) -> Config:
    """One with this token."""
    return Config.model_construct(serve=Serve(read_token=SecretStr(token)), tables={})


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The tests' own process hears SIGHUP as before."""
    kept = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, kept)


@pytest.mark.parametrize("sent", [True, False])
def test_sighup_before_it_can_be_followed_is_followed_then(*, sent: bool) -> None:
    """What was read before may hold a token that is revoked. Without a signal nothing is read again."""
    early, read, done = Early(), [], threading.Event()
    early.listen()

    def fresh() -> Config:
        read.append(1)
        done.set()
        return config("n" * 20)

    app = FastAPI()
    app.state.settings = config("o" * 20)
    app.state.access = old = Access(app.state.settings.serve)
    app.state.proxy = SimpleNamespace(settings=app.state.settings, tables=SimpleNamespace(follow=lambda _merged: None))
    if sent:
        os.kill(os.getpid(), signal.SIGHUP)

    async def main() -> Any:
        async with following(app, Again(fresh, lambda _serve: None, lambda: early.came)):
            if sent:
                await asyncio.to_thread(done.wait, 20)
            for _ in range(1000):
                if not sent or app.state.access is not old:
                    break
                await asyncio.sleep(0.01)

    asyncio.run(main())
    assert (len(read), app.state.access is not old) == ((1, True) if sent else (0, False))
