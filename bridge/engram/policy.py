"""One table from what Engram answers to what is done about it (law 8).

A refusal that lies in the one row parks its key; a target that cannot be reached or refuses everybody parks nothing. A server
restarting answers in many ways (UNAVAILABLE, CANCELLED, INTERNAL), so what is not plainly about the row is transient.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import grpc
import httpcore
import httpx

from bridge.errors import BridgeError, TargetRejected, TargetUnavailable

ROW_AT_FAULT = {
    grpc.StatusCode.INVALID_ARGUMENT: "rejected",
    grpc.StatusCode.OUT_OF_RANGE: "too_large",
    grpc.StatusCode.DATA_LOSS: "rejected",
}
"""gRPC codes that speak about the message itself, and the reason its key is parked for."""

REFUSES_EVERYBODY = {
    grpc.StatusCode.UNAUTHENTICATED: "Set target.api_key, or ENGRAM_API_KEY.",
    grpc.StatusCode.PERMISSION_DENIED: "The API key lacks the right to write; use one with MemoryRead and MemoryWrite.",
    grpc.StatusCode.UNIMPLEMENTED: "Is this an Engram server, and target.grpc its gRPC port?",
}
"""Codes that waiting alone does not mend: the lanes wait all the same, and say what to do."""


def translate(error: grpc.RpcError) -> BridgeError:
    """Our error for a gRPC error."""
    code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    details = (error.details() or "") if isinstance(error, grpc.Call) else ""
    if code in ROW_AT_FAULT:
        return TargetRejected(f"Engram refused the write: {code.name}: {details}", reason=ROW_AT_FAULT[code])
    hint = REFUSES_EVERYBODY.get(code, "Check that the server runs and that target.grpc is right.")
    return TargetUnavailable(f"Engram cannot be written now: {code.name}: {details}", hint=hint)


CONNECTION_ERRORS = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError)
"""What httpx's engine raises where httpx itself raises HTTPError."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """gRPC and HTTP errors leave as ours."""
    try:
        yield
    except grpc.RpcError as error:
        raise translate(error) from error
    except (httpx.HTTPError, *CONNECTION_ERRORS) as error:
        raise TargetUnavailable(
            f"Engram cannot be read now: {type(error).__name__}: {error}",
            hint="Check that the server runs and that target is right.",
        ) from error


def unexpected(status: int, what: str) -> TargetUnavailable:
    """Our error for an HTTP status that says neither the thing asked for nor its absence."""
    hint = "Set target.api_key, or ENGRAM_API_KEY." if status in (401, 403) else ""
    return TargetUnavailable(f"Engram answered {status} to {what}", hint=hint)


@contextlib.contextmanager
def in_its_form(what: str) -> Iterator[None]:
    """An answer that no Engram would give is no answer. Raises TargetUnavailable."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TargetUnavailable(
            f"Engram answered {what} in a form that is not its own", hint="Is something else between the bridge and Engram?"
        ) from error
