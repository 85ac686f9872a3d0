"""What a write does, which its answer does not tell."""

from __future__ import annotations

import math
from pathlib import Path

import grpc
import numpy as np
import pytest

from bridge.engram import engram_pb2 as pb
from tests.contract.target import PATIENCE, PRINTED_WHEN, Target, at_cosine, direction, fresh, request

CLOSE = 1e-3


@pytest.mark.parametrize(
    ("path", "field", "more"),
    [
        ("/api/v1/memories/remember", "content", {}),
        ("/api/v1/episodes/remember", "what", {"when": "2024-01-01T00:00:00Z"}),
    ],
)
def test_without_a_vector_all_rows_are_one(engram: Target, path: str, field: str, more: dict[str, str]) -> None:
    """Rows sent without a vector get a constant one, so that of several only the first is readable, with 201 for each."""
    space = fresh("constant")
    answers = [engram.post(space, {"id": f"c{n}", field: f"row {n}", **more}, path) for n in range(3)]
    assert [answer.status_code for answer in answers] == [201] * 3
    assert [engram.read(space, f"c{n}").status_code for n in range(3)] == [200, 404, 404]
    constant = {"/api/v1/memories/remember": 0.5, "/api/v1/episodes/remember": 0.6}[path]
    embedding = engram.page(space, include_embeddings="true")["memories"][0]["embedding"]
    assert embedding == pytest.approx([constant] * 768)


def test_a_near_duplicate_of_another_row_is_dropped_and_only_its_activation_tells(engram: Target, space: str) -> None:
    """At a cosine of 0.96 to another row a write is dropped with a success whose value is 0.9 times what it should be."""
    vector = direction()
    whole = engram.remember(space, "near", "first", vector)
    reduced = engram.remember(space, "near-too", "second", at_cosine(vector, 0.96))
    assert engram.content(space, "near-too") is None
    assert reduced == pytest.approx(whole * 0.9, rel=CLOSE)


def test_a_row_at_094_is_another_row(engram: Target, space: str) -> None:
    """At a cosine of 0.94 both rows are kept."""
    vector = direction()
    engram.remember(space, "apart", "first", vector)
    engram.remember(space, "apart-too", "second", at_cosine(vector, 0.94))
    assert engram.content(space, "apart") == "first"
    assert engram.content(space, "apart-too") == "second"


def test_a_duplicate_of_higher_confidence_removes_the_other_row(engram: Target, space: str) -> None:
    """A near duplicate of strictly higher confidence takes the other's place, which stays in list pages and recall."""
    vector = direction()
    engram.remember(space, "weak", "the weak one", vector, 0.9)
    engram.remember(space, "strong", "the strong one", at_cosine(vector, 0.96), 0.95)
    assert engram.content(space, "strong") == "the strong one"
    assert engram.content(space, "weak") is None
    assert {"weak", "strong"} <= set(engram.listed(space, tier="hot"))
    assert "weak" in engram.recall(space, vector, 0.9)


def test_the_same_id_and_vector_is_dropped_whatever_else_is_new(engram: Target, space: str) -> None:
    """New content, even at a higher confidence, does not get past the same id with the same vector."""
    vector = direction()
    engram.remember(space, "again", "old", vector, 0.9)
    engram.remember(space, "again", "new", vector, 0.9)
    engram.remember(space, "again", "newer", vector, 0.99)
    assert engram.content(space, "again") == "old"


def test_a_refused_update_poisons_its_id_until_it_is_forgotten(engram: Target) -> None:
    """After one refused update every later one of that id is dropped, whatever its vector; Forget ends that."""
    # In a space of its own: the real server remembers only the first thousand comparisons of a space.
    space = fresh("poison")
    vector = direction()
    engram.remember(space, "p", "old", vector)
    engram.remember(space, "p", "refused", at_cosine(vector, 0.97))
    engram.remember(space, "p", "poisoned", direction())
    assert engram.content(space, "p") == "old"
    assert engram.forget(space, "p") == 1
    engram.remember(space, "p", "new", direction())
    assert engram.content(space, "p") == "new"


