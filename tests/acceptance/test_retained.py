"""A running bridge measures what its slot keeps, and says when it is too much."""

from __future__ import annotations

import json

from bridge.sandbox.postgres import SandboxPostgres
from tests.acceptance.conftest import MakeRig


def test_a_paused_bridge_warns_of_what_its_slot_keeps(own_postgres: SandboxPostgres, make_rig: MakeRig) -> None:
    """Beyond `max_retained_wal` it is said in the log and by `status`, and kept by default; with a limit of the server's, the
    time until the slot is lost is there as soon as the WAL's growth is known."""
    rig = make_rig(own_postgres.url())
    rig.file.write_text(rig.file.read_text().replace("source:\n", "source:\n  max_retained_wal: 1MB\n"))
    rig.sql("create table notes (id int primary key, body text)")
    rig.start()
    rig.wait_until_proven()
    assert rig.command("pause").returncode == 0
    rig.sql("insert into notes select n, repeat(md5(n::text), 40) from generate_series(1, 2000) n")
    rig.until(lambda: "more WAL than it may" in (json.loads(rig.command("status", "--json").stdout)["slot"]["warning"] or ""))
    assert "more WAL than it may" in rig.command("status").stdout
    assert "the slot keeps more WAL than it may" in rig.tail()
    assert rig.command("resume").returncode == 0
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    rig.prove()
