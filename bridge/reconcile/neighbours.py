"""Whether a memory that is missing has been thrown out by one with nearly the same vector: who is where it should be?

Its vector is made again from its row, and Engram is asked what is near it. Recall also names rows that were forgotten, and rows
that have nothing to do with the question, at any score. So a neighbour counts only when a reading by its id finds it and the
ledger does not expect it: the vectors of our own rows are kept apart by their fingerprints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bridge.embedding.identity import with_identity
from bridge.errors import MappingError
from bridge.mapping import TablePlan
from bridge.ports import Vectors
from bridge.validation.sides import Sides

NEAR = 0.949
"""From this cosine on the server takes two memories for one (0.95), less what 32 bits lose."""

MOST = 5


def crowded_out(sides: Sides, space: str, plan: TablePlan, keys: Sequence[str], strange: Callable[[str], bool]) -> set[str]:
    """Those of the keys whose place a stranger has taken. `strange`: nobody expects a memory of this id here.

    Raises SourceUnavailable, TargetUnavailable and EmbedderUnavailable.
    """
    found = set()
    for key, vector in vectors_of_rows(sides, plan, keys).items():
        for hit in sides.target.recall(space, vector, MOST):
            other = hit.score >= NEAR and hit.memory_id != plan.prefix + key and strange(hit.memory_id)
            if other and sides.target.read(space, [hit.memory_id])[0] is not None:
                found.add(key)
    return found


def vectors_of_rows(sides: Sides, plan: TablePlan, keys: Sequence[str]) -> dict[str, Vectors]:
    """The vectors that these rows should have in Engram, as far as PostgreSQL has the rows."""
    rows, _lsn = sides.rows(plan, keys)
    texts: dict[str, str] = {}
    for key, row in rows.items():
        try:
            texts[key] = plan.memory(row, key).text
        except MappingError:
            continue  # such a row is parked, and nothing is expected of it
    if not texts:
        return {}
    encoded = sides.embedders().for_table(plan).encode(list(texts.values()))
    named = [(place, key) for place, key in enumerate(texts) if place not in encoded.refused]
    if not named:
        return {}
    places = [place for place, _key in named]
    vectors = with_identity(
        encoded.vectors[places], [plan.prefix + key for _place, key in named], [texts[key] for _place, key in named]
    )
    return {key: vectors[number] for number, (_place, key) in enumerate(named)}
