"""Where the ledger knows better than the configuration: tables added, removed or resharded, or mapped by flags. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

ADDED, REMOVED, RESHARDED, FILLED, MAPPED = "added", "removed", "resharded", "filling", "mapped"
"""Verbs of the ledger's table `choices`."""

ROLLED_BACK = "rollback"
"""In the detail of REMOVED: the migration that was rolled back."""


@dataclass(frozen=True, slots=True)
class Model:
    """The model of a generation's vectors, None: that of the configuration; and the models that this may go on naming."""

    name: str | None
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Choices:
    """Where the ledger knows better than the configuration, by label.

    `added` are carried whatever `include` and `exclude` say, `removed` are not. `resharded`: for tables that live in other spaces
    than the configuration names, the lists of spaces that it may go on naming. `models`: for those that were given another model.
    `filling`: the model of the generation that is being filled. `rolled_back`: those of the removed ones that a rollback has
    taken out; another migration of theirs may take them in again (`Generations.readmit`). `mapped`: what `migrate-postgresql` was
    told of a table by flags, as the configuration would say it; it holds for tables that the configuration does not name.
    """

    added: frozenset[str] = frozenset()
    removed: frozenset[str] = frozenset()
    resharded: Mapping[str, list[list[str]]] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)
    filling: Mapping[str, Model] = field(default_factory=dict)
    rolled_back: frozenset[str] = frozenset()
    mapped: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def readmitted(self) -> Choices:
        """The same for a migration, which takes in again what was rolled back."""
        return replace(self, removed=self.removed - self.rolled_back, rolled_back=frozenset())

    def accepts(self, label: str, known: Sequence[str], configured: Sequence[str]) -> bool:
        """Whether the configuration may name these spaces for a table that lives in the known ones."""
        return list(configured) == list(known) or list(configured) in self.resharded.get(label, [])


def choices_of(rows: Sequence[tuple[str, str, str]]) -> Choices:
    """From rows of the table `choices`: label, verb, detail."""
    by_verb: dict[str, dict[str, Any]] = {}
    for label, verb, detail in rows:
        by_verb.setdefault(verb, {})[label] = json.loads(detail)
    resharded = {label: list(detail["configured"]) for label, detail in by_verb.get(RESHARDED, {}).items()}
    return Choices(
        frozenset(by_verb.get(ADDED, {})),
        frozenset(by_verb.get(REMOVED, {})),
        resharded,
        {label: _model(detail) for label, detail in by_verb.get(RESHARDED, {}).items() if detail.get("model")},
        {label: _model(detail) for label, detail in by_verb.get(FILLED, {}).items()},
        frozenset(label for label, detail in by_verb.get(REMOVED, {}).items() if ROLLED_BACK in detail),
        by_verb.get(MAPPED, {}),
    )


def _model(detail: dict[str, Any]) -> Model:
    return Model(detail.get("model"), tuple(detail.get("models", ())))
