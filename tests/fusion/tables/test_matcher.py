from __future__ import annotations

import pytest

from fuseline.fusion.tables.matcher import Matcher, match_table
from fuseline.fusion.tables.rows import (
    CONV,
    ENTRY,
    Row,
    Step,
    Table,
    kinds,
    wants_bias,
    wants_equal_shapes,
    wants_held,
    wants_one_activation,
    wants_scale,
)
from fuseline.graph import Builder, Graph, Kind, OpClass, Origin, Role
from fuseline.plan import Rule
from tests.fusion.test_extended import Net

RELU = Step(kinds(Kind.RELU))
NORM = Step(kinds(Kind.BATCHNORM), optional=True)
SQUARE = (2, 4, 8, 8)


def match(graph: Graph, *steps: Step) -> Matcher:
    return match_table(graph, Table("a system", (Row("Row", "here", steps),)))


def matched(graph: Graph, *steps: Step) -> list[list[str]]:
    return [[graph.ops[op].name for op in found.ops] for found in match(graph, *steps).matches]


def refusals(graph: Graph, *steps: Step) -> dict[tuple[str, str], tuple[Rule, str]]:
    return {
        (graph.ops[told.producer].name, graph.ops[told.consumer].name): (told.rule, told.reason)
        for told in match(graph, *steps).plan("test").refusals
    }


def chain(*of: Kind) -> Net:
    net, last = Net(SQUARE), "x"
    for number, kind in enumerate(of):
        net.add(f"n{number}", kind, last, held=(4,))
        last = f"n{number}"
    return net


def test_steps_follow_one_another_and_an_optional_one_may_be_missing() -> None:
    steps = (Step(CONV), NORM, RELU)
    whole = chain(Kind.CONV2D, Kind.BATCHNORM, Kind.RELU).finish("n2")
    short = chain(Kind.CONV2D, Kind.RELU).finish("n1")
    assert matched(whole, *steps) == [["n0", "n1", "n2"]]
    assert matched(short, *steps) == [["n0", "n1"]]


def test_a_row_that_lacks_its_end_joins_nothing() -> None:
    graph = chain(Kind.CONV2D, Kind.BATCHNORM, Kind.GELU).finish("n2")
    assert matched(graph, Step(CONV), NORM, RELU) == []
    assert refusals(graph, Step(CONV), NORM, RELU) == {
        ("n0", "n1"): (Rule.NO_RULE, "Row needs relu after n1"),
        ("n1", "n2"): (Rule.NO_RULE, "Row goes on with relu, and n2 is gelu"),
    }


def test_many_take_all_there_are() -> None:
    graph = chain(Kind.RELU, Kind.GELU, Kind.GELU, Kind.TANH).finish("n3")
    assert matched(graph, RELU, Step(kinds(Kind.GELU), many=True)) == [["n0", "n1", "n2"]]


def test_a_result_that_others_take_ends_the_match() -> None:
    net = chain(Kind.CONV2D, Kind.BATCHNORM, Kind.RELU).add("other", Kind.TANH, "n1")
    graph = net.finish("n2", "other")
    after = Step(kinds(Kind.RELU), optional=True)
    assert matched(graph, Step(CONV), Step(kinds(Kind.BATCHNORM)), after) == [["n0", "n1"]]
    rule, reason = refusals(graph, Step(CONV), NORM, RELU)["n1", "n2"]
    assert rule is Rule.FORK
    assert reason == "Row keeps the result of n1 inside, and it has 2 consumers (n2, other)"


def test_a_result_that_outlives_the_graph_is_taken_by_others() -> None:
    graph = chain(Kind.CONV2D, Kind.RELU).finish("n0", "n1")
    assert matched(graph, Step(CONV), RELU) == []
    reason = refusals(graph, Step(CONV), RELU)["n0", "n1"][1]
    assert reason == "Row keeps the result of n0 inside, and it outlives the graph"


def test_the_result_of_a_step_that_leaves_may_be_taken() -> None:
    net = chain(Kind.CONV2D, Kind.RELU).add("other", Kind.TANH, "n0")
    graph = net.finish("n1", "other")
    assert matched(graph, Step(CONV, leaves=True), RELU) == [["n0", "n1"]]


def test_a_diamond_comes_back_to_what_the_row_reads() -> None:
    steps = (Step(kinds(Kind.SIGMOID)), Step(kinds(Kind.MUL), takes=(ENTRY,)))
    net = Net().linear("fc", "x").add("gate", Kind.SIGMOID, "fc")
    assert matched(net.add("mul", Kind.MUL, "fc", "gate").finish("mul"), *steps) == [
        ["gate", "mul"]
    ]
    other = Net().linear("fc", "x").add("gate", Kind.SIGMOID, "fc")
    graph = other.add("mul", Kind.MUL, "x", "gate").finish("mul")
    assert matched(graph, *steps) == []
    told = "Row: mul does not come back to what the row begins with"
    assert refusals(graph, *steps)["gate", "mul"] == (Rule.NO_RULE, told)


def test_a_diamond_comes_back_to_an_earlier_step_or_the_one_there_instead() -> None:
    steps = (Step(CONV), NORM, Step(kinds(Kind.SIGMOID)), Step(kinds(Kind.MUL), takes=(1,)))
    for norm in (True, False):
        net = chain(*([Kind.CONV2D, Kind.BATCHNORM] if norm else [Kind.CONV2D]))
        last = "n1" if norm else "n0"
        net.add("gate", Kind.SIGMOID, last).add("mul", Kind.MUL, last, "gate")
        assert len(matched(net.finish("mul"), *steps)[0]) == 3 + norm


