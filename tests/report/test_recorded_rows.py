"""Rows of a recorded graph: views come along with a group and count for nothing."""

from __future__ import annotations

import pytest
from rich.console import Console

from fuseline.fusion import partition
from fuseline.graph import Builder, Graph, Kind, OpClass, Origin, Role
from fuseline.report.rows import PlanRow, rows
from fuseline.report.rows.balance import analyse_balance
from fuseline.report.terminal import print_patterns, print_picture


@pytest.fixture(scope="module")
def graph() -> Graph:
    """x -> view -> fc -> view -> (gelu -> sum, tanh): four operators and two views."""
    build = Builder()
    x = build.tensor("x", (2, 4), role=Role.INPUT)
    w = build.tensor("w", (4, 4), role=Role.PARAMETER)

    def view(name: str, source: int) -> int:
        made = build.tensor(name, (8,), storage=build.tensors[source].storage)
        build.op(
            name,
            Kind.RESHAPE,
            inputs=[source],
            outputs=[made],
            op_class=OpClass.VIEW,
            origin=Origin.ATEN,
        )
        return made

    def op(name: str, kind: Kind, source: int, *held: int) -> int:
        return build.op(
            name, kind, inputs=[source], parameters=held, shape=(2, 4), origin=Origin.ATEN
        )

    rows_of_x = view("rows", x)
    fc = op("fc", Kind.LINEAR, rows_of_x, w)
    act = op("act", Kind.GELU, view("flat", fc))
    return build.finish([op("total", Kind.SUM, act), op("other", Kind.TANH, act)])


def plan_row(graph: Graph, strategy: str) -> PlanRow:
    return rows(graph, (partition(graph, strategy),), "0").plans[0]


def test_views_are_neither_groups_nor_operators_of_one(graph: Graph) -> None:
    plan = plan_row(graph, "fusion")  # fc with act, total, other; the view of x lies beside them
    assert (graph.operators, plan.groups, plan.launches, plan.single_op_groups) == (4, 3, 3, 2)
    sizes = {row.name: (row.count, row.ops) for row in plan.patterns}
    assert sizes == {"linear_gelu": (1, 2), "Unfused": (2, 1), "View or control": (1, 1)}
    assert plan_row(graph, "unfused").single_op_groups == 4


def test_a_single_op_with_its_views_has_a_reason(graph: Graph) -> None:
    plan = plan_row(graph, "unfused")
    alone = {member.ops: member.alone for member in plan.members}
    assert alone["fc",] == "the strategy gives fc and act a kernel each"
    assert alone["rows",] == ""


def test_what_is_not_counted_has_no_share(graph: Graph) -> None:
    console = Console(width=160)
    with console.capture() as captured:
        print_patterns(console, plan_row(graph, "fusion"))
        print_picture(console, plan_row(graph, "fusion"), max_nodes=9)
    line = next(line for line in captured.get().splitlines() if "View or control" in line)
    assert line.split()[:5] == ["View", "or", "control", "1", "-"]


def test_the_balance_counts_operators(graph: Graph) -> None:
    balance = analyse_balance(graph, "fusion")
    assert (balance.smallest, balance.largest, balance.mean) == (1, 2, pytest.approx(4 / 3))
    assert (balance.structural_singles, balance.fusible_singles) == (0, 2)
    assert {row.target for row in balance.singles} == {"sum", "tanh"}
