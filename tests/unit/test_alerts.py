"""Alert rules and the board name metrics that there are, and headings of the runbook that there are; Prometheus can read them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.metrics import families
from bridge.figures import collect
from bridge.ledger import Ledger
from bridge.status import SlotFigures
from tests.unit.test_docs import ROOT, anchors

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
BOARD = DEPLOY / "grafana" / "dashboards" / "engram-bridge.json"
METRIC = re.compile(r"\bengram_bridge_\w+")


@pytest.fixture
def known(tmp_path: Path) -> set[str]:
    """The names of all samples that there can be."""
    ledger = Ledger(str(tmp_path / "ledger.db"))
    names = set()
    for family in families(collect(ledger, SlotFigures(exists=True))):
        ending = {"counter": ["_total"], "histogram": ["_bucket"]}.get(family.type, [""])
        names |= {family.name + end for end in ending}
    ledger.close()
    return names | {"engram_bridge_ledger_readable"}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions(board: Any) -> Iterator[str]:
    """Every `expr` in a board, wherever it stands."""
    if isinstance(board, dict):
        if isinstance(found := board.get("expr"), str):
            yield found
        for value in board.values():
            yield from expressions(value)
    elif isinstance(board, list):
        for value in board:
            yield from expressions(value)


def promtool(*arguments: str) -> None:
    """Run it; skipped, saying so, where it is missing."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([found, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_heading_of_the_runbook() -> None:
    """Whoever is woken is led to what to do."""
    headings = anchors(ROOT / "docs" / "runbook.md")
    for rule in rules():
        path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert path == "docs/runbook.md"
        assert anchor in headings, f"{rule['alert']}: the runbook has no {anchor}"
        assert rule["annotations"]["summary"]
        assert rule["labels"]["severity"] in ("critical", "warning")


def test_alerts_and_board_name_metrics_that_there_are(known: set[str]) -> None:
    """A metric that was renamed would leave an alert that never comes."""
    board = json.loads(BOARD.read_text(encoding="utf-8"))
    for expression in [*(rule["expr"] for rule in rules()), *expressions(board)]:
        named = set(METRIC.findall(expression))
        assert named <= known, f"{expression}: {named - known}"
    shown = {name for expression in expressions(board) for name in METRIC.findall(expression)}
    assert len(shown) > 25


def test_panels_of_the_board_do_not_overlap_and_ask_the_provisioned_source() -> None:
    """Each place is one panel's, and the source is the one that Grafana is given."""
    board = json.loads(BOARD.read_text(encoding="utf-8"))
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text(encoding="utf-8"))
    uid = sources["datasources"][0]["uid"]
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        mine = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not mine & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= mine
        assert all(target["datasource"]["uid"] == uid for target in panel.get("targets", []))
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_prometheus_reads_the_rules() -> None:
    """Their syntax and templates."""
    promtool("check", "rules", str(RULES))


def test_prometheus_reads_its_configuration() -> None:
    """Without the files of secrets, which are elsewhere."""
    promtool("check", "config", "--syntax-only", str(DEPLOY / "prometheus" / "prometheus.yml"))


def test_the_rules_say_what_they_should() -> None:
    """A healthy bridge wakes nobody; what goes wrong is told in the right words (`tests/unit/alerts.yml`)."""
    promtool("test", "rules", str(ROOT / "tests" / "unit" / "alerts.yml"))
