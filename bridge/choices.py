"""Where the ledger knows better than the configuration: tables that were added, removed or resharded while running. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ADDED, REMOVED, RESHARDED = "added", "removed", "resharded"
"""Verbs of the ledger's table `choices`."""


@dataclass(frozen=True, slots=True)
class Choices:
    """Where the ledger knows better than the configuration.

    By label: tables that are carried whatever `include` and `exclude` say, those that are not (and whether their memories are
    kept), and for those that live in other spaces than the configuration names, the lists of spaces that it may go on naming.
    """

    added: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    resharded: Mapping[str, list[list[str]]] = field(default_factory=dict)

    def accepts(self, label: str, known: Sequence[str], configured: Sequence[str]) -> bool:
        """Whether the configuration may name these spaces for a table that lives in the known ones."""
        return list(configured) == list(known) or list(configured) in self.resharded.get(label, [])


def choices_of(rows: Sequence[tuple[str, str, str]]) -> Choices:
    """From rows of the table `choices`: label, verb, detail."""
    by_verb: dict[str, dict[str, Any]] = {}
    for label, verb, detail in rows:
        by_verb.setdefault(verb, {})[label] = json.loads(detail)
    resharded = {label: list(detail["configured"]) for label, detail in by_verb.get(RESHARDED, {}).items()}
    return Choices(frozenset(by_verb.get(ADDED, {})), frozenset(by_verb.get(REMOVED, {})), resharded)
