"""A page as plain text, tables in columns: for a terminal, and for a file."""

from __future__ import annotations

import io

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bridge.report.page import Facts, Figure, Grid, Lines, Page, Part, Section, Tone

WIDTH = 10_000
"""A file breaks no lines: an id in two halves is found by nobody."""
STYLES: dict[Tone, str] = {"": "", "good": "green", "warn": "yellow", "bad": "red"}


def text_of(page: Page) -> str:
    """The page without colours, for a file."""
    console = Console(file=io.StringIO(), width=WIDTH, highlight=False, color_system=None, force_terminal=False)
    console.print(rendered(page))
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def show(page: Page, console: Console) -> None:
    """Print it: on a terminal in its width, elsewhere each line whole."""
    if console.is_terminal:
        console.print(rendered(page))
    else:
        console.file.write(text_of(page))


def rendered(page: Page) -> RenderableType:
    """The page for a terminal. Texts and not markup: names may contain brackets."""
    parts: list[RenderableType] = [
        Text(page.title, style="bold"),
        Text(page.subtitle),
        Text(),
        Text(page.verdict, style=f"bold {STYLES[page.tone]}".strip()),
        *(Text(f"  {reason}") for reason in page.reasons),
    ]
    if page.figures:
        parts += [Text(), _figures(page.figures)]
    for section in page.sections:
        parts += [Text(), *_section(section)]
    if page.foot:
        parts += [Text(), Text(page.foot, style="dim")]
    return Group(*parts)


def _figures(figures: tuple[Figure, ...]) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right")
    table.add_column()
    for figure in figures:
        table.add_row(Text(figure.value, style=STYLES[figure.tone]), Text(figure.label))
    return Padding(table, (0, 0, 0, 2), expand=False)


def _section(section: Section) -> list[RenderableType]:
    lines: list[RenderableType] = [Text(section.heading, style="bold")]
    if section.note:
        lines.append(Text(section.note))
    return lines + [Padding(_part(part), (0, 0, 0, 2), expand=False) for part in section.parts]


def _part(part: Part) -> RenderableType:
    match part:
        case Facts():
            return _facts(part)
        case Grid():
            return _grid(part)
        case Lines():
            return _lines(part)


def _facts(facts: Facts) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.rows:
        table.add_row(Text(name), Text(value))
    return table


def _grid(grid: Grid) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=bool(grid.total), footer_style="bold")
    totals = grid.total or ("",) * len(grid.columns)
    for column, total in zip(grid.columns, totals, strict=True):
        table.add_column(
            Text(column.heading),
            Text(total),
            justify="right" if column.number else "left",
            overflow="fold",
            no_wrap=column.number,
        )
    for place, row in enumerate(grid.rows):
        table.add_row(*(Text(cell, style="red" if (place, number) in grid.bad else "") for number, cell in enumerate(row)))
    return table


def _lines(lines: Lines) -> RenderableType:
    items = [Text(f"· {item}") for item in lines.items]
    return Group(*items, *([Text(f"and {lines.more:,} more")] if lines.more else []))
