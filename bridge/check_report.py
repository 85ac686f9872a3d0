"""The outcome of `check`: findings and a table of what will be carried, for people and for machines."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from bridge.check import Finding
from bridge.check_places import duration

STYLES = {"error": "bold red", "warning": "yellow", "info": "dim"}
ORDER = ("error", "warning", "info")


@dataclass(frozen=True, slots=True)
class TableSummary:
    """One table that is carried: its rows (estimated, unless they were `counted`), its spaces, and the seconds that loading it is
    predicted to cost the server."""

    name: str
    rows: int
    spaces: tuple[str, ...]
    seconds: float
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. `exit_code` is 1 when there are errors, 0 otherwise."""

    findings: tuple[Finding, ...]
    tables: tuple[TableSummary, ...]
    command: str = "run"
    """What it was asked for."""

    @property
    def errors(self) -> list[Finding]:
        """The findings with which it could not work."""
        return [finding for finding in self.findings if finding.level == "error"]

    @property
    def exit_code(self) -> int:
        """0 or 1."""
        return 1 if self.errors else 0

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON values: `ok`, `findings`, `tables`."""
        return {
            "ok": not self.errors,
            "findings": [asdict(finding) for finding in self.findings],
            "tables": [asdict(table) | {"spaces": list(table.spaces)} for table in self.tables],
        }

    def show(self, console: Console) -> None:
        """Print it. Statements to be copied are left in one piece: a terminal breaks lines by itself, a file needs none."""
        console.print(self.render(), soft_wrap=True)

    def render(self) -> RenderableType:
        """The same for a terminal: the tables, then what was found, the worst first, then one closing line."""
        parts: list[RenderableType] = []
        if self.tables:
            parts += [self._tables(), Text()]
        for level in ORDER:
            for finding in self.findings:
                if finding.level == level:
                    parts += _finding(finding)
        parts.append(self._closing())
        return Group(*parts)

    def _tables(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("table", overflow="fold")
        table.add_column("rows", justify="right")
        table.add_column("space", overflow="fold")
        table.add_column("loading", justify="right")
        for row in self.tables:
            spaces = row.spaces[0] if len(row.spaces) == 1 else f"{row.spaces[0]} … {row.spaces[-1]}" if row.spaces else "–"
            table.add_row(Text(row.name), f"{'' if row.counted else '~'}{row.rows:,}", Text(spaces), duration(row.seconds))
        return table

    def _closing(self) -> Text:
        warnings = sum(finding.level == "warning" for finding in self.findings)
        if self.errors:
            return Text(f"{len(self.errors)} error(s), {warnings} warning(s): `{self.command}` cannot work yet", style="bold red")
        held = any(finding.code == "ledger.held" for finding in self.findings)
        return Text(
            f"no errors, {warnings} warning(s): `{self.command}` {'is at work already' if held else 'can start'}",
            style="bold green",
        )


def _finding(finding: Finding) -> list[RenderableType]:
    """Texts and not markup: names of tables may contain brackets."""
    head = Text.assemble((finding.level, STYLES[finding.level]), "  ", finding.what, ("  " + finding.code, "dim"))
    return [head, Text(f"    → {finding.remedy}")] if finding.remedy else [head]