def test_a_plain_update_at_090_is_stored_and_the_counter_drifts(engram: Target) -> None:
    """An update whose vector is below 0.95 is kept, but counted as if it were another row."""
    space = fresh("drift")
    vector = direction()
    for version in range(3):
        engram.remember(space, "d", f"version {version}", vector)
        vector = at_cosine(vector, 0.9)
    assert engram.content(space, "d") == "version 2"
    assert engram.listed(space) == ["d"]
    assert engram.page(space)["tier_counts"]["hot"] == 3


def test_activation_falls_with_the_count(engram: Target) -> None:
    """Activation is confidence times (1 - 0.5 count / capacity)."""
    space = fresh("activation")
    values = [engram.remember(space, f"a{n}", "row", direction()) for n in range(3)]
    assert values == pytest.approx([0.9 * (1 - 0.5 * n / 100_000) for n in range(3)], abs=1e-6)


def test_forget_and_remember_always_updates(engram: Target, space: str) -> None:
    """Forget, then Remember with the very same vector, is kept."""
    vector = direction()
    for version in range(5):
        engram.forget(space, "always")
        engram.remember(space, "always", f"version {version}", vector)
        assert engram.content(space, "always") == f"version {version}"


def test_a_zero_vector_is_nobodys_duplicate(engram: Target, space: str) -> None:
    """Any number of rows may have the vector of zeros."""
    for n in range(2):
        engram.remember(space, f"zero{n}", "row", np.zeros(768))
    assert all(engram.content(space, f"zero{n}") == "row" for n in range(2))


def test_nan_in_a_vector_is_accepted_over_grpc(engram: Target, space: str) -> None:
    """A vector with NaN is stored, and the rows after it too."""
    vector = direction()
    vector[3] = math.nan
    engram.remember(space, "nan", "not a number", vector)
    engram.remember(space, "after-nan", "a row", direction())
    assert engram.content(space, "nan") == "not a number"
    assert engram.content(space, "after-nan") == "a row"


@pytest.mark.parametrize(
    ("content", "status"), [("x" * 100_000, 201), ("x" * 100_001, 400), ("é" * 50_001, 400), (" \n", 400), ("", 400)]
)
def test_http_takes_content_of_one_to_100000_bytes(engram: Target, space: str, content: str, status: int) -> None:
    """Content may have 100,000 bytes over HTTP and must not be blank."""
    answer = engram.post(space, {"id": fresh("size"), "content": content, "embedding": direction().tolist()})
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["error"]["code"] == "INVALID_MEMORY_INPUT"


def test_a_body_over_2_mb_is_413_in_plain_text(engram: Target, space: str) -> None:
    """The framework refuses a long body before anybody looks at it."""
    answer = engram.post(space, {"id": "huge", "content": "x" * 2_200_000})
    assert answer.status_code == 413
    assert answer.headers["content-type"].startswith("text/plain")


def test_grpc_takes_messages_of_4194304_bytes(engram: Target, space: str) -> None:
    """Over gRPC content is limited only by the message, and a longer message is OUT_OF_RANGE."""
    engram.remember(space, "long", "x" * 3_000_000, direction())
    assert len(engram.content(space, "long") or "") == 3_000_000
    with pytest.raises(grpc.RpcError) as caught:
        engram.remember(space, "longer", "x" * 5_000_000, direction())
    assert caught.value.code() is grpc.StatusCode.OUT_OF_RANGE


