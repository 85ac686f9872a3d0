"""Replays exchanges that were recorded from a real server, in their order, and compares what comes back."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict

from bridge.engram import engram_pb2 as pb
from tests.contract.target import PATIENCE, Target, at_cosine, direction, fresh

EXCHANGES = [json.loads(line) for line in (Path(__file__).parent / "exchanges.jsonl").read_text().splitlines()]
# Rows, spaces and checks come in no order that means anything.
UNORDERED = ("memories", "spaces", "vivid", "associated", "checks")
# These differ from moment to moment.
RESTLESS = re.compile(r"consecutive_.*|.*_seconds_ago|latency_seconds|streaming_.*|metrics_snapshot_json")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
SENT_INSTANTS = ("2024-01-01", "2023-11-14")
SIZED = re.compile(r"… <(\d+) characters>|^<(\d+) (characters|items)>$")


class Replay:
    """One replay: its spaces and vectors stand for the recorded ones."""

    def __init__(self, engram: Target) -> None:
        self.engram = engram
        self.spaces = {"rec": fresh("rec"), "rec-two": fresh("rec-two")}
        self.vector = cache(self._vector)

    def _vector(self, name: str) -> np.ndarray:
        if name == "3 numbers":
            return np.array([0.1, 0.2, 0.3])
        mixed = re.fullmatch(r"(\$\w+)~(\w+)@([\d.]+)", name)
        if mixed:
            return at_cosine(self.vector(mixed[1]), float(mixed[3]), self.vector(f"${mixed[2]}"))
        return direction()

    def http(self, call: dict[str, Any]) -> tuple[int, str | None, Any]:
        """Send a recorded HTTP request: status, content type and body."""
        headers = {"X-Memory-Space": self.spaces[call["space"]]} if call["space"] else {}
        parameters = {key: self._filled(value, as_text=True) for key, value in (call["params"] or {}).items()}
        content = None
        if call["body"] is not None:
            headers["content-type"] = "application/json"
            content = call["body"] if isinstance(call["body"], str) else json.dumps(self._filled(call["body"]))
        answer = self.engram.client.request(
            call["method"], call["path"], params=parameters or None, content=content, headers=headers
        )
        kind = answer.headers.get("content-type")
        return answer.status_code, kind, answer.json() if kind == "application/json" else answer.text

    def grpc(self, call: dict[str, Any]) -> tuple[str, Any]:
        """Make a recorded gRPC call: code and answer."""
        space = self.spaces.get(call["space"], call["space"])
        deed = getattr(self.engram.stub, call["method"])
        try:
            answer = deed(getattr(self, f"_{call['method'].lower()}")(call, space), timeout=PATIENCE)
        except grpc.RpcError as error:
            return error.code().name, None
        return "OK", MessageToDict(answer, preserving_proto_field_name=True)

    def _remember(self, call: dict[str, Any], space: str) -> pb.RememberRequest:
        request = pb.RememberRequest(memory_space_id=space)
        if "episode" in call:
            given = call["episode"]
            episode = request.episode
            episode.id, episode.what = given["id"], self._filled(given.get("what", "x"))
            episode.when.seconds = given.get("when", 0)
            episode.embedding.extend(self.vector(given["embedding"]))
            episode.encoding_confidence.value = given.get("encoding_confidence", 0.9)
        if "memory" in call:
            memory = request.memory
            memory.id, memory.content = call["memory"]["id"], call["memory"]["content"]
            memory.embedding.extend(direction())
            memory.confidence.value = 0.9
        return request

    def _forget(self, call: dict[str, Any], space: str) -> pb.ForgetRequest:
        return pb.ForgetRequest(memory_space_id=space, memory_id=call["memory_id"], mode=call["mode"])

    def _associate(self, call: dict[str, Any], space: str) -> pb.AssociateRequest:
        fields = {key: call[key] for key in ("source_memory", "target_memory", "association_type", "strength")}
        return pb.AssociateRequest(memory_space_id=space, **fields)

    def _recall(self, call: dict[str, Any], space: str) -> pb.RecallRequest:
        cue = pb.Cue(embedding=pb.EmbeddingCue(vector=self.vector(call["cue"]["embedding"])))
        cue.threshold.value = call["cue"]["threshold"]
        return pb.RecallRequest(memory_space_id=space, cue=cue, max_results=call["max_results"])

    def _introspect(self, call: dict[str, Any], space: str) -> pb.IntrospectRequest:
        return pb.IntrospectRequest(memory_space_id=space, include_health=True, include_statistics=True)

    def _filled(self, value: Any, as_text: bool = False) -> Any:
        """Put in what the record only names: vectors, spaces and long texts."""
        if isinstance(value, dict):
            return {key: self._filled(entry) for key, entry in value.items()}
        if not isinstance(value, str):
            return value
        if value.startswith("$"):
            numbers = self.vector(value).tolist()
            return json.dumps(numbers) if as_text else numbers
        sized = SIZED.search(value)
        return "x" * int(sized[1] or sized[2]) if sized else self.spaces.get(value, value)


def test_recorded_exchanges_happen_again(engram: Target) -> None:
    """Every recorded request gets the recorded status, content type, keys and lasting values."""
    replay = Replay(engram)
    for number, exchange in enumerate(EXCHANGES, 1):
        where = f"{number} ({exchange['note']})"
        if "http" in exchange:
            status, kind, body = replay.http(exchange["http"])
            assert status == exchange["status"], where
            assert kind == exchange["content_type"], where
            _compare(exchange["answer"], body, where, replay.spaces)
        else:
            code, answer = replay.grpc(exchange["grpc"])
            assert code == exchange["code"], where
            if code == "OK":
                _compare(exchange["answer"], answer, where, replay.spaces)


def _compare(recorded: Any, found: Any, where: str, spaces: dict[str, str]) -> None:
    if isinstance(recorded, dict):
        assert isinstance(found, dict), where
        assert set(found) == set(recorded), where
        for key, value in recorded.items():
            if RESTLESS.fullmatch(key):
                assert type(found[key]) is type(value) or None in (found[key], value), f"{where}: {key}"
            elif key in UNORDERED and isinstance(value, list):
                _compare_rows(value, found[key], f"{where}: {key}", spaces)
            else:
                _compare(value, found[key], f"{where}: {key}", spaces)
    elif isinstance(recorded, list):
        assert len(found) == len(recorded), where
        for left, right in zip(recorded, found, strict=True):
            _compare(left, right, where, spaces)
    elif isinstance(recorded, str):
        _compare_texts(recorded, found, where, spaces)
    elif isinstance(recorded, float):
        assert found == pytest.approx(recorded, abs=1e-5), where
    else:
        assert found == recorded, where


def _compare_rows(recorded: list[Any], found: list[Any], where: str, spaces: dict[str, str]) -> None:
    """Compare lists without regard to order; of spaces there may be more than were recorded."""

    def name(row: dict[str, Any]) -> str:
        text = next(row[key] for key in ("id", "space", "name") if key in row)
        return re.sub(r"mem_[0-9a-f]{8}", "mem_*", text)

    wanted = sorted((spaces.get(name(row), name(row)), index) for index, row in enumerate(recorded))
    if where.endswith("spaces"):
        known = {wanted_name for wanted_name, _ in wanted}
        found = [row for row in found if name(row) in known]
    ordered = sorted(found, key=name)
    assert [name(row) for row in ordered] == [wanted_name for wanted_name, _ in wanted], where
    for row, (_, index) in zip(ordered, wanted, strict=True):
        if name(row) != "default":
            _compare(recorded[index], row, where, spaces)


def _compare_texts(recorded: str, found: Any, where: str, spaces: dict[str, str]) -> None:
    sized = SIZED.search(recorded)
    if recorded == "CONFIDENCE_CATEGORY_CERTAIN":
        # The cosine of a random vector with itself may be one bit short of one.
        assert found in (recorded, "CONFIDENCE_CATEGORY_HIGH"), where
    elif recorded == "<text>":
        assert isinstance(found, str), where
        assert found, where
    elif sized:
        assert len(found) == int(sized[1] or sized[2]), where
    elif recorded.startswith("<data>/"):
        name = recorded.removeprefix("<data>/")
        assert Path(found).name == spaces.get(name, name), where
    elif INSTANT.fullmatch(recorded) and not recorded.startswith(SENT_INSTANTS):
        assert INSTANT.fullmatch(found), where
        assert found.endswith("Z") == recorded.endswith("Z"), where
    else:
        assert re.sub(r"mem_[0-9a-f]{8}", "mem_*", found) == re.sub(
            r"mem_[0-9a-f]{8}", "mem_*", spaces.get(recorded, recorded)
        ), where
