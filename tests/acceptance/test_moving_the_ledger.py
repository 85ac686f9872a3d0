"""The ledger moves between a file and PostgreSQL, and copies of it are what they are worth."""

from __future__ import annotations

from pathlib import Path

import yaml

from bridge.sandbox import shop
from tests.acceptance.conftest import MakeRig
from tests.rig import Rig, drop_ledger_database, ledger_database


def move_to(rig: Rig, location: str) -> None:
    """What the operator writes into bridge.yaml."""
    document = yaml.safe_load(rig.file.read_text(encoding="utf-8"))
    document["ledger"] = rig.ledger_location = location
    rig.file.write_text(yaml.safe_dump(document), encoding="utf-8")


def test_a_bridge_goes_on_with_the_ledger_that_was_moved(make_rig: MakeRig, tmp_path: Path) -> None:
    """From a file to PostgreSQL and back, with changes between: no table is loaded again, nothing is missing, wrong or extra. The
    ledger that was left behind is older than the slot, and refused."""
    rig = make_rig()
    shop.create(rig.source)
    shop.seed(rig.source, 600)
    rig.catch_up()
    first, url = rig.ledger_location, ledger_database(rig.source)
    try:
        for number, place in enumerate((url, str(tmp_path / "back.db"))):
            file = str(tmp_path / f"{number}.export")
            done = rig.command("ledger", "export", file)
            assert done.returncode == 0, done.stderr
            assert "running" not in done.stdout
            move_to(rig, place)
            done = rig.command("ledger", "import", file)
            assert done.returncode == 0, done.stderr
            assert rig.command("ledger", "import", file).returncode == 2, "it is there now"
            rig.sql("update users set name = name || '!' where id % 5 = 0", "delete from reviews where id % 7 = 1")
            rig.catch_up()
            rig.prove()
        log = rig.log.read_text(encoding="utf-8")
        assert log.count("a table is loaded ") == 11, "all of them by the first run"
        assert "loaded again" not in log
        for place in (first, url):
            move_to(rig, place)
            refused = rig.command("run", "--until-caught-up")
            assert refused.returncode == 1
            assert "ledger" in refused.stderr
            assert "confirmed" in refused.stderr
    finally:
        drop_ledger_database(rig.source, url)


def test_a_copy_of_a_running_bridges_ledger_is_refused_once_that_bridge_has_gone_on(make_rig: MakeRig, tmp_path: Path) -> None:
    """Law 4: the slot is ahead of the copy, and the changes between would be missing. A copy made after the stop is as good as
    the ledger, and an old one still serves with a new slot."""
    rig = make_rig()
    rig.sql("create table things (id int primary key)", "insert into things select generate_series(1, 100)")
    rig.start()
    rig.wait_until_proven()
    early, late = tmp_path / "early.db", tmp_path / "late.db"
    done = rig.command("ledger", "backup", str(early))
    assert done.returncode == 0, done.stderr
    assert "only until the running bridge confirms" in done.stdout
    rig.sql("insert into things values (1000)")
    rig.wait_until_proven()
    assert rig.stop() == 0, rig.tail()
    assert rig.command("ledger", "backup", str(late)).returncode == 0
    move_to(rig, str(early))
    refused = rig.command("run", "--until-caught-up")
    assert refused.returncode == 1
    assert "was moved on to" in refused.stderr
    move_to(rig, str(late))
    rig.catch_up()
    (one,) = rig.prove()
    assert one.rows == 101
    rig.sql("delete from things where id < 10")
    move_to(rig, str(early))
    assert rig.command("resync", "--new-slot").returncode == 0
    rig.catch_up()
    (one,) = rig.prove()
    assert (one.rows, one.deleted) == (92, 9)
