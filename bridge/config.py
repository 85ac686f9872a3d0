"""The configuration: one schema for `bridge.yaml`, read once, never changed afterwards.

A key that does not exist, a value of another type and a missing address are told with the key's path and the remedy, before
anything is connected. Passwords may stand in the URLs, but better in PGPASSWORD, PGPASSFILE and ENGRAM_API_KEY; none of them is
ever part of a message or of a `repr`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator

from bridge import settings_file
from bridge.config_cutover import Cutover
from bridge.config_sections import (
    SIZE,
    Embedding,
    Heartbeat,
    Reconcile,
    Section,
    connection_string,
    model_checked,
    port_is_valid,
    size_of,
)
from bridge.config_serving import Serve, with_tokens
from bridge.errors import ConfigError
from bridge.explain import explain_errors
from bridge.postgres import SECRETS, password_free
from bridge.spaces import CONFIDENCE_CLASSES, TableOptions

GRPC_PORT = 50051
CONFIDENCE_LEAST, CONFIDENCE_MOST = 0.5, 0.95
PASSWORD = re.compile(r"^([^:/]+://[^:/@]*):[^/]*@")
"""A password in a URL: libpq takes any character, and one too many is left out rather than a part of it shown."""

Names = tuple[str, ...]


class Source(Section):
    """The PostgreSQL database that is carried."""

    url: str = Field(repr=False, description="PostgreSQL URI or keyword=value string. PGPASSWORD, PGPASSFILE and sslmode work.")
    slot: str = Field(
        default="engram_bridge", pattern=r"^[a-z0-9_]{1,63}$", description="Name of the replication slot; made by the first run."
    )
    publication: str = Field(
        default="engram_bridge", min_length=1, max_length=63, description="Name of the publication; made by the first run."
    )
    plugin: Literal["pgoutput", "wal2json"] = Field(
        default="pgoutput",
        description="What writes the stream on the server: pgoutput, which each server has, or wal2json. Fixed by the first run.",
    )

    max_retained_wal: str | None = Field(
        default=None,
        pattern=SIZE,
        description="WAL that the slot may keep, such as 20GB: half of it warns, all of it does what on_max_retained says.",
    )
    on_max_retained: Literal["keep", "drop"] = Field(
        default="keep",
        description="keep: go on warning. drop: give the slot up if the bridge does not catch up; a new one compares all tables.",
    )
    failover: bool = Field(
        default=False,
        description="From PostgreSQL 17 on: the slot is made with FAILOVER, so that standbys can keep a copy of it.",
    )

    @property
    def max_retained_bytes(self) -> int | None:
        """`max_retained_wal` in bytes."""
        return size_of(self.max_retained_wal) if self.max_retained_wal is not None else None

    @field_validator("url")
    @classmethod
    def _is_conninfo(cls, url: str) -> str:
        return connection_string(url)

    @property
    def shown(self) -> str:
        """The connection string without its password."""
        return password_free(self.url)


class Target(Section):
    """The Engram server that is written."""

    http: str = Field(description="Base URL of Engram's HTTP side, such as http://127.0.0.1:7432.")
    grpc: str = Field(default="", description=f"host:port of its gRPC side; by default the HTTP host with port {GRPC_PORT}.")
    api_key: SecretStr | None = Field(
        default=None, description="Key that the server asks for; by default the variable ENGRAM_API_KEY."
    )
    capacity: int = Field(default=100_000, ge=1, description="Rows after which the server evicts others from a space.")
    limit: int = Field(default=90_000, ge=1, description="Rows that a space may hold; new keys beyond it are parked, never sent.")
    rewrite_share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Share of its time in which a space is written anew after a restart, so that search finds it; 0: never.",
    )
    space_prefix: str = Field(
        default="",
        pattern=r"^[a-z0-9_-]{0,32}$",
        description="Put before the names of all spaces that are not named in `tables`.",
    )

    @field_validator("http")
    @classmethod
    def _is_http(cls, http: str) -> str:
        parts = urlsplit(http)
        if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_valid(http):
            raise ValueError("a URL such as http://127.0.0.1:7432")
        if parts.username or parts.password:
            raise ValueError("a URL without user and password: the key goes into target.api_key or ENGRAM_API_KEY")
        return http.rstrip("/")

    @field_validator("grpc")
    @classmethod
    def _is_host_and_port(cls, grpc: str) -> str:
        if not port_is_valid(f"//{grpc}") or "/" in grpc or urlsplit(f"//{grpc}").port is None:
            raise ValueError("host:port, without http://")
        return grpc

    @model_validator(mode="after")
    def _limit_within_capacity(self) -> Target:
        if self.limit > self.capacity:
            raise ValueError("a `limit` of at most `capacity`: beyond it the server evicts rows without a word")
        return self

    @property
    def grpc_address(self) -> str:
        """host:port of the gRPC side."""
        host = urlsplit(self.http).hostname or ""
        return self.grpc or f"{f'[{host}]' if ':' in host else host}:{GRPC_PORT}"


class Columns(Section):
    """Which columns of a table are carried."""

    include: Names | None = Field(default=None, description="Only these columns; by default all.")
    exclude: Names = Field(default=(), description="All but these columns. Key columns cannot be left out.")


class Table(Section):
    """What differs from the defaults for one table."""

    space: str | None = Field(default=None, description="The Engram space; by default the table's name made valid.")
    shards: int = Field(
        default=1, ge=1, le=256, description="Spaces that the table is spread over. Once it is loaded: `reshard`."
    )
    text: Names | None = Field(default=None, description="Columns whose text is embedded; by default all columns of text types.")
    timestamp: str | None = Field(
        default=None, description="Date or timestamp column of the memory's time; by default created_at."
    )
    confidence: str | float = Field(
        default="verified",
        description="verified, indexed, user_content, derived, or a number from 0.5 to 0.95; stands in the stamp.",
    )
    columns: Columns = Field(default=Columns(), description="Which columns are carried: {include: […]} or {exclude: […]}.")
    model: str | None = Field(default=None, min_length=1, description="The table's own model; by default embedding.model.")
    duplicates: Literal["collapse"] | None = Field(
        default=None, description="collapse: carry a table without a key; rows that are equal become one memory."
    )
    max_staleness: float | None = Field(
        default=None, gt=0, description="Seconds that an answer of Engram may be behind; by default serve.max_staleness."
    )
    edges: bool = Field(default=True, description="Whether its foreign keys become edges.")
    tenant: str | None = Field(
        default=None, min_length=1, description="Column that says whose a row is: callers see their own rows only."
    )

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, given: Any) -> Any:
        """`users:` alone means the defaults; `exclude: […]` beside the other keys is short for `columns: {exclude: […]}`."""
        if given is None:
            return {}
        if isinstance(given, dict) and "exclude" in given and "columns" not in given:
            return {name: value for name, value in given.items() if name != "exclude"} | {
                "columns": {"exclude": given["exclude"]}
            }
        return given

    @field_validator("model")
    @classmethod
    def _without_credentials(cls, model: str | None) -> str | None:
        return model if model is None else model_checked(model)

    @field_validator("confidence", mode="plain")
    @classmethod
    def _is_confidence(cls, given: Any) -> str | float:
        if isinstance(given, str) and given in CONFIDENCE_CLASSES:
            return given
        try:
            number = None if isinstance(given, bool) else float(given)
        except (TypeError, ValueError):
            number = None
        if number is None or not CONFIDENCE_LEAST <= number <= CONFIDENCE_MOST:
            classes = ", ".join(CONFIDENCE_CLASSES)
            raise ValueError(f"one of {classes}, or a number from {CONFIDENCE_LEAST} to {CONFIDENCE_MOST}")
        return number

    def options(self) -> TableOptions:
        """The same for the mapping, which knows no configuration."""
        return TableOptions(
            space=self.space,
            shards=self.shards,
            text=self.text,
            timestamp=self.timestamp,
            confidence=self.confidence,
            include=self.columns.include,
            exclude=self.columns.exclude,
            collapse=self.duplicates == "collapse",
            model=self.model,
            edges=self.edges,
        )


class Parked(Section):
    """When keys that were set aside are tried again by themselves, if their reason can end without anybody doing anything."""

    retry_first: float = Field(default=30.0, gt=0, description="Seconds until the first time; then twice as long each time.")
    retry_last: float = Field(default=600.0, gt=0, description="Seconds that it is at most.")


class Snapshot(Section):
    """How existing rows are read."""

    workers: int = Field(default=4, ge=1, le=64, description="Connections that read chunks at the same time.")
    chunk_rows: int = Field(default=10_000, ge=1, le=10_000_000, description="Rows of a chunk: what is read again after a crash.")
    order: Literal["parents-first"] = Field(
        default="parents-first", description="parents-first: referenced tables before their children."
    )


class Config(Section):
    """The whole of `bridge.yaml`."""

    source: Source = Field(description="The PostgreSQL database: its URL, or {url, slot, publication}.")
    target: Target = Field(
        description="The Engram server: its HTTP URL, or {http, grpc, api_key, capacity, limit, space_prefix}."
    )
    ledger: str = Field(
        default="engram-bridge.db",
        min_length=1,
        repr=False,
        description="The ledger: a file's path, or postgresql://user@host/database, which may have other contents.",
    )
    tables: dict[str, Table] = Field(
        default={}, description="Exceptions by table: `users` (in public) or `schema.table`, as in the catalogue."
    )
    include: Names = Field(default=(), description="Patterns (*, ?) of the tables to carry; by default all.")
    exclude: Names = Field(default=(), description="Patterns (*, ?) of tables to leave out.")
    embedding: Embedding = Field(default=Embedding(), description="How texts become vectors.")
    snapshot: Snapshot = Field(default=Snapshot(), description="How existing rows are read.")
    parked: Parked = Field(default=Parked(), description="When keys that were set aside are tried again by themselves.")
    heartbeat: Heartbeat = Field(default=Heartbeat(), description="The bridge's own beat through the whole path.")
    reconcile: Reconcile = Field(
        default=Reconcile(), description="Comparing PostgreSQL, ledger and Engram round and round; mending what differs."
    )
    serve: Serve = Field(default=Serve(), description="The proxy, the operator's page and the metrics.")
    cutover: Cutover = Field(default=Cutover(), description="When reads may move to Engram, and when they go back.")
    proof: Literal["all"] = Field(default="all", description="How much is read back: all.")
    migration: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="An id that stands in every stamp; by default the ledger's own."
    )

    @model_validator(mode="before")
    @classmethod
    def _addresses_alone(cls, given: Any) -> Any:
        """`source: URL` is short for `source: {url: URL}`, and so for the target."""
        if not isinstance(given, dict):
            return given
        given = dict(given)
        for name, first in (("source", "url"), ("target", "http")):
            if isinstance(given.get(name), str):
                given[name] = {first: given[name]}
        return given

    @field_validator("include", "exclude", mode="before")
    @classmethod
    def _one_pattern(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else given

    @property
    def models(self) -> list[str]:
        """Every model that is named, the default first."""
        named = [table.model for table in self.tables.values() if table.model is not None]
        return list(dict.fromkeys([self.embedding.model, *named]))

    @property
    def vector_cache(self) -> Path:
        """The cache's file: beside the ledger, or in the current folder when the ledger is no file."""
        if self.embedding.cache is not None:
            return Path(self.embedding.cache).expanduser()
        beside = self.ledger if "://" not in self.ledger else "engram-bridge.db"
        return Path(f"{beside}.vectors")

    @field_validator("ledger")
    @classmethod
    def _home(cls, ledger: str) -> str:
        scheme, separator, rest = ledger.partition("://")
        if separator and scheme.startswith("postgres"):
            connection_string(f"postgresql://{rest.partition('?')[0]}")  # `?schema=` is ours, not libpq's
        return ledger if "://" in ledger else str(Path(ledger).expanduser())


