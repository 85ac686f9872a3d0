"""`engram-bridge checklist` beside a real migration: lines tick by themselves, people's words stay, and `--check` decides."""

from __future__ import annotations

import json
from typing import Any

from tests.acceptance.conftest import MakeRig
from tests.rig import Rig


def lines(rig: Rig, *arguments: str) -> dict[str, dict[str, Any]]:
    """The list, by name of the line."""
    done = rig.command("checklist", "--json", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return {line["name"]: line for line in json.loads(done.stdout)["lines"]}


def test_lines_tick_by_themselves_and_by_those_who_confirm(make_rig: MakeRig) -> None:
    """Confirmations come before the ledger's first run, and do not stand in its way; what is loaded and proven ticks itself."""
    rig = make_rig(heartbeat={"seconds": 0.2})
    rig.sql(
        "create table users (id int primary key, name text)",
        "insert into users select n, 'user ' || n from generate_series(1, 50) n",
    )
    first = lines(rig, "--confirm", "backup", "--who", "ann", "--why", "the dump of tonight")
    assert (first["backup"]["state"], first["loaded"]["state"]) == ("done", "open")
    assert first["backup"]["told"].startswith("ann, ")
    assert first["backup"]["told"].endswith(": the dump of tonight")
    assert first["check"]["state"] == "done", first["check"]
    rig.start()
    rig.wait_until_proven()
    assert rig.command("validate", "--sample", "all").returncode == 0
    then = lines(rig)
    assert {
        name: then[name]["state"] for name in ("backup", "checkpoint", "loaded", "parked", "orphans", "validated")
    } == dict.fromkeys(("backup", "checkpoint", "loaded", "parked", "orphans", "validated"), "done")
    assert (then["share"]["state"], then["release"]["state"]) == ("open", "open")
    rig.engram.damage("users", "users_8")
    assert rig.command("validate", "--sample", "all").returncode != 0
    assert lines(rig)["validated"]["told"] == "0 of 1 table(s) validated; not public.users"
    assert lines(rig, "--withdraw", "backup")["backup"]["state"] == "open"


def test_nothing_goes_while_its_list_is_open(make_rig: MakeRig) -> None:
    """Requirement 112: `--check` ends with 1 until reads are Engram's, all is validated and people have spoken."""
    rig = make_rig()
    rig.sql("create table users (id int primary key, name text)")
    done = rig.command("checklist", "--phase", "source", "--check")
    assert done.returncode == 1, done.stderr
    assert "0 of 5 done; 5 open, 3 for a person to confirm" in done.stdout
    assert "--confirm writes" in done.stdout
    for wrong, sentence in (("loaded", "is not confirmed but seen"), ("bakcup", "backup")):
        refused = rig.command("checklist", "--confirm", wrong)
        assert refused.returncode == 2
        assert sentence in refused.stderr
    assert not rig.has_ledger
