"""Where a walk through references goes on: an opaque text for the caller, a place in a fixed order for us. Pure.

The order is that of names and keys, and the place names the last entry that was given: whatever comes and goes meanwhile, nothing
that stays is given twice or left out. A cursor is bound to the row and the direction that it was made for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass

LONGEST = 4096
"""Characters of a cursor: a key, and names."""


class BadCursor(ValueError):
    """Not a cursor of this walk."""


@dataclass(frozen=True, slots=True)
class Place:
    """The last entry that was given: of which table, by which constraint, which key. The beginning is before all of them."""

    label: str = ""
    constraint: str = ""
    key: str | None = None

    def least(self, label: str, constraint: str) -> str | None:
        r"""From which key on a table's references by a constraint are still to be given; None when they all were.

        No text of PostgreSQL holds NUL, so nothing is between a key and the same with \x01 behind it.
        """
        here, there = (self.label.encode(), self.constraint.encode()), (label.encode(), constraint.encode())
        if there != here:
            return "" if there > here else None
        return "" if self.key is None else self.key + "\x01"


def encode(place: Place, walk: str) -> str:
    """The cursor of a place in a walk, which is named by any text."""
    inner = json.dumps([_mark(walk), place.label, place.constraint, place.key or ""], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(inner.encode()).decode().rstrip("=")


def decode(cursor: str | None, walk: str) -> Place:
    """The place of a cursor; the beginning without one. Raises BadCursor."""
    if cursor is None:
        return Place()
    if len(cursor) > LONGEST or not cursor.isascii():
        raise BadCursor
    try:
        inner = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        parts = json.loads(inner)
    except (binascii.Error, ValueError, RecursionError):
        raise BadCursor from None
    if not isinstance(parts, list) or len(parts) != 4 or not all(type(part) is str and "\0" not in part for part in parts):
        raise BadCursor
    mark, label, constraint, key = parts
    try:
        "".join(parts).encode()
    except UnicodeEncodeError:  # half a surrogate pair
        raise BadCursor from None
    if mark != _mark(walk):
        raise BadCursor
    return Place(label, constraint, key)


def _mark(walk: str) -> str:
    return hashlib.blake2b(walk.encode(), digest_size=6).hexdigest()
