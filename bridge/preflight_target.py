"""The target's side of `check`: can it be reached, does it behave, and whose are the spaces that are already there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from urllib.parse import urlsplit

import httpx

from bridge.check_server import loopback
from bridge.config import Target
from bridge.engram import policy
from bridge.engram.client import Address, EngramTarget
from bridge.errors import BridgeError
from bridge.facts import SpaceFacts, TargetFacts
from bridge.memories import Stored

LOOKED_AT = 1_000
"""Memories of a space that are looked at to tell whose it is."""


def target_facts(config: Target, spaces: Sequence[str], ledger_id: str | None) -> TargetFacts:
    """What the target says and does. Raises nothing: what is wrong stands in `failure`."""
    key = config.api_key.get_secret_value() if config.api_key else None
    plain = plain_grpc(config)
    target = EngramTarget(Address(config.http, config.grpc_address, key), capacity=config.capacity)
    try:
        existing = _existing(config.http, key)
        probe = target.probe()
        return TargetFacts(
            version=target.version(),
            probe=probe,
            spaces={name: _space(target, name, ledger_id) for name in spaces if name in existing},
            limit=config.limit,
            plain_grpc=plain,
        )
    except BridgeError as error:
        remedy = error.hint or "Check that the server runs, and target.http and target.grpc."
        return TargetFacts(reachable=False, failure=str(error), remedy=remedy, limit=config.limit, plain_grpc=plain)
    finally:
        target.close()


def target_seen(config: Target, spaces: Sequence[str], ledger_id: str | None) -> TargetFacts:
    """The same without a write: its behaviour is not probed, and nothing is opened. Raises nothing."""
    key = config.api_key.get_secret_value() if config.api_key else None
    target = EngramTarget(Address(config.http, config.grpc_address, key), capacity=config.capacity)
    try:
        existing = _existing(config.http, key)
        looked = {name: target.peek(name) for name in spaces if name in existing}
        found = {name: SpaceFacts(len(page), foreign=_foreign(page, ledger_id)) for name, page in looked.items()}
        return TargetFacts(version=target.version(), spaces=found, limit=config.limit, plain_grpc=plain_grpc(config))
    except BridgeError as error:
        remedy = error.hint or "Check that the server runs, and target.http and target.grpc."
        return TargetFacts(reachable=False, failure=str(error), remedy=remedy, limit=config.limit, plain_grpc=plain_grpc(config))
    finally:
        target.close()


def plain_grpc(config: Target) -> str:
    """The gRPC address, where what goes there in the clear was meant to be kept from others."""
    secret = config.api_key is not None or config.http.startswith("https:")
    return config.grpc_address if secret and not loopback(urlsplit(f"//{config.grpc_address}").hostname or "") else ""


def _existing(http: str, key: str | None) -> set[str]:
    """The spaces that the server lists. Asking for one that it does not know would make it, for ever."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with policy.translated():
        answer = httpx.get(f"{http}/api/v1/spaces", headers=headers, timeout=httpx.Timeout(30.0, connect=5.0))
        if answer.status_code != 200:
            raise policy.unexpected(answer.status_code, "listing its spaces")
        try:
            return {str(space["id"]) for space in answer.json()["spaces"]}
        except (ValueError, KeyError, TypeError):
            raise policy.unexpected(answer.status_code, "listing its spaces, in a form that is not Engram's") from None


def _space(target: EngramTarget, name: str, ledger_id: str | None) -> SpaceFacts:
    state = target.open(name)
    return SpaceFacts(state.counted, foreign=_foreign(islice(target.scan(name), LOOKED_AT), ledger_id))


def _foreign(memories: Iterable[Stored], ledger_id: str | None) -> bool:
    stamps = (stored.stamp() for stored in memories)
    return any(stamp is None or stamp.ledger != ledger_id for stamp in stamps)
