"""The order in which tables are loaded: parents before children, so that most edges find their parent there.

Only a preference, never a condition: an edge whose parent comes later is pending until it comes. So cycles and tables that
reference themselves are ordinary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from bridge.schema import Table

Name = tuple[str, str]


def foreign_key_order(tables: Iterable[Table]) -> list[list[Table]]:
    """The tables in groups: each group after the groups of its parents, tables of one cycle in one group.

    The same for the same tables, whatever order they come in. Parents that are not among `tables` do not count.
    """
    known = {(table.schema, table.name): table for table in sorted(tables, key=lambda table: (table.schema, table.name))}
    parents = {name: sorted({key.parent for key in table.foreign_keys if key.parent in known}) for name, table in known.items()}
    return [[known[name] for name in sorted(group)] for group in _components(parents)]


def _components(parents: Mapping[Name, Sequence[Name]]) -> list[list[Name]]:
    """Strongly connected components by Tarjan's algorithm, each after all that can be reached from it.

    With a stack of its own: a chain of a thousand tables must not meet Python's recursion limit.
    """
    index: dict[Name, int] = {}
    low: dict[Name, int] = {}
    open_names: list[Name] = []
    closed: set[Name] = set()
    groups: list[list[Name]] = []
    path: list[tuple[Name, Iterator[Name]]] = []

    def enter(name: Name) -> None:
        index[name] = low[name] = len(index)
        open_names.append(name)
        path.append((name, iter(parents[name])))

    for start in parents:
        if start not in index:
            enter(start)
        while path:
            name, rest = path[-1]
            following = next((parent for parent in rest if parent not in closed), None)
            if following is None:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[name])
                if low[name] == index[name]:
                    at = open_names.index(name)
                    groups.append(open_names[at:])
                    closed.update(groups[-1])
                    del open_names[at:]
            elif following in index:
                low[name] = min(low[name], index[following])
            else:
                enter(following)
    return groups
