"""What an operator does to a running bridge: pause it, have its configuration read again, pack a bundle for support."""

from __future__ import annotations

import json
import signal
import time
import zipfile
from pathlib import Path

import yaml

from tests.acceptance.conftest import MakeRig
from tests.rig import Rig

SECRET = "a value that nobody may see"


def live(rig: Rig) -> int:
    """How many memories the ledger expects."""
    ledger = rig.ledger()
    try:
        return sum(ledger.live_counts().values())
    finally:
        ledger.close()


def test_a_paused_bridge_writes_nothing_until_it_is_resumed(make_rig: MakeRig) -> None:
    """Pausing holds over a new start; the stream is read and kept meanwhile, and afterwards all of it is proven."""
    rig = make_rig()
    rig.sql("create table t (id int primary key, v text)", "insert into t select n, 'row' from generate_series(1, 300) n")
    rig.start()
    rig.wait_until_proven()
    assert rig.command("pause").returncode == 0
    rig.wait_for("paused: nothing is written")
    rig.sql("insert into t select n, 'later' from generate_series(301, 400) n")
    time.sleep(1.5)
    assert live(rig) == 300
    status = json.loads(rig.command("status", "--json").stdout)
    assert status["phase"] == "paused"
    rig.stop()
    rig.start()
    rig.wait_for("streaming", more_than=1)
    time.sleep(1.0)
    assert live(rig) == 300
    assert rig.command("resume").returncode == 0
    rig.wait_until_proven()
    assert live(rig) == 400
    assert rig.stop() == 0
    rig.prove()


def test_sighup_applies_what_can_change_and_names_what_cannot(make_rig: MakeRig) -> None:
    """A wrong file changes nothing and ends nothing."""
    rig = make_rig(parked={"retry_first": 30})
    rig.sql("create table t (id int primary key, v text)", "insert into t select n, 'row' from generate_series(1, 50) n")
    process = rig.start()
    rig.wait_until_proven()
    document = yaml.safe_load(rig.file.read_text(encoding="utf-8"))
    document["target"]["limit"] = 50
    document["snapshot"]["chunk_rows"] = 77
    document["proofs"] = "all"
    rig.file.write_text(yaml.safe_dump(document), encoding="utf-8")
    process.send_signal(signal.SIGHUP)
    rig.wait_for("the configuration was not read again")
    assert "Did you mean 'proof'?" in rig.tail()
    del document["proofs"]
    document["migration"] = "another"
    rig.file.write_text(yaml.safe_dump(document), encoding="utf-8")
    process.send_signal(signal.SIGHUP)
    rig.wait_for("these keys take effect with the next start")
    assert "changed=['snapshot.chunk_rows', 'target.limit']" in rig.tail()
    assert "keys=['migration']" in rig.tail()
    rig.sql("insert into t values (51, 'one too many')")  # the limit is 50 now
    rig.wait_for("reason=capacity")
    assert rig.stop() == 0


def test_a_bundle_has_what_support_needs_and_no_value_of_a_row(make_rig: MakeRig, tmp_path: Path) -> None:
    """Also with a parked key, whose key and detail are values; and with a source that is away."""
    rig = make_rig()
    rig.sql(
        "create table t (id text primary key, v text)",
        f"insert into t values ('{SECRET}', repeat('long ', 1000000)), ('b', '{SECRET}')",
    )
    rig.start()
    rig.wait_for("a key is parked")
    time.sleep(1.5)
    file = tmp_path / "bundle.zip"
    done = rig.command("bundle", str(file))
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(file) as bundle:
        parts = {name: bundle.read(name).decode() for name in bundle.namelist()}
    assert {"configuration.yaml", "status.json", "log.json", "parked.json", "postgresql.json", "versions.json"} <= parts.keys()
    assert [one["reason"] for one in json.loads(parts["parked.json"])] == ["too_large"]
    assert json.loads(parts["status.json"])["source"]["run"]
    assert json.loads(parts["postgresql.json"])["settings"]["wal_level"] == "logical"
    for name, text in parts.items():
        assert SECRET not in text, name
    rig.stop()
    away = rig.command("bundle", str(file), "--source", "postgresql://nobody:hidden@127.0.0.1:1/none")
    assert away.returncode == 0
    with zipfile.ZipFile(file) as bundle:
        assert "postgresql.json" in json.loads(bundle.read("lacking.json"))
        assert b"hidden" not in b"".join(bundle.read(name) for name in bundle.namelist())
