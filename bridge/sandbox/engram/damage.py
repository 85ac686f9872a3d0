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
    """Do what {"space", "id", "do", …} says; whether there was such a row.

    remove      the row is gone from reads and lists, and no counter moves
    hide        a read by its id no longer finds it, lists still show it
    content     its content becomes `content`
    vector      its vector becomes `vector`, of any length, and no other row minds
    confidence  its confidence becomes `confidence`
    time        its time becomes `time`
    resurrect   a forgotten row is back, as recall remembers it
    """
    space = registry.open(order.needed_text("space")).space
    identity, deed = order.needed_text("id"), order.needed_text("do")
    if deed == "content":
        content = order.needed_text("content")
        return space.change(identity, lambda row: setattr(row, "content", content))
    if deed == "vector":
        return space.turn(identity, order.numbers("vector"))
    if deed == "confidence":
        confidence = order.number("confidence") or 0.0
        return space.change(identity, lambda row: setattr(row, "confidence", confidence))
    if deed == "time":
        when = order.instant("time") or 0
        return space.change(identity, lambda row: setattr(row, "when", when))
    if deed not in _DEEDS:
        raise BadDamage(f"Damage must be content, vector, confidence, time, {', '.join(_DEEDS)}, not '{deed}'.")
    return _DEEDS[deed](space, identity)
