"""A page as one HTML file: nothing is fetched, no script runs, every text is escaped. It can be mailed, printed and kept."""

from __future__ import annotations

from html import escape
from importlib import resources

from bridge.report.page import Facts, Figure, Grid, Lines, Page, Part, Section

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""No address in the file can be asked for anything, whatever stands in the names of tables."""


def html_of(page: Page) -> str:
    """The whole file."""
    style = resources.files("bridge.report").joinpath("style.css").read_text(encoding="utf-8")
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in page.reasons)
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n',
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
        f"<title>{escape(page.title)}: {escape(page.verdict)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n",
        f'<header>\n<h1>{escape(page.title)}</h1>\n<p class="subtitle">{escape(page.subtitle)}</p>\n',
        f'<div class="verdict {page.tone}"><p>{escape(page.verdict)}</p>',
        f"<ul>{reasons}</ul>" if reasons else "",
        "</div>\n</header>\n<main>\n",
        _figures(page.figures),
        *(_section(section) for section in page.sections),
        f"</main>\n<footer>{escape(page.foot)}</footer>\n</body>\n</html>\n",
    ]
    return "".join(parts)


def _figures(figures: tuple[Figure, ...]) -> str:
    if not figures:
        return ""
    tiles = "".join(
        f'<div class="{figure.tone}"><dt>{escape(figure.label)}</dt><dd>{escape(figure.value)}</dd></div>\n' for figure in figures
    )
    return f'<dl class="figures">\n{tiles}</dl>\n'


def _section(section: Section) -> str:
    note = f'<p class="note">{escape(section.note)}</p>\n' if section.note else ""
    parts = "".join(_part(part, section.heading) for part in section.parts)
    return f"<section>\n<h2>{escape(section.heading)}</h2>\n{note}{parts}</section>\n"


def _part(part: Part, heading: str) -> str:
    match part:
        case Facts():
            facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>\n" for name, value in part.rows)
            return f'<dl class="facts">\n{facts}</dl>\n'
        case Grid():
            return _grid(part, heading)
        case Lines():
            items = "".join(f"<li>{escape(item)}</li>\n" for item in part.items)
            listed = f'<ul class="list">\n{items}</ul>\n' if items else ""
            return listed + (f'<p class="more">and {part.more:,} more</p>\n' if part.more else "")


def _grid(grid: Grid, heading: str) -> str:
    """A table that scrolls in its own frame, which the keyboard reaches, so that a narrow page does not."""
    numbers = [' class="number"' if column.number else "" for column in grid.columns]
    head = "".join(
        f'<th scope="col"{number}>{escape(column.heading)}</th>' for column, number in zip(grid.columns, numbers, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(_cell(cell, grid, place, number) for number, cell in enumerate(row)) + "</tr>\n"
        for place, row in enumerate(grid.rows)
    )
    totals = "".join(f"<td{number}>{escape(cell)}</td>" for cell, number in zip(grid.total, numbers, strict=False))
    foot = f"<tfoot><tr>{totals}</tr></tfoot>\n" if grid.total else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(heading)}"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n{foot}</table></div>\n"
    )


def _cell(cell: str, grid: Grid, place: int, number: int) -> str:
    classes = " ".join(
        name for name, given in (("number", grid.columns[number].number), ("bad", (place, number) in grid.bad)) if given
    )
    return f'<td class="{classes}">{escape(cell)}</td>' if classes else f"<td>{escape(cell)}</td>"
