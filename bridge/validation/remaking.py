"""The vectors that memories should have, made anew from the text that their own contents tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bridge.embedding.identity import with_identity
from bridge.mapping import TablePlan
from bridge.memories import Stored, split_content
from bridge.ports import Vectors
from bridge.validation.sides import Sides

SAME = 0.1
"""How far apart two vectors of length 1 may be that were made from one text: a model's arithmetic differs by some thousandths.

Another text, or the same text of another row, is 0.3 away at least: its fingerprint alone sees to that."""


@dataclass(frozen=True, slots=True)
class Found:
    """A memory of a table as a list page showed it, with a vector that has the server's length and a direction."""

    plan: TablePlan
    key: str
    stored: Stored
    vector: Vectors


@dataclass(slots=True)
class Remade:
    """`wrong`: the vectors that memories should have and have not, by id; `right`: how many have theirs.

    `untold`: ids whose text nobody can tell now: their row has another content already, or the model refuses it.
    """

    right: int = 0
    wrong: dict[str, Vectors] = field(default_factory=dict)
    untold: set[str] = field(default_factory=set)


def remake(sides: Sides, some: Sequence[Found]) -> Remade:
    """Compare. A memory that was not stored as the bridge writes it is passed over: that is for the check `rows`.

    Raises SourceUnavailable and EmbedderUnavailable.
    """
    remade = Remade()
    by_plan: dict[int, list[Found]] = {}
    for one in some:
        stamp = one.stored.stamp()
        if stamp is not None and stamp.intact:
            by_plan.setdefault(one.plan.number, []).append(one)
    for here in by_plan.values():
        _remake_table(sides, here[0].plan, here, remade)
    return remade


def _remake_table(sides: Sides, plan: TablePlan, here: list[Found], remade: Remade) -> None:
    told = {one.stored.memory_id: _told(one) for one in here}
    by_rows = [one for one in here if told[one.stored.memory_id] is None]
    wrong = _compare(sides, plan, [(one, text) for one in here if (text := told[one.stored.memory_id]) is not None], remade)
    if plan.keyless:  # JSON need not tell the very text that a row without a key was first embedded by
        by_rows += [one for one in here if one.stored.memory_id in wrong]
    texts = _texts_of_rows(sides, plan, by_rows)
    again = _compare(sides, plan, [(one, texts[one.key]) for one in by_rows if one.key in texts], remade)
    left = {one.stored.memory_id for one in by_rows if one.key not in texts}
    remade.untold |= left
    remade.wrong |= {memory_id: vector for memory_id, vector in wrong.items() if not plan.keyless}
    remade.wrong |= again


def _told(one: Found) -> str | None:
    parts = split_content(one.stored.content)
    memory = one.plan.recalled(one.key, parts[0]) if parts is not None else None
    return memory.text if memory is not None else None


def _texts_of_rows(sides: Sides, plan: TablePlan, some: Sequence[Found]) -> dict[str, str]:
    """By key, from PostgreSQL, where the row is the very one that the memory was made of."""
    if not some:
        return {}
    rows, _lsn = sides.rows(plan, [one.key for one in some])
    texts = {}
    for one in some:
        stamp = one.stored.stamp()
        memory = plan.memory(rows[one.key], one.key) if one.key in rows else None
        if memory is not None and stamp is not None and memory.digest == stamp.digest:
            texts[one.key] = memory.text
    return texts


def _compare(sides: Sides, plan: TablePlan, some: Sequence[tuple[Found, str]], remade: Remade) -> dict[str, Vectors]:
    """Those that have another vector than their text has, by id, with that; the others are counted."""
    if not some:
        return {}
    encoded = sides.embedders().for_table(plan).encode([text for _one, text in some])
    remade.untold |= {some[place][0].stored.memory_id for place in encoded.refused}
    good = [place for place in range(len(some)) if place not in encoded.refused]
    if not good:
        return {}
    ids = [some[place][0].stored.memory_id for place in good]
    wanted = with_identity(encoded.vectors[good], ids, [some[place][1] for place in good])
    apart = np.linalg.norm(np.stack([some[place][0].vector for place in good]) - wanted, axis=1)
    wrong = {ids[place]: wanted[place] for place in np.flatnonzero(apart > SAME).tolist()}
    remade.right += len(good) - len(wrong)
    return wrong
