"""Engram's vocabulary: what a row becomes, and what is written of it.

The *content* of a memory is the row as one JSON object, its *body*, plus the reserved key `_bridge` at the very end, because
Engram keeps nothing beside content, confidence and timestamp:

    {"id":1,"name":"Ann","_bridge":{"v":"…","d":"…", … ,"refs":[…]}}

`v` is the version, `d` the digest of the body's bytes. A version alone does not identify content (a chunk that was written,
killed before its record and read again has the same version), so both are compared (law 6).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from json.encoder import encode_basestring
from typing import Any, TypeAlias

from bridge.lsn import Version

RESERVED = "_bridge"
_MARK = f',"{RESERVED}":'
_ONLY = f'{{"{RESERVED}":'
_REFS = ',"refs":'
"""Last member of the stamp; before it stand strings only, in which quotes are escaped, so its first occurrence is the one."""

Key: TypeAlias = tuple[int, str]
"""A memory's key in the ledger: the number of its table, and the key part of its id."""

EDGE_WEIGHT = 0.8
"""How strongly a foreign key links its child to its parent."""


def digest(text: str) -> str:
    """The digest of canonical text: 16 bytes of BLAKE2b in hexadecimal."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def mark_of(body: str) -> int:
    """A second digest of a body, as PostgreSQL computes it, too (`snapshot.marks`): the first 64 bits of its SHA-256, signed.

    PostgreSQL knows no BLAKE2b. By this one, which the ledger keeps beside the digest, rows can be compared without being sent.
    0 stands for one that is not known.
    """
    return int.from_bytes(hashlib.sha256(body.encode()).digest()[:8], "big", signed=True)


@dataclass(frozen=True, slots=True)
class Reference:
    """A non-null foreign key of one row.

    `to` is the key part of the parent's memory id when the foreign key points at the parent's memory key; otherwise None, and
    `lookup` holds the values under which the parent is found among its alternate keys. `columns` is JSON text.
    """

    constraint: str
    columns: str
    parent: int
    to: str | None
    lookup: tuple[str, str] | None = None


@dataclass(slots=True)
class Memory:
    """A row as it will stand in Engram, before its version is stamped into it.

    `memory_id` is `<prefix><key>`; `when` is seconds since 1970 within 1970…9999, or None when the row has no timestamp;
    `alternates` are the row's own values under unique keys that foreign keys of other tables point at.
    """

    table: int
    key: str
    memory_id: str
    body: str
    digest: str
    text: str
    when: float | None
    references: tuple[Reference, ...] = ()
    alternates: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """A resolved or pending edge of the ledger: child's constraint to parent. `to` is None while an alternate key is unknown."""

    constraint: str
    parent: int
    to: str | None
    lookup: tuple[str, str] | None = None


@dataclass(slots=True)
class Write:
    """One memory to store: what Engram's `Remember` takes."""

    memory_id: str
    content: str
    when: float
    confidence: float
    vector: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stored:
    """A memory as Engram gave it back. Confidence and time (as it writes them) come with a reading by id only."""

    memory_id: str
    content: str
    confidence: float | None = field(default=None, compare=False)
    timestamp: str | None = field(default=None, compare=False)

    def stamp(self) -> Stamp | None:
        """What the bridge wrote about it, or None when the bridge did not write it."""
        return read_stamp(self.content)


@dataclass(frozen=True, slots=True)
class Stamp:
    """The `_bridge` part of a content, with the digest of the body that was really found."""

    version: Version
    digest: str
    found_digest: str
    ledger: str
    table: str
    key: str
    references: str
    migration: str = ""

    @property
    def intact(self) -> bool:
        """The body is the one that the stamp was made for."""
        return self.digest == self.found_digest


def stamp_content(body: str, *, version: Version, body_digest: str, fixed: str, key: str, references: str) -> str:
    """The content of a memory. `fixed` is the table's constant part of the stamp, `references` JSON text of an array."""
    mark = _MARK if len(body) > 2 else _ONLY
    return (
        f'{body[:-1] if len(body) > 2 else ""}{mark}{{"v":"{version}","d":"{body_digest}",'
        f'"key":{encode_basestring(key)},{fixed},"refs":{references}}}}}'
    )


def split_content(content: str) -> tuple[str, str] | None:
    """Body and stamp (JSON text) of a content, or None when it bears no stamp.

    The last mark is the real one: inside a JSON string its quotes would be escaped.
    """
    at = content.rfind(_MARK)
    if at >= 0:
        return content[:at] + "}", content[at + len(_MARK) : -1]
    if content.startswith(_ONLY):
        return "{}", content[len(_ONLY) : -1]
    return None


def bears(content: str, *, version: Version, body_digest: str, fixed: str, key: str, references_digest: str) -> bool:
    """Whether a content is plainly what `stamp_content` makes of these, with a body and references of these digests.

    At a third of the cost of reading its stamp, as whole spaces are compared. False says nothing: the constant part may have been
    another one when it was written.
    """
    at = content.rfind(_MARK)
    start = at + len(_MARK)
    head = f'{{"v":"{version}","d":"{body_digest}","key":{encode_basestring(key)},{fixed}{_REFS}'
    if at < 0 or not content.startswith(head, start) or not content.endswith("}}"):
        return False
    return digest(content[:at] + "}") == body_digest and digest(content[start + len(head) : -2]) == references_digest


def read_stamp(content: str) -> Stamp | None:
    """The stamp of a content, or None when there is none that can be read."""
    parts = split_content(content)
    if parts is None:
        return None
    try:
        stamp = json.loads(parts[1])
        return Stamp(
            version=stamp["v"],
            digest=stamp["d"],
            found_digest=digest(parts[0]),
            ledger=stamp["ledger"],
            table=stamp["table"],
            key=stamp["key"],
            references=parts[1][parts[1].index(_REFS) + len(_REFS) : -1],
            migration=stamp.get("migration", ""),
        )
    except (ValueError, KeyError, TypeError):
        return None
