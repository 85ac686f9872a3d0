"""One source of figures: status, metrics and gates of a running bridge say the same, and so do the probes of Kubernetes."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from api.metrics import families
from bridge.cli.app import app
from bridge.figures import collect
from bridge.ledger import Serving
from bridge.lsn import parse_lsn
from bridge.readiness import read_inputs
from bridge.reads import Mode
from bridge.wiring import slot_figures
from tests.acceptance.conftest import MakeRig
from tests.patience import PATIENCE
from tests.reading import reader, route, running
from tests.rig import Rig

NOTES = ("create table notes (id int primary key, body text)", "insert into notes select n, 'x' from generate_series(1, 50) n")
LABEL = "public.notes"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    """The samples of an exposition, by name and labels."""
    return {
        (sample.name.removeprefix("engram_bridge_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def counted(rig: Rig) -> None:
    """What proxies would have counted and found."""
    ledger = rig.ledger()
    serving = Serving(ledger)
    serving.count(
        {
            (LABEL, "served:engram"): 70,
            (LABEL, "served:postgres"): 30,
            (LABEL, "reason:stale"): 20,
            (LABEL, "reason:share"): 10,
            (LABEL, "error:503"): 2,
            (LABEL, "shadow:same"): 9,
            (LABEL, "shadow:mismatch"): 1,
            (LABEL, "ms:engram:2"): 60,
            (LABEL, "ms:engram:300"): 10,
            (LABEL, "ms:target:1"): 70,
            ("public.gone", "served:engram"): 5,
        }
    )
    serving.mismatch(LABEL, "7", ["body"])
    ledger.close()


def quiet(rig: Rig) -> None:
    """The bridge has ended, so that nothing moves between two looks; what it measured is still young."""
    assert rig.stop() == 0, rig.tail()


async def looked(rig: Rig) -> tuple[dict[str, Any], str]:
    """What the page shows, and the exposition, of the same second."""
    async with reader(rig.config) as client:
        app = client.app  # type: ignore[attr-defined]
        text = (await client.get("/metrics")).text
        return json.loads(json.dumps(app.state.operator.board.look()["figures"])), text


def test_status_page_metrics_and_gates_say_the_same(make_rig: MakeRig) -> None:
    """Every figure that stands in several of them has one value."""
    rig = make_rig()
    rig.sql(*NOTES)
    rig.start()
    rig.wait_until_proven()
    route(rig.ledger_location, LABEL, Mode.ENGRAM, 40)
    counted(rig)
    check_heartbeat(rig)
    quiet(rig)
    found: list[tuple[dict[str, Any], str]] = []

    async def look() -> None:
        found.append(await looked(rig))

    running(look)
    page, text = found[0]
    # in this process: what a bridge has measured is known for some seconds, and a start of Python takes some
    told = json.loads(CliRunner().invoke(app, ["status", "--json", "--config", str(rig.file)]).stdout)
    moving = {"at", "staleness_seconds", "lag", "source", "gates", "trouble", "slot"}
    for one in (told, page):
        one["target"].pop("reachable")  # measured by a bridge that has ended: not known any more after five seconds
    assert {name: value for name, value in told.items() if name not in moving} == {
        name: value for name, value in page.items() if name not in moving
    }
    assert told.keys() == page.keys()
    assert [(gate["name"], gate["table"], gate["open"]) for gate in told["gates"]] == [
        (gate["name"], gate["table"], gate["open"]) for gate in page["gates"]
    ]
    assert [one["name"] for one in told["trouble"]] == [one["name"] for one in page["trouble"]]
    check_metrics(page, samples(text))
    check_gates(rig, page)


def check_heartbeat(rig: Rig) -> None:
    """While the bridge runs: its beat, the silence of the wire, the clock."""
    ledger = rig.ledger()
    deadline = time.monotonic() + PATIENCE
    while not (figures := collect(ledger, None)).heartbeat.count:
        assert time.monotonic() < deadline, rig.tail()
        time.sleep(0.2)
    ledger.close()
    beat, page = figures.heartbeat, figures.as_dict()
    found = {
        (sample.name.removeprefix("engram_bridge_"), sample.labels.get("percentile", "")): sample.value
        for family in families(figures)
        for sample in family.samples
    }
    assert beat.p99_ms is not None
    assert found["heartbeat_lag_seconds", "99"] == beat.p99_ms / 1000 == page["heartbeat"]["p99_ms"] / 1000
    assert found["heartbeat_age_seconds", ""] == beat.age_seconds
    assert found["source_clock_offset_seconds", ""] == beat.clock_offset_seconds
    assert found["wire_silence_seconds", ""] == page["source"]["wire_silence_seconds"]
    assert found["running", ""] == 1.0


def check_metrics(page: dict[str, Any], metrics: Samples) -> None:
    """What is in the page's JSON is in the metrics, in seconds and bytes, and tables that are not carried are not."""

    def one(name: str, **labels: str) -> float:
        return metrics[name, tuple(sorted(labels.items()))]

    table = page["tables"][0]
    recent = page["reads"][LABEL]["windows"]["all"]
    assert {name: one("position_bytes", position=name) for name in page["positions"]} == {
        name: parse_lsn(lsn) for name, lsn in page["positions"].items()
    }
    assert one("staleness_seconds") == pytest.approx(page["staleness_seconds"], abs=2.0)
    assert one("covered_timestamp_seconds") == page["lag"]["covered"]
    assert one("phase", phase=page["phase"]) == 1.0
    assert one("running") == float(page["heartbeat"]["running"])
    assert one("slot_retained_bytes") == page["slot"]["retained_wal_bytes"]
    assert one("target_starts_total") == page["target"]["starts_seen"] == len(page["epochs"])
    assert (
        (one("table_rows", table=LABEL), one("table_parked_keys", table=LABEL)) == (table["expected"], table["parked"]) == (50, 0)
    )
    assert one("table_mode", table=LABEL, mode="engram") == 1.0
    assert one("table_share_ratio", table=LABEL) == page["reads"][LABEL]["share"] / 100 == 0.4
    assert [one("reads_total", table=LABEL, by=by) for by in ("engram", "postgres", "ledger")] == [70, 30, 0]
    assert recent["served"] == {"engram": 70, "postgres": 30, "ledger": 0}
    assert one("read_fallbacks_total", table=LABEL, reason="stale") == recent["reasons"]["stale"] == 20
    assert one("read_failures_total", table=LABEL, status="503") == recent["failed"] == 2
    assert one("shadow_reads_total", table=LABEL, found="mismatch") == recent["shadow"]["mismatch"] == 1
    assert one("mismatched_keys", table=LABEL) == page["mismatch_counts"][LABEL] == 1
    assert one("read_duration_seconds_bucket", table=LABEL, by="engram", le="0.2") == 60
    assert one("read_duration_seconds_bucket", table=LABEL, by="engram", le="+Inf") == recent["ms"]["engram"]["count"] == 70
    assert recent["ms"]["engram"]["p99"] == 300.0
    for gate in page["gates"]:
        assert one("gate_open", gate=gate["name"], table=gate["table"]) == float(gate["open"])
    by_severity = [one["severity"] for one in page["trouble"]]
    assert one("troubles", severity="critical") == by_severity.count("critical") > 0
    assert not [labels for _name, labels in metrics if ("table", "public.gone") in labels]


