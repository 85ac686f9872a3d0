"""How often the text that a question means is among the first five that Engram's vectors bring up: hashing against MiniLM.

The vectors are those that Engram is sent, the row's identity mixed in, and the questions' are those that it is asked with. The
ranking is by cosine over all texts, as an exact search would do it.
"""

from __future__ import annotations

import numpy as np

from bench.figures import Figure, Say, Scale
from bench.paraphrases import QUESTIONS, TEXTS
from bridge import embedding
from bridge.embedding.encoder import Encoder
from bridge.embedding.identity import clean_query, with_identity

FIRST = 5
GOALS = {"hashing": 0, "minilm": 90}
"""Percent. Of hashing none is asked: it knows words, not meanings."""


def hits(model: str, first: int = FIRST) -> list[bool]:
    """For each question, whether its text is among the first so many."""
    encoder = Encoder(embedding.make(model))
    ids = [f"texts_{number}" for number in range(len(TEXTS))]
    stored = with_identity(encoder.encode(TEXTS).vectors, ids, TEXTS)
    asked = encoder.encode([question for question, _text in QUESTIONS]).vectors
    ranked = [np.argsort(-(stored @ clean_query(vector)))[:first] for vector in asked]
    return [text in best for best, (_question, text) in zip(ranked, QUESTIONS, strict=True)]


def run(scale: Scale, say: Say) -> list[Figure]:
    """recall@5; the bare figure is what chance would find."""
    del scale
    figures = []
    for model, goal in GOALS.items():
        say(f"recall of {model}")
        recall = 100 * sum(hits(model)) / len(QUESTIONS)
        figures.append(
            Figure(
                name=f"recall-{model}",
                what=f"questions in other words whose text is among the first {FIRST}, against chance",
                unit="% recall@5",
                ours=[recall],
                bare=[100 * FIRST / len(TEXTS)],
                goal=f">= {goal} %" if goal else "stated",
                met=recall >= goal,
                notes={"texts": len(TEXTS), "questions": len(QUESTIONS)},
            )
        )
    return figures
