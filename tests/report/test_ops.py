"""Ops as rows, what a kernel of each alone would move, and who takes what of whom."""

from __future__ import annotations

from hypothesis import given

from fuseline.costs import cost
from fuseline.fusion import partition
from fuseline.graph import OUTSIDE, Builder, Graph, Kind, OpClass, Origin, Role, Status, Work
from fuseline.report.rows.ops import input_rows, op_edge_rows, op_rows, output_rows
from tests.report.models import SQUARE, SQUARE_BYTES, tower
from tests.strategies import graphs


def test_what_each_op_is_and_costs_alone() -> None:
    rows = op_rows(tower(blocks=1))
    assert [row.name for row in rows] == ["stem", "fc_0", "act_0", "add_0", "head"]
    stem, _, act, add, _ = rows
    assert (stem.kind, stem.op_class, stem.target, stem.module) == (
        "linear", "contraction", "linear", "net.stem",
    )  # fmt: skip
    assert (stem.flops, stem.other_flops, stem.traffic_bytes) == (128, 0, 3 * SQUARE_BYTES)
    assert (act.flops, act.other_flops, act.traffic_bytes) == (0, 16, 2 * SQUARE_BYTES)
    assert (add.inputs, add.outputs) == (("4x4 float32",) * 2, ("4x4 float32",))
    assert not any(row.unknown for row in rows)
    assert [row.id for row in rows] == list(range(5))


def test_an_unknown_op_says_so_and_a_view_moves_nothing() -> None:
    build = Builder()
    x = build.tensor("x", SQUARE, role=Role.INPUT)
    odd = build.op("odd", Kind.UNKNOWN, inputs=[x], shape=SQUARE, origin=Origin.ATEN)
    seen = build.tensor("seen", (16,), storage=build.tensors[odd].storage)
    build.op("view", Kind.RESHAPE, inputs=[odd], outputs=[seen], op_class=OpClass.VIEW)
    rows = op_rows(build.finish([seen]))
    assert [(row.unknown, row.is_compute, row.traffic_bytes) for row in rows] == [
        (True, True, 2 * SQUARE_BYTES),
        (False, False, 0),
    ]


def test_edges_are_tensors_and_each_is_there_once() -> None:
    graph = tower(blocks=1)
    edges = [(edge.writer, edge.reader, edge.output, edge.tensor) for edge in op_edge_rows(graph)]
    shape = "4x4 float32"
    assert edges == [
        (0, 1, 0, shape),
        (1, 2, 0, shape),
        (0, 3, 0, shape),
        (2, 3, 0, shape),
        (3, 4, 0, shape),
    ]
    assert [(port.name, port.ops) for port in input_rows(graph)] == [("x", (0,))]
    assert [(port.tensor, port.ops) for port in output_rows(graph)] == [(shape, (4,))]
    assert output_rows(graph)[0].tensor_bytes == SQUARE_BYTES


def _written_through_a_view() -> Graph:
    """y = relu(x); y[0] = fill(...) by way of a view; z = sum(y); y is returned too."""
    build = Builder()
    x = build.tensor("x", SQUARE, role=Role.INPUT)
    y = build.op("relu", Kind.RELU, inputs=[x], shape=SQUARE, origin=Origin.ATEN)
    row = build.tensor("row", (4,), storage=build.tensors[y].storage)
    build.op("select", Kind.SLICE, inputs=[y], outputs=[row], op_class=OpClass.VIEW)
    build.op("fill_", Kind.FILL, inputs=[], writes=[row], predecessors=[1], origin=Origin.ATEN)
    z = build.op("sum", Kind.SUM, inputs=[y], shape=(1,), origin=Origin.ATEN)
    return build.finish([y, z])


def test_what_is_written_in_place_reaches_who_reads_it() -> None:
    graph = _written_through_a_view()
    edges = [(edge.writer, edge.reader, edge.output) for edge in op_edge_rows(graph)]
    # relu -> select by tensor; select -> fill_ without one; then relu's and fill_'s bytes -> sum
    assert edges == [(0, 1, 0), (1, 2, None), (0, 3, 0), (2, 3, None)]
    assert [port.ops for port in output_rows(graph)] == [(0, 2), (3,)]


def test_an_input_that_is_returned_has_no_maker() -> None:
    build = Builder()
    x = build.tensor("x", SQUARE, role=Role.INPUT)
    graph = build.finish([x])
    assert [port.ops for port in output_rows(graph)] == [()]
    assert [port.name for port in input_rows(graph)] == ["x"]


def test_work_that_is_counted_is_shown() -> None:
    build = Builder()
    x = build.tensor("x", SQUARE, role=Role.INPUT)
    work = Work(7, 5, Status.COUNTED)
    made = build.op("fc", Kind.LINEAR, inputs=[x], shape=SQUARE, work=work, module_class="Linear")
    row = op_rows(build.finish([made]))[0]
    assert (row.flops, row.other_flops, row.module_class) == (7, 5, "Linear")


@given(graphs())
def test_rows_add_up_to_the_unfused_plan(graph: Graph) -> None:
    rows = op_rows(graph)
    price = cost(graph, partition(graph, "unfused"))
    assert sum(row.traffic_bytes for row in rows) == price.unfused_nbytes
    assert sum(row.flops for row in rows) == graph.flops
    assert sum(row.unknown for row in rows) == len(graph.unknown_ops)


@given(graphs())
def test_every_byte_that_one_op_hands_another_has_a_path(graph: Graph) -> None:
    """Edges lead forward, and from whoever wrote a byte to whoever reads it, if through views."""
    before: list[set[int]] = [set() for _ in graph.ops]
    for edge in op_edge_rows(graph):
        assert edge.writer < edge.reader
        before[edge.reader] |= {edge.writer, *before[edge.writer]}
    for op in graph.ops:
        for flow in graph.flows.read_by[op.id]:
            assert flow.writer == OUTSIDE or flow.writer in before[op.id]
