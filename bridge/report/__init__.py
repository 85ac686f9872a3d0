"""Reports for people and for machines: one document, shown as text, as JSON and as one HTML file that needs nothing beside it."""

from bridge.report.document import EXIT_CODES, SCHEMA, Document, Orphan, Orphans, Outcome, TableReport, Writes
from bridge.report.files import render_text, report_form, write_page, write_report
from bridge.report.migration import orphan_section, orphan_sentence
from bridge.report.page import Column, Facts, Figure, Grid, Lines, Page, Section
from bridge.report.text import text_of
from bridge.report.validation import validation_page

__all__ = [
    "EXIT_CODES",
    "SCHEMA",
    "Column",
    "Document",
    "Facts",
    "Figure",
    "Grid",
    "Lines",
    "Orphan",
    "Orphans",
    "Outcome",
    "Page",
    "Section",
    "TableReport",
    "Writes",
    "orphan_section",
    "orphan_sentence",
    "render_text",
    "report_form",
    "text_of",
    "validation_page",
    "write_page",
    "write_report",
]
