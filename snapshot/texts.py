"""Rows as PostgreSQL's own text, by COPY and by query: byte for byte what a replication slot sends (law 10).

A cast to text would not do: `true::text` is `true` where COPY and the slot say `t`, and `bpchar::text` loses its padding. So
COPY's text format is parsed here (manual: COPY, "Text Format"), and results of queries are taken in text format from libpq,
past the driver's adaptation, and parameters are given as text too.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import pq, sql

from bridge.changes import Row, Value
from bridge.postgres import copy_out, send_as_it_is, translated

_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_MEANING = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def copy_rows(conn: psycopg.Connection[Any], query: sql.Composable) -> Iterator[Row]:
    """The rows of a query, by COPY. The connection is free again when the iterator ends or is closed.

    Raises SourceUnavailable, and Fatal when the server refuses the query.
    """
    command = sql.SQL("copy ({}) to stdout").format(query).as_bytes(conn)
    pgconn = conn.pgconn
    with _errors(pgconn), _as_it_is(pgconn):
        result = pgconn.exec_(command)
        if result.status != pq.ExecStatus.COPY_OUT:
            raise psycopg.errors.error_from_result(result)
        try:
            for line in copy_out(pgconn):
                if b"\\" in line:
                    yield parse_copy_row(line)
                    continue
                try:
                    text = line[:-1].decode()
                except UnicodeDecodeError:
                    yield parse_copy_row(line)
                    continue
                yield tuple(text.split("\t"))
        finally:
            _end_copy(conn)


def parse_copy_row(line: bytes) -> Row:
    r"""One line of COPY's text format, its newline included. `\N` is None; what is no valid UTF-8 stays `bytes`.

    A tab inside a value is escaped, so every tab is a separator.
    """
    try:
        fields = line[:-1].decode().split("\t")
    except UnicodeDecodeError:
        return tuple([_bytes_field(field) for field in line[:-1].split(b"\t")])
    return tuple([None if field == "\\N" else unescape_copy(field) if "\\" in field else field for field in fields])


def unescape_copy(field: str) -> str:
    """The value that COPY TO escaped. It writes no octal or hexadecimal escapes."""
    return _ESCAPED.sub(lambda match: _MEANING.get(match[1], match[1]), field)


def _bytes_field(field: bytes) -> Value:
    """Latin-1 maps bytes to characters one to one, so one function unescapes both."""
    return None if field == b"\\N" else _text(unescape_copy(field.decode("latin-1")).encode("latin-1"))


def _text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def fetch(conn: psycopg.Connection[Any], query: sql.Composable, parameters: Sequence[bytes | None] = ()) -> list[Row]:
    """The rows of a query with parameters `$1`, `$2`, …, all as text both ways.

    Raises SourceUnavailable, and Fatal when the server refuses the query.
    """
    command = query.as_bytes(conn)
    with _errors(conn.pgconn), _as_it_is(conn.pgconn):
        result = conn.pgconn.exec_params(command, list(parameters), result_format=pq.Format.TEXT)
        if result.status != pq.ExecStatus.TUPLES_OK:
            raise psycopg.errors.error_from_result(result)
    value, columns = result.get_value, range(result.nfields)
    return [
        tuple([None if (cell := value(row, column)) is None else _text(cell) for column in columns])
        for row in range(result.ntuples)
    ]


def as_parameter(value: str | bytes) -> bytes:
    """A value as it was read, to be given back as a parameter."""
    return value if isinstance(value, bytes) else value.encode()


def array_parameter(values: Sequence[Value]) -> bytes:
    """The text of a `text[]` of these values, all quoted."""
    quoted = []
    for value in values:
        if value is None:
            quoted.append(b"NULL")
            continue
        assert isinstance(value, str | bytes)
        quoted.append(b'"' + as_parameter(value).replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"')
    return b"{" + b",".join(quoted) + b"}"


@contextlib.contextmanager
def _errors(pgconn: pq.abc.PGconn) -> Iterator[None]:
    """Our errors for the driver's. A result that came of a lost connection bears no SQLSTATE; the connection's state tells."""
    with translated():
        try:
            yield
        except psycopg.Error as error:
            if pgconn.status == pq.ConnStatus.BAD and not isinstance(error, psycopg.OperationalError):
                raise psycopg.OperationalError("the connection was lost") from error
            raise


@contextlib.contextmanager
def _as_it_is(pgconn: pq.abc.PGconn) -> Iterator[None]:
    """Rows of a SQL_ASCII database come unconverted; everything else on the connection, the catalogue's names, is UTF-8."""
    send_as_it_is(pgconn)
    try:
        yield
    finally:
        if pgconn.status == pq.ConnStatus.OK and pgconn.transaction_status == pq.TransactionStatus.IDLE:
            send_as_it_is(pgconn, wanted=False)


def _end_copy(conn: psycopg.Connection[Any]) -> None:
    """Leave a COPY that was not read to its end: cancel it, and throw away what is still on the way."""
    pgconn = conn.pgconn
    if pgconn.status == pq.ConnStatus.BAD or pgconn.transaction_status != pq.TransactionStatus.ACTIVE:
        return
    conn.cancel_safe(timeout=10)
    with contextlib.suppress(psycopg.Error):  # the cancellation itself
        for _line in copy_out(pgconn):
            pass
    while pgconn.get_result() is not None:
        pass
