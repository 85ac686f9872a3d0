"""`init`: looks at a database that nobody prepared, and writes a first `bridge.yaml` for it.

Reads the source with SELECT alone; asks nothing of the target. A file that is there is left alone unless told otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from bridge.check import OLDEST
from bridge.config import Source, Target
from bridge.draft import Draft, propose, render
from bridge.errors import CheckFailed, ConfigError
from bridge.facts import Facts
from bridge.postgres import SECRETS, connect, password_free
from bridge.preflight_relations import other_relations, with_columns
from bridge.preflight_source import collect_source

SOURCE_VARIABLE = "ENGRAM_BRIDGE_SOURCE"
TARGET_VARIABLE = "ENGRAM_BRIDGE_TARGET"
USUAL_TARGET = "http://127.0.0.1:7432"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where source and target are: the URL to connect to, and what the file says of both (never a secret)."""

    url: str
    source: str
    target: str
    had_secret: bool = False


def addresses(source: str | None, target: str | None, environment: Mapping[str, str] = os.environ) -> Addresses:
    """From flags, otherwise from the environment, by whose variable the file then names them. Raises ConfigError."""
    url = source or environment.get(SOURCE_VARIABLE)
    if not url:
        raise ConfigError(
            "the source is missing", hint=f"Give --source postgresql://user@host:5432/database, or set {SOURCE_VARIABLE}."
        )
    try:
        Source.model_validate({"url": url})
    except ValueError:
        raise ConfigError(
            "the source is no PostgreSQL connection string", hint="Give --source postgresql://user@host:5432/database."
        ) from None
    try:
        Target.model_validate({"http": target or USUAL_TARGET})
    except ValueError:
        raise ConfigError("the target is no HTTP URL", hint="Give --target http://host:7432.") from None
    secret = not SECRETS.isdisjoint(conninfo_to_dict(url))
    shown = f"${{{SOURCE_VARIABLE}}}"
    if source is not None:
        shown = (password_free(source) if secret else source).replace("${", "$${")
    there = f"${{{TARGET_VARIABLE}}}" if TARGET_VARIABLE in environment else USUAL_TARGET
    return Addresses(url, shown, target.replace("${", "$${") if target is not None else there, secret and source is not None)


def draft(places: Addresses) -> Draft:
    """What `init` proposes for this source. Raises SourceUnavailable, ConfigError; CheckFailed for a server too old."""
    with connect(places.url, application_name="engram-bridge init") as connection:
        answers = collect_source(connection, "engram_bridge", "engram_bridge")
        if answers.server.version < OLDEST:
            raise CheckFailed(
                f"PostgreSQL {answers.server.version // 10_000} is too old", hint="Upgrade the source to PostgreSQL 12 or later."
            )
        tables = [answers.table_facts(table, None, ()) for table in answers.catalog.tables.values()]
        tables = with_columns(connection, answers.with_rows(connection, tables))
        others = other_relations(connection)
    facts = Facts("engram_bridge", "engram_bridge", server=answers.server, role=answers.role, tables=tuple(tables))
    return propose(facts, others, source=places.source, target=places.target)


def write(path: Path, draft: Draft, *, force: bool) -> None:
    """Write the file. Raises ConfigError when it is there and may not be overwritten, or cannot be written."""
    text = render(draft)
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        refuse_existing(path, force=False)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}", hint="Choose another place: --output FILE.") from error


def refuse_existing(path: Path, *, force: bool) -> None:
    """Raise ConfigError for a file that is there and may not be overwritten."""
    if path.exists() and not force:
        raise ConfigError(f"{path} is there already", hint="Write to another file (--output FILE), or overwrite it (--force).")
