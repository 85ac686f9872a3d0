"""Who sees what: the rule is closed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.tenants import EVERYBODY, Tenants, tenant_of

NONE = Tenants({"users": None})
SOME = Tenants({"users": "team", "public.notes": "owner", "colours": EVERYBODY, "app.bills": "team", "logs": None})


def test_without_any_tenant_column_everybody_sees_everything() -> None:
    for tenant in (None, "a"):
        assert NONE.sees("public.users", tenant, "{}")
    assert not NONE.in_use
    assert not Tenants({"colours": EVERYBODY}).in_use


def test_a_row_is_seen_by_its_own_tenant_alone() -> None:
    assert SOME.sees("public.users", "7", '{"id":1,"team":7}')
    assert SOME.sees("public.notes", "ann", '{"owner":"ann"}')
    assert SOME.sees("app.bills", "7", '{"team":7}')
    for tenant in (None, "", "8", "7.0"):
        assert not SOME.sees("public.users", tenant, '{"id":1,"team":7}')


@pytest.mark.parametrize("body", ['{"team":null}', "{}", '{"team":[7]}', '{"team":{"a":7}}', '{"team":true}', '{"other":"7"}'])
@pytest.mark.parametrize("tenant", [None, "", "7", "null", "true", "[7]"])
def test_a_row_without_a_tenant_is_nobodys(body: str, tenant: str | None) -> None:
    assert not SOME.sees("public.users", tenant, body)


@pytest.mark.parametrize("label", ["public.logs", "public.unheard", "app.users"])
def test_a_table_that_says_nothing_is_closed_beside_one_that_does(label: str) -> None:
    """`app.users` is not the `users` of the configuration, which is the one in public."""
    for tenant in (None, "7"):
        assert SOME.closed(label, tenant)
        assert not SOME.sees(label, tenant, '{"team":7}')


def test_a_table_of_everybody_is_open() -> None:
    assert SOME.sees("public.colours", None, "{}")
    assert SOME.column("public.colours") is None


@given(st.text(), st.text())
def test_a_tenant_of_any_text_is_found_again(tenant: str, other: str) -> None:
    body = json.dumps({"a": other, "team": tenant, "b": {"team": other}}, ensure_ascii=False, separators=(",", ":"))
    assert tenant_of(body, "team") == tenant
    assert SOME.sees("public.users", other, body) == (other == tenant and bool(tenant))


@given(st.integers(min_value=-(2**63), max_value=2**63))
def test_a_tenant_of_any_number_is_its_digits(tenant: int) -> None:
    assert tenant_of(json.dumps({"team": tenant}), "team") == str(tenant)
