"""Whose rows are asked for, as a header says it."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from api.access import Access
from api.problems import Problem
from bridge.config_serving import Serve


def said(*tenants: bytes) -> str | None:
    headers = [(b"host", b"localhost"), *[(b"x-tenant", tenant) for tenant in tenants]]
    return Access(Serve()).caller(Request({"type": "http", "headers": headers})).tenant


def test_a_tenant_is_its_text_whatever_its_letters() -> None:
    """As UTF-8, which is what programs send: taken for Latin-1 it would be the name of somebody else."""
    assert said() is None
    assert said(b"acme") == "acme"
    assert said("zoë".encode()) == "zoë"


@pytest.mark.parametrize("tenants", [(b"",), (b"a" * 257,), ("zoë".encode("latin-1"),), (b"acme", b"other"), (b"acme", b"acme")])
def test_what_could_be_meant_otherwise_is_refused(tenants: tuple[bytes, ...]) -> None:
    """Twice: of a caller's and of a gateway's own, nobody knows which comes first."""
    with pytest.raises(Problem) as refused:
        said(*tenants)
    assert refused.value.status == 400
