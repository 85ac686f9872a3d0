"""The hand-made request is the one that the generated class would make."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bridge.engram import engram_pb2
from bridge.engram.wire import remember_request
from bridge.memories import Write


@given(
    st.text(max_size=20),
    st.text(max_size=300),
    st.floats(0, 2e11, allow_nan=False),
    st.integers(0, 2**32 - 1),
)
def test_a_request_is_read_back_as_it_was_meant(memory_id: str, content: str, when: float, seed: int) -> None:
    """Space, id, content, time, confidence and every number of the vector arrive."""
    vector = np.random.default_rng(seed).standard_normal(768).astype(np.float32)
    write = Write(memory_id, content, when, 0.5, vector)
    request = engram_pb2.RememberRequest.FromString(remember_request("a-space", write))
    assert request.memory_space_id == "a-space"
    assert request.episode.id == memory_id
    assert request.episode.what == content
    assert list(request.episode.embedding) == vector.tolist()
    assert request.episode.encoding_confidence.value == 0.5
    assert abs(request.episode.when.seconds + request.episode.when.nanos / 1e9 - when) < 1e-3
    assert 0 <= request.episode.when.nanos < 10**9
