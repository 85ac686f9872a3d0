"""The certificate of a cutover: what was compared, at which position, how, and what came of it; and that nobody has changed it.

The evidence is one JSON object; its SHA-256, over the canonical form of that object, stands beside it and in the audit trail. The
Markdown is made from the JSON alone, so it can be made again and compared. Pure.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

FORMAT = "engram-bridge cutover certificate 1"


def canonical(evidence: Mapping[str, Any]) -> bytes:
    """The bytes that are hashed: keys in order, no spaces, UTF-8."""
    return json.dumps(evidence, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def seal(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """The document: the evidence with its hash."""
    return {"format": FORMAT, "sha256": hashlib.sha256(canonical(evidence)).hexdigest(), "evidence": dict(evidence)}


def faults(document: Any, markdown: str | None = None) -> list[str]:
    """What is wrong with a certificate as it was found, and with its Markdown; nothing for one that nobody has changed."""
    if not isinstance(document, dict) or document.get("format") != FORMAT or not isinstance(document.get("evidence"), dict):
        return ["it is no certificate of engram-bridge"]
    found = []
    if hashlib.sha256(canonical(document["evidence"])).hexdigest() != document.get("sha256"):
        found.append("the evidence is not what was hashed: it was changed, or the hash was")
    if markdown is not None and not found and markdown != render(document):
        found.append("the Markdown is not what this JSON says")
    return found


def render(document: Mapping[str, Any]) -> str:
    """The Markdown."""
    evidence: Mapping[str, Any] = document["evidence"]
    source, position = evidence["source"], evidence["position"]
    lines = [
        f"# Cutover certificate: {evidence['table']}",
        "",
        f"Reads of `{evidence['table']}` go {_route(evidence['route']['from'])} → {_route(evidence['route']['to'])}.",
        "",
        f"- made: {_moment(evidence['made'])} by {evidence['who']}",
        f"- why: {evidence['why'] or '–'}",
        *([f"- **by force**: closed were {', '.join(evidence['closed'])}"] if evidence["closed"] else []),
        f"- source: database {source['database']}, system {source['system_identifier']}, timeline {source['timeline']}",
        f"- proven: everything up to {position['proven']}; PostgreSQL's WAL was at {position['flushed'] or '–'}",
        f"- target: start {evidence['target']['epoch']}, seen {_moment(evidence['target']['seen'])}",
        f"- versions: {', '.join(f'{name} {version}' for name, version in sorted(evidence['versions'].items()))}",
        "",
        "## Gates",
        "",
        *_table(
            ["gate", "state", "value", "bound", "unit", "since"],
            [
                [g["name"], "open" if g["open"] else "**closed**", g["value"], g["threshold"], g["unit"], _moment(g["since"])]
                for g in evidence["gates"]
            ],
        ),
        "",
        "## Validation",
        "",
        *_validation(evidence["validation"]),
        "",
        "## Reads",
        "",
        *_table(["counted since", "what", "how often"], _reads(evidence["reads"])),
        "",
        "## Audit trail",
        "",
        *_table(
            ["number", "when", "who", "what", "why"],
            [[a["number"], _moment(a["at"]), a["who"], _act(a), a["detail"].get("why", "")] for a in evidence["audit"]],
        ),
        "",
        f"SHA-256 of the evidence: `{document['sha256']}`",
        "",
    ]
    return "\n".join(lines)


def _validation(found: Mapping[str, Any] | None) -> list[str]:
    if found is None:
        return ["None."]
    result: Mapping[str, Any] = found["result"]
    table: Mapping[str, Any] = found["table"]
    lines = [
        f"Number {found['number']}, ended {_moment(found['ended'])}: {'nothing was found' if table['clean'] else 'not clean'}.",
        f"Sample {result['order']['sample']}, seed {result['order']['seed']}, frontier {' to '.join(result['frontier'])}.",
        "",
        *_table(
            ["check", "what it says when nothing is found", "found"],
            [[name, says, table["checks"].get(name, 0)] for name, says in result["checks"].items()],
        ),
        "",
        f"Rows in PostgreSQL {table['rows']}, in the ledger {table['ledger']}; compared field by field {table['sampled']}.",
        f"Edges {table['edges']}, orphans {table['orphans']}; {table['lag']} difference(s) passed by as lag.",
    ]
    chances = [f"{bad} damaged row(s): {100 * chance:.4g} %" for bad, chance in table["chance_to_miss"].items() if chance]
    if chances:
        lines += ["", f"Only a sample was compared field by field. Probability that it missed {', '.join(chances)}."]
    return lines


def _reads(reads: Mapping[str, Any]) -> list[list[Any]]:
    return [[_moment(reads["since"]), what, count] for what, count in sorted(reads["counts"].items())]


def _act(act: Mapping[str, Any]) -> str:
    to = act["detail"].get("to")
    forced = ", by force" if act["detail"].get("forced") else ""
    return f"{act['verb']} → {_route(to)}{forced}" if to else str(act["verb"])


def _route(route: Mapping[str, Any]) -> str:
    return f"{route['mode']} {route['share']} %" if route["mode"] in ("shadow", "engram") else str(route["mode"])


def _moment(at: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at)) if at else "–"


def _table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    return [
        f"| {' | '.join(headings)} |",
        f"|{'---|' * len(headings)}",
        *(f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows),
    ]


def _cell(value: Any) -> str:
    text = "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
