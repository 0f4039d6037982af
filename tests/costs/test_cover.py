from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseline.costs.cover import cover_traffic
from fuseline.costs.traffic import Traffic, group_traffic
from fuseline.errors import InputError
from fuseline.graph import Builder, Graph, Kind, OpClass, Origin, Role
from fuseline.plan import Group
from tests.strategies import graphs, joined


def group(number: int, ops: tuple[int, ...], recomputed: tuple[int, ...] = ()) -> Group:
    return Group(number, ops, "", recomputed)


def shared() -> Graph:
    """x -> shared -> a; shared, w -> b: 16 floats each, 64 bytes."""
    build = Builder()
    x = build.tensor("x", (16,), role=Role.INPUT)
    w = build.tensor("w", (16,), role=Role.PARAMETER)
    y = build.op("shared", Kind.RELU, inputs=[x], shape=(16,))
    a = build.op("a", Kind.RELU, inputs=[y], shape=(16,))
    b = build.op("b", Kind.MUL, inputs=[y], parameters=[w], shape=(16,))
    return build.finish([a, b])


def test_an_op_without_a_home_is_stored_nowhere_and_its_operands_are_read_by_each() -> None:
    both = (group(0, (0, 1), (0,)), group(1, (0, 2), (0,)))
    assert cover_traffic(shared(), both) == (Traffic(64, 0, 64), Traffic(64, 64, 64))


def test_an_op_computed_twice_is_stored_at_home_only_where_a_reader_does_not_hold_it() -> None:
    alone, holding = group(0, (0,)), group(1, (0, 1), (0,))
    reading, other = group(2, (2,)), group(2, (0, 2), (0,))
    graph = shared()
    assert cover_traffic(graph, (alone, holding, reading)) == (
        Traffic(64, 0, 64),  # for b, which does not hold it
        Traffic(64, 0, 64),
        Traffic(64, 64, 64),
    )
    assert cover_traffic(graph, (alone, holding, other))[0] == Traffic(64, 0, 0)


def test_a_group_that_reads_what_no_group_stores_is_refused() -> None:
    cover = (group(0, (0, 1), (0,)), group(1, (2,)))
    with pytest.raises(InputError, match="the cover stores 'shared' nowhere, and 'b' reads it"):
        cover_traffic(shared(), cover)


def test_a_cover_without_some_op_is_refused() -> None:
    with pytest.raises(InputError, match="the cover has no group for 'b'"):
        cover_traffic(shared(), (group(0, (0, 1)),))


def concatenation() -> Graph:
    """relu(x), y -> both -> end. x has 16 floats, y 48: 64 and 192 bytes."""
    build = Builder()
    x = build.tensor("x", (1, 16), role=Role.INPUT)
    y = build.tensor("y", (3, 16), role=Role.INPUT)
    left = build.op("left", Kind.RELU, inputs=[x], shape=(1, 16))
    both = build.op("both", Kind.CAT, inputs=[left, y], shape=(4, 16))
    return build.finish([build.op("end", Kind.SUM, inputs=[both], shape=())])


def test_pieces_of_a_concatenation_read_and_write_their_own_operand() -> None:
    cover = (group(0, (0, 1)), group(1, (1,)), group(2, (2,)))
    assert cover_traffic(concatenation(), cover) == (
        Traffic(64, 0, 64),  # left, straight into its slice
        Traffic(192, 0, 192),  # y, copied
        Traffic(256, 0, 4),
    )


def test_an_op_cut_into_equal_pieces_is_shared_out_to_the_last_byte() -> None:
    build = Builder()
    x = build.tensor("x", (5, 1), role=Role.INPUT)  # 20 bytes
    copy = build.op("copy", Kind.CONTIGUOUS, inputs=[x], shape=(5, 1))
    graph = build.finish([copy])
    cover = tuple(group(number, (0,)) for number in range(3))
    assert [t.nbytes for t in cover_traffic(graph, cover)] == [12, 14, 14]  # 6, 7, 7, twice
    assert sum(t.reads for t in cover_traffic(graph, cover)) == 20


def test_a_copy_of_which_a_group_needs_half_reads_half() -> None:
    build = Builder()
    x = build.tensor("x", (4, 8), role=Role.INPUT)
    copy = build.op("copy", Kind.CONTIGUOUS, inputs=[x], shape=(4, 8), origin=Origin.ATEN)
    storage = build.tensors[copy].storage
    halves = [
        build.tensor(name, (2, 8), storage=storage, offset=offset)
        for name, offset in (("top", 0), ("bottom", 16))
    ]
    for half in halves:
        build.op(
            "half", Kind.SLICE, inputs=[copy], outputs=[half],
            op_class=OpClass.VIEW, origin=Origin.ATEN,
        )  # fmt: skip
    ends = [
        build.op(f"end{half}", Kind.RELU, inputs=[half], shape=(2, 8), origin=Origin.ATEN)
        for half in halves
    ]
    graph = build.finish(ends)
    cover = (
        group(0, (0, 1, 3), (0,)),
        group(1, (0, 2, 4), (0,)),
    )
    assert cover_traffic(graph, cover) == (Traffic(64, 0, 64), Traffic(64, 0, 64))


@given(st.data(), graphs())
def test_a_partition_costs_what_its_groups_cost(data: st.DataObject, graph: Graph) -> None:
    partition = data.draw(joined(graph)).ordered()
    groups = tuple(group(number, ops) for number, ops in enumerate(partition))
    expected = tuple(group_traffic(graph, ops) for ops in partition)
    assert cover_traffic(graph, groups) == expected
