"""Hits by hand. Every tensor is float32; x, y and the others have 40 bytes each."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fuseline.costs import group_traffic
from fuseline.costs.cache import cache_hits
from fuseline.graph import Builder, Gather, Graph, Kind, Role
from tests.strategies import graphs, joined, plan_of


def residual() -> Graph:
    """x -> a; a, w (80 bytes) -> b; b -> c; c + a."""
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT)
    w = build.tensor("w", (20,), role=Role.PARAMETER)
    a = build.op("a", Kind.RELU, inputs=[x], shape=(10,))
    b = build.op("b", Kind.LINEAR, inputs=[a], parameters=[w], shape=(10,))
    c = build.op("c", Kind.RELU, inputs=[b], shape=(10,))
    return build.finish([build.op("d", Kind.ADD, inputs=[c, a], shape=(10,))])


def hits(graph: Graph, capacity_nbytes: int) -> tuple[int, ...]:
    return cache_hits(graph, plan_of([(op.id,) for op in graph.ops]), capacity_nbytes)


def test_a_read_hits_where_what_moved_since_fits() -> None:
    # order of moves: x a | a w b | b c | c a d. `b` reads a at once (40 bytes of room),
    # `c` reads b (40), `d` reads c (40) and a, since when w, b and c have moved: 40 + 80 + 40 + 40
    assert hits(residual(), 39) == (0, 0, 0, 0)
    assert hits(residual(), 40) == (0, 40, 40, 40)
    assert hits(residual(), 199) == (0, 40, 40, 40)
    assert hits(residual(), 200) == (0, 40, 40, 80)


def test_a_fused_value_is_not_read_at_all() -> None:
    assert cache_hits(residual(), plan_of([(0,), (1, 2, 3)]), 1000) == (0, 40)


def test_parameters_never_hit() -> None:
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT)
    w = build.tensor("w", (5,), role=Role.PARAMETER)
    made = [build.op(f"f{n}", Kind.LINEAR, inputs=[x], parameters=[w], shape=(1,)) for n in (0, 1)]
    assert hits(build.finish(made), 1000) == (0, 40)  # x again, w not


def test_only_bytes_that_have_moved_hit() -> None:
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT)
    first = build.tensor("first", (6,), storage=0)
    made = [
        build.op("a", Kind.RELU, inputs=[first], shape=(6,)),
        build.op("b", Kind.RELU, inputs=[x], shape=(10,)),
    ]
    assert hits(build.finish(made), 1000) == (0, 24)


def test_a_table_weighs_as_the_rows_that_moved() -> None:
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT)
    ids = build.tensor("ids", (1,), dtype="int64", role=Role.INPUT)  # 8 bytes
    table = build.tensor("table", (1000, 4), role=Role.PARAMETER)  # rows of 16
    a = build.op("a", Kind.RELU, inputs=[x], shape=(10,))
    row = build.op(
        "embed", Kind.EMBEDDING, inputs=[ids], parameters=[table], shape=(1, 4),
        gathers=(Gather(table, 16),),
    )  # fmt: skip
    b = build.op("b", Kind.RELU, inputs=[a], shape=(10,))
    graph = build.finish([row, b])
    needed = 40 + 8 + 16 + 16  # a; since then ids, a row of the table, the row made
    assert hits(graph, needed - 1) == (0, 0, 0)
    assert hits(graph, needed) == (0, 0, 40)


def test_in_place_reads_what_was_written_before() -> None:
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT)
    y = build.op("y", Kind.RELU, inputs=[x], shape=(10,))
    same = build.tensor("same", (10,), storage=build.tensors[y].storage)
    build.op("relu_", Kind.RELU, inputs=[y], writes=[y], outputs=[same])
    assert hits(build.finish([same]), 40) == (0, 40)


@given(st.data(), graphs(gathers=True, scatters=True), st.integers(0, 300))
def test_hits_are_reads_and_grow_with_the_cache(
    data: st.DataObject, graph: Graph, capacity: int
) -> None:
    plan = plan_of(data.draw(joined(graph)).ordered())
    small, large = cache_hits(graph, plan, capacity), cache_hits(graph, plan, capacity + 64)
    assert sum(cache_hits(graph, plan, 0)) == 0
    for group, few, many in zip(plan.groups, small, large, strict=True):
        assert 0 <= few <= many <= group_traffic(graph, group.ops).reads
