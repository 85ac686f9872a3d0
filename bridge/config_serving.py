"""The section `serve` of the configuration: the proxy, the operator's page and the metrics."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import Field, SecretStr, field_validator, model_validator

from bridge.config_sections import Section, connection_string

READ_TOKEN, OPERATE_TOKEN = "ENGRAM_BRIDGE_READ_TOKEN", "ENGRAM_BRIDGE_OPERATE_TOKEN"
SHORTEST_TOKEN = 16


class Serve(Section):
    """The read side: where it listens, who may ask, and what it promises."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address that the proxy listens on.")
    port: int = Field(default=8432, ge=0, le=65535, description="Its port; 0: any that is free.")
    workers: int = Field(default=1, ge=1, le=64, description="Processes that answer.")
    source: str | None = Field(
        default=None, repr=False, description="PostgreSQL URL of a role that may only read; by default source.url."
    )
    read_token: SecretStr | None = Field(default=None, description=f"Token of applications; by default {READ_TOKEN}.")
    operate_token: SecretStr | None = Field(default=None, description=f"Token of operators; by default {OPERATE_TOKEN}.")
    tenant_tokens: dict[str, SecretStr] = Field(
        default={}, description="Tokens of applications that see one tenant's rows, by tenant."
    )
    tls_certificate: str | None = Field(default=None, min_length=1, description="Certificate file, with its chain.")
    tls_key: str | None = Field(default=None, min_length=1, description="Its key file.")
    behind_proxy: bool = Field(default=False, description="TLS ends at a proxy in front: none is needed here.")
    max_staleness: float = Field(default=5.0, gt=0, description="Seconds that an answer of Engram may be behind PostgreSQL.")
    min_lsn_wait: float = Field(
        default=0.25, ge=0, le=30, description="Seconds to wait for the position of X-Min-Lsn before PostgreSQL is asked."
    )
    engram_deadline: float = Field(default=1.0, gt=0, description="Seconds that Engram has for an answer.")
    postgres_timeout: float = Field(default=5.0, gt=0, description="Seconds that PostgreSQL has for an answer.")
    postgres_connections: int = Field(
        default=10, ge=1, le=1000, description="Connections to PostgreSQL of each process, at most."
    )
    access_log: bool = Field(default=False, description="Log each request: route, table, status, who answered, milliseconds.")

    @field_validator("source")
    @classmethod
    def _is_conninfo(cls, url: str | None) -> str | None:
        return url if url is None else connection_string(url)

    @field_validator("read_token", "operate_token")
    @classmethod
    def _is_token(cls, token: SecretStr | None) -> SecretStr | None:
        return token if token is None else _token(token)

    @field_validator("tenant_tokens")
    @classmethod
    def _are_tokens(cls, tokens: dict[str, SecretStr]) -> dict[str, SecretStr]:
        return {tenant: _token(token) for tenant, token in tokens.items()}

    @model_validator(mode="after")
    def _each_means_one_thing(self) -> Serve:
        given = [self.read_token, self.operate_token, *self.tenant_tokens.values()]
        tokens = [token.get_secret_value() for token in given if token is not None]
        if len(set(tokens)) < len(tokens):
            raise ValueError("tokens that differ: who holds one would be taken for another")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key together, or none of them")
        return self

    @property
    def has_tokens(self) -> bool:
        """Whether anybody has to show one."""
        return self.read_token is not None or self.operate_token is not None or bool(self.tenant_tokens)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def with_tokens(given: Any, environment: Mapping[str, str]) -> Any:
    """The section with the environment's tokens, where it names none itself."""
    tokens = {
        name: environment[variable]
        for name, variable in (("read_token", READ_TOKEN), ("operate_token", OPERATE_TOKEN))
        if environment.get(variable)
    }
    if not tokens or not isinstance(given, dict | None):
        return given
    return tokens | (given or {})


def _token(token: SecretStr) -> SecretStr:
    """Raises ValueError for what no header can carry, or what can be guessed."""
    text = token.get_secret_value()
    if len(text) < SHORTEST_TOKEN or not text.isascii() or any(sign.isspace() or not sign.isprintable() for sign in text):
        raise ValueError(f"a token of at least {SHORTEST_TOKEN} letters, digits and signs, such as `openssl rand -hex 24` makes")
    return token