@pytest.mark.parametrize(
    ("body", "status", "content_type"),
    [
        ("{", 400, "text/plain"),
        ('{"id":"k"}', 422, "text/plain"),
        ('{"content":7}', 422, "text/plain"),
        ('{"content":"k","confidence":"high"}', 422, "text/plain"),
        ('{"content":"k","embedding":[NaN]}', 400, "text/plain"),
        ('{"content":"k","timestamp":"2024-01-01T00:00:00"}', 422, "text/plain"),
        ('{"content":"k","embedding":[0.1,0.2,0.3]}', 400, "application/json"),
        ('{"content":"k","memory_space_id":"AB"}', 400, "application/json"),
    ],
)
def test_bad_bodies(engram: Target, space: str, body: str, status: int, content_type: str) -> None:
    """What cannot be read is refused by the framework in plain text, what makes no sense by the handler in JSON."""
    headers = {"content-type": "application/json"}
    answer = engram.client.post("/api/v1/memories/remember", content=body, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith(content_type)


def test_a_body_without_its_content_type_is_415(engram: Target) -> None:
    """JSON must be called JSON."""
    answer = engram.client.post("/api/v1/memories/remember", content='{"content":"k"}')
    assert answer.status_code == 415


@pytest.mark.parametrize("name", ["AB", "ab", "a" * 65, "with space", "ümlaut"])
def test_bad_space_names(engram: Target, name: str) -> None:
    """A space has 3 to 64 characters of a-z, 0-9, _ and -, over HTTP and over gRPC."""
    assert engram.post(None, {"id": name}, "/api/v1/spaces").status_code == 400
    with pytest.raises(grpc.RpcError) as caught:
        engram.remember(name, "x", "x", direction())
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_vector_of_the_wrong_length_is_refused_over_grpc(engram: Target, space: str) -> None:
    """Over gRPC a vector has 768 numbers."""
    with pytest.raises(grpc.RpcError) as caught:
        engram.remember(space, "short", "x", [0.1] * 400)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_an_empty_oneof_is_refused(engram: Target, space: str) -> None:
    """Neither memory nor episode is INVALID_ARGUMENT."""
    with pytest.raises(grpc.RpcError) as caught:
        engram.stub.Remember(pb.RememberRequest(memory_space_id=space), timeout=PATIENCE)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_memory_loses_its_time_and_an_episode_keeps_it(engram: Target, space: str) -> None:
    """The time of a Memory becomes the present; of an Episode it stays, with its nanoseconds."""
    memory = pb.Memory(id="timeless", content="x", embedding=direction(), confidence=pb.Confidence(value=0.9))
    memory.created_at.seconds = 1_700_000_000
    engram.stub.Remember(pb.RememberRequest(memory_space_id=space, memory=memory), timeout=PATIENCE)
    assert engram.read(space, "timeless").json()["timestamp"] != PRINTED_WHEN
    timed = request(space, "timed", "x", direction())
    timed.episode.when.nanos = 123_456_789
    engram.stub.Remember(timed, timeout=PATIENCE)
    assert engram.read(space, "timed").json()["timestamp"] == "2023-11-14T22:13:20.123456789+00:00"


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00+00:00"),
        ("2024-01-01T02:00:00.5+02:00", "2024-01-01T00:00:00.500+00:00"),
        ("1969-12-31T23:59:59.000001Z", "1969-12-31T23:59:59.000001+00:00"),
        ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999+00:00"),
    ],
)
def test_timestamps_come_back_in_utc_with_no_three_six_or_nine_digits(engram: Target, space: str, sent: str, shown: str) -> None:
    """A timestamp keeps its instant to the nanosecond; its form is the server's."""
    identity = fresh("time")
    body = {"id": identity, "content": "x", "embedding": direction().tolist(), "timestamp": sent, "confidence": 0.9}
    answer = engram.post(space, body)
    assert answer.json()["observed_at"] == shown.replace("+00:00", "Z")
    assert engram.read(space, identity).json()["timestamp"] == shown


def test_confidence_is_printed_in_two_ways(engram: Target) -> None:
    """The answer to a write prints 0.9, a read prints the same 32-bit number widened."""
    space = fresh("width")
    body = {"id": "w", "content": "x", "embedding": direction().tolist(), "confidence": 0.9}
    assert engram.post(space, body).json()["storage_confidence"]["value"] == 0.9
    assert engram.read(space, "w").json()["confidence"] == 0.8999999761581421


def test_auto_link_invents_a_link(engram: Target, space: str) -> None:
    """auto_link answers with one link that does not exist; without it there is none."""
    body = {"id": "linked", "content": "x", "embedding": direction().tolist(), "confidence": 0.9, "auto_link": True}
    links = engram.post(space, body).json()["auto_links"]
    assert [link["target_memory_id"] for link in links] == ["example_linked_memory"]


