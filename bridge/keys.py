"""The key part of a memory's id, and the values under which a row is found otherwise. Pure.

Composite keys join with `_`, and a `_` or `%` inside a component of a composite key is percent-encoded, so that ids cannot
collide and a key can be taken apart again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from json.encoder import encode_basestring


def join_key(components: Sequence[str]) -> str:
    """The key part of an id from the key columns' text."""
    if len(components) == 1:
        return components[0]
    return "_".join(component.replace("%", "%25").replace("_", "%5F") for component in components)


def split_key(key: str) -> tuple[str, ...]:
    """The components of a composite key: the inverse of `join_key`."""
    return tuple(component.replace("%5F", "_").replace("%25", "%") for component in key.split("_"))


def alternate_value(parts: Iterable[tuple[Callable[[str], str], str]]) -> str:
    """The text under which a row is found by values that are not its memory key."""
    return "[" + ",".join(encode_basestring(comparable(text)) for comparable, text in parts) + "]"
