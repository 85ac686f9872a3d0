"""The publication: which tables the slot sends, made or completed, and refused when it would leave changes out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from bridge.errors import ConfigError
from bridge.postgres import translated

ACTIONS = "insert, update, delete, truncate"

TableName = tuple[str, str]
"""Schema and name."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a publication sends as it stands now: `lacking` actions, and partitions under the root's name (True before 13)."""

    lacking: tuple[str, ...]
    via_root: bool


def standing(connection: psycopg.Connection, name: str) -> Standing | None:
    """What the publication sends; None when there is none of that name. Raises SourceUnavailable."""
    with translated():
        row = connection.execute(
            "select to_jsonb(publication) from pg_catalog.pg_publication publication where pubname = %s", (name,)
        ).fetchone()
    if row is None:
        return None
    lacking = tuple(action for action in ACTIONS.split(", ") if not row[0][f"pub{action}"])
    return Standing(lacking, bool(row[0].get("pubviaroot", True)))


def ensure_publication(
    connection: psycopg.Connection, name: str, tables: list[TableName], *, server_version: int
) -> list[TableName]:
    """Make the publication, or add to it the tables that it lacks; answers those that were added, in the order given.

    A table that joins needs the barrier (law 2) before it is read. `server_version` is `server_version_num`. Raises ConfigError
    when a publication of that name is there that leaves something out (rows, columns, actions) or carries everything, and when
    we may not make or change it; the hint has the statement.
    """
    with translated():
        found = _find(connection, name)
    if found is None:
        if tables:
            _execute(connection, _creation(name, tables, server_version), name)
        else:
            raise ConfigError("there is no table to publish", hint="Name tables in the configuration that exist.")
        return list(tables)
    _refuse(name, found, server_version)
    with translated():
        members = published(connection, name)
    missing = [table for table in tables if table not in members]
    if missing:
        statement = sql.SQL("alter publication {} add table {}").format(sql.Identifier(name), _list(missing))
        _execute(connection, statement, name)
    return missing


def leave_publication(connection: psycopg.Connection, name: str, labels: Collection[str]) -> list[tuple[str, str]]:
    """Take tables (`schema.table`) out of the publication; answers those that we may not, and the statement that would."""
    refused = []
    with translated():
        members = published(connection, name)
    for table in sorted(members):
        if ".".join(table) in labels:
            statement = sql.SQL("alter publication {} drop table {}").format(sql.Identifier(name), _list([table]))
            try:
                _execute(connection, statement, name)
            except ConfigError:
                refused.append((".".join(table), statement.as_string(connection) + ";"))
    return refused


def has_publication(connection: psycopg.Connection, name: str) -> bool:
    """Whether there is one of that name, whatever is in it."""
    with translated():
        return connection.execute("select 1 from pg_catalog.pg_publication where pubname = %s", (name,)).fetchone() is not None


def drop_publication(connection: psycopg.Connection, name: str) -> None:
    """Drop the publication if it is there."""
    with translated():
        connection.execute(sql.SQL("drop publication if exists {}").format(sql.Identifier(name)))


def _creation(name: str, tables: list[TableName], server_version: int) -> sql.Composed:
    """Through the root: changes of partitions arrive under the name of the table that is carried (from 13)."""
    root = ", publish_via_partition_root = true" if server_version >= 130000 else ""
    return sql.SQL("create publication {} for table {} with (publish = {}{})").format(
        sql.Identifier(name), _list(tables), sql.Literal(ACTIONS), sql.SQL(root)
    )


def _list(tables: list[TableName]) -> sql.Composed:
    """ONLY: a table that inherits is published when it is carried itself, not because its parent is."""
    return sql.SQL(", ").join(sql.SQL("only {}").format(sql.Identifier(*table)) for table in tables)


def _find(connection: psycopg.Connection, name: str) -> dict[str, Any] | None:
    """The row of `pg_publication` with the columns that this version has, and what narrows or widens it."""
    row = connection.execute(
        """
        select to_jsonb(publication) || jsonb_build_object(
            'filtered', (
                select coalesce(jsonb_agg(member.prrelid::regclass::text), '[]')
                from pg_catalog.pg_publication_rel member
                where member.prpubid = publication.oid
                and coalesce(to_jsonb(member) ->> 'prqual', to_jsonb(member) ->> 'prattrs') is not null
            )
        )
        from pg_catalog.pg_publication publication where publication.pubname = %s
        """,
        (name,),
    ).fetchone()
    if row is None:
        return None
    found: dict[str, Any] = row[0]
    found["schemas"] = connection.info.server_version >= 150000 and bool(
        connection.execute(
            """
            select 1 from pg_catalog.pg_publication_namespace member
            join pg_catalog.pg_publication publication on publication.oid = member.pnpubid
            where publication.pubname = %s
            """,
            (name,),
        ).fetchone()
    )
    return found


def _refuse(name: str, found: dict[str, Any], server_version: int) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    if found["puballtables"] or found["schemas"]:
        extent = "all tables" if found["puballtables"] else "all tables of a schema"
        raise ConfigError(
            f"the publication {name!r} is for {extent}, and would make updates of tables without a key fail",
            hint=f"Name another publication in source.publication, or DROP PUBLICATION {quoted};",
        )
    lacking = [action for action in ACTIONS.split(", ") if not found[f"pub{action}"]]
    if lacking:
        raise ConfigError(
            f"the publication {name!r} does not publish {', '.join(lacking)}",
            hint=f"ALTER PUBLICATION {quoted} SET (publish = '{ACTIONS}');",
        )
    if server_version >= 130000 and not found["pubviaroot"]:
        raise ConfigError(
            f"the publication {name!r} sends changes of partitions under the partitions' names",
            hint=f"ALTER PUBLICATION {quoted} SET (publish_via_partition_root = true);",
        )
    if found["filtered"]:
        raise ConfigError(
            f"the publication {name!r} leaves out rows or columns of {', '.join(sorted(found['filtered']))}",
            hint=f"ALTER PUBLICATION {quoted} SET TABLE ... without WHERE and column lists, or name another publication.",
        )


def published(connection: psycopg.Connection, name: str) -> set[TableName]:
    """The members of a publication as they were named: on 12 `pg_publication_tables` would show a partitioned table's leaves."""
    rows = connection.execute(
        """
        select namespace.nspname, relation.relname
        from pg_catalog.pg_publication_rel member
        join pg_catalog.pg_publication publication on publication.oid = member.prpubid
        join pg_catalog.pg_class relation on relation.oid = member.prrelid
        join pg_catalog.pg_namespace namespace on namespace.oid = relation.relnamespace
        where publication.pubname = %s
        """,
        (name,),
    ).fetchall()
    return {(schema, table) for schema, table in rows}


def _execute(connection: psycopg.Connection, statement: sql.Composed, name: str) -> None:
    with translated():
        try:
            connection.execute(statement)
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedTable) as error:
            raise ConfigError(
                f"the publication {name!r} cannot be made or changed: {error.diag.message_primary}",
                hint=f"Have an owner of the tables (with CREATE on the database) run: {statement.as_string(connection)};",
            ) from error
