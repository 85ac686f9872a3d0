"""The right to write: one run has it, and everybody can see which."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import IO, Protocol

from sqlalchemy import Connection

from bridge.errors import LedgerHeld


class Holder(Protocol):
    """The right of one process to write a ledger."""

    def acquire(self) -> None:
        """Take it. Raises LedgerHeld, saying who has it."""

    def release(self) -> None:
        """Give it back; nothing to do when it is not ours."""

    def held_by(self) -> str | None:
        """Who has it now, as a sentence part, or None."""

    def fence(self, connection: Connection) -> None:
        """In a transaction that is going to write: whoever took the right and has lost it gets LedgerHeld, and writes nothing."""

    def step(self, connection: Connection) -> bool:
        """Count one durable step in its own transaction. False: it was counted before, so that its commit had come through
        although the answer to it was lost. Raises LedgerHeld like `fence`, and LedgerError when earlier steps are gone."""

    def stepped(self) -> None:
        """The transaction of the step has been committed."""


class FileHolder:
    """A lock on `<ledger>.lock` that the system frees when its process dies, however it dies: it cannot be lost before."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None
        self._given_back = False

    def acquire(self) -> None:
        """Take the lock. Raises LedgerHeld, saying who has it."""
        file = self._path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            said = file.read()
            file.close()
            raise held_by_another(describe_holder(said)) from error
        file.truncate(0)
        file.write(about_us())
        file.flush()
        self._file, self._given_back = file, False

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._given_back = True
            self._file.close()
            self._file = None

    def held_by(self) -> str | None:
        """Who holds the lock now, or None when nobody does."""
        return holder_of(self._path)

    def fence(self, connection: Connection) -> None:  # noqa: ARG002 - of the protocol
        """The lock cannot be lost, only given back. Raises LedgerHeld then: another run may have it."""
        if self._given_back:
            raise given_back(str(self._path))

    def step(self, connection: Connection) -> bool:
        """Every step is a new one: a commit that is not answered has not been made."""
        self.fence(connection)
        return True

    def stepped(self) -> None:
        """Nothing to do."""


def holder_of(path: Path) -> str | None:
    """Who holds the lock at this path now, or None when nobody does."""
    if not path.exists():
        return None
    with path.open("r", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return describe_holder(file.read())
    return None


def held_by_another(who: str) -> LedgerHeld:
    """The refusal of a second run; `who` is what `held_by` says."""
    return LedgerHeld(
        f"another run works with this ledger: {who}", hint="Stop it first, or give this run a ledger and a slot of its own."
    )


def given_back(shown: str) -> LedgerHeld:
    """The refusal of a thread that is late: its run has ended, and another may have begun."""
    return LedgerHeld(f"this run has given the ledger {shown} back, and writes nothing more")


def about_us() -> str:
    """What a holder writes about itself."""
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()})


def describe_holder(said: str) -> str:
    """A sentence part for what a holder wrote about itself."""
    try:
        facts = json.loads(said)
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(facts["since"]))
        return f"process {facts['pid']} on {facts['host']} since {since}"
    except (ValueError, KeyError, TypeError):
        return "an unknown process"
