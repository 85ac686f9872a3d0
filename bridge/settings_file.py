"""Reading `bridge.yaml`: YAML to plain values, with `${VAR}` taken from the environment, and every mistake told with its place.

Variables are put in after the YAML was read, so that no value can change its structure. `${VAR}` must be set, `${VAR:-text}` has
a default, `${file:/run/secrets/name}` is what that file holds, without the end of its last line; `$${` stands for `${` itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bridge.errors import ConfigError

_VARIABLE = re.compile(
    r"\$(?P<literal>\$)\{|\$\{file:(?P<file>[^}]+)\}"
    r"|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<broken>\$\{)"
)


class _Loader(yaml.SafeLoader):
    """YAML's safe subset; a key that stands twice is an error and not the last one's victory."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} stands twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read(path: Path, environment: Mapping[str, str] = os.environ) -> tuple[dict[str, Any], set[str]]:
    """The file's values, and the paths (`tables.users.space`) of those that came from the environment in whole or part.

    Raises ConfigError: file unreadable, not YAML (with the line), a variable that is not set (with its name).
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"there is no configuration file {path}", hint="Give --config FILE, or --source and --target."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8", hint="Save the file as UTF-8 text.") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="Check the file's permissions.") from error
    try:
        found = yaml.load(text, _Loader)  # noqa: S506  (a subclass of SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(
            f"{path}{line}: {error.problem or 'not YAML'}", hint="Correct the file there; it must be YAML."
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML", hint="Remove characters that YAML does not allow.") from error
    if found is None:
        found = {}
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: expected keys with values at the top, found {name_of(found)}", hint="Begin with `source: …`.")
    expanded: set[str] = set()
    values: dict[str, Any] = _expand(found, "", environment, expanded)
    return values, expanded


def _expand(value: Any, path: str, environment: Mapping[str, str], expanded: set[str]) -> Any:
    if isinstance(value, dict):
        return {_key(key, path): _expand(item, _join(path, key), environment, expanded) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, _join(path, position), environment, expanded) for position, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value

    def replacement(match: re.Match[str]) -> str:
        if match["literal"]:
            return "${"
        if match["broken"]:
            raise ConfigError(
                f"{path}: `${{` without a variable's name and `}}`", hint="Write ${NAME}, or $${ for the characters."
            )
        expanded.add(path)
        if match["file"]:
            return _secret(Path(match["file"]), path)
        found = environment.get(match["name"], match["default"])
        if found is None:
            raise ConfigError(
                f"{path}: the environment variable {match['name']} is not set",
                hint=f"Set {match['name']}, or write a default: ${{{match['name']}:-…}}.",
            )
        return found

    return _VARIABLE.sub(replacement, value)


def _secret(file: Path, path: str) -> str:
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(
            f"{path}: the file {file} cannot be read: {why}", hint="Name a file that the bridge may read."
        ) from error


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise ConfigError(
            f"{_join(path, key)}: the key is {name_of(key)}, and keys are texts", hint=f'Write it in quotes: "{key}".'
        )
    return key


def _join(path: str, part: object) -> str:
    return f"{path}.{part}" if path else str(part)


def name_of(value: object) -> str:
    """What kind of thing a YAML value is, for people."""
    names = {
        type(None): "nothing",
        bool: "yes/no",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "keys",
    }
    return names.get(type(value), f"a {type(value).__name__}")
