"""The errors of engram-bridge: whose fault it is, what happens next, and what the operator can do.

    BridgeError                        has a `hint`: the remedy, in a sentence
    ├── ConfigError          exit 2    the configuration or the command line is wrong; names the key
    ├── Transient                      goes away by itself: waited for, with backoff; exit 75 when patience ends
    │   ├── SourceUnavailable          PostgreSQL cannot be reached, or is starting or stopping
    │   ├── TargetUnavailable          Engram cannot be reached, or refuses everything; what was sent is in doubt
    │   ├── LedgerUnavailable          the server of the ledger cannot be reached, or cannot write now
    │   └── EmbedderUnavailable        the embedding endpoint or model takes nothing now
    └── Fatal                exit 1    nothing is acknowledged; a person has to act
        ├── CheckFailed                what would go wrong later was found before the first row
        ├── ProtocolError              bytes that we do not understand
        ├── SourceChanged              another system, timeline or slot than the ledger's, or a slot ahead of it
        │   └── SnapshotLost           the snapshot that all rows are read from has ended
        ├── SlotLost                   the slot is gone or invalidated: what it held back cannot be streamed any more
        ├── LedgerError                the ledger cannot be read or written, or belongs to something else
        │   └── LedgerHeld             another `run` works with this ledger
        ├── MappingError               a row cannot become a memory: parks its key
        ├── EmbeddingRefused           the model cannot embed what is in a batch: parks the one key that it is
        └── TargetRejected             Engram refused this one write: parks its key

`Transient` is retried in one place, the lanes and the stream loop, and for the ledger in its own `patience`; `MappingError`,
`EmbeddingRefused` and `TargetRejected` park a key (law 8); every other `Fatal` ends the run. Messages and hints name tables,
columns and keys of the configuration, never row values.
"""

from __future__ import annotations

from typing import ClassVar, Final

START_AGAIN: Final = (
    "Start again with a new ledger, a new slot, and new spaces (target.space_prefix) or an empty server; "
    "see docs/runbook.md, Starting again."
)
"""When ledger and target cannot be brought together any more. A space with memories of one ledger is refused to another."""

RENEW: Final = (
    "Stop the run; then `engram-bridge resync --new-slot`, and start `run` again: all tables are compared, and only rows that "
    "differ are written. See docs/runbook.md, A new slot."
)
"""When the slot, or the history that it belongs to, is gone."""


class BridgeError(Exception):
    """Something went wrong."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").split("\n", 1)[0])
        self.hint = hint


def defect(what: str, error: BaseException) -> BridgeError:
    """Our error for one that nobody expected: the run ends with it instead of going on without one of its threads."""
    return BridgeError(f"{what} ended: {type(error).__name__}: {error}", hint="This is a defect: please report it.")


class ConfigError(BridgeError):
    """The configuration is wrong."""

    exit_code: ClassVar[int] = 2


class Transient(BridgeError):
    """Something is not available now; trying again later can help."""

    exit_code: ClassVar[int] = 75


class SourceUnavailable(Transient):
    """PostgreSQL is not available."""


class TargetUnavailable(Transient):
    """Engram is not available."""


class EmbedderUnavailable(Transient):
    """The embedding model is not available."""


class LedgerUnavailable(Transient):
    """The ledger is not available."""


class Fatal(BridgeError):
    """The run cannot go on."""


class CheckFailed(Fatal):
    """The check found errors."""


class ProtocolError(Fatal):
    """The server sent bytes that cannot be understood."""


class SourceChanged(Fatal):
    """The source is not the one that the ledger describes."""


class SnapshotLost(SourceChanged):
    """The snapshot that all rows are read from has ended."""


class SlotLost(Fatal):
    """The replication slot is lost."""


class LedgerError(Fatal):
    """The ledger cannot be used."""


class LedgerHeld(LedgerError):
    """Another run holds the ledger."""


class MappingError(Fatal):
    """A row cannot become a memory.

    `reason` is a short code that is kept with the parked key: `encoding`, `too_large`, `mapping`.
    """

    def __init__(self, message: str, *, reason: str = "mapping", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class EmbeddingRefused(Fatal):
    """The model refused a batch for something in it."""


class TargetRejected(Fatal):
    """Engram refused a write for what it contains; sending it again cannot help."""

    def __init__(self, message: str, *, reason: str = "rejected", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
