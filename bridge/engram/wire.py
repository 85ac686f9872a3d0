"""The bytes of a `RememberRequest`.

Built by hand around the vector: a repeated float is packed on the wire as its little-endian float32 bytes, which is what a numpy
array holds, while the generated class takes 768 Python floats one by one (some 40 µs a row). A test compares the two.
"""

from __future__ import annotations

from bridge.engram import engram_pb2
from bridge.memories import Write

_SPACE = 0x0A  # RememberRequest.memory_space_id = 1, length-delimited
_EPISODE = 0x1A  # RememberRequest.episode = 3
_EMBEDDING = 0x22  # Episode.embedding = 4, packed


def remember_request(space: str, write: Write) -> bytes:
    """The serialised request that stores one memory as an `Episode`, the only form that keeps the time."""
    seconds = int(write.when // 1)
    episode = engram_pb2.Episode(id=write.memory_id, what=write.content)
    episode.when.seconds = seconds
    episode.when.nanos = round((write.when - seconds) * 1e6) * 1000
    episode.encoding_confidence.value = write.confidence
    vector = write.vector.astype("<f4", copy=False).tobytes()
    body = b"".join((episode.SerializeToString(), bytes((_EMBEDDING,)), _varint(len(vector)), vector))
    name = space.encode()
    return b"".join((bytes((_SPACE,)), _varint(len(name)), name, bytes((_EPISODE,)), _varint(len(body)), body))


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
