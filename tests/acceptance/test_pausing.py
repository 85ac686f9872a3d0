"""The snapshot can be paused and resumed from another process, over restarts, while the stream is followed."""

from __future__ import annotations

import json
import time

from tests.acceptance.conftest import MakeRig
from tests.patience import PATIENCE
from tests.rig import Rig


def loaded(rig: Rig) -> int:
    """Chunks that are recorded."""
    ledger = rig.ledger()
    try:
        return sum(chunk.done for record in ledger.tables() for chunk in ledger.chunks(record.number))
    finally:
        ledger.close()


def settled(rig: Rig) -> int:
    """Chunks that are recorded once those that were read before the pause are all through."""
    count, since = loaded(rig), time.time()
    deadline = time.monotonic() + PATIENCE
    while time.time() - since < 3.0 or not idle(rig, since):
        assert time.monotonic() < deadline, rig.tail()
        time.sleep(0.2)
        if (now := loaded(rig)) != count:
            count, since = now, time.time()
    return count


def idle(rig: Rig, since: float) -> bool:
    """The bridge has measured, after that moment, that nothing waits in its lanes."""
    waiting, measured = rig.ledger().gauges().get("waiting", (1, 0.0))
    return waiting == 0 and measured > since


def test_a_paused_snapshot_reads_no_more_chunks_and_the_stream_goes_on(make_rig: MakeRig) -> None:
    """After `snapshot pause` the count of chunks stands still, changes are applied; `snapshot resume` brings the rest."""
    rig = make_rig(snapshot={"chunk_rows": 50, "workers": 2})
    rig.sql(
        "create table notes (id int primary key, body text)", "insert into notes select n, 'x' from generate_series(1, 9000) n"
    )
    rig.engram.faults([{"on": "Remember", "do": "slow", "seconds": 0.01}])
    rig.start()
    rig.until(lambda: rig.has_ledger and loaded(rig) >= 3)
    assert rig.command("snapshot", "pause").returncode == 0
    rig.engram.faults()
    before = settled(rig)
    assert 0 < before < 180
    rig.sql("insert into notes values (99999, 'streamed')")
    rig.until(lambda: rig.ledger().counters().get("changes_applied", 0) == 1)
    assert loaded(rig) == before
    status = json.loads(rig.command("status", "--json").stdout)
    assert status["phase"] == "snapshot paused"
    assert status["totals"]["changes_applied"] == 1
    assert rig.stop() == 0, rig.tail()
    rig.start()
    time.sleep(3.0)
    assert loaded(rig) == before
    assert rig.command("snapshot", "resume").returncode == 0
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    rig.prove()
