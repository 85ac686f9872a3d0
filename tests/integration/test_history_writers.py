"""What the writers of histories note of their own writes: a note that claims too much would blame an honest proxy."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.histories.writers import NEVER, KeyWriter


@pytest.fixture
def writer(database: str) -> Any:
    made = KeyWriter(database, "books", seed=1, rate=1.0)
    made.create()
    yield made
    made.abandon()


def delete(writer: KeyWriter, key: str) -> None:
    def act(after: dict[str, dict[str, Any] | None]) -> None:
        writer._execute("delete from {} where id = %s", key)
        after[key] = None

    writer._transact("delete", act)


def test_a_delete_of_nothing_is_no_state(writer: KeyWriter) -> None:
    """It writes no WAL: a reader may have asked for this very position before, and would be blamed for what it could not see."""
    delete(writer, "5")
    once = list(writer.states["5"])
    before = writer.latest
    delete(writer, "5")
    assert writer.states["5"] == once
    assert once[-1].value is None
    assert once[-1].lsn <= before


def test_a_commit_that_did_not_happen_claims_no_position(writer: KeyWriter, database: str) -> None:
    """The connection was cut before the commit: the row is as it was, and stays so noted."""

    def act(after: dict[str, dict[str, Any] | None]) -> None:
        writer._put("5", after)
        with psycopg.connect(database, autocommit=True) as other:
            other.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'writer'")

    before = writer.states["5"][-1]
    writer._transact("write", act)
    unknown, found = writer.states["5"][-2:]
    assert unknown.value != before.value
    assert (found.value, found.lsn) == (before.value, NEVER)
