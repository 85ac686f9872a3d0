"""What reads, lists and recalls show."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.contract.target import PRINTED_WHEN, Target, at_cosine, direction, fresh


def test_a_missing_row_is_404_in_json(engram: Target, space: str) -> None:
    """A read of a row that is not there is 404 with the code MEMORY_NOT_FOUND."""
    answer = engram.read(space, "nobody")
    assert answer.status_code == 404
    document = answer.json()
    assert set(document) == {"documentation", "error"}
    assert set(document["error"]) == {"code", "message", "educational_context", "cognitive_guidance"}
    assert document["error"]["code"] == "MEMORY_NOT_FOUND"


def test_a_row_reads_as_it_was_written(engram: Target, space: str) -> None:
    """A read gives id, content, confidence and time, and a constant type."""
    engram.remember(space, "plain", '{"n":1,"ä":"☃"}', direction())
    assert engram.read(space, "plain").json() == {
        "confidence": 0.8999999761581421,
        "content": '{"n":1,"ä":"☃"}',
        "id": "plain",
        "memory_type": "episodic",
        "timestamp": PRINTED_WHEN,
    }


@pytest.mark.parametrize("identity", ["a/b", "%25", "x/y z%", "ü☃", "a+b", "a?b#c", "..", "a\nb"])
def test_odd_ids_are_read_back_percent_encoded(engram: Target, space: str, identity: str) -> None:
    """Any text can be an id, and is read back when it is percent-encoded."""
    engram.remember(space, identity, "odd", direction())
    path = "".join(f"%{byte:02X}" for byte in identity.encode())
    answer = engram.client.get(f"/api/v1/memories/{path}", headers={"X-Memory-Space": space})
    assert answer.status_code == 200
    assert answer.json()["id"] == identity


@pytest.mark.parametrize(("identity", "status"), [("search", 400), ("recall", 400), ("remember", 405), ("recognize", 405)])
def test_ids_that_routes_hide(engram: Target, space: str, identity: str, status: int) -> None:
    """Rows called like a route can be written and never be read."""
    engram.remember(space, identity, "hidden", direction())
    assert engram.read(space, identity).status_code == status
    assert identity in engram.listed(space)


def test_a_read_in_an_unknown_space_makes_it(engram: Target) -> None:
    """A mere read of a space that nobody knows creates it."""
    name = fresh("touched")
    assert name not in _spaces(engram)
    assert engram.read(name, "x").status_code == 404
    assert name in _spaces(engram)


def test_a_space_can_be_made_twice(engram: Target, space: str) -> None:
    """Making a space answers 201 with the same space each time."""
    answers = [engram.post(None, {"id": space}, "/api/v1/spaces") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert set(answers[0].json()) == {"id", "persistence_root", "created_at"}


def test_a_read_names_its_space_by_header_or_query(engram: Target, space: str) -> None:
    """For a GET the header comes before ?space=, and without either it is `default`."""
    identity = fresh("located")
    engram.remember(space, identity, "here", direction())
    path = f"/api/v1/memories/{identity}"
    assert engram.client.get(path, params={"space": space}).status_code == 200
    assert engram.client.get(path).status_code == 404
    both = engram.client.get(path, params={"space": space}, headers={"X-Memory-Space": "default"})
    assert both.status_code == 404


def test_lists_page_by_offset_and_at_most_1000(engram: Target) -> None:
    """Pages of a quiet space cover every row once; a limit over 1000 is taken for 1000; past the end nothing comes."""
    space = fresh("pages")
    for n in range(25):
        engram.remember(space, f"p{n:02}", "row", direction())
    pages = [engram.page(space, offset=offset, limit=10) for offset in (0, 10, 20, 30)]
    assert [page["count"] for page in pages] == [10, 10, 5, 0]
    assert sorted(memory["id"] for page in pages for memory in page["memories"]) == [f"p{n:02}" for n in range(25)]
    assert engram.page(space, limit=5000)["pagination"] == {"offset": 0, "limit": 1000, "returned": 25}
    assert engram.page(space)["tier_counts"] == {"hot": 25, "warm": 0, "cold": 0, "total": 25}
    assert set(pages[0]["memories"][0]) == {"id", "content", "confidence", "timestamp"}


def test_lists_alone_give_vectors_back_as_they_were_sent(engram: Target) -> None:
    """To the last bit, beside the content of the same version, and only when asked; a read by id has none."""
    space = fresh("vectors")
    first, second = (direction().astype(np.float32) for _ in range(2))
    engram.remember(space, "v", "one", first)
    engram.forget(space, "v")
    engram.remember(space, "v", "two", second)
    (listed,) = engram.page(space, include_embeddings="true")["memories"]
    assert listed["content"] == "two"
    assert (np.array(listed["embedding"], dtype=np.float32) == second).all()
    assert "embedding" not in engram.page(space)["memories"][0]
    assert "embedding" not in engram.read(space, "v").json()


def test_pages_shift_when_rows_go(engram: Target) -> None:
    """A row forgotten between two pages makes the second page skip another row."""
    space = fresh("shift")
    for n in range(20):
        engram.remember(space, f"p{n:02}", "row", direction())
    first = [memory["id"] for memory in engram.page(space, limit=10)["memories"]]
    engram.forget(space, first[0])
    second = [memory["id"] for memory in engram.page(space, offset=10, limit=10)["memories"]]
    assert len({*first, *second}) == 19


def test_the_order_of_a_list_means_nothing(engram: Target) -> None:
    """Rows are not listed in the order of their writing, nor of their ids."""
    space = fresh("order")
    names = [f"p{n:02}" for n in range(20)]
    for name in names:
        engram.remember(space, name, "row", direction())
    listed = engram.listed(space)
    assert sorted(listed) == names
    assert listed != names


def test_a_bad_tier_is_400(engram: Target, space: str) -> None:
    """Tiers are hot, warm, cold and all."""
    answer = engram.client.get("/api/v1/memories", params={"tier": "tepid"}, headers={"X-Memory-Space": space})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "BAD_REQUEST"


def test_rows_of_low_activation_are_in_every_recall(engram: Target) -> None:
    """A row stored below 0.7 comes with every search and recall whose threshold its confidence reaches, at 0.95 of it."""
    space = fresh("warm")
    engram.remember(space, "first", "a row", direction(), 0.9)
    engram.remember(space, "lukewarm", "nothing of the kind", direction(), 0.69)
    vector = direction()
    engram.remember(space, "sought", "an elephant", vector, 0.9)
    for _ in range(100):
        if len(engram.recall(space, vector)) == 2:
            break
    assert engram.recall(space, vector) == pytest.approx({"sought": 1.0, "lukewarm": 0.69 * 0.95}, abs=1e-3)
    answer = engram.client.get(
        "/api/v1/memories/recall", params={"query": "elephant", "threshold": 0.5}, headers={"X-Memory-Space": space}
    ).json()
    assert [memory["id"] for memory in answer["memories"]["vivid"]] == ["sought"]
    assert [memory["id"] for memory in answer["memories"]["associated"]] == ["lukewarm"]
    assert "lukewarm" not in engram.search(space, "elephant")
    engram.forget(space, "lukewarm")
    assert engram.listed(space, tier="warm") == ["lukewarm"]
    assert sorted(engram.listed(space, tier="all")) == ["first", "lukewarm", "sought"]
    assert engram.page(space)["tier_counts"] == {"hot": 2, "warm": 1, "cold": 0, "total": 3}


def test_a_vector_near_nothing_finds_unrelated_rows_at_one(engram: Target) -> None:
    """In a space without warm rows a recall that finds nothing returns rows that have nothing to do with it, at 1.0."""
    space = fresh("far")
    vectors = [direction() for _ in range(5)]
    for n, vector in enumerate(vectors):
        engram.remember(space, f"f{n}", f"row {n}", vector)
    for _ in range(100):
        if engram.recall(space, vectors[-1], 0.9):
            break
    found = engram.recall(space, direction())
    assert found
    assert set(found.values()) == {1.0}


def test_recall_scores_by_cosine(engram: Target) -> None:
    """Of rows that are near, recall gives the cosine, best first, over HTTP as over gRPC."""
    space = fresh("scores")
    vector = direction()
    engram.remember(space, "same", "row", vector)
    engram.remember(space, "close", "row", at_cosine(vector, 0.9))
    engram.remember(space, "far", "row", direction())
    for _ in range(100):
        if len(engram.recall(space, vector)) == 2:
            break
    assert engram.recall(space, vector) == pytest.approx({"same": 1.0, "close": 0.9}, abs=1e-3)
    parameters = {"embedding": json.dumps(vector.tolist()), "threshold": 0.5}
    answer = engram.client.get("/api/v1/memories/recall", params=parameters, headers={"X-Memory-Space": space})
    assert [memory["id"] for memory in answer.json()["memories"]["vivid"]] == ["same", "close"]


@pytest.mark.parametrize(
    "parameters",
    [{"query": "x", "mode": "spreading"}, {"query": "x", "mode": "hybrid"}, {}, {"embedding": "[1,2]"}, {"embedding": "x"}],
)
def test_recalls_that_cannot_be_done(engram: Target, space: str, parameters: dict[str, str]) -> None:
    """Recall by spreading, without a cue, or with no vector for one, is 400."""
    answer = engram.client.get("/api/v1/memories/recall", params=parameters, headers={"X-Memory-Space": space})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "INVALID_MEMORY_INPUT"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/api/v1/nope", 404), ("GET", "/api/v1/memories/a/b", 404), ("PUT", "/api/v1/memories/a", 405)],
)
def test_unknown_routes_and_methods_are_answered_with_nothing(engram: Target, method: str, path: str, status: int) -> None:
    """No route is 404, no such method 405, both with an empty body."""
    answer = engram.client.request(method, path)
    assert answer.status_code == status
    assert answer.content == b""


def test_health_says_nothing_about_storage(engram: Target) -> None:
    """Health is well as long as somebody answers."""
    assert engram.client.get("/health/alive").content == b""
    assert engram.client.get("/health").json()["status"] == "healthy"
    assert engram.client.get("/api/v1/system/health").json()["status"] == "healthy"


def _spaces(engram: Target) -> list[str]:
    return [entry["id"] for entry in engram.client.get("/api/v1/spaces").json()["spaces"]]
