"""A first `bridge.yaml` from what the catalogue says: which tables, how many spaces, which columns. Pure.

What it proposes can be wrong, so every line says why it is there. A table that cannot be carried as it is stands under `exclude`,
with the reason and the statement that mends it.
"""

from __future__ import annotations

import glob
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import yaml

from bridge import capacity, values
from bridge.check import Finding, source_findings
from bridge.check_places import duration
from bridge.facts import Facts, OtherRelations, TableFacts
from bridge.memories import RESERVED
from bridge.schema import Column, Table
from bridge.selection import names_of
from bridge.spaces import TableOptions, spaces_of

CODE_WIDTH = 16
CODE_VALUES = 50
"""A column with as few and as short values holds codes and not words."""

SHORT_LENGTH = 8
"""Characters: what is declared to be no longer holds no words either."""

MENDED_BY_GRANTS = ("table.select", "schema.usage", "table.row_security")
BIRTH = re.compile(
    r"(?i)(created|inserted|added|registered|recorded|posted|placed|published|sent|logged|seen|hired|joined|opened|ordered|occurr?ed|began|since)"
)
WIDTH = 120
SHOWN = 12
"""Names of views and the like that are listed before the rest is only counted."""


@dataclass(slots=True)
class TableDraft:
    """What is proposed for one table, and the sentences that go with it."""

    facts: TableFacts
    options: TableOptions
    notes: list[str] = field(default_factory=list)
    grants: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Draft:
    """What is proposed: tables that are carried, and those that are left out with what stands against them."""

    carried: list[TableDraft]
    excluded: list[tuple[Table, list[Finding]]]
    others: OtherRelations
    source: str
    target: str
    database: str
    version: int

    @property
    def spaces(self) -> dict[str, tuple[str, ...]]:
        """The spaces of the carried tables, by label."""
        tables = {draft.facts.table.label: draft.facts.table for draft in self.carried}
        return spaces_of(tables, {draft.facts.table.label: draft.options for draft in self.carried}, "")


def propose(facts: Facts, others: OtherRelations, *, source: str, target: str, limit: int = 90_000) -> Draft:
    """The draft for everything in the catalogue. `source` and `target` are written into the file as they are given."""
    assert facts.server is not None, "a draft is made of a source that answered"
    against: dict[str, list[Finding]] = {}
    labels = [table.table.label for table in facts.tables]
    for finding in source_findings(facts):
        if finding.level == "error" and finding.where in labels:
            against.setdefault(finding.where, []).append(finding)
    carried, excluded = [], []
    for table in facts.tables:
        found = against.get(table.table.label, [])
        refused = [one for one in found if one.code not in MENDED_BY_GRANTS] + _impossible(table.table, labels)
        if refused:
            excluded.append((table.table, refused))
        else:
            carried.append(_table(table, [one for one in found if one.code in MENDED_BY_GRANTS], limit))
    return Draft(carried, excluded, others, source, target, facts.server.database, facts.server.version)


def _impossible(table: Table, labels: Sequence[str]) -> list[Finding]:
    """What the mapping would refuse of this table, whatever its options."""
    if RESERVED in table.key:
        what = f"the key of {table.label} has a column named {RESERVED!r}, which the bridge needs for its stamp"
        return [Finding("error", "table.reserved", table.label, what, "Rename that column.")]
    if labels.count(table.label) > 1:
        what = f"two tables are called {table.label}: the dot stands in a name"
        return [Finding("error", "table.ambiguous", table.label, what, "Rename one of them.")]
    return []


def _table(facts: TableFacts, grants: list[Finding], limit: int) -> TableDraft:
    table = facts.table
    draft = TableDraft(facts, TableOptions(shards=capacity.proposed_shards(facts.rows, limit)))
    draft.grants += [f"{one.what}: {one.remedy}" for one in grants]
    if any(column.name == RESERVED for column in table.columns):
        draft.options = replace(draft.options, exclude=(RESERVED,))
        draft.notes.append(f"{RESERVED} is the name of the bridge's own stamp, so that column is not carried")
    _choose_text(draft)
    _choose_timestamp(draft)
    if facts.out_of_line and table.identity != "f":
        draft.notes.append(
            f"large values lie beside the rows (in {', '.join(facts.toastable)}): an UPDATE that leaves one alone does not send "
            "it, and the row is read again; REPLICA IDENTITY FULL spares that and costs WAL"
        )
    return draft


def _choose_text(draft: TableDraft) -> None:
    table = draft.facts.table
    texts = [column for column in table.columns if values.is_text(column.type) and column.name not in draft.options.exclude]
    if not texts:
        draft.notes.append("no column of a text type: the whole row is embedded")
        return
    chosen, left = [], []
    for column in texts:
        reason = no_words(column, draft.facts)
        if reason is None:
            chosen.append(column.name)
        else:
            left.append(f"{column.name} ({reason})")
    if chosen:
        draft.options = replace(draft.options, text=tuple(chosen))
        if left:
            draft.notes.append(f"not embedded: {', '.join(left)}")
    else:
        draft.notes.append(f"no column looks like words, so all text columns are embedded: {', '.join(left)}")


def no_words(column: Column, facts: TableFacts) -> str | None:
    """Why a text column does not look like something that people search by its meaning; None when it does."""
    table = facts.table
    if column.name in table.key:
        return "key"
    if any(column.name in key.columns for key in table.foreign_keys):
        return "reference"
    declared = re.fullmatch(r"character(?: varying)?\((\d+)\)", column.declared)
    if declared and int(declared[1]) <= SHORT_LENGTH:
        return f"{declared[1]} characters at most"
    if column.type.name in ("name", "char"):
        return "a code"
    known = facts.columns.get(column.name)
    if known is not None and 0 < known.distinct <= CODE_VALUES and known.width <= CODE_WIDTH:
        return f"{known.distinct:.0f} different short value{'s' if known.distinct > 1 else ''}"
    return None


