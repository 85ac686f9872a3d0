"""The certificate: the same evidence gives the same bytes, and any change of it or of its Markdown is found."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.certificate import canonical, faults, render, seal

EVIDENCE: dict[str, Any] = {
    "table": "public.users",
    "made": 1_700_000_000.25,
    "who": "ann@host",
    "why": "a day | in June",
    "closed": ["lag"],
    "route": {"from": {"mode": "engram", "share": 25}, "to": {"mode": "engram", "share": 100}},
    "source": {"system_identifier": "7", "timeline": "1", "database": "shop", "slot": "s"},
    "position": {"proven": "0/1000", "flushed": None},
    "target": {"epoch": "e", "seen": 1_699_000_000.0},
    "ledger": "l",
    "gates": [
        {"name": "lag", "table": "", "value": 7, "threshold": 9, "unit": "B", "open": False, "since": 1.0, "remedy": "wait"}
    ],
    "validation": None,
    "reads": {"since": 1.0, "counts": {"shadow:same": 12}},
    "audit": [{"number": 1, "at": 2.0, "who": "ann", "verb": "advance", "label": "public.users", "detail": {"why": "ä"}}],
    "versions": {"engram-bridge": "0.1.0"},
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=5))
def test_evidence_hashes_alike_after_any_journey_through_json(evidence: dict[str, Any]) -> None:
    """Indented, in another order of keys: the same bytes are hashed."""
    other = json.loads(json.dumps(dict(reversed(evidence.items())), indent=3))
    assert canonical(other) == canonical(evidence)


def test_an_unchanged_certificate_has_no_fault() -> None:
    """As it was written and read again, with its Markdown."""
    document = json.loads(json.dumps(seal(EVIDENCE), indent=2))
    assert faults(document, render(document)) == []
    assert document["sha256"] in render(document)
    assert "a day | in June" in render(document)
    assert "**by force**: closed were lag" in render(document)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, one in inner for found in _paths(one, (*path, key)))]


@pytest.mark.parametrize("path", [path for path in _paths(EVIDENCE) if path], ids=str)
def test_a_change_anywhere_is_found(path: tuple[Any, ...]) -> None:
    """Each value of the evidence, replaced by another one."""
    document = seal(copy.deepcopy(EVIDENCE))
    place = document["evidence"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = "something else"
    assert faults(document) == ["the evidence is not what was hashed: it was changed, or the hash was"]


@pytest.mark.parametrize("document", [None, [], {}, {"format": "another"}, {"format": seal(EVIDENCE)["format"], "evidence": 1}])
def test_what_is_no_certificate_is_called_so(document: Any) -> None:
    """And nothing is raised."""
    assert faults(document) == ["it is no certificate of engram-bridge"]
