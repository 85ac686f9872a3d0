"""Models of sentence-transformers, and plain transformers with the mean of their token vectors, on this machine.

Imported only when such a model is asked for: it needs the extra `embeddings`, and takes seconds and half a gigabyte.

One batch is in the model at a time: a batch keeps all cores (or the device) busy by itself, and two would only take turns in its
caches. What surrounds it, tokens, cache, writing, proving, goes on in the other lanes meanwhile.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bridge.embedding.files import ModelFiles, find, require_hub
from bridge.embedding.options import ModelOptions
from bridge.embedding.packing import packed, pooled, windows
from bridge.embedding.turns import Turns
from bridge.errors import ConfigError, EmbeddingRefused
from bridge.ports import Vectors

logger = logging.getLogger(__name__)

EXTRA = "embeddings"
LONGEST_TOKEN = 64
"""Characters that a token has at most, on the average of a text: what is further than that from the window's end is not read."""

SPARE = 8
"""Tokens that a piece stays below the window: cut out of its text it may fall into a few more of them."""

CPU_TOKENS, DEVICE_TOKENS = 2048, 32_768
"""Tokens of a batch by default: more gains nothing on a CPU, and the stream would wait longer for its turn."""

_USUAL_WINDOW = 512
_QUIET = ("sentence_transformers", "transformers", "huggingface_hub")


