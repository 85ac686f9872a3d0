"""Cutover on a real rig: the gates in six scenarios, refusal and force, the automatic return, rehearsal and certificate."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from bridge.cutover import GatesClosed, Moves
from bridge.errors import ConfigError
from bridge.gates import closed
from bridge.ledger import Serving
from bridge.reads import Mode, Reason, Served, Shadow, fell_back, served, shadow, target_took
from bridge.validation.attending import carry_out, open_sides
from bridge.wiring import slot_figures
from tests.acceptance.conftest import MakeRig
from tests.patience import PATIENCE
from tests.rig import Rig

PAUSED = "paused: nothing is written"
USERS, EVENTS = "public.users", "public.events"
SCHEMA = (
    "create table users (id int primary key, name text)",
    "create table events (id int primary key, user_id int references users, note text)",
    "insert into users select n, 'user ' || n from generate_series(1, 300) n",
    "insert into events select n, n, 'event ' || n from generate_series(1, 100) n",
)
QUICK = {
    "steady": 1.0,
    "max_lag": "256kB",
    "min_sample": 100,
    "min_shadow_reads": 10,
    "max_heartbeat": 30.0,
    "max_silence": 300.0,
    "return_reads": 20,
}


class Crew:
    """Who moves tables on a rig, and plays the proxies' part."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig

    @property
    def serving(self) -> Serving:
        """The read side of the ledger."""
        return Serving(self.rig.ledger())

    @property
    def moves(self) -> Moves:
        """Anew each time: it reads its figures once."""
        config = self.rig.config
        return Moves(self.rig.ledger(), config.cutover.thresholds(), slot_figures(config, self.rig.slot), "ann@test")

    def shut(self, label: str = USERS) -> list[str]:
        """The names of the closed gates."""
        return [gate.name for gate in closed(self.moves.known[1], label)]

    def until(self, wanted: list[str], label: str = USERS) -> None:
        """Wait until exactly these gates are closed."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.shut(label)) != wanted:
            assert time.monotonic() < deadline, f"closed are {found}, not {wanted}\n{self.rig.tail()}"
            time.sleep(0.3)

    def pause(self) -> None:
        """Nothing is written from now on: the running bridge has seen that it is to pause."""
        before = self.rig.said(PAUSED)
        assert self.rig.command("pause").returncode == 0
        self.rig.wait_for(PAUSED, more_than=before)

    def validate(self) -> None:
        """As the command does it."""
        book = self.rig.ledger()
        number = Serving(book).ask_validation("ann@test", {}, begun=True)
        with open_sides(self.rig.config, book) as sides:
            assert carry_out(Serving(book), number, sides, {"sample": "all"})["clean"]

    def compare(self, label: str = USERS, *, later: float = 0.0) -> None:
        """Proxies have compared some reads, and all were alike."""
        counts = {(label, shadow(Shadow.SAME)): 20, (label, target_took(4)): 20}
        self.serving.count(counts, now=time.time() + later)


@pytest.fixture
def crew(make_rig: MakeRig) -> Crew:
    """A loaded pair of tables, compared and validated: all gates of both open."""
    rig = make_rig(cutover=QUICK, heartbeat={"seconds": 0.2}, parked={"retry_first": 3600.0})
    rig.sql(*SCHEMA)
    rig.start()
    rig.wait_until_proven()
    made = Crew(rig)
    made.validate()
    made.compare(USERS)
    made.compare(EVENTS)
    made.until([])
    made.until([], EVENTS)
    return made


def test_six_scenarios_of_the_gates(crew: Crew) -> None:
    """All open; lag; a parked key; a mismatch; a stale validation; a target restarted and not repaired. Each closes its own."""
    rig = crew.rig
    assert rig.command("cutover", "status", "--check").returncode == 0
    # lag
    crew.pause()
    rig.sql("update users set name = 'other' where id = 1", "select pg_logical_emit_message(false, 'test', repeat('x', 1000000))")
    crew.until(["lag"])
    refused = rig.command("cutover", "advance", "users", "--share", "5")
    assert refused.returncode == 1
    assert "lag" in refused.stderr
    assert crew.serving.routes() == {}
    rig.command("resume")
    crew.until([])
    # a parked key, of one table only
    rig.sql("insert into users values (1000, (select string_agg(md5(i::text), '') from generate_series(1, 140000) i))")
    crew.until(["parked"])
    crew.until([], EVENTS)
    rig.sql("delete from users where id = 1000")
    assert rig.command("parked", "retry", "all").returncode == 0
    crew.until([])
    # a mismatch: found by a proxy, explained by a person, and compared again since
    crew.serving.mismatch(USERS, "7", ["name"])
    assert crew.shut() == ["mismatches", "shadow"]
    with pytest.raises(ConfigError):
        crew.moves.explain(USERS, "7", " ")
    assert crew.moves.explain(USERS, "7", "the test wrote it") == 1
    assert crew.shut() == ["shadow"]
    crew.compare(later=120)
    assert crew.shut() == []
    # a stale validation
    rig.ledger_sql("update validations set ended = ended - 100000")
    assert crew.shut() == ["validation"]
    crew.validate()
    assert crew.shut() == []
    # the target is restarted
    crew.pause()
    rig.engram.kill()
    rig.engram.start()
    crew.until(["epoch", "proof", "validation"])
    rig.command("resume")
    crew.until(["validation"])
    crew.validate()
    crew.until([])


def test_a_table_that_goes_wrong_returns_by_itself_and_the_trail_says_why(crew: Crew) -> None:
    """Within seconds, by the running bridge, without anybody; the other table stays where it is."""
    crew.moves.advance(USERS, 50, why="it looks good")
    crew.moves.advance(EVENTS, 50)
    time.sleep(2)  # a beat of the bridge, so that it has seen the routes
    crew.serving.count({(USERS, fell_back(Reason.TIMEOUT)): 30, (USERS, served(Served.ENGRAM)): 10})
    crew.serving.count({(EVENTS, served(Served.ENGRAM)): 40})
    crew.rig.until(lambda: crew.serving.routes()[USERS].mode is Mode.POSTGRES, timeout=PATIENCE)
    assert crew.serving.routes()[EVENTS].share == 50
    newest = crew.serving.audit(1, USERS)[0]
    assert (newest.who, newest.verb) == ("bridge", "returned")
    assert newest.detail["why"].startswith("30 of 40 reads failed")
    assert newest.detail["from"] == {"mode": "engram", "share": 50}
    assert crew.shut() == ["errors"]


def test_refusal_force_and_the_audit_trail(crew: Crew) -> None:
    """Closed gates refuse and change nothing; force needs a reason, and both stand in the trail with the gates' values."""
    rig = crew.rig
    crew.serving.mismatch(USERS, "7", ["name"])
    with pytest.raises(GatesClosed) as refused:
        crew.moves.advance(USERS, 5)
    assert [gate.name for gate in refused.value.gates] == ["mismatches", "shadow"]
    assert crew.serving.routes() == {}
    silent = rig.command("cutover", "advance", "users", "--share", "5", "--force")
    assert silent.returncode == 2
    assert crew.serving.routes() == {}
    forced = rig.command("cutover", "advance", "users", "--share", "5", "--force", "--why", "a drill", "--who", "ben")
    assert forced.returncode == 0, forced.stderr
    (act,) = crew.serving.audit()
    assert (act.who, act.verb, act.detail["why"], act.detail["forced"]) == ("ben", "advance", "a drill", True)
    assert act.detail["closed"] == ["mismatches", "shadow"]
    assert act.detail["gates"]["mismatches"] == 1
    assert act.detail["gates"]["parked"] == 0
    crew.moves.advance(USERS, 2)  # a smaller share needs no gate
    crew.moves.back(USERS, why="enough")
    assert crew.serving.routes()[USERS].mode is Mode.POSTGRES
    shown = rig.command("cutover", "audit", "users")
    assert "ben  advance public.users → engram 5 % (by force; closed: mismatches, shadow): a drill" in shown.stdout
    assert "back public.users → postgres: enough" in shown.stdout


