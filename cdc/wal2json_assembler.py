"""wal2json's messages become the events that pgoutput's would: tables found, ordinals counted, rows completed; no I/O.

wal2json announces no tables. It names them, partitions by their own names, and names and types the columns that it sends. The
rest (the root of a partition, its oid, the replica identity, which columns are generated) is the catalogue's, which is read
by whoever holds the connection and is given here as `Definition`s, never older than the transaction that they are used for. The
catalogue can be ahead of the stream: so what a message itself says of columns ranks above it.

What is as with pgoutput: the order of transactions, ordinals from 1 before any filter, keepalives (see `cdc.assembler`). What
differs: every table of the database is sent, and counted; tables truncated together come one by one; a table that is not in the
catalogue any more is announced without an oid, and its changes are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from bridge.changes import (
    UNCHANGED,
    Begin,
    Commit,
    Event,
    Heartbeat,
    Keepalive,
    Relation,
    RelationColumn,
    RelationSeen,
    Row,
    RowChange,
    Truncated,
    Value,
)
from bridge.errors import ProtocolError
from bridge.lsn import Lsn
from cdc import pgoutput, wal2json

Name: TypeAlias = "tuple[str, str]"
"""Schema and name."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A table, as the catalogue has it, whose changes come under some name.

    `relation` is the table itself, or the root of a partition, without generated columns; those are in `generated`. `identity` is
    the replica identity of what is named: what is sent of old rows depends on the partition's, not on the root's. `leaf`: it is a
    partition.
    """

    relation: Relation
    identity: str
    generated: frozenset[str] = frozenset()
    leaf: bool = False


@dataclass(frozen=True, slots=True)
class _Binding:
    """How a form's rows become the relation's. `relation` None: there is no such table any more, nothing is made of them.

    `new` and `old`: for each of the relation's columns its place in the form's row, -1 where it is not sent; None when they are
    the same. `fill`: columns that only the old row has, by their place in the relation and there. `untold`: places of the new row
    that may hold what wal2json could not tell. `key`: places of the identity in new and old row, to see whether it changed; None
    when the old row counts always. `full`: the old row is the whole row.
    """

    generation: object
    relation: Relation | None = None
    new: tuple[int, ...] | None = None
    old: tuple[int, ...] | None = None
    fill: tuple[tuple[int, int], ...] = ()
    untold: tuple[int, ...] = ()
    key: tuple[tuple[int, int], ...] | None = None
    full: bool = False


class Wal2JsonAssembler:
    """The state between messages: definitions, announced relations, the open transaction, its count of changes."""

    def __init__(self) -> None:
        self.xid: int | None = None
        self._definitions: dict[Name, Definition | None] = {}
        self._announced: dict[Name, Relation] = {}
        self._generation = object()  # of all bindings that are in force
        self._begun: Lsn | None = None
        self._ordinal = 0

    @property
    def in_transaction(self) -> bool:
        """Whether a Begin has come and its Commit has not."""
        return self._begun is not None

    def define(self, definitions: Mapping[Name, Definition | None]) -> None:
        """What the catalogue says now of these names; None: there is no such table."""
        for name, definition in definitions.items():
            if name not in self._definitions or self._definitions[name] != definition:
                self._definitions[name] = definition
                self._generation = object()

    def forget(self) -> None:
        """Forget all definitions: each table that is named after it has to be defined, and is announced, again."""
        self._definitions.clear()
        self._announced.clear()
        self._generation = object()

    def assemble(self, message: wal2json.Message, append: Callable[[Event], None]) -> None:
        """Append the events that this message makes; the table that it names has been defined.

        Raises ProtocolError when the message cannot come here.
        """
        if isinstance(message, wal2json.Change):
            self._change(message, append)
        elif isinstance(message, wal2json.Truncate):
            self._truncate(message, append)
        elif isinstance(message, pgoutput.Begin):
            append(self._begin(message))
        elif isinstance(message, pgoutput.Commit):
            append(self._commit(message))
        elif not message.transactional:
            append(Heartbeat(message.prefix, message.content, message.lsn))

    def keepalive(self, wal_end: Lsn) -> Keepalive | None:
        """The event of the walsender's keepalive: None inside a transaction."""
        return None if self.in_transaction else Keepalive(wal_end)

    def _begin(self, message: pgoutput.Begin) -> Begin:
        if self._begun is not None:
            raise ProtocolError("a transaction begins inside another")
        self._begun, self._ordinal, self.xid = message.final_lsn, 0, message.xid
        return Begin(message.final_lsn, message.commit_time, message.xid)

    def _commit(self, message: pgoutput.Commit) -> Commit:
        if self._begun != message.commit_lsn:
            raise ProtocolError("a commit is not the one of the transaction that began")
        self._begun = self.xid = None
        return Commit(message.commit_lsn, message.end_lsn, message.commit_time)

    def _next_ordinal(self) -> int:
        if self._begun is None:
            raise ProtocolError("a change outside of a transaction")
        self._ordinal += 1
        return self._ordinal

    # changes

    def _change(self, message: wal2json.Change, append: Callable[[Event], None]) -> None:
        ordinal = self._next_ordinal()
        form, new, old = message.form, message.new, message.old
        binding: _Binding | None = form.bound
        if binding is None or binding.generation is not self._generation:
            binding = form.bound = self._bind(form, append)
        relation = binding.relation
        if relation is None:
            return
        whole, ambiguous = new, False
        if new is not None:
            ambiguous = bool(binding.untold) and any(new[place] is UNCHANGED for place in binding.untold)
            if binding.new is not None:
                whole = _placed(new, binding.new, UNCHANGED)
            if binding.fill and whole is not None and old is not None:
                whole = _filled(whole, old, binding.fill)
        if old is not None:
            if new is not None and binding.key is not None and _same(new, old, binding.key):
                old = None
            elif binding.old is not None:
                old = _placed(old, binding.old, None)
        kind: Literal["insert", "update", "delete"] = _KINDS[form.action]
        append(RowChange(kind, relation, whole, old, binding.full and old is not None, ordinal, ambiguous))

    def _truncate(self, message: wal2json.Truncate, append: Callable[[Event], None]) -> None:
        """A partition that is truncated alone says nothing about its root: with pgoutput it would not come at all."""
        ordinal = self._next_ordinal()
        definition = self._definitions[message.schema, message.table]
        if definition is None or definition.leaf:
            return
        relation = self._announced.get(_name(definition.relation))
        if relation is None or relation.oid != definition.relation.oid:
            relation = self._announce(definition.relation, append)
        append(Truncated((relation,), ordinal))

    # definitions

    def _bind(self, form: wal2json.Form, append: Callable[[Event], None]) -> _Binding:
        definition = self._definitions[form.schema, form.table]
        if definition is None:
            gone = [RelationColumn(name, oid, -1, False) for name, oid in form.columns or form.identity or ()]
            relation = Relation(GONE, form.schema, form.table, "n", tuple(gone))
            if _name(relation) not in self._announced or self._announced[_name(relation)].oid != GONE:
                self._announce(relation, append)
            return _Binding(self._generation)
        relation = self._fitting(form, definition)
        if relation != self._announced.get(_name(relation)):
            self._announce(relation, append)
        return _bound(form, definition, relation, self._generation)

    def _announce(self, relation: Relation, append: Callable[[Event], None]) -> Relation:
        self._announced[_name(relation)] = relation
        self._generation = object()
        append(RelationSeen(relation))
        return relation

    def _fitting(self, form: wal2json.Form, definition: Definition) -> Relation:
        """The relation as it was when this was written, as far as the form tells.

        An insert has every column. Of others a column can be absent because it is as it was, so the relation that was announced
        last goes on as long as it has all that is sent.
        """
        known, current = definition.relation, self._announced.get(_name(definition.relation))
        sent = {name: oid for name, oid in (form.columns or ()) + (form.identity or ()) if name not in definition.generated}
        complete = form.action == "I"
        if not complete and current is not None and _same_table(current, known):
            types = {column.name: column.type_oid for column in current.columns}
            there = sent.keys() | {column.name for column in known.columns}
            if there >= types.keys() and all(types.get(name) == oid for name, oid in sent.items()):
                return current
        columns = []
        for column in known.columns:
            oid = sent.pop(column.name, None if complete else column.type_oid)
            if oid is not None:
                columns.append(column if oid == column.type_oid else RelationColumn(column.name, oid, -1, column.is_identity))
        columns += [RelationColumn(name, oid, -1, known.identity == "f") for name, oid in sent.items()]
        return replace(known, columns=tuple(columns))


