"""The double misbehaves on schedule and can be damaged: what the tests of others rely on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from bridge.engram import engram_pb2 as pb
from bridge.engram.engram_pb2_grpc import EngramServiceStub
from bridge.sandbox.engram.faults import BadSchedule, read_file
from bridge.sandbox.engram.process import SandboxEngram, SandboxFailed
from tests.contract.target import PATIENCE, Target, direction, fresh, request


@pytest.fixture
def double(sandbox: Target) -> Iterator[SandboxEngram]:
    """The double's controls, at peace again afterwards."""
    assert sandbox.sandbox is not None
    yield sandbox.sandbox
    sandbox.sandbox.faults()


def test_refused_calls_are_not_applied(double: SandboxEngram, engram: Target, space: str) -> None:
    """refuse: UNAVAILABLE over gRPC and 503 over HTTP, and nothing was stored."""
    double.faults([{"on": "*", "do": "refuse"}])
    with pytest.raises(grpc.RpcError) as caught:
        engram.remember(space, "refused", "row", direction())
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert engram.read(space, "refused").status_code == 503
    double.faults()
    assert engram.content(space, "refused") is None


def test_failed_calls_are_not_applied(double: SandboxEngram, engram: Target, space: str) -> None:
    """5xx: INTERNAL over gRPC and 500 over HTTP, and nothing was stored."""
    double.faults([{"on": "Remember", "do": "5xx"}])
    with pytest.raises(grpc.RpcError) as caught:
        engram.remember(space, "failed", "row", direction())
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert engram.post(space, {"id": "failed", "content": "row"}).status_code == 500
    assert engram.content(space, "failed") is None


def test_lost_replies_are_applied(double: SandboxEngram, engram: Target, space: str) -> None:
    """lose_reply: the write is made and nobody hears of it."""
    double.faults([{"on": "Remember", "do": "lose_reply"}, {"on": "GET", "do": "lose_reply", "count": 1}])
    with pytest.raises(grpc.RpcError) as caught:
        engram.remember(space, "lost", "row", direction())
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    with pytest.raises(httpx.TransportError):
        engram.post(space, {"id": "lost-too", "content": "row", "embedding": direction().tolist(), "confidence": 0.9})
    with pytest.raises(httpx.TransportError):
        engram.read(space, "lost")
    assert engram.content(space, "lost") == "row"
    assert engram.content(space, "lost-too") == "row"


def test_dropped_writes_look_like_any_other(double: SandboxEngram, engram: Target, space: str) -> None:
    """drop: a write or a forget is acknowledged without a hint, and not made."""
    kept = engram.remember(space, "kept", "row", direction())
    double.faults([{"on": "*", "do": "drop"}])
    assert engram.remember(space, "dropped", "row", direction()) == pytest.approx(kept, rel=1e-3)
    assert engram.content(space, "dropped") is None
    assert engram.forget(space, "kept") == 1
    assert engram.content(space, "kept") == "row"


def test_slow_calls_come_late(double: SandboxEngram, engram: Target, space: str) -> None:
    """slow: the answer comes after so many seconds, and holds nobody else up."""
    double.faults([{"on": "GET", "do": "slow", "seconds": 0.3}])
    started = time.monotonic()
    engram.read(space, "x")
    assert time.monotonic() - started >= 0.3


def test_rules_strike_when_they_say(double: SandboxEngram, engram: Target, space: str) -> None:
    """after lets calls pass, every takes each n-th of the following, count ends it; counters tell."""
    double.faults([{"on": "GET", "do": "5xx", "after": 2, "every": 3, "count": 2}])
    statuses = [engram.read(space, "x").status_code for _ in range(14)]
    assert statuses == [404, 404, 404, 404, 500, 404, 404, 500] + [404] * 6
    rules = double.counters()["rules"]
    assert isinstance(rules, list)
    assert (rules[0]["seen"], rules[0]["fired"]) == (14, 2)


