"""Memories forgotten by their ids, and proven gone. To be called by the lane of their space."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from bridge.ports import Target

ROUNDS = 4


class HasTarget(Protocol):
    """Whoever works with a target."""

    @property
    def target(self) -> Target:
        """The server."""


def forget_all(shop: HasTarget, space: str, memory_ids: list[str]) -> set[str]:
    """Forget these; answers those that are still there after some rounds."""
    left = memory_ids
    for _round in range(ROUNDS if memory_ids else 0):
        shop.target.forget(space, left)
        found = shop.target.read(space, left)
        left = [memory_id for memory_id, stored in zip(left, found, strict=True) if stored is not None]
        if not left:
            break
    return set(left)


def existing(shop: HasTarget, space: str, memory_ids: Iterable[str]) -> list[str]:
    """Those that the target answers."""
    ids = list(dict.fromkeys(memory_ids))
    found = shop.target.read(space, ids) if ids else []
    return [memory_id for memory_id, stored in zip(ids, found, strict=True) if stored is not None]