GONE: Final = 0
"""The oid of a table that the catalogue does not have any more."""

_KINDS: Final[dict[str, Literal["insert", "update", "delete"]]] = {"I": "insert", "U": "update", "D": "delete"}


def _name(relation: Relation) -> Name:
    return (relation.schema, relation.name)


def _same_table(current: Relation, known: Relation) -> bool:
    """The catalogue still says of the table, besides its columns, what it said when it was announced."""
    names = {column.name for column in current.columns}
    before = {column.name for column in current.columns if column.is_identity}
    now = {column.name for column in known.columns if column.is_identity and column.name in names}
    return (current.oid, current.identity) == (known.oid, known.identity) and (known.identity == "f" or before == now)


def _bound(form: wal2json.Form, definition: Definition, relation: Relation, generation: object) -> _Binding:
    names = [column.name for column in relation.columns]
    there = {name: place for place, (name, _oid) in enumerate(form.columns or ())}
    here = {name: place for place, (name, _oid) in enumerate(form.identity or ())}
    key = {column.name for column in relation.columns if column.is_identity}
    identity = {name for name in here if name not in definition.generated}
    full = identity >= set(names) and (definition.identity == "f" or identity != key)
    new, old = tuple([there.get(name, -1) for name in names]), tuple([here.get(name, -1) for name in names])
    return _Binding(
        generation,
        relation,
        new=None if new == tuple(range(len(there))) else new,
        old=None if old == tuple(range(len(here))) else old,
        fill=tuple((place, here[name]) for place, name in enumerate(names) if name not in there and name in here),
        untold=tuple(there[name] for name, oid in form.columns or () if oid in wal2json.UNTOLD and name in names),
        key=None if full else tuple((there[name], here[name]) for name in identity if name in there),
        full=full,
    )


def _same(new: Row, old: Row, key: tuple[tuple[int, int], ...]) -> bool:
    return all(new[there] == old[here] for there, here in key)


def _placed(row: Row, places: tuple[int, ...], absent: Value) -> Row:
    return tuple([row[place] if place >= 0 else absent for place in places])


def _filled(row: Row, old: Row, fill: tuple[tuple[int, int], ...]) -> Row:
    """What was not sent because it is as it was, from the old row."""
    values = list(row)
    for place, before in fill:
        values[place] = old[before]
    return tuple(values)