def test_the_header_names_the_space_before_the_body_and_the_query_never(engram: Target, space: str) -> None:
    """For a write X-Memory-Space comes before memory_space_id, and ?space= goes unheard."""
    identity = fresh("where")
    body = {"id": identity, "content": "x", "embedding": direction().tolist(), "confidence": 0.9, "memory_space_id": "nowhere"}
    engram.post(space, body)
    assert engram.content(space, identity) == "x"
    other = fresh("elsewhere")
    body = {"id": other, "content": "x", "embedding": direction().tolist(), "confidence": 0.9}
    engram.post(None, body, f"/api/v1/memories/remember?space={space}")
    assert engram.content(space, other) is None
    assert engram.content("default", other) == "x"


def test_the_short_form_of_a_write_drops_id_and_vector(engram: Target) -> None:
    """POST /api/v1/memories makes an id of its own."""
    body = {"id": "mine", "content": "x", "embedding": direction().tolist()}
    answer = engram.post(fresh("short"), body, "/api/v1/memories")
    assert answer.status_code == 201
    assert answer.json()["memory_id"].startswith("mem_")


def test_a_stream_answers_in_order(engram: Target, space: str) -> None:
    """StreamingRemember answers each message in the order of the messages, and all rows are there."""
    prefix = fresh("s")
    messages = [request(space, f"{prefix}-{n}", f"row {n}", direction()) for n in range(50)]
    answers = engram.stub.StreamingRemember(iter(messages), timeout=PATIENCE)
    assert [answer.memory_id for answer in answers] == [f"{prefix}-{n}" for n in range(50)]
    assert all(engram.content(space, f"{prefix}-{n}") == f"row {n}" for n in range(50))


def test_an_error_ends_a_stream_and_what_lies_behind_it_is_unknown(engram: Target, space: str) -> None:
    """When message 5 of 10 is bad, 0-4 are stored, 5 is not, and of the rest something may be."""
    prefix = fresh("e")
    messages = [request(space, f"{prefix}-{n}", "row", [0.1] * 3 if n == 5 else direction()) for n in range(10)]
    with pytest.raises(grpc.RpcError) as caught:
        list(engram.stub.StreamingRemember(iter(messages), timeout=PATIENCE))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    there = {n for n in range(10) if engram.content(space, f"{prefix}-{n}") is not None}
    assert set(range(5)) <= there
    assert 5 not in there


def test_the_double_stores_one_message_behind_the_bad_one(sandbox: Target, space: str) -> None:
    """What was seen once on the real server happens every time here: message 6 is stored and never acknowledged."""
    prefix = fresh("b")
    messages = [request(space, f"{prefix}-{n}", "row", [0.1] * 3 if n == 5 else direction()) for n in range(10)]
    with pytest.raises(grpc.RpcError):
        list(sandbox.stub.StreamingRemember(iter(messages), timeout=PATIENCE))
    there = {n for n in range(10) if sandbox.content(space, f"{prefix}-{n}") is not None}
    assert there == {0, 1, 2, 3, 4, 6}


def test_at_capacity_every_store_throws_out_the_row_of_lowest_activation(sandbox: Target, tmp_path: Path) -> None:
    """A store at the limit evicts without a word, even one that is dropped and even a plain update."""
    small = Target(tmp_path, capacity=10)
    try:
        vectors = [direction() for _ in range(11)]
        for n, vector in enumerate(vectors):
            small.remember("small", f"r{n:02}", "row", vector)
        # Activation falls with the count, so the last of the ten went for the eleventh.
        assert sorted(small.listed("small")) == [f"r{n:02}" for n in range(11) if n != 9]
        small.remember("small", "dropped", "row", at_cosine(vectors[0], 0.97))
        assert sorted(small.listed("small")) == [f"r{n:02}" for n in range(9)]
        small.remember("small", "r09", "row", vectors[9])
        small.remember("small", "r00", "updated", direction())
        assert small.content("small", "r00") == "updated"
        assert small.content("small", "r09") is None
    finally:
        small.close()
