"""The cache of vectors: what comes out is what went in, it is bounded, and nothing that is wrong with its file stops anybody."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from bridge.embedding.cache import VectorCache, key_of, rounded

MOST = 50_000_000
THREADS = 4


def vectors_of(*texts: str, dimensions: int = 384) -> dict[bytes, np.ndarray]:
    """Some vectors, each its text's own."""
    made = {}
    for text in texts:
        chance = np.random.default_rng(list(text.encode()))
        vector = chance.standard_normal(dimensions).astype(np.float32)
        made[key_of("model", text)] = rounded((vector / np.linalg.norm(vector))[None, :])[0]
    return made


def same(found: dict[bytes, np.ndarray], given: dict[bytes, np.ndarray]) -> bool:
    """Equal, bit for bit."""
    return found.keys() == given.keys() and all(found[key].tobytes() == given[key].tobytes() for key in given)


def test_a_vector_comes_back_bit_for_bit(tmp_path: Path) -> None:
    """In this process, and in a later one; what was never kept is not there."""
    given = vectors_of("one", "two")
    cache = VectorCache(tmp_path / "v", most_bytes=MOST)
    cache.put(given)
    assert same(cache.get([*given, key_of("model", "three")]), given)
    cache.close()
    assert same(VectorCache(tmp_path / "v", most_bytes=MOST).get(list(given)), given)


def test_another_model_has_keys_of_its_own() -> None:
    """And a text cannot be taken for a part of the model's name."""
    assert key_of("a", "text") != key_of("b", "text")
    assert key_of("ab", "c") != key_of("a", "bc")


def test_it_is_bounded_and_the_least_recently_used_go(tmp_path: Path) -> None:
    """The file stays near its bound; what was read lately stays, what was not is given up."""
    now = [1_000_000.0]
    cache = VectorCache(tmp_path / "v", most_bytes=1_000_000, clock=lambda: now[0])
    wanted = vectors_of(*(f"wanted {number}" for number in range(20)))
    cache.put(wanted)
    first = vectors_of("first")
    cache.put(first)
    for step in range(40):
        now[0] += 7200
        cache.put(vectors_of(*(f"{step} {number}" for number in range(100))))
        assert same(cache.get(list(wanted)), wanted)
    assert cache.get(list(first)) == {}
    cache.close()
    assert (tmp_path / "v").stat().st_size < 1_500_000


def test_a_bound_that_was_lowered_holds(tmp_path: Path) -> None:
    """At the next write."""
    given = vectors_of(*(str(number) for number in range(2000)))
    cache = VectorCache(tmp_path / "v", most_bytes=MOST)
    cache.put(given)
    cache.close()
    cache = VectorCache(tmp_path / "v", most_bytes=200_000)
    cache.put(vectors_of("one more"))
    assert len(cache.get(list(given))) * 772 < 200_000


@pytest.mark.parametrize("damage", ["garbage", "middle"])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    """With a warning, and without an error for anybody."""
    path = tmp_path / "v"
    given = vectors_of(*(str(number) for number in range(500)))
    cache = VectorCache(path, most_bytes=MOST)
    cache.put(given)
    cache.close()
    content = bytearray(path.read_bytes())
    if damage == "garbage":
        content[:] = b"this is no database" * 1000
    else:
        content[100:-100] = b"\xff" * (len(content) - 200)
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        cache = VectorCache(path, most_bytes=MOST)
        assert not same(cache.get(list(given)), given)
        cache.put(given)
        assert same(cache.get(list(given)), given)
    assert "damaged and begun anew" in caplog.text


def test_a_vector_with_a_changed_bit_is_none(tmp_path: Path) -> None:
    """It is made again, not used."""
    given = vectors_of("one", "two")
    cache = VectorCache(tmp_path / "v", most_bytes=MOST)
    cache.put(given)
    cache.close()
    with sqlite3.connect(tmp_path / "v") as connection:
        key, blob = connection.execute("select key, vector from vectors limit 1").fetchone()
        broken = bytes([blob[0] ^ 1]) + blob[1:]
        connection.execute("update vectors set vector = ? where key = ?", (broken, key))
    connection.close()
    assert key not in VectorCache(tmp_path / "v", most_bytes=MOST).get(list(given))


def test_a_place_that_cannot_be_written_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Told once, not for every batch."""
    with caplog.at_level(logging.WARNING):
        cache = VectorCache(tmp_path / "nowhere" / "v", most_bytes=MOST)
        for _ in range(5):
            cache.put(vectors_of("one"))
            assert cache.get(list(vectors_of("one"))) == {}
    assert caplog.text.count("cannot be used") == 1


def test_threads_share_it(tmp_path: Path) -> None:
    """Each finds what each has written."""
    cache = VectorCache(tmp_path / "v", most_bytes=MOST)

    def write(number: int) -> None:
        for step in range(20):
            cache.put(vectors_of(f"{number} {step}"))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = vectors_of(*(f"{number} {step}" for number in range(THREADS) for step in range(20)))
    assert same(cache.get(list(expected)), expected)


def test_processes_share_it_and_one_may_be_killed(tmp_path: Path) -> None:
    """What a process has put, another finds while both have it open; kill -9 in the middle of writing leaves a sound file."""
    program = (
        "import sys; from pathlib import Path; from bridge.embedding.cache import VectorCache;"
        "from tests.unit.test_vector_cache import vectors_of, MOST\n"
        "cache = VectorCache(Path(sys.argv[1]), most_bytes=MOST)\n"
        "cache.put(vectors_of('theirs')); print('ready', flush=True)\n"
        "for number in range(10**9): cache.put(vectors_of(f'many {number}'))"
    )
    ours = VectorCache(tmp_path / "v", most_bytes=MOST)
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "v")], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        assert same(ours.get(list(vectors_of("theirs"))), vectors_of("theirs"))
        ours.put(vectors_of("ours"))
        other.kill()
    assert same(ours.get(list(vectors_of("ours", "theirs"))), vectors_of("ours", "theirs"))
    ours.close()
    connection = sqlite3.connect(tmp_path / "v")
    assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    connection.close()
