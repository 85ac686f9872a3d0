"""What no change announces: a table's identity, storage, partitions and membership, against what they were (law 8).

PostgreSQL sends rows. It sends nothing when a partition with rows in it is attached, or one is detached, dropped or
truncated alone; when an ALTER rewrites the values of a column that keeps its type; when an enum label is renamed; when a table is
made again under its name; when it leaves the publication and comes back. Each leaves a trace in the catalogue: a `Shape`.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Part:
    """A partition, at any depth. `storage` changes with each rewrite, TRUNCATE included; `joined` with each attachment.

    `in_place`: it was made as a partition, so all its rows were streamed. `kind` is `relkind`, `persistence` `relpersistence`.
    """

    name: str
    storage: int
    joined: str
    in_place: bool = True
    kind: str = "r"
    persistence: str = "p"


@dataclass(frozen=True, slots=True)
class Shape:
    """The traces of one table. Opaque texts are compared for equality only.

    `definition` stands for everything that a new reading of the catalogue could show. `attributes` changes with each ALTER of a
    column, `storage` with each rewrite. `types`: labels of enums and fields of composites that its columns are made of.
    `membership`: None when the publication does not hold it; `narrowed` when it leaves out rows or columns.
    """

    oid: int
    schema: str
    name: str
    definition: str = ""
    attributes: str = ""
    storage: int = 0
    is_partition: bool = False
    membership: str | None = ""
    narrowed: bool = False
    types: dict[str, str] = field(default_factory=dict)
    parts: dict[int, Part] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """`schema.table`."""
        return f"{self.schema}.{self.name}"

    def fact(self, epoch: int) -> str:
        """What the ledger keeps of it. `epoch` is the source's: in another one all these values say nothing."""
        return json.dumps(
            {
                "epoch": epoch,
                "oid": self.oid,
                "membership": self.membership,
                "attributes": self.attributes,
                "storage": self.storage,
                "types": self.types,
                "parts": {str(oid): [part.storage, part.joined] for oid, part in self.parts.items()},
            },
            sort_keys=True,
        )


class Act(enum.Enum):
    """What a difference asks for, the stronger the later."""

    NOTHING = "nothing"
    REREAD = "reread"
    LOAD = "load"
    LOAD_BEHIND = "load behind a barrier"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An act, and why, as a sentence part after the table's name."""

    act: Act
    why: str = ""


ANOTHER = "another table has its name now: it was dropped and made again, or swapped"


def faults(shape: Shape) -> str | None:
    """Why changes of the table's rows are not streamed as things stand; None when they are."""
    for part in shape.parts.values():
        if part.kind == "f":
            return f"its partition {part.name} is a foreign table, whose changes are not in the WAL"
        if part.persistence == "u":
            return f"its partition {part.name} is unlogged, and its changes are not in the WAL"
    if shape.narrowed:
        return "the publication leaves out some of its rows or columns"
    return None


def judge(before: str, now: Shape, epoch: int) -> Verdict:
    """What to do about the difference between a fact that was kept and the table as it is now."""
    known: dict[str, Any] = json.loads(before)
    if known["epoch"] != epoch:
        return Verdict(Act.NOTHING)  # another server or history: everything is read again anyway
    if known["oid"] != now.oid:
        return Verdict(Act.STOP, ANOTHER)
    if known["membership"] != now.membership:
        return Verdict(Act.LOAD_BEHIND, "the publication was altered meanwhile")
    parts: dict[str, list[Any]] = known["parts"]
    joined = [
        part.name
        for oid, part in now.parts.items()
        if (str(oid) not in parts and not part.in_place) or (str(oid) in parts and parts[str(oid)][1] != part.joined)
    ]
    if joined:
        return Verdict(Act.LOAD, f"partitions were attached: {', '.join(sorted(joined))}")
    if set(parts) - {str(oid) for oid in now.parts}:
        return Verdict(Act.REREAD, "partitions were detached or dropped")
    rewritten = [part.name for oid, part in now.parts.items() if str(oid) in parts and parts[str(oid)][0] != part.storage]
    if rewritten:
        return Verdict(Act.REREAD, f"partitions were truncated or rewritten: {', '.join(sorted(rewritten))}")
    if known["storage"] != now.storage and known["attributes"] != now.attributes:
        return Verdict(Act.REREAD, "a column was altered, and the table rewritten")
    if any(now.types.get(name) != value for name, value in known["types"].items()):
        return Verdict(Act.REREAD, "a type of its columns writes its values otherwise")
    return Verdict(Act.NOTHING)
