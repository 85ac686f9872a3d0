"""Parked keys by the names that people give them, for commands and page."""

from __future__ import annotations

from bridge.errors import ConfigError
from bridge.gate import Parked
from bridge.ledger import Ledger, Serving
from bridge.memories import Key

ALL = "all"


def parked(book: Ledger) -> list[tuple[str, Key, Parked]]:
    """All parked keys with their table's label."""
    labels = {record.number: record.label for record in book.generations()}
    return [(labels[key[0]], key, waiting) for key, waiting in book.parked_keys() if key[0] in labels]


def chosen(book: Ledger, name: str) -> list[tuple[str, Key, Parked]]:
    """Those of a name such as public.customers/9, or all. Raises ConfigError when that one is not parked."""
    found = [one for one in parked(book) if name in (ALL, f"{one[0]}/{one[1][1]}")]
    if not found and name != ALL:
        raise ConfigError(f"{name} is not parked", hint="See `engram-bridge parked list`.")
    return found


def retry(book: Ledger, name: str, *, who: str) -> int:
    """Ask for another try of a key, or of all; noted in the audit trail. Answers how many. Raises ConfigError."""
    found = chosen(book, name)
    serving = Serving(book)
    for label, key, _waiting in found:
        book.request("retry", key)
        serving.note(who=who, verb="retry", label=label, detail={"key": key[1]})
    return len(found)
