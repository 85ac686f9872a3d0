"""Which model a word of the configuration means (requirements of both specifications, so the table is told in full)."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.embedding.profiles import PROFILES, is_endpoint, is_folder, named, suggestion


def test_the_profiles_are_what_was_promised() -> None:
    """A word, its model, its dimensions."""
    assert PROFILES["general"] == ("all-mpnet-base-v2", 768)
    assert PROFILES["code"] == ("microsoft/codebert-base", 768)
    assert PROFILES["scientific"] == ("allenai/scibert", 768)
    assert PROFILES["multilingual"] == ("paraphrase-multilingual-mpnet-base-v2", 768)
    assert PROFILES["minilm"] == ("all-MiniLM-L6-v2", 384)


def test_a_name_becomes_one_that_can_be_loaded() -> None:
    """`allenai/scibert` is what people say; the published files have another name."""
    assert named("scientific") == "allenai/scibert_scivocab_uncased"
    assert named("allenai/scibert") == "allenai/scibert_scivocab_uncased"
    assert named("general") == "all-mpnet-base-v2"
    assert named("BAAI/bge-small-en") == "BAAI/bge-small-en"


def test_folders_and_endpoints_are_told_from_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is one by its form, or because it is there."""
    assert is_folder("./models/mine")
    assert is_folder("~/models/mine")
    assert is_folder(str(tmp_path))
    assert not is_folder("org/name")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert is_folder("org/name")
    assert is_endpoint("https://host/v1/embeddings")
    assert not is_endpoint("httpx")


def test_a_word_that_is_nearly_known_is_suggested() -> None:
    """Only then."""
    assert suggestion("minlm") == " Did you mean 'minilm'?"
    assert suggestion("BAAI/bge-small-en") == ""
