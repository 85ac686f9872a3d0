"""How a model is used: what the configuration says beside its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """How an HTTP endpoint is asked. `timeout` in seconds; `max_characters`: where a text is cut or a
    piece of it ends, 0: nowhere."""

    kind: Literal["openai", "tei"] | None = None
    name: str | None = None
    api_key: str | None = None
    timeout: float = 30.0
    batch: int = 32
    max_characters: int = 0

    def __repr__(self) -> str:  # a key must not come into a log
        return f"EndpointOptions(kind={self.kind!r}, name={self.name!r})"


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What is the same for all models of a configuration.

    `dimensions`: shorten vectors to so many. `batch_tokens`: tokens of one batch, padding included, by
    default as suits the device. `long_texts`: texts beyond
    the model's window are cut, or embedded in pieces whose mean is taken.
    """

    dimensions: int | None = None
    long_texts: Literal["cut", "pool"] = "cut"
    device: str = "auto"
    batch_tokens: int | None = None
    endpoint: EndpointOptions = EndpointOptions()
