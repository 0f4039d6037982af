from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fuseline.fusion.quotient import Quotient
from fuseline.graph import Builder, Graph, Kind, Role
from tests.strategies import edges, graphs, joined


@st.composite
def dags(draw: st.DrawFn) -> Graph:
    """Bare dependence: any directed acyclic graph of up to 12 ops."""
    build = Builder()
    x = build.tensor("x", (1,), role=Role.INPUT)
    for number in range(draw(st.integers(1, 12))):
        before = (
            draw(st.lists(st.integers(0, number - 1), max_size=3, unique=True)) if number else []
        )
        build.op(f"op{number}", Kind.RELU, inputs=[x], predecessors=before, shape=(1,))
    return build.finish([])


def has_cycle(graph: Graph, home: list[int]) -> bool:
    """Whether groups depend on each other: strip groups without predecessors until none is left."""
    before: dict[int, set[int]] = {group: set() for group in home}
    for earlier, later in edges(graph):
        if home[earlier] != home[later]:
            before[home[later]].add(home[earlier])
    while free := [group for group, needed in before.items() if not needed]:
        for group in free:
            del before[group]
        for needed in before.values():
            needed.difference_update(free)
    return bool(before)


@given(st.data(), st.one_of(dags(), graphs()))
def test_would_cycle_agrees_with_brute_force(data: st.DataObject, graph: Graph) -> None:
    quotient = data.draw(joined(graph))
    for earlier, later in edges(graph):
        first, second = quotient.group_of[earlier], quotient.group_of[later]
        if first != second:
            merged = [first if group == second else group for group in quotient.group_of]
            assert quotient.would_cycle(first, second) == has_cycle(graph, merged)


@given(st.data(), st.one_of(dags(), graphs()))
def test_ordered_is_a_partition_in_an_order_that_runs(data: st.DataObject, graph: Graph) -> None:
    quotient = data.draw(joined(graph))
    order = quotient.ordered()
    assert sorted(op for ops in order for op in ops) == [op.id for op in graph.ops]
    assert all(list(ops) == sorted(ops) for ops in order)
    place = {op: position for position, ops in enumerate(order) for op in ops}
    assert all(place[earlier] <= place[later] for earlier, later in edges(graph))
    for ops in order:
        assert len({quotient.group_of[op] for op in ops}) == 1
        assert sorted(quotient.members[quotient.group_of[ops[0]]]) == list(ops)


@given(st.data(), st.one_of(dags(), graphs()))
def test_try_join_agrees_with_brute_force(data: st.DataObject, graph: Graph) -> None:
    quotient = data.draw(joined(graph))
    every = [op.id for op in graph.ops]
    ops = data.draw(st.lists(st.sampled_from(every), min_size=1, max_size=5, unique=True))
    wanted = {quotient.group_of[op] for op in ops}
    before = list(quotient.group_of)
    merged = [min(wanted) if group in wanted else group for group in before]
    assert quotient.try_join(ops) == (not has_cycle(graph, merged))
    if has_cycle(graph, merged):
        assert quotient.group_of == before
    else:
        assert len({quotient.group_of[op] for op in ops}) == 1
    place = {op: position for position, group in enumerate(quotient.ordered()) for op in group}
    assert all(place[earlier] <= place[later] for earlier, later in edges(graph))


def test_a_join_moves_what_lies_between() -> None:
    build = Builder()
    x = build.tensor("x", (1,), role=Role.INPUT)
    for name, before in (("a", []), ("b", []), ("c", [0]), ("d", [0, 1]), ("e", [2, 3])):
        build.op(name, Kind.RELU, inputs=[x], predecessors=before, shape=(1,))
    quotient = Quotient(build.finish([]))
    assert not quotient.would_cycle(0, 3)  # d needs b, which does not need a
    assert quotient.join(0, 3) == 0
    assert quotient.ordered() == [(1,), (0, 3), (2,), (4,)]
    assert quotient.would_cycle(0, 4)  # e needs c, which needs a
