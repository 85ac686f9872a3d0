"""Who may ask for what: two roles, told by a token; and whose rows a caller sees.

`operate` may do all that `read` may. Without tokens the proxy is open to whoever reaches it, and then only this machine can: off
loopback it does not start without them, nor without TLS, unless a proxy in front has it. While it is open a browser must not be
led here by another name (DNS rebinding), so the host that was asked for has to be this machine's.
"""

from __future__ import annotations

import enum
import functools
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request

from api.problems import Problem, not_found
from bridge.config_serving import Serve, is_loopback
from bridge.errors import ConfigError

LONGEST_TENANT = 256


class Role(enum.IntEnum):
    """What a caller may do; the higher includes the lower."""

    READ = 1
    OPERATE = 2


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `tenant`: whose rows are asked for, None when nothing was said."""

    role: Role
    tenant: str | None


class Access:
    """The tokens, and what they are good for."""

    def __init__(self, serve: Serve) -> None:
        self._open = not serve.has_tokens
        self._tokens: list[tuple[bytes, Role, str | None]] = []
        if serve.operate_token is not None:
            self._tokens.append((serve.operate_token.get_secret_value().encode(), Role.OPERATE, None))
        if serve.read_token is not None:
            self._tokens.append((serve.read_token.get_secret_value().encode(), Role.READ, None))
        for tenant, token in serve.tenant_tokens.items():
            self._tokens.append((token.get_secret_value().encode(), Role.READ, tenant))

    def caller(self, request: Request, role: Role = Role.READ) -> Caller:
        """Who sent a request. Raises Problem when that is nobody who may."""
        headers = dict(request.scope["headers"])
        said = _tenant(request) if b"x-tenant" in headers else None
        if self._open:
            _require_local(headers.get(b"host", b""))
            return Caller(Role.OPERATE, said)
        found = self._known(headers.get(b"authorization", b"").decode("latin-1"))
        if found is None:
            raise Problem(
                401,
                "A token is needed",
                "Send Authorization: Bearer TOKEN.",
                headers={"WWW-Authenticate": 'Bearer realm="engram-bridge"'},
            )
        known, bound = found
        if known < role:
            raise Problem(403, "This token may not do that", "It takes the operate token.")
        if bound is not None and said not in (None, bound):
            raise Problem(403, "This token is another tenant's", "Leave X-Tenant out: the token says it.")
        return Caller(known, bound or said)

    def _known(self, header: str) -> tuple[Role, str | None] | None:
        """Compares with every token, whatever was found before, each in constant time."""
        scheme, _, token = header.partition(" ")
        given = token.strip().encode()
        found = None
        for known, role, tenant in self._tokens:
            if hmac.compare_digest(known, given):
                found = (role, tenant)
        return found if scheme.lower() == "bearer" else None


def caller_of(request: Request, role: Role = Role.READ) -> Caller:
    """Who sent a request, by the Access that the application keeps in `app.state.access`. Raises Problem."""
    access: Access = request.app.state.access
    return access.caller(request, role)


def require(role: Role) -> Callable[[Request], Awaitable[Caller]]:
    """The same as a dependency of routes. Async, since FastAPI takes a thread for what is not."""

    async def caller(request: Request) -> Caller:
        return caller_of(request, role)

    return caller


def require_safe(serve: Serve) -> None:
    """Raises ConfigError for a proxy that strangers could reach and use, or listen to."""
    if serve.loopback:
        return
    if not serve.has_tokens:
        raise ConfigError(
            f"serve.host {serve.host} can be reached from other machines, and there is no token",
            hint="Set ENGRAM_BRIDGE_READ_TOKEN and ENGRAM_BRIDGE_OPERATE_TOKEN, or serve.read_token and serve.operate_token.",
        )
    if serve.tls_certificate is None and not serve.behind_proxy:
        raise ConfigError(
            f"serve.host {serve.host} can be reached from other machines, and nothing is encrypted",
            hint="Set serve.tls_certificate and serve.tls_key, or --behind-proxy where TLS ends in front of it.",
        )


def no_row() -> Problem:
    """There is no such row, or it is another tenant's: nobody can tell which."""
    return not_found("There is no such row")


def _tenant(request: Request) -> str:
    found: list[bytes] = [value for name, value in request.scope["headers"] if name == b"x-tenant"]
    try:
        said = found[0].decode()
    except UnicodeDecodeError:
        said = ""
    if len(found) > 1 or not 0 < len(said) <= LONGEST_TENANT:
        raise Problem(400, "X-Tenant is not valid", f"It is sent once, and has 1 to {LONGEST_TENANT} characters of UTF-8.")
    return said


@functools.lru_cache(maxsize=64)
def _require_local(header: bytes) -> None:
    host = header.decode("latin-1")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if not is_loopback(name):
        raise Problem(403, "This address is open to this machine only", "Ask for 127.0.0.1 or localhost, or set tokens.")
