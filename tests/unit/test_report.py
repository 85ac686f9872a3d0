"""Reports: what stands in them, that nothing in them can act, and that files are whole."""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bridge.errors import BridgeError, ConfigError
from bridge.report import (
    Column,
    Facts,
    Figure,
    Grid,
    Lines,
    Page,
    Section,
    render_text,
    report_form,
    text_of,
    validation_page,
    write_page,
    write_report,
)
from bridge.report.html import html_of
from bridge.report.migration import migration_page
from bridge.report.page import seconds_text
from bridge.report.text import show
from tests.unit.report_documents import document, table, validated

ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "p", "div", "main", "section", "footer"),
    *("ul", "li", "dl", "dt", "dd", "table", "thead", "tbody", "tfoot", "tr", "th", "td"),
}


class Reader(HTMLParser):
    """What a browser would see: the elements, their attributes and the text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes |= {name for name, _value in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)


@given(texts, texts, texts)
def test_nothing_that_stands_in_a_report_becomes_an_element(title: str, cell: str, item: str) -> None:
    """Whatever a table is called: it is read as text, and the file asks for nothing and runs nothing."""
    page = Page(
        title,
        cell,
        item,
        "bad",
        (cell,),
        (Figure(cell, item),),
        (Section(item, (Facts(((cell, item),)), Grid((Column(item),), ((cell,),), (item,)), Lines((cell,), 2)), cell),),
        title,
    )
    seen = Reader(html_of(page))
    assert set(seen.elements) <= ALLOWED
    assert not {"src", "href", "onclick", "style"} & seen.attributes
    for text in (title, cell, item):
        assert any(text in found for found in seen.texts)


def test_a_name_that_is_markup_is_shown_as_it_is() -> None:
    """The text form takes brackets for text, the HTML form angle brackets."""
    page = migration_page(document(tables=[table("public.[bold]<script>alert(1)</script>")]))
    assert "[bold]<script>alert(1)</script>" in "".join(text_of(page).split())
    assert "<script" not in html_of(page)
    assert "&lt;script&gt;" in html_of(page)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_long_line_is_shown_to_its_end(terminal: bool) -> None:
    """A remedy that is cut off helps nobody: on a terminal it is wrapped, elsewhere it is one line."""
    words = [f"word{number}" for number in range(60)]
    file = io.StringIO()
    page = Page("title", "", "fine", "good", sections=(Section("Warnings", (Lines((" ".join(words),)),)),))
    show(page, Console(file=file, width=100, force_terminal=terminal, color_system=None))
    assert file.getvalue().split()[-60:] == words


@pytest.mark.parametrize(("outcome", "word"), [("ok", "good"), ("failed", "bad"), ("investigate", "warn"), ("rollback", "bad")])
def test_the_verdict_stands_first(outcome: str, word: str) -> None:
    """Each outcome has its own sentence and its own tone, and reasons follow."""
    page = migration_page(document(outcome=outcome, reasons=["2 of 3,000 rows differ"]))
    assert page.tone == word
    text = text_of(page)
    assert text.index(page.verdict) < text.index("2 of 3,000 rows differ") < text.index("public.users")


def test_orphans_are_counted_and_listed() -> None:
    """As the guide words it, each with constraint, child and missing parent, and how many are not listed."""
    listed = [{"constraint": "orders_user_fk", "child": f"orders_{n}", "parent": f"users_{n + 900}"} for n in range(40)]
    text = render_text(document(orphans={"count": 42, "listed": listed, "not_listed": 2}))
    assert "Found 42 orphaned foreign keys" in text
    for one in listed:
        assert any(one["child"] in line and one["parent"] in line and one["constraint"] in line for line in text.splitlines())
    assert "and 2 more" in text
    assert "orphaned foreign keys:" not in render_text(document())
    short = render_text(document(orphans={"count": 42, "listed": listed, "not_listed": 2}), most=5)
    assert "users_904" in short
    assert "users_905" not in short
    assert "and 37 more" in short


def test_totals_are_the_sums_of_the_tables() -> None:
    """The last line of the tables adds up what stands above it."""
    text = render_text(document())
    (total,) = (line for line in text.splitlines() if line.strip().startswith("total") and "10 s" in line)
    assert "3,000" in total
    assert "1,800" in total


def test_what_was_not_validated_is_said() -> None:
    """No validation, one that failed, and a sample with its chance to miss, each in words."""
    assert "None was made" in render_text(document(validation=None))
    assert "could not be done: PostgreSQL went away" in render_text(
        document(validation={"clean": False, "failed": "PostgreSQL went away", "tables": {}, "findings": []})
    )
    text = render_text(document())
    assert "1 damaged row: 90 %" in text
    assert "10% of the whole time" in text


def test_findings_of_a_validation_stand_in_it() -> None:
    """A report of a validation alone names what was found, and the check that found it."""
    found = {"check": "rows", "kind": "changed", "table": "public.users", "id": "users_7", "columns": ["name"]}
    one = {**validated()["tables"]["public.users"], "findings": 1, "checks": {"counts": 0, "rows": 1}, "clean": False}
    one |= {"changed_since": 2}
    result = validated(
        clean=False, findings=[found], tables={"public.users": one}, not_named=3, outcome="rollback", changed_since=["users_8"]
    )
    text = text_of(validation_page(result))
    assert "since it was carried: users_8" in text
    assert "and 1 more" in text
    assert "rows: users_7: changed (name)" in text
    assert "and 3 more" in text
    assert "a rollback is advised" in text
    assert 'class="number bad"' in html_of(validation_page(result))


def test_each_ending_gives_its_form(tmp_path: Path) -> None:
    """JSON is the document itself, HTML and text are made from it; what is left behind is the file alone."""
    given_ = document()
    for name in ("report.json", "report.html", "report.txt"):
        write_report(given_, tmp_path / name)
    assert json.loads((tmp_path / "report.json").read_text()) == given_
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "report.txt").read_text() == render_text(given_)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json", "report.txt"]


def test_an_ending_that_says_nothing_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    """So is a folder that is not there; both name what to write instead."""
    with pytest.raises(ConfigError, match=r"none of \.json") as refused:
        report_form(Path("report.pdf"))
    assert refused.value.hint == "--report report.html"
    with pytest.raises(ConfigError, match="is not there"):
        report_form(tmp_path / "no" / "report.html")


def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is taken over when the new file is complete, and not before."""
    path = tmp_path / "report.txt"
    path.write_text("old")

    def full(*_given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(BridgeError, match="No space left"):
        write_page({}, migration_page(document()), path)
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["report.txt"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.44, "0.4 s"),
        (9.96, "10.0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (7_500, "2 h 5 min"),
        (7_200, "2 h"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    """Never sixty seconds, never a fraction of a minute."""
    assert seconds_text(seconds) == text
