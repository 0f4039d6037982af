"""Promises 1 to 3 of the design on random graphs: nothing here knows a strategy's rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseline.costs import cost
from fuseline.fusion import STRATEGIES, neighbours, sequential
from fuseline.fusion.legality import check_connection, check_coverage, check_order
from fuseline.graph import OUTSIDE, Graph, OpClass, Origin, Status
from fuseline.graph.fold import fold_constants
from fuseline.plan import Plan
from tests.strategies import graphs, joined, plan_of

COVERS = {"inductor"}  # they compute ops twice: exempt from promises 2 and 3
PARTITIONS = {name: plan for name, plan in STRATEGIES.items() if name not in COVERS}
EVERY = {**PARTITIONS, "sequential": sequential}
RECORDED = graphs(recorded=True, most_ops=8)
ANY = st.one_of(graphs(), RECORDED, RECORDED.map(fold_constants))


def hold(graph: Graph, plan: Plan) -> None:
    """Every promise a partition must keep."""
    price, unfused = cost(graph, plan), cost(graph, STRATEGIES["unfused"](graph))
    assert sorted(op for group in plan.groups for op in group.ops) == [op.id for op in graph.ops]
    assert check_coverage(graph, plan) == ()
    assert check_order(graph, plan) == ()
    assert price.flops == unfused.flops == graph.flops - graph.folded_flops
    assert price.other_flops == unfused.other_flops == graph.other_flops
    assert price.nbytes <= unfused.nbytes == price.unfused_nbytes
    assert price.launches <= unfused.launches == graph.compute_ops
    assert graph.compulsory_bytes <= price.nbytes
    assert all(group.saved_nbytes >= 0 for group in price.groups)
    assert sum(group.unknown_ops for group in price.groups) == len(graph.unknown_ops)


@pytest.mark.parametrize("strategy", EVERY)
@given(graph=ANY)
def test_every_strategy_keeps_the_promises(strategy: str, graph: Graph) -> None:
    plan = EVERY[strategy](graph)
    hold(graph, plan)
    for group in plan.groups:
        classes = {graph.ops[op].op_class for op in group.ops}
        launched = [op for op in group.ops if graph.ops[op].is_compute]
        assert len(launched) <= 1 or OpClass.OPAQUE not in classes
        assert check_connection(graph, group, horizontal=plan.horizontal) is None
    assert [group.id for group in plan.groups] == list(range(len(plan.groups)))
    assert all(refusal.nbytes >= 0 for refusal in plan.refusals)


@pytest.mark.parametrize("strategy", COVERS)
@given(graph=ANY)
def test_a_cover_computes_every_op_and_says_that_it_is_one(strategy: str, graph: Graph) -> None:
    plan = STRATEGIES[strategy](graph)
    assert plan.is_cover
    assert check_coverage(graph, plan) == ()
    assert {op for group in plan.groups for op in group.ops} == {op.id for op in graph.ops}
    price = cost(graph, plan)
    assert price.unfused_nbytes == cost(graph, STRATEGIES["unfused"](graph)).nbytes
    assert price.nbytes >= graph.compulsory_bytes
    assert price.flops >= graph.flops - graph.folded_flops
    apart = {(refusal.producer, refusal.consumer) for refusal in plan.refusals}
    for producer, consumer in neighbours(graph):
        together = any({producer, consumer} <= set(group.ops) for group in plan.groups)
        assert together or (producer, consumer) in apart


@given(data=st.data(), graph=ANY)
def test_every_legal_partition_keeps_the_promises(data: st.DataObject, graph: Graph) -> None:
    hold(graph, plan_of(data.draw(joined(graph)).ordered()))


@pytest.mark.parametrize("strategy", EVERY)
@given(graph=ANY)
def test_every_pair_of_neighbours_shares_a_group_or_has_a_refusal(
    strategy: str, graph: Graph
) -> None:
    plan = EVERY[strategy](graph)
    home = {op: group.id for group in plan.groups for op in group.ops}
    apart = [
        (producer, consumer)
        for producer, consumer in neighbours(graph)
        if home[producer] != home[consumer]
    ]
    assert [(refusal.producer, refusal.consumer) for refusal in plan.refusals] == apart
    assert all(refusal.reason for refusal in plan.refusals)


@given(graph=ANY)
def test_neighbours_are_what_a_walk_through_views_finds(graph: Graph) -> None:
    """Every op that hands its result on, one edge at a time; at module level nothing is a view.

    In a recorded graph also whoever wrote the bytes that an op reads, through another view.
    """
    recorded = all(op.origin is Origin.ATEN for op in graph.ops)
    found = set()
    for producer in graph.ops:
        reached, pending = set(), list(graph.consumers[producer.id])
        while pending:
            op = graph.ops[pending.pop()]
            if op.id in reached:
                continue
            reached.add(op.id)
            if recorded and not op.is_compute:
                pending += graph.consumers[op.id]
        if producer.is_compute or not recorded:
            ends = {op for op in reached if graph.ops[op].is_compute or not recorded}
            found |= {(producer.id, op) for op in ends}
    if recorded:
        flows = (flow for read in graph.flows.read_by for flow in read)
        found |= {(flow.writer, flow.reader) for flow in flows if flow.writer != OUTSIDE}
    assert set(neighbours(graph)) == found
    assert len(neighbours(graph)) == len(found)


@given(graph=graphs(recorded=True))
def test_groups_of_a_recorded_graph_are_named_by_their_operators(graph: Graph) -> None:
    for group in STRATEGIES["extended"](graph).groups:
        operators = [graph.ops[op] for op in group.ops if graph.ops[op].is_compute]
        if len(operators) > 1:
            assert group.pattern.split("_")[0] in operators[0].target
        else:
            assert group.pattern == ("Unfused" if operators else "View or control")


@given(graph=ANY)
def test_every_op_is_counted_zero_or_unknown_with_a_reason(graph: Graph) -> None:
    assert all(op.work.why for op in graph.ops if op.work.status is Status.UNKNOWN)
    counted = sum(op.work.flops for op in graph.ops if op.work.status is Status.COUNTED)
    assert counted == graph.flops


@pytest.mark.parametrize("strategy", EVERY)
@given(graph=ANY)
def test_a_group_of_one_moves_what_its_op_moves(strategy: str, graph: Graph) -> None:
    plan = EVERY[strategy](graph)
    for group, price in zip(plan.groups, cost(graph, plan).groups, strict=True):
        if len(group.ops) == 1:
            assert price.saved_nbytes == 0
        if not price.is_launch:
            assert price.nbytes == 0
