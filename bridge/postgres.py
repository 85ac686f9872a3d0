"""The one door to PostgreSQL: every connection pins the same settings, and every driver error becomes one of ours.

Law 10: a role's or a database's own settings change the text that a query, a COPY and a slot send, so each connection, the
walsender's included, is opened with the settings below as start-up options, which rank above both.
"""

from __future__ import annotations

import contextlib
import re
import select
from collections.abc import Iterator, Mapping

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bridge.errors import BridgeError, ConfigError, Fatal, SourceUnavailable

SETTINGS = {
    "DateStyle": "ISO,YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "search_path": "pg_catalog",
    "row_security": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}
"""Law 10, and no time limits: how long a chunk's COPY takes is decided by the target.

`client_encoding` is pinned beside them by its own connection parameter.
"""

REPORTED = {name: SETTINGS[name] for name in ("DateStyle", "IntervalStyle", "TimeZone")}
NO_POOLER = "Give the address of the PostgreSQL server itself in the source, not that of a pooler such as PgBouncer."

COMMITS = {"synchronous_commit": "local"}
"""The little that we write there ourselves (publication, messages) never waits for a standby that may be missing."""

KEEPALIVES = {
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}

SECRETS = frozenset({"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"})
"""Parameters of a connection string that nobody may see."""

_HALF = 1 << 31
_WRAP = 1 << 32

_UNAVAILABLE = ("08", "57", "53", "55006", "55P03", "25006", "25P0", "40")
"""SQLSTATEs that go away by themselves: connection, shutdown and cancel, resources, object in use, locks, read-only, rollback."""


def conninfo(
    url: str,
    *,
    application_name: str,
    replication: bool = False,
    connect_timeout: int = 10,
    settings: Mapping[str, str] = COMMITS,
) -> str:
    """`url` (URI or keyword form) with our settings added. Raises ConfigError when it is neither."""
    try:
        parameters = conninfo_to_dict(url)
    except psycopg.Error as error:
        raise ConfigError(
            "the source is not a PostgreSQL connection string",
            hint="Write postgresql://user@host:5432/database, or keyword=value pairs.",
        ) from error
    options = " ".join(f"-c {name}={value}" for name, value in (SETTINGS | dict(settings)).items())
    own = str(parameters.pop("options", "") or "")
    parameters.update(KEEPALIVES)
    parameters.setdefault("connect_timeout", str(connect_timeout))
    parameters["client_encoding"] = "UTF8"
    parameters["application_name"] = application_name
    parameters["options"] = f"{own} {options}".strip()
    if replication:
        parameters["replication"] = "database"
    return make_conninfo("", **{name: str(value) for name, value in parameters.items()})


def connect(
    url: str,
    *,
    application_name: str = "engram-bridge",
    replication: bool = False,
    settings: Mapping[str, str] = COMMITS,
) -> psycopg.Connection:
    """An autocommit connection with the pinned settings, and with `settings`: how a ledger's server commits differs.

    Raises SourceUnavailable when the server cannot be reached, ConfigError when it refuses who we are, or a pooler our settings.
    """
    with translated():
        connection = psycopg.connect(
            conninfo(url, application_name=application_name, replication=replication, settings=settings), autocommit=True
        )
    try:
        require_pinned(connection.pgconn)
    except BaseException:
        connection.close()
        raise
    return connection


def require_pinned(pgconn: pq.abc.PGconn) -> None:
    """Law 10 holds only if the settings were taken: a pooler can be told to swallow them. The server reports these by itself."""
    for name, wanted in REPORTED.items():
        found = pgconn.parameter_status(name.encode())
        if found is not None and found.decode().replace(" ", "") != wanted:
            raise ConfigError(
                f"the source does not take our settings ({name}): a connection pooler is in between", hint=NO_POOLER
            )


def flush_position(connection: psycopg.Connection) -> int:
    """Where the server's WAL is flushed to now, an LSN as it stands; `bridge.lsn.fence` makes a fence of it (law 5).

    In a statement of its own, so that it covers what was committed before. Raises SourceUnavailable, also from a standby.
    """
    with translated():
        row = connection.execute("select pg_current_wal_flush_lsn() - '0/0'::pg_lsn").fetchone()
    return int(row[0]) if row else 0


