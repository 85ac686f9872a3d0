"""Damage to stored rows behind everybody's back, for tests of those who must notice it. The sandbox's own."""

from collections.abc import Callable
from typing import Final

from bridge.sandbox.engram.registry import Registry
from bridge.sandbox.engram.requests import Document
from bridge.sandbox.engram.space import Space

_DEEDS: Final[dict[str, Callable[[Space, str], bool]]] = {
    "remove": Space.lose,
    "hide": Space.hide,
    "resurrect": Space.resurrect,
}


class BadDamage(ValueError):
    """A request for damage is not what it should be."""


def damage(registry: Registry, order: Document) -> bool:
    """Do what {"space", "id", "do", "content"} says; whether there was such a row.

    remove     the row is gone from reads and lists, and no counter moves
    hide       a read by its id no longer finds it, lists still show it
    content    its content becomes `content`
    resurrect  a forgotten row is back, as recall remembers it
    """
    space = registry.open(order.needed_text("space")).space
    identity, deed = order.needed_text("id"), order.needed_text("do")
    if deed == "content":
        return space.rewrite(identity, order.needed_text("content"))
    if deed not in _DEEDS:
        raise BadDamage(f"Damage must be content, {', '.join(_DEEDS)}, not '{deed}'.")
    return _DEEDS[deed](space, identity)
