"""Recall by embedding forgets every row at a restart of the target, until the row was written again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import numpy as np

from bridge.embedding.hashing import HashingEmbedder
from bridge.engram import engram_pb2 as pb
from bridge.engram.engram_pb2_grpc import EngramServiceStub
from bridge.sandbox import shop
from tests.acceptance.conftest import MakeRig
from tests.patience import PATIENCE
from tests.rig import Rig

DIMENSIONS = 768
NAMES = [f"{thing} number {number}" for number in range(60) for thing in ("walrus", "kettle")]


@contextmanager
def recall_of(rig: Rig) -> Iterator[EngramServiceStub]:
    """Engram itself, asked as the read side will ask it."""
    with grpc.insecure_channel(rig.engram.grpc) as channel:
        yield EngramServiceStub(channel)


def recalled(engram: EngramServiceStub, space: str, text: str) -> set[str]:
    """Ids of what a text recalls by its embedding, well above what unrelated rows reach."""
    clean = HashingEmbedder().embed([text])[0]
    vector = np.zeros(DIMENSIONS, dtype=np.float32)
    vector[: len(clean)] = clean
    cue = pb.Cue(embedding=pb.EmbeddingCue(vector=vector), threshold=pb.Confidence(value=0.9))
    answer = engram.Recall(pb.RecallRequest(memory_space_id=space, cue=cue, max_results=10), timeout=PATIENCE)
    # Around the tiers the server answers rows that have nothing to do with the question, at a score of 1.0.
    return {memory.id for memory in answer.memories if memory.confidence.value < 1.0}


def named_rig(make_rig: MakeRig, **target: object) -> Rig:
    """Two tables of distinct names, one of them without a key."""
    rig = make_rig(target={"rewrite_share": 1.0, **target}, tables={"notes": {"duplicates": "collapse"}})
    rig.sql(
        "create table things (id int primary key, name text not null)",
        "create table notes (name text not null, at timestamptz)",
        "alter table notes replica identity full",
    )
    for number, name in enumerate(NAMES, 1):
        rig.sql(f"insert into things values ({number}, '{name}')", f"insert into notes values ('{name}', '2020-01-02')")
    return rig


def wait_until_searchable(rig: Rig, seconds: float = 60.0) -> None:
    """Until the ledger says that the search of every table is complete."""
    ledger = rig.ledger()
    try:
        rig.until(lambda: all(ledger.searchable(record.number) for record in ledger.tables()), seconds)
    finally:
        ledger.close()


def found(rig: Rig, space: str) -> int:
    """How many of the rows are recalled by their own text."""
    with recall_of(rig) as engram:
        prefix = {"things": "things_", "notes": "notes_"}[space]
        return sum(any(memory_id.startswith(prefix) for memory_id in recalled(engram, space, f"name: {name}")) for name in NAMES)


def test_search_forgets_at_a_restart_and_is_written_again(make_rig: MakeRig) -> None:
    """After kill and restart nothing is recalled by its embedding; written through, everything is, and all of it is proven."""
    rig = named_rig(make_rig)
    rig.start()
    rig.wait_until_proven()
    wait_until_searchable(rig)
    assert found(rig, "things") == found(rig, "notes") == len(NAMES)
    assert rig.stop() == 0, rig.tail()
    rig.engram.kill()
    rig.engram.start()
    assert found(rig, "things") == found(rig, "notes") == 0
    rig.start()
    rig.wait_until_proven()
    wait_until_searchable(rig)
    assert found(rig, "things") == found(rig, "notes") == len(NAMES)
    assert rig.stop() == 0, rig.tail()
    rig.prove()
    ledger = rig.ledger()
    assert ledger.counters()["rewritten"] == 2 * len(NAMES)
    ledger.close()


def test_without_a_share_nothing_is_written_again(make_rig: MakeRig) -> None:
    """`rewrite_share: 0` leaves the rows alone, and status says that search is not complete."""
    rig = named_rig(make_rig, rewrite_share=0)
    rig.catch_up()
    rig.engram.kill()
    rig.engram.start()
    rig.catch_up()
    rig.prove()
    ledger = rig.ledger()
    assert "rewritten" not in ledger.counters()
    assert not any(progress.complete or progress.known for progress in ledger.search_progress().values())
    ledger.close()


def test_a_target_that_restarts_all_the_time_does_not_starve_the_stream(make_rig: MakeRig) -> None:
    """Restarted every second or two while an application writes: changes go on being proven meanwhile, and the end is proven."""
    rig = make_rig(target={"rewrite_share": 0.5})
    shop.create(rig.source)
    shop.seed(rig.source, 800)
    rig.start()
    rig.wait_until_proven()
    before = rig.confirmed()
    with shop.Application(rig.source, seed=3, rate=15.0) as application:
        positions, restarts, life = {before}, 0, 1.5
        while restarts < 6 or (len(positions) < 4 and restarts < 30):
            time.sleep(life)
            rig.engram.kill()
            began = time.monotonic()
            rig.engram.start()
            life = max(1.5, time.monotonic() - began)  # where a start is slow, so is everything that is to happen in a life
            restarts += 1
            positions.add(rig.confirmed())
        application.stop()
    assert len(positions) >= 4, f"hardly anything was confirmed while it restarted {restarts} times"
    rig.wait_until_proven()
    wait_until_searchable(rig)
    assert rig.stop() == 0, rig.tail()
    rig.prove()
    ledger = rig.ledger()
    assert ledger.counters()["target_restarts"] >= 3
    ledger.close()