def _choose_timestamp(draft: TableDraft) -> None:
    moments = [column for column in draft.facts.table.columns if values.is_timestamp(column.type)]
    moments = [column for column in moments if column.name not in draft.options.exclude]
    named = [column.name for column in moments if column.name == "created_at"]
    named += [column.name for column in moments if BIRTH.search(column.name)]
    if named:
        draft.options = replace(draft.options, timestamp=named[0])
    elif moments:
        names = ", ".join(scalar(column.name) for column in moments)
        draft.notes.append(f"no column looks like the row's birth, so the time of the load stands for it. There is: {names}")


def render(draft: Draft) -> str:
    """The file. It loads, and names tables and columns as they are in the catalogue."""
    lines = [
        f"# What engram-bridge carries from the database {_comment(draft.database)} (PostgreSQL {_version(draft.version)}).",
        "# Written by `engram-bridge init`: read it, change what is wrong, then run `engram-bridge check`.",
        "",
        "# No password here: set PGPASSWORD or PGPASSFILE, or write ${VARIABLE}.",
        f"source: {_address(draft.source)}",
        f"target: {_address(draft.target)}",
        "ledger: engram-bridge.db",
        "",
        *_excluded(draft),
        *_carried(draft),
        *_others(draft.others),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def _excluded(draft: Draft) -> Iterator[str]:
    if not draft.excluded:
        return
    yield "# These cannot be carried as they are. Mend one, take its line away, and ask `engram-bridge check`."
    yield "exclude:"
    named: set[str] = set()
    for table, findings in draft.excluded:
        if table.label in named:
            continue
        named.add(table.label)
        for finding in findings:
            yield f"  # {_comment(finding.what)}"
            yield f"  #   {_comment(finding.remedy)}"
        yield f"  - {_value(glob.escape(_name(table, draft)))}"
    yield ""


def _carried(draft: Draft) -> Iterator[str]:
    if not draft.carried:
        yield "# There is no table that could be carried."
        yield ""
        return
    spaces = draft.spaces
    count = sum(len(names) for names in spaces.values())
    gigabytes = count * capacity.SPACE_FILE_BYTES / 1e9
    yield f"# All tables that are not excluded are carried: here {len(spaces)}, in {count} space(s). Each space costs Engram two"
    yield f"# threads and a sparse file of 3 GB (here {gigabytes:,.0f} GB in all), for ever."
    yield "# `include: [names]` carries only those that it names."
    yield "tables:"
    for one in draft.carried:
        table, options = one.facts.table, one.options
        seconds = capacity.loading_seconds(one.facts.rows, options.shards)
        names = spaces[table.label]
        where = names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"
        about = "" if one.facts.counted else "about "
        loading = f", some {duration(seconds)} to load" if seconds >= 1 else ""
        yield f"  # {about}{one.facts.rows:,} rows, into {where}{loading}"
        for note in one.notes:
            yield from _wrapped(_comment(note))
        for grant in one.grants:
            yield f"  # {_comment(grant)}"
        settings = list(_settings(options))
        yield f"  {scalar(_name(table, draft))}:{'' if settings else ' {}'}"
        yield from settings
    yield ""


def _wrapped(note: str) -> list[str]:
    return textwrap.wrap(
        note, WIDTH, initial_indent="  # ", subsequent_indent="  #   ", break_long_words=False, break_on_hyphens=False
    )


def _settings(options: TableOptions) -> Iterator[str]:
    if options.shards > 1:
        yield f"    shards: {options.shards}"
    if options.text is not None:
        yield f"    text: [{', '.join(map(_value, options.text))}]"
    if options.timestamp is not None:
        yield f"    timestamp: {_value(options.timestamp)}"
    if options.exclude:
        yield f"    columns: {{exclude: [{', '.join(map(_value, options.exclude))}]}}"


def _others(others: OtherRelations) -> Iterator[str]:
    kinds = (
        ("views", others.views),
        ("materialized views", others.materialized_views),
        ("foreign tables", others.foreign_tables),
        ("temporary tables", others.temporary_tables),
    )
    told = [(kind, labels) for kind, labels in kinds if labels]
    if told:
        yield "# Not carried, because their changes are not in the WAL as rows of their own:"
    for kind, labels in told:
        shown = ", ".join(map(_comment, labels[:SHOWN]))
        more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
        yield f"#   {kind} ({len(labels)}): {shown}{more}"


def _name(table: Table, draft: Draft) -> str:
    """The shortest name that means this table and no other."""
    names = names_of(table)
    everything = [one.facts.table for one in draft.carried] + [found[0] for found in draft.excluded]
    return names[-1] if sum(names[-1] in names_of(other) for other in everything) == 1 else names[0]


def scalar(text: str) -> str:
    """A text as YAML, quoted where YAML would read something else, in one line; fit for a list and for a key."""
    style = None if text.isprintable() else '"'
    return yaml.safe_dump([text], default_flow_style=True, default_style=style, allow_unicode=True, width=1_000_000).strip()[1:-1]


def _value(text: str) -> str:
    """A name as a value of the configuration, where `${` would be a variable."""
    return scalar(text.replace("${", "$${"))


def _address(given: str) -> str:
    """A URL, or a variable that stands for one; colons and such are no trouble outside of lists."""
    if not given.isprintable():
        return scalar(given)
    return yaml.safe_dump({"a": given}, allow_unicode=True, width=1_000_000).removeprefix("a: ").rstrip("\n")


def _comment(text: str) -> str:
    """Text that stays within its comment: names may hold line breaks."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def _version(number: int) -> str:
    return str(number // 10_000)
