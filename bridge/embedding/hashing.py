"""The built-in embedder: feature hashing of words and of their trigrams. No model, no download, no state that matters.

A word is a feature (in two places, so that no two words cancel each other by one collision), and its trigrams (of `<word>`, so
that beginning and end count) are features that weigh as much together as the word does: texts that share words are close, texts
that share parts of words (plural, typing mistake, compound) are closer than texts that share nothing. Word order does not count.

The vector of a text is the same, bit for bit, in every process and on every machine: features are placed by CRC-32 and never by
Python's `hash`, and the weights are small integers, so that every sum is exact whatever the order in which it is added up.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from array import array
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bridge.ports import Vectors

DIMENSIONS = 512
_BITS = 9
LONGEST_TEXT = 32_768
"""Characters of a text that are looked at: a bag of features that large does not change any more, but would take time."""

LONGEST_WORD = 32
"""Characters of a word whose trigrams are looked at: longer ones are encoded data."""

WORDS_KEPT = 50_000
"""Words whose features are remembered, some 15 MB; then the memory starts anew."""

TRIGRAMS_KEPT = 50_000
ROWS_AT_ONCE = 64
"""As many sums as stay in the processor's cache: a batch of 500 takes half the time that it takes in one piece."""

_Numbers = npt.NDArray[np.float64]
_WORD = re.compile(r"\w+")
_ASCII_WORDS = bytes(ord(chr(code).lower()) if chr(code).isalnum() or chr(code) == "_" else 32 for code in range(128)) + bytes(
    128
)
"""Letters to lower case, digits and `_` as they are, all else to a space."""

_PLACES = DIMENSIONS * 2
_SCALE = 60
_TWO = 2 * _PLACES
_WEIGHTS = np.array([0] + [round(_SCALE / count**0.5) for count in range(1, LONGEST_WORD + 1)], dtype=np.float64)
"""By weight class: n for each of n features that weigh `_SCALE` together."""

_SIGNED: _Numbers = np.repeat(_WEIGHTS, 2) * np.tile([1.0, -1.0], len(_WEIGHTS))
_NOTHING: _Numbers = np.full(DIMENSIONS, DIMENSIONS**-0.5, dtype=np.float64)
"""Where texts without any word stand: at the same distance from all others."""


class HashingEmbedder:
    """Implements `bridge.ports.Embedder`. Thread-safe: what threads share is a memory of pure results."""

    name = "hashing-512"
    dimensions = DIMENSIONS
    identity = "hashing-512"
    kept = False  # it is as fast as a cache

    def __init__(self) -> None:
        self._words: dict[str, bytes] = {}
        self._trigrams: dict[str, int] = {}

    def embed(self, texts: Sequence[str], *, urgent: bool = False) -> Vectors:  # noqa: ARG002 - nobody waits for it
        """One unit row of 512 float32 per text. Texts that differ only in case, punctuation or word order get the same row."""
        features = [self._features(_words(text)) for text in texts]
        vectors = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
        for start in range(0, len(features), ROWS_AT_ONCE):
            vectors[start : start + ROWS_AT_ONCE] = _unit_sums(features[start : start + ROWS_AT_ONCE])
        return vectors

    def cut(self, texts: Sequence[str]) -> list[int]:
        """Texts that are looked at in part only."""
        return [place for place, text in enumerate(texts) if len(text) > LONGEST_TEXT]

    def close(self) -> None:
        """There is nothing to close."""

    def _features(self, words: Sequence[str]) -> bytes:
        """The features of all words, one after the other. Most words are known: then no line of ours runs for each of them."""
        known = self._words
        try:
            return b"".join(map(known.__getitem__, words))
        except KeyError:
            return b"".join([known.get(word) or self._learn(word) for word in words])

    def _learn(self, word: str) -> bytes:
        """The features of a word: int32 codes of weight class, sign and place. Numbers that share digits are not alike."""
        head = "" if word.isdigit() else word[:LONGEST_WORD]
        marked = f"<{head}>"
        first = len(head) * _PLACES
        known = self._trigrams
        trigrams = [marked[start : start + 3] for start in range(len(head))]
        places = [first + (known.get(trigram) or self._learn_trigram(trigram)) for trigram in trigrams]
        codes = array("i", [_TWO + _place("v" + word), _TWO + _place("w" + word), *places]).tobytes()
        if len(word) <= LONGEST_WORD:
            if len(self._words) >= WORDS_KEPT:
                self._words.clear()
            self._words[word] = codes
        return codes

    def _learn_trigram(self, trigram: str) -> int:
        if len(self._trigrams) >= TRIGRAMS_KEPT:
            self._trigrams.clear()
        place = self._trigrams[trigram] = _place("t" + trigram)
        return place


def _words(text: str) -> list[str]:
    """The words of the text, without the differences of case and of Unicode form.

    Of ASCII text they are what lies between characters that are no letter, digit or `_`: a third of the pattern's time.
    """
    text = text[:LONGEST_TEXT]
    if text.isascii():
        return text.encode().translate(_ASCII_WORDS).decode().split()
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _place(feature: str) -> int:
    """Sign and dimension of a feature, 0…1023. CRC-32 is linear, so that like features would differ alike: hence the product."""
    return ((zlib.crc32(feature.encode()) * 0x9E3779B1) >> 15) % _PLACES


def _unit_sums(features: Sequence[bytes]) -> _Numbers:
    """The sum of the features of every text, a row each, brought to length 1."""
    codes = np.frombuffer(b"".join(features), dtype=np.int32)
    counts = np.fromiter(map(len, features), dtype=np.int64, count=len(features)) // codes.itemsize
    rows = np.repeat(np.arange(len(features), dtype=np.int64) * DIMENSIONS, counts)
    weights = _SIGNED.take(codes >> _BITS)
    added = np.bincount(rows + (codes & (DIMENSIONS - 1)), weights=weights, minlength=len(features) * DIMENSIONS)
    sums: _Numbers = np.asarray(added, dtype=np.float64).reshape(len(features), DIMENSIONS)
    squares = np.einsum("ij,ij->i", sums, sums)
    empty = squares == 0
    if empty.any():
        sums[empty] = _NOTHING
        squares[empty] = 1.0
    sums *= (1.0 / np.sqrt(squares))[:, None]
    return sums
