"""The configuration of embeddings: models, endpoints and their key, the cache's place."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.config import Config, load, shown
from bridge.errors import ConfigError

ADDRESSES = "source: postgresql://u@h/d\ntarget: http://h:7432\n"
KEY = "sk-very-secret"


def read(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> Config:
    """A configuration with this beside the addresses."""
    path = tmp_path / "bridge.yaml"
    path.write_text(ADDRESSES + text, encoding="utf-8")
    return load(path, environment=environment or {})


def test_every_model_that_is_named_is_known_beforehand(tmp_path: Path) -> None:
    """The default and the tables' own, each once."""
    config = read(tmp_path, "embedding: {model: minilm}\ntables: {a: {model: code}, b: {}, c: {model: minilm}}\n")
    assert config.models == ["minilm", "code"]
    assert config.tables["a"].options().model == "code"
    assert config.tables["b"].options().model is None


def test_the_cache_lies_beside_the_ledger(tmp_path: Path) -> None:
    """Unless it is placed; a ledger on a server has nothing beside it."""
    assert read(tmp_path, "ledger: /srv/shop.db\n").vector_cache == Path("/srv/shop.db.vectors")
    assert read(tmp_path, "ledger: postgresql://h/d\n").vector_cache == Path("engram-bridge.db.vectors")
    assert read(tmp_path, "embedding: {cache: /var/cache/v}\n").vector_cache == Path("/var/cache/v")


@pytest.mark.parametrize("where", ["file", "environment", "environment, with a section"])
def test_the_endpoints_key_is_never_shown(tmp_path: Path, where: str) -> None:
    """Wherever it comes from."""
    section = {"file": f"embedding: {{endpoint: {{api_key: {KEY}}}}}\n", "environment": ""}.get(
        where, "embedding: {endpoint: {timeout: 5}}\n"
    )
    config = read(tmp_path, section, {} if where == "file" else {"EMBEDDING_API_KEY": KEY})
    assert config.embedding.options().endpoint.api_key == KEY
    for text in (repr(config), str(shown(config)), repr(config.embedding.options())):
        assert KEY not in text


@pytest.mark.parametrize(
    "text",
    [
        "embedding: {endpoint: {api_key: 12345678}}",
        "embedding: {model: 'http://user:12345678@host/embed'}",
        "tables: {a: {model: 'http://host/embed?key=12345678'}}",
    ],
)
def test_a_misplaced_key_is_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    """A number where a text should be; a password or a key in the address."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text + "\n")
    assert "12345678" not in str(caught.value) + caught.value.hint
