from __future__ import annotations

from dataclasses import replace

import pytest

from fuseline.fusion import Violation, find_violations
from fuseline.fusion.legality import (
    check_connection,
    check_coverage,
    check_order,
    find_class_violations,
    kernels_of,
)
from fuseline.graph import Builder, Graph, Kind, OpClass, Origin, Role
from fuseline.plan import Group
from tests.strategies import plan_of


def diamond() -> Graph:
    """fc1 -> (left, right) -> fc2, and a stray op on the same input."""
    build = Builder()
    x = build.tensor("x", (4,), role=Role.INPUT)
    a = build.op("fc1", Kind.LINEAR, inputs=[x], shape=(4,))
    b = build.op("left", Kind.RELU, inputs=[a], shape=(4,))
    c = build.op("right", Kind.RELU, inputs=[a], shape=(4,))
    d = build.op("fc2", Kind.LINEAR, inputs=[b, c], shape=(4,))
    return build.finish([d, build.op("stray", Kind.RELU, inputs=[x], shape=(4,))])


def judge(graph: Graph, group: Group) -> Violation | None:
    """What rule set T has against the group."""
    found = find_class_violations([group], kernels_of(graph, plan_of([])))
    return found[0] if found else None


def test_a_legal_plan_has_no_violation() -> None:
    assert find_violations(diamond(), plan_of([(0, 1, 2), (3,), (4,)])) == ()


def test_coverage() -> None:
    graph = diamond()
    assert check_coverage(graph, plan_of([(0, 1), (1, 2, 3, 4)])) == (
        Violation(1, "coverage", "left is in group 0 too"),
    )
    assert check_coverage(graph, plan_of([(0, 3)])) == (
        Violation(-1, "coverage", "in no group: left, right, stray"),
    )


def test_order() -> None:
    graph = diamond()
    assert check_order(graph, plan_of([(1,), (0,), (2,), (3,), (4,)])) == (
        Violation(0, "order", "left needs fc1, which runs later"),
    )
    # convex or not, two groups that need each other have no order
    cyclic = plan_of([(0, 3), (1, 2), (4,)])
    assert {found.reason for found in check_order(graph, cyclic)} == {
        "fc2 needs left, which runs later",
        "fc2 needs right, which runs later",
    }


def test_order_counts_storage_hazards() -> None:
    build = Builder()
    x = build.tensor("x", (4,), role=Role.INPUT)
    y = build.op("read", Kind.RELU, inputs=[x], shape=(4,))
    build.op("fill_", Kind.FILL, writes=[x])
    graph = build.finish([y])
    assert check_order(graph, plan_of([(0,), (1,)])) == ()
    assert check_order(graph, plan_of([(1,), (0,)])) == (
        Violation(0, "order", "fill_ needs read, which runs later"),
    )


def test_connection() -> None:
    graph = diamond()
    assert check_connection(graph, Group(0, (0, 1, 2, 3), "")) is None
    assert check_connection(graph, Group(7, (0, 4), "")) == Violation(
        7, "connection", "stray shares no operand with the rest"
    )


def test_one_contraction_a_kernel() -> None:
    graph = diamond()
    assert judge(graph, Group(0, (0, 1, 2), "")) is None
    assert judge(graph, Group(3, (0, 1, 2, 3), "")) == Violation(
        3, "second contraction", "2 contractions in one kernel (fc1, fc2)"
    )


def test_everything_wrong_is_told_in_order() -> None:
    rules = [found.rule for found in find_violations(diamond(), plan_of([(0, 3, 4), (1,)]))]
    assert rules == ["coverage", "order", "connection", "second contraction"]


def attention() -> Graph:
    """scores -> scale -> softmax -> values, and a projection of the values."""
    build = Builder()
    x = build.tensor("x", (2, 4, 4), role=Role.INPUT)
    a = build.op("scores", Kind.MATMUL, inputs=[x], shape=(2, 4, 4))
    b = build.op("scale", Kind.MUL, inputs=[a], shape=(2, 4, 4))
    c = build.op("weights", Kind.SOFTMAX, inputs=[b], shape=(2, 4, 4), axes=(2,))
    d = build.op("values", Kind.MATMUL, inputs=[c, x], shape=(2, 4, 4))
    w = build.tensor("w", (4, 4), role=Role.PARAMETER)
    e = build.op("out", Kind.LINEAR, inputs=[d], parameters=[w], shape=(2, 4, 4))
    return build.finish([e])


def test_scores_and_values_of_one_attention_may_share_a_kernel() -> None:
    graph = attention()
    assert judge(graph, Group(0, (0, 1, 2, 3), "")) is None
    told = "3 contractions in one kernel (scores, values, out)"
    assert judge(graph, Group(0, (0, 1, 2, 3, 4), "")) == Violation(0, "second contraction", told)


@pytest.mark.parametrize("ops", [(0, 1, 3), (0, 3), (3, 4)])
def test_two_contractions_that_are_no_whole_attention_may_not(ops: tuple[int, ...]) -> None:
    found = judge(attention(), Group(0, ops, ""))
    assert found is not None
    assert found.reason.startswith("2 contractions in one kernel (")


def test_ops_that_read_one_tensor_hang_together_where_the_strategy_is_horizontal() -> None:
    graph = diamond()
    assert check_connection(graph, Group(0, (0, 4), ""), horizontal=True) is None
    assert check_connection(graph, Group(0, (1, 4), ""), horizontal=True) == Violation(
        0, "connection", "stray shares no operand with the rest"
    )
    plan = plan_of([(0, 4), (1,), (2,), (3,)])
    assert [found.rule for found in find_violations(graph, plan)] == ["connection"]
    assert find_violations(graph, replace(plan, horizontal=True)) == ()


def test_a_shared_weight_is_no_connection() -> None:
    build = Builder()
    w = build.tensor("w", (4,), role=Role.PARAMETER)
    for name in ("a", "b"):
        x = build.tensor(f"x_{name}", (4,), role=Role.INPUT)
        build.op(name, Kind.MUL, inputs=[x, w], shape=(4,))
    found = check_connection(build.finish([]), Group(0, (0, 1), ""), horizontal=True)
    assert found is not None


def test_what_leaves_the_device_shares_no_kernel() -> None:
    build = Builder()
    x = build.tensor("x", (4,), role=Role.INPUT)
    y = build.op("sum", Kind.SUM, inputs=[x], shape=(), axes=(0,))
    build.op("item", Kind.HOST_READ, inputs=[y])
    graph = build.finish([y])
    assert judge(graph, Group(0, (1,), "")) is None
    assert judge(graph, Group(0, (0, 1), "")) == Violation(
        0, "unknown op", "item gives its result to the host, which ends a kernel"
    )


def test_batch_statistics_are_waited_for_through_views() -> None:
    build = Builder()
    x = build.tensor("x", (2, 4), role=Role.INPUT)
    y = build.op("fc", Kind.LINEAR, inputs=[x], shape=(2, 4), origin=Origin.ATEN)
    v = build.tensor("v", (2, 4), storage=build.tensors[y].storage)
    view = {"op_class": OpClass.VIEW, "origin": Origin.ATEN}
    build.op("view", Kind.RESHAPE, inputs=[y], outputs=[v], **view)
    z = build.op(
        "bn",
        Kind.BATCHNORM,
        inputs=[v],
        shape=(2, 4),
        op_class=OpClass.REDUCTION,
        origin=Origin.ATEN,
    )
    found = judge(build.finish([z]), Group(0, (0, 1, 2), ""))
    assert found == Violation(0, "batch statistics", "bn needs all of fc before it can start")
