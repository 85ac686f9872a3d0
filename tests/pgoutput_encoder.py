"""The inverse of `cdc.pgoutput.decode`, written from the manual's message formats and not from the decoder."""

from __future__ import annotations

import struct

from bridge.changes import UNCHANGED, Relation, Row
from cdc import pgoutput

EPOCH_2000 = 946_684_800


def encode(message: pgoutput.Message) -> bytes:
    """The bytes that a server sends for this message."""
    match message:
        case pgoutput.Begin(final_lsn, commit_time, xid):
            return b"B" + struct.pack(">QqI", final_lsn, _micros(commit_time), xid)
        case pgoutput.Commit(commit_lsn, end_lsn, commit_time):
            return b"C\0" + struct.pack(">QQq", commit_lsn, end_lsn, _micros(commit_time))
        case pgoutput.Origin(commit_lsn, name):
            return b"O" + struct.pack(">Q", commit_lsn) + _string(name)
        case pgoutput.Type(oid, schema, name):
            return b"Y" + struct.pack(">I", oid) + _string(schema) + _string(name)
        case Relation():
            return _relation(message)
        case pgoutput.Insert(relation, new):
            return b"I" + struct.pack(">I", relation) + b"N" + _row(new)
        case pgoutput.Update(relation, new, old, full):
            before = b"" if old is None else (b"O" if full else b"K") + _row(old)
            return b"U" + struct.pack(">I", relation) + before + b"N" + _row(new)
        case pgoutput.Delete(relation, old, full):
            return b"D" + struct.pack(">I", relation) + (b"O" if full else b"K") + _row(old)
        case pgoutput.Truncate(relations, cascade, restart):
            head = struct.pack(">IB", len(relations), cascade + 2 * restart)
            return b"T" + head + b"".join(struct.pack(">I", oid) for oid in relations)
        case pgoutput.LogicalMessage(transactional, lsn, prefix, content):
            head = struct.pack(">BQ", transactional, lsn) + _string(prefix)
            return b"M" + head + struct.pack(">I", len(content)) + content


def _micros(seconds: float) -> int:
    return round((seconds - EPOCH_2000) * 1e6)


def _string(text: str) -> bytes:
    return text.encode() + b"\0"


def _relation(relation: Relation) -> bytes:
    columns = b"".join(
        bytes([column.is_identity]) + _string(column.name) + struct.pack(">Ii", column.type_oid, column.type_modifier)
        for column in relation.columns
    )
    head = struct.pack(">I", relation.oid) + _string(relation.schema) + _string(relation.name)
    return b"R" + head + relation.identity.encode() + struct.pack(">H", len(relation.columns)) + columns


def _row(row: Row) -> bytes:
    parts = [struct.pack(">H", len(row))]
    for value in row:
        if value is None:
            parts.append(b"n")
        elif value is UNCHANGED:
            parts.append(b"u")
        else:
            raw = value.encode() if isinstance(value, str) else value
            assert isinstance(raw, bytes)
            parts.append(b"t" + struct.pack(">I", len(raw)) + raw)
    return b"".join(parts)
