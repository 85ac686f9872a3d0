"""The section `embedding` of the configuration, and what all sections have in common."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from bridge.embedding.options import EndpointOptions, ModelOptions
from bridge.embedding.profiles import HASHING, is_endpoint

SIZE = r"^([0-9]{1,12}) ?(kB|MB|GB|TB)$"
UNITS = {"kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
"""As PostgreSQL counts them."""


def size_of(text: str) -> int:
    """The bytes of a text that SIZE matches. Raises ValueError for another."""
    found = re.fullmatch(SIZE, text)
    if found is None:
        raise ValueError(f"not a size: {text!r}")
    return int(found[1]) * UNITS[found[2]]


class Section(BaseModel):
    """A part of the configuration: its keys are known, and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Heartbeat(Section):
    """The bridge's own beat through the whole path: a small message in the source's WAL."""

    seconds: float = Field(
        default=1.0, ge=0, le=300, description="Seconds between two; 0: none is written, and lag is not measured end to end."
    )


class Reconcile(Section):
    """Comparing PostgreSQL, ledger and Engram all the time, round and round, and mending what differs."""

    enabled: bool = Field(default=True, description="Whether `run` does it by itself.")
    rest: float = Field(default=600.0, ge=0, description="Seconds between two rounds, and from a run's beginning to the first.")
    rows_per_second: float = Field(default=2000.0, gt=0, description="Rows of PostgreSQL that are compared in a second at most.")
    memories_per_second: float = Field(default=1000.0, gt=0, description="Memories of Engram that are, at most.")
    target_share: float = Field(default=0.1, gt=0, le=1, description="Share of the time in which Engram is asked, at most.")


def port_is_valid(url: str) -> bool:
    """Whether a URL has a host, and a port that can be one if it has any."""
    try:
        _ = urlsplit(url).port
    except ValueError:
        return False
    return bool(urlsplit(url).hostname)


class Endpoint(Section):
    """An HTTP endpoint that embeds."""

    kind: Literal["openai", "tei"] | None = Field(
        default=None, description="openai (/v1/embeddings) or tei (/embed, text-embeddings-inference); by default found out."
    )
    name: str | None = Field(default=None, min_length=1, description="The model that is asked for, where one serves several.")
    api_key: SecretStr | None = Field(default=None, description="Its key; by default the variable EMBEDDING_API_KEY.")
    timeout: float = Field(default=30.0, gt=0, description="Seconds to wait for an answer.")
    batch: int = Field(default=32, ge=1, le=2048, description="Texts in one call.")
    max_characters: int = Field(
        default=0,
        ge=0,
        description="Characters where a text is cut, or a piece of it ends, for endpoints that refuse long ones; 0: none.",
    )


def model_checked(model: str) -> str:
    """The model as it was given. Raises ValueError for an endpoint's URL that is none, or that holds a secret."""
    if is_endpoint(model):
        parts = urlsplit(model)
        if not port_is_valid(model):
            raise ValueError("a URL such as http://127.0.0.1:8080/v1/embeddings")
        if parts.username or parts.password or parts.query:
            raise ValueError("a URL without user, password and query: the key goes into embedding.endpoint.api_key")
    return model


class Embedding(Section):
    """How texts become vectors."""

    model: str = Field(
        default=HASHING,
        min_length=1,
        description="hashing (built in, 512 dimensions); general, code, scientific, multilingual, minilm; the name of a "
        "sentence-transformers model; a folder with one; or the URL of an endpoint.",
    )
    dimensions: int | None = Field(
        default=None, ge=1, description="Shorten vectors to so many, for models trained for that; by default the model's own."
    )
    long_texts: Literal["cut", "pool"] = Field(
        default="cut", description="What exceeds the model's window: cut, or pool (pieces that overlap, and their mean)."
    )
    device: str = Field(default="auto", min_length=1, description="auto, cpu, cuda, cuda:1, mps.")
    batch_tokens: int | None = Field(
        default=None, ge=16, description="Tokens of a batch, padding included; by default 2,048 on a CPU and 32,768 elsewhere."
    )
    cache: str | None = Field(
        default=None, min_length=1, description="File of the vectors that are known already; by default beside the ledger."
    )
    cache_mb: int = Field(default=1024, ge=0, description="Megabytes that it may take; 0: none is kept.")
    endpoint: Endpoint = Field(default=Endpoint(), description="How an endpoint is asked, when `model` is a URL.")

    @field_validator("model")
    @classmethod
    def _without_credentials(cls, model: str) -> str:
        return model_checked(model)

    def options(self) -> ModelOptions:
        """The same for the embedders, which know no configuration."""
        key = self.endpoint.api_key
        return ModelOptions(
            dimensions=self.dimensions,
            long_texts=self.long_texts,
            device=self.device,
            batch_tokens=self.batch_tokens,
            endpoint=EndpointOptions(
                kind=self.endpoint.kind,
                name=self.endpoint.name,
                api_key=key.get_secret_value() if key else None,
                timeout=self.endpoint.timeout,
                batch=self.endpoint.batch,
                max_characters=self.endpoint.max_characters,
            ),
        )


def connection_string(url: str) -> str:
    """The connection string that is given, if it is one. Raises ValueError.

    An @ or / in a password ends it too early: the rest of it would be taken for a host, a port or a database, and be shown.
    """
    try:
        known = conninfo_to_dict(url) if url.strip() else None
    except psycopg.Error:
        known = None
    host, ports = (str((known or {}).get(name) or "") for name in ("host", "port"))
    if (
        known is None
        or any("@" in one[1:] for one in host.split(","))
        or not all(port.isdigit() for port in ports.split(",") if port)
    ):
        odd = ", where a password's @ is written %40 and its / %2F, or is left to PGPASSWORD" if "://" in url else ""
        raise ValueError(f"a PostgreSQL connection string: postgresql://user@host:5432/database{odd}")
    return url
