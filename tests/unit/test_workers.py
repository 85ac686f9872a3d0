"""The supervisor of several processes: whom SIGHUP reaches, and what whoever is started later begins with."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import uvicorn
from pydantic import SecretStr

from api import workers
from api.reloading import Again
from bridge.config import Config
from bridge.config_serving import Serve
from bridge.errors import ConfigError

OLD, NEW = "o" * 20, "n" * 20


def config(token: str, name: str = "old") -> Config:
    """One with this token, and with the certificate's files under this name."""
    serve = Serve(read_token=SecretStr(token), tls_certificate=f"{name}.pem", tls_key=f"{name}.key")
    return Config.model_construct(serve=serve, tables={})


class Child:
    """A process as the supervisor sees it."""

    def __init__(self, pid: int, *, ready: bool) -> None:
        self.pid, self.exitcode, self.ready = pid, None, ready

    def is_alive(self, timeout: float) -> bool:
        """It answers, also while it is being started."""
        return True

    def is_ready(self, timeout: float) -> bool:
        """It serves."""
        return self.ready


Make = Callable[[Callable[[], Config]], workers.Workers]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """A supervisor of nobody yet; signals of the tests' own process are as before afterwards."""
    kept = {number: signal.getsignal(number) for number in signal.Signals if number not in (signal.SIGKILL, signal.SIGSTOP)}

    def made(read: Callable[[], Config]) -> workers.Workers:
        settings = config(OLD)
        server = uvicorn.Config(partial(str, settings), ssl_certfile="old.pem", ssl_keyfile="old.key")
        return workers.Workers(server, [], settings, Again(read, lambda _serve: None), str)

    yield made
    for number, handler in kept.items():
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


@pytest.fixture
def signalled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Whom SIGHUP was sent to, in order."""
    found: list[int] = []
    monkeypatch.setattr(workers.os, "kill", lambda pid, number: found.append(pid) if number == signal.SIGHUP else None)
    return found


def starts_with(supervisor: workers.Workers) -> tuple[str, Any, Any]:
    """Token and files of the certificate that the next process would be given."""
    app = supervisor.config.app
    assert isinstance(app, partial)
    token = app.args[0].serve.read_token
    return token.get_secret_value(), supervisor.config.ssl_certfile, supervisor.config.ssl_keyfile


def test_who_is_started_later_has_the_newest_configuration_without_a_mistake(make: Make, signalled: list[int]) -> None:
    """Tokens that were revoked do not come back, nor does an old certificate, when a process dies while the file is wrong."""
    files: list[Config | ConfigError] = [config(NEW, "new"), ConfigError("a mistake")]

    def read() -> Config:
        found = files.pop(0)
        if isinstance(found, ConfigError):
            raise found
        return found

    supervisor = make(read)
    supervisor.processes = [Child(41, ready=True)]  # type: ignore[list-item]  # as much of a process as is asked
    assert starts_with(supervisor) == (OLD, "old.pem", "old.key")
    for _ in range(2):
        supervisor.handle_hup()
        supervisor.keep_subprocess_alive()
        assert starts_with(supervisor) == (NEW, "new.pem", "new.key")
    assert signalled == [41], "a mistake is nothing to follow"


def test_sighup_waits_for_who_is_still_being_started(make: Make, signalled: list[int]) -> None:
    """It would end a process that does not follow it yet; but it is not lost either, and nobody gets it twice."""
    supervisor = make(lambda: config(NEW))
    young = Child(42, ready=False)
    supervisor.processes = [Child(41, ready=True), young]  # type: ignore[list-item]  # as much of a process as is asked
    supervisor.handle_hup()
    supervisor.keep_subprocess_alive()
    assert signalled == [41]
    young.ready = True
    supervisor.keep_subprocess_alive()
    supervisor.keep_subprocess_alive()
    assert signalled == [41, 42]


def test_a_process_that_died_meanwhile_is_not_waited_for(make: Make, signalled: list[int]) -> None:
    """The one in its place began with the newest configuration."""
    supervisor = make(lambda: config(NEW))
    supervisor.processes = [Child(41, ready=False)]  # type: ignore[list-item]  # as much of a process as is asked
    supervisor.handle_hup()
    supervisor.processes = [Child(43, ready=True)]  # type: ignore[list-item]
    supervisor.keep_subprocess_alive()
    assert signalled == []
