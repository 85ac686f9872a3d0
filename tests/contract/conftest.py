"""One server for all contract tests, and few spaces on it: a real server takes seconds and gigabytes for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.target import EXTERNAL_HTTP, RESTART, Target, fresh


@pytest.fixture(scope="session")
def engram(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The server under test."""
    target = Target(tmp_path_factory.mktemp("engram"))
    yield target
    target.close()


@pytest.fixture(scope="module")
def space(engram: Target) -> str:
    """A space of this module's own."""
    return fresh("contract")


@pytest.fixture
def sandbox(engram: Target) -> Target:
    """The server under test, where it is the double: for what the real one has no means to show."""
    if EXTERNAL_HTTP:
        pytest.skip("only the double can be told to do this")
    return engram


@pytest.fixture
def restartable(engram: Target) -> Target:
    """The server under test, where it can be restarted."""
    if EXTERNAL_HTTP and not RESTART:
        pytest.skip("ENGRAM_RESTART is not set")
    return engram