def test_chance_repeats_with_its_seed(double: SandboxEngram, engram: Target, space: str) -> None:
    """The same probability with the same seed strikes the same calls."""
    runs = []
    for _ in range(2):
        double.faults([{"on": "GET", "do": "5xx", "probability": 0.5, "seed": 7}])
        runs.append([engram.read(space, "x").status_code for _ in range(30)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {404, 500}


def test_faults_strike_single_messages_of_a_stream(double: SandboxEngram, engram: Target, space: str) -> None:
    """In a stream a fault strikes one message: what came before it is acknowledged, and a lost reply was applied."""
    double.faults([{"on": "Remember", "do": "lose_reply", "after": 3}])
    prefix = fresh("m")
    heard: list[str] = []
    answers = engram.stub.StreamingRemember(
        (request(space, f"{prefix}-{n}", "row", direction()) for n in range(4)), timeout=PATIENCE
    )
    with pytest.raises(grpc.RpcError):
        heard.extend(answer.memory_id for answer in answers)
    assert heard == [f"{prefix}-{n}" for n in range(3)]
    assert engram.content(space, f"{prefix}-3") == "row"


def test_die_ends_the_process_at_once(sandbox: Target, tmp_path: Path) -> None:
    """die: the server is gone with 137, and starts again on the same ports and data."""
    with SandboxEngram(tmp_path, faults=[{"on": "Forget", "do": "die"}]) as mortal:
        ports = (mortal.http, mortal.grpc)
        asked = pb.ForgetRequest(memory_id="x", mode=pb.FORGET_MODE_DELETE)
        with grpc.insecure_channel(mortal.grpc) as channel, pytest.raises(grpc.RpcError):
            EngramServiceStub(channel).Forget(asked, timeout=PATIENCE)
        assert mortal.wait() == 137
        mortal.start()
        assert (mortal.http, mortal.grpc) == ports


def test_rows_can_be_damaged(double: SandboxEngram, engram: Target, space: str) -> None:
    """remove, hide, content and resurrect change a stored row and nothing else."""
    for name in ("removed", "hidden", "changed", "risen"):
        engram.remember(space, name, "row", direction())
    double.damage(space, "removed")
    double.damage(space, "hidden", "hide")
    double.damage(space, "changed", "content", "something else")
    engram.forget(space, "risen")
    double.damage(space, "risen", "resurrect")
    contents = [engram.content(space, name) for name in ("removed", "hidden", "changed", "risen")]
    assert contents == [None, None, "something else", "row"]
    listed = engram.listed(space)
    assert "hidden" in listed
    assert "removed" not in listed
    with pytest.raises(SandboxFailed):
        double.damage(space, "removed")


@pytest.mark.parametrize(
    "rule",
    [
        {"on": "Nothing", "do": "die"},
        {"on": "GET", "do": "dance"},
        {"on": "GET", "do": "drop"},
        {"on": "GET", "do": "5xx", "every": 0},
        {"on": "GET", "do": "5xx", "often": True},
    ],
)
def test_bad_schedules_are_refused(double: SandboxEngram, rule: dict[str, object]) -> None:
    """A rule that cannot be understood is told, and the rules in force stay."""
    double.faults([{"on": "list", "do": "slow"}])
    with pytest.raises(SandboxFailed):
        double.faults([rule])
    assert len(double.counters()["rules"]) == 1


def test_a_schedule_can_be_read_from_a_file(tmp_path: Path) -> None:
    """A file holds a list of rules, or an object with them; what is not JSON is told with the file's name."""
    path = tmp_path / "faults.json"
    for text in ('[{"on": "GET", "do": "die"}]', '{"rules": [{"on": "GET", "do": "die"}]}'):
        path.write_text(text)
        assert [(rule.on, rule.do) for rule in read_file(path)] == [("GET", "die")]
    path.write_text("[")
    with pytest.raises(BadSchedule, match=r"faults\.json is not JSON"):
        read_file(path)