def test_completing_writes_a_certificate_that_can_be_verified(crew: Crew, tmp_path: Path) -> None:
    """Gates are asked, PostgreSQL stays behind; engram-only only afterwards; one changed byte is found."""
    rig = crew.rig
    with pytest.raises(ConfigError, match="is not completed"):
        crew.moves.complete(USERS, engram_only=True)
    done = rig.command("cutover", "complete", "users", "--certificate", str(tmp_path), "--why", "the day has come")
    assert done.returncode == 0, done.stderr
    assert (crew.serving.routes()[USERS].mode, crew.serving.routes()[USERS].share) == (Mode.ENGRAM, 100)
    (file,) = tmp_path.glob("certificate-public.users-*.json")
    document = json.loads(file.read_text())
    evidence = document["evidence"]
    assert evidence["validation"]["table"]["sampled"] == 300
    assert {gate["name"]: gate["open"] for gate in evidence["gates"]}["shadow"] is True
    assert evidence["closed"] == []
    assert "not known" not in evidence["versions"].values()
    markdown = file.with_suffix(".md")
    assert "the day has come" in markdown.read_text()
    verified = rig.command("cutover", "verify", str(file))
    assert verified.returncode == 0, verified.stdout
    assert "of the audit trail: " in verified.stdout
    good = markdown.read_text()
    markdown.write_text(good.replace("Rows in PostgreSQL 300", "Rows in PostgreSQL 301"))
    assert rig.command("cutover", "verify", str(file)).returncode == 1
    markdown.write_text(good)
    file.write_text(file.read_text().replace('"sampled": 300', '"sampled": 299'))
    assert rig.command("cutover", "verify", str(file)).returncode == 1
    crew.moves.complete(USERS, engram_only=True)
    assert crew.serving.routes()[USERS].mode is Mode.ENGRAM_ONLY


def test_a_rehearsal_says_what_would_have_happened_and_moves_nothing(crew: Crew) -> None:
    """Clear while all is well; with a row gone from Engram it names the row, and the share at which it would have ended."""
    rig = crew.rig
    clear = rig.command("cutover", "rehearse", "users", "--reads", "30", "--seconds", "0", "--json")
    assert clear.returncode == 0, clear.stdout + clear.stderr
    steps = json.loads(clear.stdout)["steps"]
    assert [step["share"] for step in steps] == [1, 5, 25, 50, 100, 50, 1]
    assert all(step["same"] == step["read"] == min(30, step["keys"]) for step in steps)
    assert steps[4]["keys"] == 300
    assert steps[4]["engram_p99"] is not None
    assert crew.serving.routes()[USERS].mode is Mode.POSTGRES
    assert {act.verb for act in crew.serving.audit()} == {"rehearse"}
    for number in range(1, 301):
        rig.engram.damage("users", f"users_{number}")
    bad = rig.command("cutover", "rehearse", "users", "--reads", "30", "--seconds", "0")
    assert bad.returncode == 1
    assert "been taken back: 30 of 30 reads failed" in " ".join(bad.stdout.split())
    assert ": missing" in bad.stdout
    assert crew.serving.routes()[USERS].mode is Mode.POSTGRES