def load(
    path: Path | str | None,
    *,
    source: str | None = None,
    target: str | None = None,
    ledger: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Config:
    """The configuration of a file, or of flags alone; flags win. Raises ConfigError with key, what is wrong, and the remedy.

    A `target` flag names another server, so the file's gRPC address does not count with it.
    """
    given: dict[str, Any] = {}
    expanded: set[str] = set()
    if path is not None:
        given, expanded = settings_file.read(Path(path), environment)
    if source is not None:
        given["source"] = _section(given.get("source"), "url") | {"url": source}
    if target is not None:
        kept = {name: value for name, value in _section(given.get("target"), "http").items() if name != "grpc"}
        given["target"] = kept | {"http": target}
    if ledger is not None:
        given["ledger"] = ledger
    _require(given, "source", "url", "--source postgresql://user@host:5432/database")
    _require(given, "target", "http", "--target http://host:7432")
    key = environment.get("ENGRAM_API_KEY")
    if key and isinstance(given["target"], dict | str):
        given["target"] = {"api_key": key} | _section(given["target"], "http")
    key = environment.get("EMBEDDING_API_KEY")
    if key:
        section = given.get("embedding") or {}
        endpoint = section.get("endpoint") or {} if isinstance(section, dict) else None
        if isinstance(endpoint, dict):
            given["embedding"] = section | {"endpoint": {"api_key": key} | endpoint}
    given["serve"] = with_tokens(given.get("serve"), environment)
    if given["serve"] is None:
        del given["serve"]
    try:
        return Config.model_validate(given)
    except ValidationError as error:
        raise explain_errors(error, Config, expanded, str(path) if path is not None else None) from None


def shown(config: Config) -> dict[str, Any]:
    """The whole configuration as plain values that may be shown: addresses without their passwords, secrets as asterisks."""
    plain: dict[str, Any] = config.model_dump(mode="json", exclude_defaults=False)
    plain["source"]["url"] = config.source.shown
    plain["ledger"] = without_password(config.ledger)
    if config.serve.source is not None:
        plain["serve"]["source"] = password_free(config.serve.source)
    return plain


def without_password(location: str) -> str:
    """A ledger's place without its secrets: a path as it is."""
    if "://" not in location:
        return location
    address, _mark, options = PASSWORD.sub(r"\1@", location).partition("?")
    kept = "&".join(option for option in options.split("&") if option and unquote(option.partition("=")[0]) not in SECRETS)
    return f"{address}?{kept}" if kept else address


def _section(given: Any, first: str) -> dict[str, Any]:
    if isinstance(given, str):
        return {first: given}
    return dict(given) if isinstance(given, dict) else {}


def _require(given: dict[str, Any], name: str, first: str, flag: str) -> None:
    found = given.get(name)
    if found in (None, "") or (isinstance(found, dict) and found.get(first) in (None, "")):
        raise ConfigError(f"the {name} is missing", hint=f"Give {flag}, or `{name}:` in the configuration file.")
