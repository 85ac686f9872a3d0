"""The order of tables: parents first, cycles together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.schema import ForeignKey, Table
from snapshot.order import foreign_key_order


def table(name: str, *parents: str) -> Table:
    keys = tuple(ForeignKey(f"fk_{parent}", ("x",), ("public", parent), ("id",)) for parent in parents)
    return Table(oid=1, schema="public", name=name, columns=(), foreign_keys=keys)


def names(groups: list[list[Table]]) -> list[list[str]]:
    return [[each.name for each in group] for group in groups]


def reachable(edges: dict[int, set[int]], start: int) -> set[int]:
    found: set[int] = set()
    todo = [start]
    while todo:
        for following in edges[todo.pop()] - found:
            found.add(following)
            todo.append(following)
    return found


@given(st.integers(1, 8).flatmap(lambda n: st.dictionaries(st.integers(0, n), st.sets(st.integers(0, n)))), st.randoms())
def test_parents_come_before_children(graph: dict[int, set[int]], random) -> None:
    """*Edges*: each table once; two tables share a group exactly when each leads to the other; otherwise parents are earlier."""
    edges = {node: graph.get(node, set()) for node in range(max([0, *graph, *(p for ps in graph.values() for p in ps)]) + 1)}
    tables = [table(str(node), *map(str, sorted(parents))) for node, parents in edges.items()]
    groups = names(foreign_key_order(tables))
    place = {int(name): number for number, group in enumerate(groups) for name in group}
    assert sorted(place) == sorted(edges)
    assert sum(map(len, groups)) == len(edges)
    reach = {node: reachable(edges, node) for node in edges}
    for one in edges:
        for other in reach[one]:
            assert place[other] <= place[one]
            assert (place[other] == place[one]) == (one == other or one in reach[other])
    random.shuffle(tables)
    assert names(foreign_key_order(tables)) == groups


def test_self_references_missing_parents_and_long_chains_are_ordinary() -> None:
    """*Edges*: a parent that is not carried does not count, and depth meets no recursion limit."""
    assert names(foreign_key_order([table("a", "a", "elsewhere"), table("b", "c"), table("c", "b", "a")])) == [["a"], ["b", "c"]]
    chain = [table(f"t{n:05}", f"t{n + 1:05}") for n in range(5000)]
    assert len(foreign_key_order(chain)) == 5000
