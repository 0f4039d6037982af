from __future__ import annotations

from fuseline.fusion import Violation, find_violations
from fuseline.fusion.legality import (
    check_connection,
    check_contractions,
    check_coverage,
    check_order,
)
from fuseline.graph import Builder, Graph, Kind, Role
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
    assert check_contractions(graph, Group(0, (0, 1, 2), "")) is None
    assert check_contractions(graph, Group(3, (0, 1, 2, 3), "")) == Violation(
        3, "one contraction", "2 contractions in one kernel (fc1, fc2)"
    )


def test_everything_wrong_is_told_in_order() -> None:
    rules = [found.rule for found in find_violations(diamond(), plan_of([(0, 3, 4), (1,)]))]
    assert rules == ["coverage", "order", "connection", "one contraction"]