def check_gates(rig: Rig, page: dict[str, Any]) -> None:
    """The gates are judged by what the page shows."""
    ledger, settings = rig.ledger(), rig.config
    try:
        inputs = read_inputs(ledger, slot_figures(settings, rig.slot))
    finally:
        ledger.close()
    table, reads = inputs.tables[0], page["reads"][LABEL]
    assert (table.route.mode.value, table.route.share, table.route.since) == (reads["mode"], reads["share"], reads["since"])
    assert (table.rows, table.parked, table.pending_edges) == tuple(
        page["tables"][0][name] for name in ("expected", "parked", "pending_edges")
    )
    assert table.mismatches == page["mismatch_counts"][LABEL]
    assert table.target_p99 == reads["windows"]["60m"]["ms"]["target"]["p99"]
    assert inputs.epoch == page["target"]["epoch"] == page["epochs"][0]["epoch"]
    assert inputs.lag_bytes == page["lag"]["bytes"]
    assert {(gate["name"], gate["table"]) for gate in page["gates"] if gate["table"]} >= {
        ("mismatches", LABEL),
        ("parked", LABEL),
    }


def test_the_exposition_is_in_prometheus_s_form(make_rig: MakeRig) -> None:
    """`promtool check metrics` has nothing to say."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    rig = make_rig()
    rig.sql(*NOTES)
    rig.start()
    rig.wait_until_proven()
    counted(rig)

    async def look() -> None:
        _page, text = await looked(rig)
        done = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, "")

    running(look)
    assert rig.stop() == 0, rig.tail()


def test_the_probes_mean_what_kubernetes_means(make_rig: MakeRig) -> None:
    """Ready while the ledger and one of the two can answer; alive all the time. A ledger that is away is a metric, too."""
    rig = make_rig()
    rig.sql(*NOTES)
    rig.start()
    rig.wait_until_proven()

    async def look() -> None:
        async with reader(rig.config) as client:
            assert [(await client.get(path)).status_code for path in ("/livez", "/readyz", "/metrics")] == [200, 200, 200]
            rig.engram.stop()
            assert (await client.get("/readyz")).status_code == 200
            moved = rig.ledger_path.rename(rig.ledger_path.with_suffix(".away"))
            app = client.app  # type: ignore[attr-defined]
            await app.state.proxy.ledger.close()
            answer: httpx.Response = await client.get("/readyz")
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
            assert (await client.get("/livez")).status_code == 200
            moved.rename(rig.ledger_path)

    running(look)
    rig.kill()
