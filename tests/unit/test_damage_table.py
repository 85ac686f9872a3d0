"""The table of damage in the document is the one that the tests plant."""

from pathlib import Path

from tests.acceptance.damages import as_markdown

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "validation.md"


def test_the_document_shows_what_is_planted() -> None:
    """Line by line."""
    text = DOCUMENT.read_text(encoding="utf-8")
    begin = text.index("-->\n", text.index("<!-- damage: begin")) + 4
    assert text[begin : text.index("\n<!-- damage: end")] == as_markdown()
