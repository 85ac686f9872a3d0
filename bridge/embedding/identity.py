"""A part of every vector is the row's identity, for Engram drops a write within cosine 0.95 of another row's vector.

A tenth of the squared length goes to a *fingerprint*: signs drawn from a hash of (memory id, text), all of the same size. Two
rows of identical text then stand at 0.9 + 0.1 * c, where c is the cosine of their fingerprints: the mean of as many random signs
as the fingerprint has dimensions. Dropping begins at c = 0.5, whose chance is below exp(-dimensions / 8) (Hoeffding): 1.3e-14 a
pair for 256 dimensions, 2e-42 for 768; but 1.1e-7 for 128, which a space of 90,000 equal texts (4e9 pairs) would meet hundreds
of times.

So, when the model leaves at least 256 of the server's dimensions free, the fingerprint lives there, and the ranking of the
semantic part is exactly what it was. When it does not, the fingerprint is made orthogonal to the vector and mixed in with the
same weights: a row's own vector stays at sqrt(0.9) of it, others are disturbed by some hundredths, and search ranks again with
clean vectors. Queries bear no fingerprint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from bridge.errors import ConfigError, Fatal
from bridge.ports import Vectors

SERVER_DIMENSIONS = 768
IDENTITY_SHARE = 0.1
"""Of the squared length."""

FREE_NEEDED = 256
_CLEAN = np.float32((1 - IDENTITY_SHARE) ** 0.5)
_OWN = np.float32(IDENTITY_SHARE**0.5)


def require_fit(model: str, size: int, *, dimensions: int = SERVER_DIMENSIONS) -> None:
    """Raises ConfigError when a model's vectors are larger than the server's: to be asked before the first row is read."""
    if not 0 < size <= dimensions:
        raise ConfigError(
            f"embedding.model: {model} makes vectors of {size} dimensions; the target takes at most {dimensions}",
            hint="Choose a model of at most that many dimensions, or one whose vectors can be shortened to them.",
        )


def is_apart(size: int, *, dimensions: int = SERVER_DIMENSIONS) -> bool:
    """Whether the fingerprint has dimensions of its own, so that search needs no second ranking."""
    return dimensions - size >= FREE_NEEDED


def fingerprints(memory_ids: Sequence[str], texts: Sequence[str], dimensions: int) -> Vectors:
    """Unit rows of ±1/sqrt(dimensions), the signs drawn from SHAKE-128 of (memory id, text)."""
    size = -(-dimensions // 8)
    shake = hashlib.shake_128
    drawn = b"".join(
        [
            # The length keeps apart pairs whose concatenation is the same.
            shake(b"%d:%b%b" % (len(memory_id), memory_id.encode(), text.encode())).digest(size)
            for memory_id, text in zip(memory_ids, texts, strict=True)
        ]
    )
    octets = np.frombuffer(drawn, dtype=np.uint8).reshape(-1, size)
    bits = np.unpackbits(octets, axis=1, count=dimensions)
    height = np.float32(dimensions**-0.5)
    return np.array([-height, height], dtype=np.float32)[bits]


def with_identity(
    vectors: Vectors, memory_ids: Sequence[str], texts: Sequence[str], *, dimensions: int = SERVER_DIMENSIONS
) -> Vectors:
    """The vectors as the server stores them: unit rows of `dimensions`, each telling its row from every other.

    Raises ConfigError when the vectors are larger than that, Fatal when the model gave a row that is zero or not finite.
    """
    count, size = vectors.shape
    require_fit("the model", size, dimensions=dimensions)
    unit = _unit(vectors)
    if is_apart(size, dimensions=dimensions):
        apart = np.empty((count, dimensions), dtype=np.float32)
        np.multiply(unit, _CLEAN, out=apart[:, :size])
        np.multiply(fingerprints(memory_ids, texts, dimensions - size), _OWN, out=apart[:, size:])
        return apart
    own = fingerprints(memory_ids, texts, dimensions)
    own[:, :size] -= np.einsum("ij,ij->i", own[:, :size], unit)[:, None] * unit
    mixed = _unit(own) * _OWN
    mixed[:, :size] += unit * _CLEAN
    return _unit(mixed)


def clean_query(vector: Vectors, *, dimensions: int = SERVER_DIMENSIONS) -> Vectors:
    """A query's vector (one row, one axis) as the server is asked with it: unit, padded with zeros, without a fingerprint."""
    require_fit("the model", len(vector), dimensions=dimensions)
    padded = np.zeros(dimensions, dtype=np.float32)
    padded[: len(vector)] = _unit(vector[None, :])[0]
    return padded


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise Fatal(
            "the embedding model gave a vector that is zero or not finite",
            hint="Nothing was written of this batch. Correct the model, or choose embedding: {model: hashing}.",
        )
    return np.asarray(vectors / lengths[:, None], dtype=np.float32)