def send_as_it_is(pgconn: pq.abc.PGconn, *, wanted: bool = True) -> None:
    """From a SQL_ASCII database, have the bytes as they are, or be held to UTF-8 again; nothing to do for any other.

    Such a database can hold what is no UTF-8. Under client_encoding UTF8 the server fails there, a COPY as a whole and a slot for
    good; so what carries rows is read without conversion, and judged value by value (law 8).
    """
    if pgconn.parameter_status(b"server_encoding") == b"SQL_ASCII":
        result = pgconn.exec_(b"set client_encoding to " + (b"sql_ascii" if wanted else b"utf8"))
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Driver errors leave as ours: SourceUnavailable for what goes away by itself, Fatal with the SQLSTATE for the rest."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error) from error


def translate(error: psycopg.Error) -> BridgeError:
    """Our error for a driver error. Messages of the server are kept; DETAIL, which can hold row values, is not."""
    state = error.sqlstate or _state_in(str(error))
    message = (error.diag.message_primary or str(error)).strip().splitlines()[0] if str(error) else type(error).__name__
    if state == "28P01" or "password authentication failed" in message or "no password supplied" in message:
        return ConfigError(
            f"PostgreSQL refused the password: {message}",
            hint="Correct the password in the source URL, PGPASSWORD or the password file.",
        )
    if "unsupported startup parameter" in message:
        return ConfigError(f"a connection pooler refused our settings: {message}", hint=NO_POOLER)
    if state in ("28000", "3D000") or ('database "' in message and "does not exist" in message):
        return ConfigError(f"PostgreSQL refused the connection: {message}", hint="Check user, database and pg_hba.conf.")
    # A result without an SQLSTATE was made by libpq itself: the connection is lost.
    lost = isinstance(error, psycopg.OperationalError) or error.pgresult is not None
    if (state is None and lost) or (isinstance(error, psycopg.OperationalError) and state and state.startswith(_UNAVAILABLE)):
        return SourceUnavailable(
            f"PostgreSQL is not available: {message}", hint="Check host, port and that the server is running."
        )
    if state is not None and state.startswith(_UNAVAILABLE):
        return SourceUnavailable(f"PostgreSQL cannot answer now: {message}")
    if state == "55000" and "recovery is in progress" in message:
        return SourceUnavailable("PostgreSQL is a standby here, and rows are read from the primary only")
    if state is not None and state.startswith("22"):
        message = type(error).__name__  # data exceptions quote the value in their first line
    return Fatal(f"PostgreSQL: {message}" + (f" (SQLSTATE {state})" if state else ""))


def _state_in(message: str) -> str | None:
    """The SQLSTATE of a start-up failure that libpq gives as text only (57P03 while the server starts or stops)."""
    starting = re.search(r"the database system is (starting up|shutting down|in recovery mode|not yet accepting)", message)
    return "57P03" if starting else None


def copy_out(pgconn: pq.abc.PGconn, *, timeout: float | None = None) -> Iterator[bytes]:
    """The messages of a COPY OUT in progress (`exec_` answered COPY_OUT), one row each.

    The wait is in `select`, so other threads run meanwhile. Raises psycopg.Error when the COPY ends with an error, and
    SourceUnavailable when nothing came for `timeout` seconds.
    """
    while True:
        size, data = pgconn.get_copy_data(1)
        if size > 0:
            yield bytes(data)
        elif size == 0:
            readable, _, _ = select.select([pgconn.socket], [], [], timeout)
            if not readable:
                raise SourceUnavailable("PostgreSQL sent nothing for too long during a COPY")
            pgconn.consume_input()
        else:
            break
    result = pgconn.get_result()
    while result is not None:
        if result.status == pq.ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result)
        result = pgconn.get_result()


def password_free(url: str) -> str:
    """The connection string as it may be shown: without its secrets."""
    parameters = conninfo_to_dict(url)
    for secret in SECRETS:
        parameters.pop(secret, None)
    return make_conninfo("", **{name: str(value) for name, value in parameters.items()})


def snapshot_sees(snapshot: str, xid: int) -> bool:
    """Whether `snapshot` (`xmin:xmax:xip,…` of 64-bit ids, as `pg_current_snapshot` prints) sees a committed 32-bit `xid`.

    The id is widened to the one nearest to `xmax`: ids that are in use never lie 2^31 or more apart (manual, "Preventing
    Transaction ID Wraparound Failures"). Raises ValueError when `snapshot` is no snapshot.
    """
    xmin_text, xmax_text, running = snapshot.split(":")
    xmin, xmax = int(xmin_text), int(xmax_text)
    wide = xmax - xmax % _WRAP + xid
    if wide - xmax >= _HALF and wide >= _WRAP:
        wide -= _WRAP
    elif xmax - wide > _HALF:
        wide += _WRAP
    if wide < xmin:
        return True
    return wide < xmax and str(wide) not in running.split(",")
