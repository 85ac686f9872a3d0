"""What the keys of a configuration mean, and what is wrong with a value: sentences made from the schema itself.

Nothing of a value is shown that could be a secret: not of addresses and of the ledger, nor what came from the environment.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from bridge.errors import ConfigError
from bridge.settings_file import name_of

_SECRET = ("source", "target", "ledger")
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the configuration: `path` is dotted, with `<name>` where any name may stand; `default` is None when required."""

    path: str
    meaning: str
    kind: str
    default: str | None


def keys(model: type[BaseModel], above: str = "") -> Iterator[Key]:
    """Every key of the schema, each section before its own keys."""
    for name, field in model.model_fields.items():
        path = f"{above}.{name}" if above else name
        yield Key(path, field.description or "", _kind(field.annotation), _default(field))
        inner, named = _inner(field.annotation)
        if inner is not None:
            yield from keys(inner, f"{path}.<name>" if named else path)


def explain(model: type[BaseModel], path: str) -> list[Key]:
    """The key of that path and the keys below it. Raises ConfigError for one that does not exist, naming the nearest."""
    known = list(keys(model))
    found = [key for key in known if _same(key.path, path) or _same(".".join(key.path.split(".")[: path.count(".") + 1]), path)]
    if not found:
        raise ConfigError(f"there is no key {path!r}", hint=nearest(path, [key.path for key in known]))
    return found


def _same(pattern: str, path: str) -> bool:
    wanted, parts = pattern.split("."), path.split(".")
    return len(wanted) == len(parts) and all(w in ("<name>", part) for w, part in zip(wanted, parts, strict=True))


def nearest(name: str, known: Collection[str]) -> str:
    """A hint: the known name that is most like `name`, or all of them when none is."""
    folded = {each.casefold(): each for each in known}
    match = difflib.get_close_matches(name, known, n=1) or difflib.get_close_matches(name.casefold(), folded, n=1)
    if match:
        return f"Did you mean {match[0] if match[0] in known else folded[match[0]]!r}?"
    listed = sorted(known)
    more = f" and {len(listed) - 20} more" if len(listed) > 20 else ""
    return f"There is: {', '.join(listed[:20])}{more}." if listed else "There is none at all."


def explain_errors(error: ValidationError, model: type[BaseModel], expanded: Collection[str], file: str | None) -> ConfigError:
    """One ConfigError for all that the schema found: the first in the message, hints for each."""
    told = [_explain(details, model, expanded) for details in error.errors(include_url=False)]
    where = f"{file}: " if file else ""
    return ConfigError(where + "; ".join(message for message, _ in told), hint=" ".join(dict.fromkeys(hint for _, hint in told)))


def _explain(details: ErrorDetails, model: type[BaseModel], expanded: Collection[str]) -> tuple[str, str]:
    parts = tuple(str(part) for part in details["loc"])
    path = ".".join(parts)
    if details["type"] == "extra_forbidden":
        return f"{path}: there is no such key", nearest(parts[-1], list(_model_at(model, parts[:-1]).model_fields))
    if details["type"] == "missing":
        return f"{path}: the key is missing", f"Add `{parts[-1]}:` there."
    wanted = details["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    found = name_of(details["input"])
    if details["type"] in ("string_pattern_mismatch", "string_too_short", "string_too_long"):
        wanted = details["msg"].replace("String should", "a text that should")
    if isinstance(details["input"], str | int | float) and parts and not _secret(parts, details["input"], expanded):
        shown = repr(details["input"])
        found = f"{found}, {shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '…'}"
    field = _field_at(model, parts)
    hint = f"{path}: {field.description}" if field is not None and field.description else f"Correct {path or 'the file'}."
    return f"{path}: expected {wanted}; found {found}", hint


def _secret(parts: tuple[str, ...], value: object, expanded: Collection[str]) -> bool:
    """It may be a secret or hold one: keys, what came from the environment, and every address."""
    named = parts[0] in _SECRET or parts[-1] == "api_key" or any("token" in part for part in parts)
    return named or ".".join(parts) in expanded or "://" in str(value)


def _field_at(model: type[BaseModel], parts: tuple[str, ...]) -> FieldInfo | None:
    """The field that a path leads to or into."""
    field: FieldInfo | None = None
    current: type[BaseModel] | None = model
    named = False
    for part in parts:
        if named:
            named = False
            continue
        if current is None or part not in current.model_fields:
            break
        field = current.model_fields[part]
        current, named = _inner(field.annotation)
    return field


def _model_at(model: type[BaseModel], parts: tuple[str, ...]) -> type[BaseModel]:
    current, named = model, False
    for part in parts:
        if named:
            named = False
            continue
        inner, named = _inner(current.model_fields[part].annotation)
        current = inner or current
    return current


def _inner(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The section that a field holds, and whether it holds one under each of any names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    if get_origin(annotation) is dict:
        return _inner(get_args(annotation)[1])[0], True
    return None, False


def _kind(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(str(value) for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_kind(part) for part in arguments if part is not type(None)))
    if origin is tuple:
        return "list of texts"
    names = {str: "text", int: "number", float: "number", bool: "yes or no"}
    if annotation in names:
        return names[annotation]
    if _inner(annotation)[0] is not None:
        return "keys"
    return _kind(arguments[0]) if arguments else "text"


def _default(field: FieldInfo) -> str | None:
    if field.is_required() or field.default is PydanticUndefined:
        return None
    if field.default is None or field.default in ((), {}, "") or isinstance(field.default, BaseModel):
        return "-"
    return str(field.default)
