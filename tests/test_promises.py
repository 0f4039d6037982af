"""Promises 1 to 3 of the design on random graphs: nothing here knows a strategy's rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseline.costs import cost
from fuseline.fusion import STRATEGIES, sequential
from fuseline.fusion.legality import check_coverage, check_order
from fuseline.graph import Graph, OpClass, Status
from fuseline.plan import Plan
from tests.strategies import graphs, joined, plan_of

EVERY = {**STRATEGIES, "sequential": sequential}


def hold(graph: Graph, plan: Plan) -> None:
    """Every promise a partition must keep."""
    price, unfused = cost(graph, plan), cost(graph, STRATEGIES["unfused"](graph))
    assert sorted(op for group in plan.groups for op in group.ops) == [op.id for op in graph.ops]
    assert check_coverage(graph, plan) == ()
    assert check_order(graph, plan) == ()
    assert price.flops == unfused.flops == graph.flops
    assert price.other_flops == unfused.other_flops == graph.other_flops
    assert price.nbytes <= unfused.nbytes == price.unfused_nbytes
    assert price.launches <= unfused.launches == graph.compute_ops
    assert graph.compulsory_bytes <= price.nbytes
    assert all(group.saved_nbytes >= 0 for group in price.groups)
    assert sum(group.unknown_ops for group in price.groups) == len(graph.unknown_ops)


@pytest.mark.parametrize("strategy", EVERY)
@given(graph=graphs())
def test_every_strategy_keeps_the_promises(strategy: str, graph: Graph) -> None:
    plan = EVERY[strategy](graph)
    hold(graph, plan)
    for group in plan.groups:
        classes = {graph.ops[op].op_class for op in group.ops}
        assert len(group.ops) == 1 or OpClass.OPAQUE not in classes
    assert [group.id for group in plan.groups] == list(range(len(plan.groups)))
    assert all(refusal.nbytes >= 0 for refusal in plan.refusals)


@given(data=st.data(), graph=graphs())
def test_every_legal_partition_keeps_the_promises(data: st.DataObject, graph: Graph) -> None:
    hold(graph, plan_of(data.draw(joined(graph)).ordered()))


@pytest.mark.parametrize("strategy", EVERY)
@given(graph=graphs())
def test_every_pair_of_neighbours_shares_a_group_or_has_a_refusal(
    strategy: str, graph: Graph
) -> None:
    plan = EVERY[strategy](graph)
    home = {op: group.id for group in plan.groups for op in group.ops}
    apart = [
        (producer, op.id)
        for op in graph.ops
        for producer in op.predecessors
        if home[producer] != home[op.id]
    ]
    assert [(refusal.producer, refusal.consumer) for refusal in plan.refusals] == apart
    assert all(refusal.reason for refusal in plan.refusals)


@given(graph=graphs())
def test_every_op_is_counted_zero_or_unknown_with_a_reason(graph: Graph) -> None:
    assert all(op.work.why for op in graph.ops if op.work.status is Status.UNKNOWN)
    counted = sum(op.work.flops for op in graph.ops if op.work.status is Status.COUNTED)
    assert counted == graph.flops


@pytest.mark.parametrize("strategy", EVERY)
@given(graph=graphs())
def test_a_group_of_one_moves_what_its_op_moves(strategy: str, graph: Graph) -> None:
    plan = EVERY[strategy](graph)
    for group, price in zip(plan.groups, cost(graph, plan).groups, strict=True):
        if len(group.ops) == 1:
            assert price.saved_nbytes == 0
        if not price.is_launch:
            assert price.nbytes == 0
