"""The checkpoint file of a one-shot migration: whose it is, what was ordered, and how far it is.

What has been done stands in the ledger, row by row; the file is what a person looks at and names to go on: it binds a migration
to its source, its ledger and its order, so that the same command goes on with it and another one is refused. It is written whole
under another name and then renamed, so it is never half a file.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bridge.errors import CheckFailed, ConfigError

SCHEMA = 1
LEAST_FREE_BYTES = 10_000_000
RUNNING, INTERRUPTED, FINISHED = "running", "interrupted", "finished"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the file says. `source`: system identifier and database; `order`: the flags that decide what is written.

    `tables`: chunks planned and recorded, and rows recorded, by label. `state`: running, interrupted or finished; `exit_code` is
    that of a finished one. Times are seconds since 1970.
    """

    migration_id: str
    tool: str
    source: Mapping[str, str]
    target: str
    ledger: str
    ledger_id: str
    order: Mapping[str, Any]
    state: str
    began: float
    written: float
    snapshots: Sequence[Mapping[str, Any]] = ()
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    exit_code: int | None = None
    schema: int = SCHEMA

    def require(self, path: Path, **now: Any) -> None:
        """That it was written for the same source, target, ledger and order. Raises CheckFailed naming what differs."""
        for name, value in now.items():
            known = getattr(self, name)
            if known != value:
                raise CheckFailed(
                    f"the checkpoint {path} is of another {_WORDS[name]}: {_shown(known)}, and this is {_shown(value)}",
                    hint="Give the same options as before to go on with it; for another migration name another file.",
                )


_WORDS = {"source": "source", "target": "target", "ledger": "ledger", "ledger_id": "ledger", "order": "order"}


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if isinstance(value, dict) else str(value)


def usable(path: Path) -> None:
    """That a checkpoint can be written there. Raises CheckFailed naming the path."""
    folder = path.parent
    if not folder.is_dir():
        raise CheckFailed(f"the folder of the checkpoint {path} is not there", hint=f"mkdir -p {folder}")
    if path.is_dir():
        raise CheckFailed(f"the checkpoint {path} is a folder", hint="Name a file in it: --checkpoint-file FILE.")
    if not os.access(folder, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.R_OK | os.W_OK)):
        raise CheckFailed(
            f"the checkpoint {path} cannot be written: its folder {folder} or the file itself is read-only",
            hint="Give this user the right to write there, or name another file: --checkpoint-file FILE.",
        )
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise CheckFailed(
            f"the disk of the checkpoint {path} has {free / 1e6:.0f} MB left", hint="Make room, or name a file on another disk."
        )


def read(path: Path) -> Checkpoint | None:
    """What was written before; None when there is no file. Raises ConfigError for what is no checkpoint of this version."""
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is no checkpoint of a migration", hint="Name another file: --checkpoint-file FILE.") from error
    schema = given.get("schema") if isinstance(given, dict) else None
    if schema != SCHEMA:
        said = f"version {schema}" if isinstance(schema, int) else "no checkpoint of a migration"
        raise ConfigError(
            f"the checkpoint {path} is of {said}; this engram-bridge knows version {SCHEMA}"
            if isinstance(schema, int)
            else f"{path} is {said}",
            hint="Use the engram-bridge that wrote it, or name another file: --checkpoint-file FILE.",
        )
    try:
        return Checkpoint(**given)
    except TypeError as error:
        raise ConfigError(f"{path} is no checkpoint of a migration", hint="Name another file: --checkpoint-file FILE.") from error


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Put it in the place of the one before. Raises CheckFailed when it cannot be written."""
    text = json.dumps(asdict(checkpoint), ensure_ascii=False, indent=2) + "\n"
    made: str | None = None
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            made = file.name
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, path)
    except OSError as error:
        if made is not None:
            Path(made).unlink(missing_ok=True)
        raise CheckFailed(
            f"the checkpoint {path} cannot be written: {error.strerror}", hint="Name another file: --checkpoint-file FILE."
        ) from error