class TransformerEmbedder:
    """Implements `bridge.ports.Embedder`."""

    kept = True

    def __init__(self, name: str, options: ModelOptions) -> None:
        """Load it. Raises ConfigError when the packages are missing, or the model is, or it cannot be used."""
        self.name = name
        files = find(name)
        self._model = _load(name, files, options)
        self._pool = options.long_texts == "pool"
        self._budget = options.batch_tokens or (CPU_TOKENS if self._model.device.type == "cpu" else DEVICE_TOKENS)
        self._turns = Turns()
        self.dimensions = int(self._model.get_embedding_dimension())
        window = self._model.max_seq_length
        self._window = int(window) if window and window < 1_000_000 else _USUAL_WINDOW
        self._tokenizer = _own_tokenizer(name, self._model)
        self._room = max(self._window - self._tokenizer.num_special_tokens_to_add(False) - SPARE, 1)
        # A shortened vector and a text in pieces are other vectors. Files are known by their contents, wherever they are.
        revision = files.revision or f"{name}@{_commit(name)}"
        self.identity = f"{revision} {self.dimensions}d {self._window}t {options.long_texts}"

    def embed(self, texts: Sequence[str], *, urgent: bool = False) -> Vectors:
        """One unit row a text. Raises EmbeddingRefused."""
        try:
            pieces, owners = self._pieces(texts)
            lengths = [len(found.ids) for found in self._tokenizer.encode_batch_fast([self._head(piece) for piece in pieces])]
            vectors = np.empty((len(pieces), self.dimensions), dtype=np.float32)
            for batch in packed([min(length, self._window) for length in lengths], self._budget):
                self._embed_batch(batch, pieces, vectors, urgent)
        except (RuntimeError, MemoryError, ValueError, TypeError, IndexError) as error:
            # The message of a tokenizer or model may quote the text: only what kind of error it was is told.
            raise EmbeddingRefused(f"{self.name} cannot embed it: {type(error).__name__}") from error
        return pooled(vectors, owners, lengths, len(texts)) if len(pieces) > len(texts) else vectors

    def _embed_batch(self, batch: list[int], pieces: list[str], vectors: Vectors, urgent: bool) -> None:
        """One batch through the model; one that is too large for the memory in halves, and those to come are smaller."""
        try:
            with self._turns.turn(urgent=urgent):
                vectors[batch] = self._encode([pieces[index] for index in batch])
        except (RuntimeError, MemoryError) as error:
            if len(batch) == 1 or not _out_of_memory(error):
                raise
        else:
            return
        self._budget = max(self._budget // 2, self._window)
        logger.warning("a batch is too large for the memory", extra={"model": self.name, "batch_tokens": self._budget})
        middle = len(batch) // 2
        self._embed_batch(batch[:middle], pieces, vectors, urgent)
        self._embed_batch(batch[middle:], pieces, vectors, urgent)

    def cut(self, texts: Sequence[str]) -> list[int]:
        """Texts of which the model does not see the end."""
        room = self._window if not self._pool else 0
        # A token has at least one byte: a text of fewer bytes than the window has tokens is never cut.
        long = [place for place, text in enumerate(texts) if len(text.encode()) > self._window]
        if not long:
            return []
        if room:
            found = self._tokenizer.encode_batch_fast([self._head(texts[place]) for place in long])
            return [place for place, text in zip(long, found, strict=True) if len(text.ids) > room]
        found = self._tokenizer.encode_batch_fast([texts[place] for place in long], add_special_tokens=False)
        seen = [windows(len(text.ids), self._room)[-1][1] for text in found]
        return [place for place, text, end in zip(long, found, seen, strict=True) if end < len(text.ids)]

    def close(self) -> None:
        """There is nothing to close."""

    def _head(self, text: str) -> str:
        return text[: self._window * LONGEST_TOKEN]

    def _pieces(self, texts: Sequence[str]) -> tuple[list[str], list[int]]:
        """What is embedded, and of which text it is a part."""
        if not self._pool:
            return list(texts), list(range(len(texts)))
        pieces, owners = [], []
        for index, text in enumerate(texts):
            if len(text.encode()) <= self._room:
                pieces.append(text)
                owners.append(index)
                continue
            places = self._tokenizer.encode(text, add_special_tokens=False).offsets
            for start, stop in windows(len(places), self._room):
                pieces.append(text[places[start][0] : places[stop - 1][1]] if places else text)
                owners.append(index)
        return pieces, owners

    def _encode(self, texts: list[str]) -> Vectors:
        """One batch through the model; the longest text is first, and all are padded to it."""
        found: Vectors = self._model.encode(
            texts, batch_size=len(texts), show_progress_bar=False, convert_to_numpy=True, normalize_embeddings=True
        )
        return found


def _out_of_memory(error: Exception) -> bool:
    """torch's own error, which is a RuntimeError, or Python's."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _load(name: str, files: ModelFiles, options: ModelOptions) -> Any:
    try:
        import sentence_transformers
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"embedding.model: {name} needs the package {error.name!r}, which is not installed",
            hint=f"pip install 'engram-bridge[{EXTRA}]'",
        ) from error
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    for noisy in _QUIET:
        logging.getLogger(noisy).setLevel(logging.ERROR)
    _no_bars()

    def load(*, local: bool) -> Any:
        return sentence_transformers.SentenceTransformer(
            files.place,
            device=None if options.device == "auto" else options.device,
            local_files_only=local,
            truncate_dim=options.dimensions,
        )

    try:
        try:
            return load(local=True)
        except OSError:
            if files.local:
                raise
            require_hub(name)
            logger.info("a model is fetched", extra={"model": name})
            return load(local=False)
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"embedding.model: {name} cannot be loaded: {told}", hint="Check its name or folder, and embedding.device."
        ) from error


def _no_bars() -> None:
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()


def _own_tokenizer(name: str, model: Any) -> Any:
    """A tokenizer to count with, without padding and truncation: the model's own is changed by each call, and not for threads."""
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ConfigError(
            f"embedding.model: {name} has no tokenizer that the bridge can count with", hint="Choose a transformer model."
        )
    own = type(backend).from_str(backend.to_str())
    own.no_truncation()
    own.no_padding()
    return own


def _commit(name: str) -> str:
    """The hub's revision of what was loaded: in its cache on this machine, the folder that the files are in."""
    from huggingface_hub import try_to_load_from_cache

    for repository in (name, f"sentence-transformers/{name}"):
        found = try_to_load_from_cache(repository, "config.json") if repository.count("/") < 2 else None
        if isinstance(found, str):
            return Path(found).parent.name
    return "unknown"
