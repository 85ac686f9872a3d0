"""A ledger as a file of lines, and back: to move it between SQLite and PostgreSQL, and to keep a copy of one in PostgreSQL.

The first line says what it is. Then, for every table, a line with its name and columns, followed by its rows as JSON arrays. The
last line has the number of rows of each table and the checksum of all bytes before it: a file without it is not whole. The
export is one consistent view, also while a bridge writes. An import checks the file from end to end before it writes anything,
and writes in one transaction: the schema of the file's version, its rows, and then the steps to ours.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, select

from bridge.errors import ConfigError, LedgerError
from bridge.ledger import steps, tables
from bridge.ledger.failure import translated
from bridge.ledger.file import FilePlace
from bridge.ledger.ledger import Ledger
from bridge.ledger.place import Place, place_of

FORMAT = "engram-bridge ledger"
FORMAT_VERSION = 1
LEFT_OUT = ("writers",)
"""Who may write is a matter of the place, not of the contents."""

PAGE = 5_000
SUFFIX = ".part"


@dataclass(slots=True)
class Contents:
    """What a file holds: whose ledger it is, of which schema version, and how many rows of each table."""

    ledger_id: str
    version: int
    rows: dict[str, int] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)


def export(ledger: Ledger, path: Path) -> Contents:
    """Write everything that the ledger knows to a new file, which only we may read. Raises ConfigError, LedgerError."""
    with _new_file(path) as part, part.open("wb") as file:
        digest = hashlib.sha256()

        def say(line: Any) -> None:
            data = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            digest.update(data)
            file.write(data)

        with ledger.reading() as connection:
            contents = Contents(_fact(connection, "ledger_id"), int(_fact(connection, "schema_version")))
            say({"format": FORMAT, "format_version": FORMAT_VERSION, "schema": contents.version, "ledger": contents.ledger_id})
            for table in tables.metadata.sorted_tables:
                if table.name in LEFT_OUT:
                    continue
                contents.columns[table.name] = list(table.c.keys())
                say({"table": table.name, "columns": contents.columns[table.name]})
                rows = 0
                query = select(table).order_by(*table.primary_key)
                for row in connection.execute(query.execution_options(yield_per=PAGE)):
                    say(list(row))
                    rows += 1
                contents.rows[table.name] = rows
        file.write(json.dumps({"rows": contents.rows, "sha256": digest.hexdigest()}).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return contents


def backup(ledger: Ledger, path: Path) -> None:
    """A copy of the ledger as it is now, while a bridge may write: of a file a file that is a ledger itself, otherwise an export.

    Raises ConfigError, LedgerError.
    """
    if not isinstance(ledger.place, FilePlace):
        export(ledger, path)
        return
    with (
        _new_file(path) as part,
        _sqlite_errors(path),
        contextlib.closing(sqlite3.connect(ledger.place.path)) as source,
        contextlib.closing(sqlite3.connect(part)) as copy,
    ):
        source.backup(copy)
        copy.execute("pragma journal_mode=delete").fetchone()  # one file, without others beside it
        found = copy.execute("pragma quick_check").fetchone()
        if found[0] != "ok":
            raise LedgerError(f"the copy of the ledger is damaged: {found[0]}", hint="Is the disk in order? Try another one.")


def inspect_file(path: Path) -> Contents:
    """What an export holds, checked from end to end. Raises ConfigError for one that is not whole, or of a newer bridge."""
    contents: Contents | None = None
    table = ""
    counted: dict[str, int] = {}
    for line in _checked(path):
        if contents is None:
            contents = _head(path, line)
        elif isinstance(line, dict):
            table = str(line.get("table"))
            contents.columns[table] = [str(name) for name in line.get("columns", ())]
            counted[table] = 0
        else:
            counted[table] += 1
            if len(line) != len(contents.columns[table]):
                raise _not_whole(path, f"a row of {table} has {len(line)} values")
    if contents is None:
        raise _not_whole(path, "it is empty")
    contents.rows = counted
    return contents


def bring_in(location: str, path: Path, *, replace: bool = False) -> Contents:
    """Make the ledger at this place what the file says; `replace`: in place of what is there.

    Raises ConfigError for a file that cannot be used, and for a ledger that is there; LedgerHeld when a bridge works with it.
    """
    contents = inspect_file(path)
    place = place_of(location)
    existed = place.exists()
    if existed and not replace:
        raise ConfigError(
            f"there is a ledger at {place.shown} already",
            hint="Name another place; or --replace, and what it knows is lost: if it belongs to a slot, nothing else does.",
        )
    engine = place.engine()
    holder = place.holder()
    try:
        if existed:
            holder.acquire()
        with translated(place.shown), engine.connect().execution_options(writes=True) as connection, connection.begin():
            _rebuild(connection, place, path, contents)
    except BaseException:
        if not existed and isinstance(place, FilePlace):
            engine.dispose()
            _remove(place.path)
        raise
    finally:
        holder.release()
        engine.dispose()
    return contents


def _rebuild(connection: Connection, place: Place, path: Path, contents: Contents) -> None:
    place.prepare(connection)
    there = place.tables(connection)
    if there and not _is_ledger(connection, there):
        raise LedgerError(f"{place.shown} is a database of something else", hint="Choose another place for the ledger.")
    for name in there:
        connection.exec_driver_sql(f"drop table {_quoted(connection, name)}")
    for version in range(1, contents.version + 1):
        steps.take(connection, version)
    made = {name: place.columns(connection, name) for name in place.tables(connection) if name not in LEFT_OUT}
    if made != {name: set(columns) for name, columns in contents.columns.items()}:
        raise _not_whole(path, f"its tables are not those of version {contents.version}")
    _insert(connection, path)
    for version in range(contents.version + 1, tables.SCHEMA_VERSION + 1):
        steps.take(connection, version)
    news = tables.facts.update().where(tables.facts.c.name == "schema_version").values(value=str(tables.SCHEMA_VERSION))
    connection.execute(news)
    place.settle(connection)


def _is_ledger(connection: Connection, names: set[str]) -> bool:
    return "facts" in names and _fact(connection, "schema_version") != "0"


def _insert(connection: Connection, path: Path) -> None:
    """The rows, a page at a time, by the names of their columns."""
    statement = ""
    page: list[tuple[Any, ...]] = []
    for line in _checked(path):
        if isinstance(line, dict):
            _send(connection, statement, page)
            page = []
            if "table" in line:
                names = ", ".join(_quoted(connection, name) for name in line["columns"])
                marks = ", ".join(["?" if connection.dialect.positional else "%s"] * len(line["columns"]))
                statement = f"insert into {_quoted(connection, line['table'])} ({names}) values ({marks})"
        else:
            page.append(tuple(line))
            if len(page) == PAGE:
                _send(connection, statement, page)
                page = []
    _send(connection, statement, page)


def _send(connection: Connection, statement: str, rows: list[tuple[Any, ...]]) -> None:
    if rows:
        connection.exec_driver_sql(statement, rows)


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote_identifier(name)


def _fact(connection: Connection, name: str) -> str:
    return str(connection.execute(select(tables.facts.c.value).where(tables.facts.c.name == name)).scalar() or "0")


# files


def _checked(path: Path) -> Iterator[Any]:
    """The lines but for the last one, decoded, which is compared with them at the end. Raises ConfigError."""
    digest = hashlib.sha256()
    counted: dict[str, int] = {}
    table, last = "", b""
    with _opened(path) as file:
        for data in file:
            if last:
                digest.update(last)
                line = _decoded(path, last)
                if isinstance(line, dict):
                    table = str(line.get("table", ""))
                    counted |= {table: 0} if table else {}
                elif isinstance(line, list) and table:
                    counted[table] += 1
                else:
                    raise _not_whole(path, "there is a line that is none of its")
                yield line
            last = data
    end = _decoded(path, last)
    if not isinstance(end, dict) or "sha256" not in end:
        raise _not_whole(path, "its last line is missing")
    if end["sha256"] != digest.hexdigest() or end.get("rows") != counted:
        raise _not_whole(path, "its checksum is another one")


def _head(path: Path, line: Any) -> Contents:
    if not isinstance(line, dict) or line.get("format") != FORMAT:
        raise _not_whole(path, "it does not begin like one")
    version = line.get("schema")
    if line.get("format_version") != FORMAT_VERSION or not isinstance(version, int) or version > tables.SCHEMA_VERSION:
        raise ConfigError(
            f"{path} is of a newer engram-bridge: its ledger has version {version}, and {tables.SCHEMA_VERSION} is known here",
            hint="Import it with the engram-bridge that wrote it, or a newer one.",
        )
    return Contents(str(line.get("ledger")), version)


def _decoded(path: Path, data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise _not_whole(path, "there is a line that is none of its") from error


def _not_whole(path: Path, why: str) -> ConfigError:
    return ConfigError(f"{path} is no whole export of a ledger: {why}", hint="Export it again: engram-bridge ledger export FILE.")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="Name the file of an export.") from error


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` when the block has ended without an error. Raises ConfigError."""
    if path.exists():
        raise ConfigError(f"{path} is there already", hint="Name a new file.")
    part = path.with_name(path.name + SUFFIX)
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        yield part
        part.replace(path)
        folder = os.open(path.absolute().parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}", hint="Name a file in a folder that can.") from error
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise LedgerError(f"the ledger cannot be copied to {path}: {error}", hint="Is there room on the disk?") from error


def _remove(path: Path) -> None:
    for ending in ("", "-wal", "-shm", ".lock"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
