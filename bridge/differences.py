"""What differs between two configurations, by the names of their keys. Pure."""

from __future__ import annotations

from typing import Any

from bridge.config import Config


def changed_keys(before: Config, after: Config) -> list[str]:
    """The keys whose values differ: `section.name`, for a table `tables.orders.max_staleness`."""
    old, new = _flat(before.model_dump()), _flat(after.model_dump())
    return sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))


def _flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{above}{name}"
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{path}.")
        else:
            flat[path] = value
    return flat