def test_a_producer_that_nothing_else_takes_comes_along() -> None:
    steps = (Step(CONV, beside=kinds(Kind.PAD)), RELU)
    graph = chain(Kind.PAD, Kind.CONV2D, Kind.RELU).finish("n2")
    assert matched(graph, *steps) == [["n0", "n1", "n2"]]
    taken = chain(Kind.PAD, Kind.CONV2D, Kind.RELU).add("other", Kind.TANH, "n0")
    assert matched(taken.finish("n2", "other"), *steps) == [["n1", "n2"]]


def test_a_step_outside_keeps_its_kernel() -> None:
    graph = chain(Kind.CONV2D, Kind.RELU).finish("n1")
    found = match(graph, Step(CONV, outside=True), RELU)
    assert found.counts() == {"Row": 1}
    assert [group.ops for group in found.plan("test").groups] == [(0,), (1,)]


@pytest.mark.parametrize(
    ("guard", "kind", "operands", "held", "sentence"),
    [
        (wants_held, Kind.ADD, ("x",), (8,), None),
        (wants_held, Kind.ADD, ("x", "y"), (), "has no operand that the model holds"),
        (wants_equal_shapes, Kind.ADD, ("x", "y"), (), None),
        (wants_equal_shapes, Kind.ADD, ("x", "row"), (), "broadcasts an operand"),
        (wants_bias, Kind.LINEAR, ("x",), (8,), None),
        (wants_bias, Kind.LINEAR, ("x",), (8, 8), "has no bias"),
        (wants_scale, Kind.MUL, ("x",), (), None),
        (wants_scale, Kind.MUL, ("x", "y"), (), "does not scale by a number"),
        (wants_one_activation, Kind.ADD, ("x",), (8,), None),
        (wants_one_activation, Kind.ADD, ("x", "y"), (), "takes a second activation"),
    ],
)
def test_guards(
    guard: object, kind: Kind, operands: tuple[str, ...], held: tuple[int, ...], sentence: str
) -> None:
    assert callable(guard)
    net = Net().add("y", Kind.TANH, "x").add("row", Kind.TANH, "x", shape=(8,))
    graph = net.add("op", kind, *operands, held=held).finish("op", "y", "row")
    assert guard(graph, graph.ops[-1]) == sentence
    assert matched(graph, Step(kinds(kind), guard=guard), Step(CONV)) == []


def test_views_are_looked_through_at_both_levels() -> None:
    steps = (Step(CONV), RELU)
    net = Net(SQUARE).add("conv", Kind.CONV2D, "x", held=(4,)).view("flat", "conv")
    graph = net.add("act", Kind.RELU, "flat").finish("act")
    groups = match(graph, *steps).plan("test").groups
    assert [group.ops for group in groups] == [(0, 1, 2)]
    assert groups[0].pattern == "Row"
    build = Builder()
    x = build.tensor("x", SQUARE, role=Role.INPUT)
    y = build.op("conv", Kind.CONV2D, inputs=[x], shape=SQUARE, origin=Origin.MODULE)
    view = build.tensor("v", SQUARE, storage=build.tensors[y].storage)
    build.op("drop", Kind.DROPOUT, inputs=[y], outputs=[view], op_class=OpClass.VIEW)
    z = build.op("act", Kind.RELU, inputs=[view], shape=SQUARE, origin=Origin.MODULE)
    graph = build.finish([z])
    assert [group.ops for group in match(graph, *steps).plan("test").groups] == [(0, 1, 2)]


def test_a_norm_that_takes_its_statistics_from_the_batch_is_no_step() -> None:
    build = Builder()
    x = build.tensor("x", SQUARE, role=Role.INPUT)
    y = build.op("conv", Kind.CONV2D, inputs=[x], shape=SQUARE)
    norm = {"op_class": OpClass.REDUCTION}
    z = build.op("bn", Kind.BATCHNORM, inputs=[y], shape=SQUARE, **norm)
    assert matched(build.finish([z]), Step(CONV), Step(kinds(Kind.BATCHNORM))) == []


def test_earlier_rows_and_earlier_ops_win() -> None:
    graph = chain(Kind.CONV2D, Kind.RELU, Kind.RELU).finish("n2")
    rows = (Row("activations", "", (RELU, RELU)), Row("convolution", "", (Step(CONV), RELU)))
    found = match_table(graph, Table("a system", rows))
    assert found.counts() == {"activations": 1}
    told = [(item.rule, item.reason) for item in found.plan("test").refusals]
    assert told == [(Rule.ALREADY_PLACED, "n1 is already in activations")]


def test_a_match_that_would_close_a_cycle_is_refused() -> None:
    net = Net().add("a", Kind.RELU, "x").add("side", Kind.TANH, "a").add("b", Kind.ADD, "a", "side")
    steps = (Step(kinds(Kind.RELU), leaves=True), Step(kinds(Kind.ADD)))
    rule, reason = refusals(net.finish("b"), *steps)["a", "b"]
    assert (rule, reason) == (
        Rule.CYCLE,
        "Row: joined, its groups would depend on each other through a third",
    )


def test_what_no_table_knows_is_in_no_match() -> None:
    graph = chain(Kind.CONV2D, Kind.UNKNOWN).finish("n1")
    rule, reason = refusals(graph, Step(CONV), RELU)["n0", "n1"]
    assert rule is Rule.UNKNOWN_OP
    assert reason == "n1 is unknown, and an unknown op never fuses"


def test_a_pair_of_which_no_row_speaks() -> None:
    graph = chain(Kind.GELU, Kind.TANH).finish("n1")
    told = refusals(graph, Step(CONV), RELU)["n0", "n1"]
    assert told == (Rule.NO_RULE, "no row of a system holds gelu and then tanh")
