"""Reports written to files: which form is told by the file's ending, and a file is whole or not there."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from bridge.errors import BridgeError, ConfigError
from bridge.report.document import Document
from bridge.report.html import html_of
from bridge.report.migration import migration_page
from bridge.report.page import Page
from bridge.report.text import text_of

Form = Literal["json", "html", "txt"]
FORMS: dict[str, Form] = {".json": "json", ".html": "html", ".htm": "html", ".txt": "txt"}


def report_form(path: Path) -> Form:
    """The form that a file of this name gets. Raises ConfigError, also when its folder is not there."""
    form = FORMS.get(path.suffix.lower())
    if form is None:
        raise ConfigError(
            f"--report {path}: its ending says in which form it is to be written, and it is none of .json, .html and .txt",
            hint=f"--report {path.with_suffix('.html')}",
        )
    if not path.parent.is_dir():
        raise ConfigError(f"--report {path}: the folder {path.parent} is not there", hint=f"mkdir -p {path.parent}")
    return form


def write_report(document: Document, path: Path) -> None:
    """Write the report of a migration in the form of the file's ending. Raises ConfigError, and BridgeError if it cannot."""
    write_page(document, migration_page(document), path)


def render_text(document: Document, most: int | None = None) -> str:
    """The report of a migration as plain text; with `most`, no more orphans and parked keys by name than so many each."""
    return text_of(migration_page(document, most))


def write_page(document: Mapping[str, Any], page: Page, path: Path) -> None:
    """Write any report: the document as JSON, or the page made from it as HTML or text. Raises as `write_report`."""
    match report_form(path):
        case "json":
            text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
        case "html":
            text = html_of(page)
        case "txt":
            text = text_of(page)
    _replace(path, text)


def _replace(path: Path, text: str) -> None:
    """A file of the same folder takes the name when it is complete: nobody reads half a report."""
    made: str | None = None
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            made = file.name
            file.write(text)
        os.chmod(made, 0o644)
        os.replace(made, path)
    except OSError as error:
        if made is not None:
            Path(made).unlink(missing_ok=True)
        raise BridgeError(
            f"the report cannot be written to {path}: {error.strerror}", hint="Name another file with --report."
        ) from error
