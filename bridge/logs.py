"""Log lines: a constant sentence plus fields, as text for people or as JSON lines for machines. No row values, by convention."""

from __future__ import annotations

import enum
import json
import logging
import sys
import uuid
from collections import deque

from rich.console import Console

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


RECENT_LINES = 50
"""Warnings and errors of this process that are kept for a support bundle."""


class LogFormat(enum.StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """What `extra` brought."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class TextFormatter(logging.Formatter):
    """`12:00:01 WARNING the stream waits table=public.orders`."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        fields = "".join(f" {name}={value}" for name, value in fields_of(record).items() if value not in ("", None))
        line = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower()} {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One object a line; `run` is the same in all lines of a process."""

    def __init__(self, run: str = "") -> None:
        super().__init__()
        self._run = run

    def line(self, record: logging.LogRecord) -> dict[str, object]:
        """The record as plain values."""
        line = {"at": record.created, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        if self._run:
            line["run"] = self._run
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return line | fields_of(record)

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        return json.dumps(self.line(record), default=str, ensure_ascii=False)


class ConsoleHandler(logging.Handler):
    """Prints through a rich console, so that lines stand above what is shown live instead of tearing it."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        self._console.print(self.format(record), markup=False, highlight=False, soft_wrap=True)


class Recent(logging.Handler):
    """Keeps the newest warnings and errors; `lines` as plain values, oldest first."""

    def __init__(self, run: str) -> None:
        super().__init__(logging.WARNING)
        self.run = run
        self._form = JsonFormatter(run)
        self._lines: deque[dict[str, object]] = deque(maxlen=RECENT_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        self._lines.append(json.loads(self._form.format(record)))

    @property
    def lines(self) -> list[dict[str, object]]:
        """What is kept now."""
        return list(self._lines)


def recent() -> Recent | None:
    """What `set_up` has installed."""
    return next((handler for handler in logging.getLogger().handlers if isinstance(handler, Recent)), None)


def set_up(log_format: LogFormat, *, verbose: bool, console: Console | None = None) -> str:
    """Send the log to standard error; through `console` when that is a terminal. Answers the id of this run."""
    run = uuid.uuid4().hex[:12]
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if console is not None and console.is_terminal:
        handler = ConsoleHandler(console)
    handler.setFormatter(JsonFormatter(run) if log_format is LogFormat.JSON else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler, Recent(run)]
    root.setLevel(logging.WARNING)
    for name in ("api", "bridge", "cdc", "snapshot"):
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # whoever has a pool says in their own words that it has none
    return run
