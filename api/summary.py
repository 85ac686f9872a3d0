"""The page's essential facts as HTML, made by the server: read without JavaScript, and there at the first paint."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

View = Mapping[str, Any]


def summary(view: View) -> str:
    """What is wrong, the positions, and a line for each table. Everything is escaped."""
    figures = view["figures"]
    parts = [_verdict(view)]
    if figures is not None:
        parts += [_positions(figures), _tables(figures)]
    return "\n".join(parts)


def _verdict(view: View) -> str:
    needed = [one for one in view["trouble"] if one["severity"] != "note"]
    if not needed:
        return '<p class="plain good">All is well: nothing needs you.</p>'
    lines = "".join(f"<li>{_trouble(one)}</li>" for one in needed)
    return (
        f'<div class="plain bad"><p>{len(needed)} thing{"s need" if len(needed) > 1 else " needs"} you:</p><ul>{lines}</ul></div>'
    )


def _trouble(one: Mapping[str, Any]) -> str:
    since = f" Since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(one['since']))}." if one["since"] else ""
    return f"<strong>{escape(one['what'])}.</strong>{since} <em>Do:</em> {escape(one['do'])}"


def _positions(figures: Mapping[str, Any]) -> str:
    lag = figures["lag"]
    rows = [(name, value) for name, value in figures["positions"].items()]
    rows += [("phase", figures["phase"]), ("lag, bytes", lag["bytes"]), ("lag, seconds", lag["seconds"])]
    rows += [("WAL kept, bytes", figures["slot"].get("retained_wal_bytes")), ("target", figures["target"]["health"])]
    return _table(("", "now"), rows)


def _tables(figures: Mapping[str, Any]) -> str:
    rows = []
    for table in figures["tables"]:
        route = figures["reads"][table["name"]]
        loaded = f"{table['chunks_done']} of {table['chunks']} chunks" if table["state"] == "loading" else ""
        reads = f"{route['mode']} {route['share']} %"
        rows.append((table["name"], table["state"], loaded, table["expected"], table["parked"], table["pending_edges"], reads))
    return _table(("table", "state", "loaded", "rows", "parked", "pending edges", "reads"), rows)


def _table(headings: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(_text(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<table class="plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else str(value)
