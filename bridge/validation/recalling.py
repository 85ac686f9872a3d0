"""Whether vectors are good for what they are there for: a row's own text finds the row. Part of the check `vectors`.

It is asked of a few rows of each table whose recall is whole: Engram's recall knows no row after a restart until it was written
again, and the ledger knows how far that is. Rows of one text stand at the same place, so where more of them come up than a recall
can answer, nothing is said.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.embedding.identity import IDENTITY_SHARE, clean_query
from bridge.mapping import TablePlan
from bridge.memories import split_content
from bridge.ports import Hit, Vectors
from bridge.validation.findings import NOT_FOUND, VECTORS, Finding, Tally
from bridge.validation.sides import Sides

ROWS = 20
"""Rows of a table that are asked for: a recall looks through a whole space."""

FIRST = 10
MOST = 100
PARKED = "{} of its keys are parked, so not all that recall should know is there"
RESTARTED = "after a start of Engram recall knows no row until it was written again, and not all of them were"
"""Why no row of a table is asked for."""

LEAST_FOUND = 0.95
"""The share of the rows that have to be among the first ten."""

ALIKE = 0.002
OWN = (1 - IDENTITY_SHARE) ** 0.5
"""The cosine of a text's vector with the vector of the row that bears it."""


@dataclass(slots=True)
class RecallCheck:
    """One table after the other. `chance` draws the rows."""

    sides: Sides
    tallies: Mapping[str, Tally]
    chance: random.Random

    def run(self, plan: TablePlan, keys: Sequence[str]) -> None:
        """Ask for some of these rows, of which nothing wrong is known. Raises TargetUnavailable and EmbedderUnavailable."""
        tally = self.tallies[plan.table.label]
        if not self.sides.searchable(plan):
            parked = self.sides.ledger.parked_of(plan.number)
            tally.not_recalled = PARKED.format(len(parked)) if parked else RESTARTED
            return
        texts = self._texts(plan, self.chance.sample(sorted(keys), min(ROWS, len(keys))))
        if not texts:
            return
        encoded = self.sides.embedders().for_table(plan).encode(list(texts.values()))
        missing = []
        for place, key in enumerate(texts):
            found = None if place in encoded.refused else self._found(plan, key, encoded.vectors[place])
            tally.recalled += found is not None
            if found is False:
                missing.append(plan.prefix + key)
        if len(missing) > tally.recalled * (1 - LEAST_FOUND):
            tally.findings += [Finding(VECTORS, NOT_FOUND, tally.label, name) for name in missing]

    def _texts(self, plan: TablePlan, keys: Sequence[str]) -> dict[str, str]:
        texts = {}
        for key in keys:
            (stored,) = self.sides.target.read(plan.space_of(key), [plan.prefix + key])
            parts = split_content(stored.content) if stored is not None else None
            memory = plan.recalled(key, parts[0]) if parts is not None else None
            if memory is not None:
                texts[key] = memory.text
        return texts

    def _found(self, plan: TablePlan, key: str, vector: Vectors) -> bool | None:
        """Whether the row comes up; None when nothing can be said of it. It may have been written again a moment ago."""
        for _again in range(2):
            found = among_first(self.sides.target.recall(plan.space_of(key), clean_query(vector), MOST), plan.prefix + key)
            if found is not False:
                return found
        return False


def among_first(hits: Sequence[Hit], memory_id: str) -> bool | None:
    """Whether a memory is among the first hits, or as near as they are; None when rows of the same text crowd it out."""
    tenth = hits[FIRST - 1].score if len(hits) >= FIRST else 0.0
    own = next((hit.score for hit in hits if hit.memory_id == memory_id), None)
    if own is not None:
        return own >= tenth - ALIKE
    return None if len(hits) >= MOST and hits[-1].score >= OWN - ALIKE else False
