"""What forgetting does, and what only says so."""

from __future__ import annotations

import grpc
import pytest

from bridge.engram import engram_pb2 as pb
from tests.contract.target import PATIENCE, Target, direction


def test_http_delete_deletes_nothing(engram: Target, space: str) -> None:
    """DELETE answers 200 not_supported, for rows that exist and for others, and the row stays."""
    engram.remember(space, "kept", "row", direction())
    for identity in ("kept", "never-there"):
        answer = engram.client.delete(f"/api/v1/memories/{identity}", headers={"X-Memory-Space": space})
        assert answer.status_code == 200
        assert answer.json()["status"] == "not_supported"
    assert engram.content(space, "kept") == "row"


@pytest.mark.parametrize("mode", [pb.FORGET_MODE_SUPPRESS, pb.FORGET_MODE_DELETE, pb.FORGET_MODE_OVERWRITE])
def test_every_mode_of_forgetting_deletes(engram: Target, space: str, mode: int) -> None:
    """Modes 1, 2 and 3 all remove the row from reads and lists; a second time nothing is affected."""
    identity = f"mode-{mode}"
    engram.remember(space, identity, "row", direction())
    assert engram.forget(space, identity, mode) == 1
    assert engram.content(space, identity) is None
    assert identity not in engram.listed(space)
    assert engram.forget(space, identity, mode) == 0


def test_forgetting_without_a_mode_is_refused(engram: Target, space: str) -> None:
    """Mode 0 is INVALID_ARGUMENT, and so is no target."""
    engram.remember(space, "unharmed", "row", direction())
    for asked in (
        pb.ForgetRequest(memory_space_id=space, memory_id="unharmed"),
        pb.ForgetRequest(memory_space_id=space, mode=pb.FORGET_MODE_DELETE),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            engram.stub.Forget(asked, timeout=PATIENCE)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert engram.content(space, "unharmed") == "row"


def test_forgotten_rows_are_still_recalled(engram: Target, space: str) -> None:
    """Search and recall return a row that was forgotten."""
    vector = direction()
    engram.remember(space, "ghost", "an unforgettable giraffe", vector)
    # The real server fills the tiers a moment after it has answered.
    for _ in range(100):
        if "ghost" in engram.recall(space, vector, 0.9):
            break
    engram.forget(space, "ghost")
    assert engram.content(space, "ghost") is None
    assert "ghost" in engram.recall(space, vector, 0.9)
    assert engram.search(space, "unforgettable giraffe")["ghost"] == 1.0


def test_associate_says_yes_and_keeps_nothing(engram: Target, space: str) -> None:
    """Associate creates a link between rows that do not exist, again and again."""
    asked = pb.AssociateRequest(memory_space_id=space, source_memory="no", target_memory="one", association_type=1, strength=0.8)
    for _ in range(2):
        answer = engram.stub.Associate(asked, timeout=PATIENCE)
        assert answer.created
        assert answer.final_strength == pytest.approx(0.8)
