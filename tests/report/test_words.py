"""Sentences of a report: true in every case, and their figures recompute."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fuseline.fusion import partition
from fuseline.graph import Builder, Gather, Graph, Kind, Origin, Role
from fuseline.hardware import load_device
from fuseline.plan import Plan
from fuseline.report.rows import PlanRow, Result, Target, rows
from fuseline.report.rows.best import best_searched
from fuseline.report.rows.doubts import doubts
from fuseline.report.rows.edges import INPUT, edge_rows
from fuseline.report.rows.missed import missed_rows
from fuseline.report.rows.words import assumptions, headlines
from fuseline.report.units import percent
from tests.report.models import tower

T4 = load_device("t4")


def result_of(graph: Graph, *plans: Plan, target: Target | None = None) -> Result:
    return rows(graph, plans, "0", target)


def said(plan: PlanRow, result: Result) -> str:
    return " ".join(headlines(plan, result))


def test_a_plan_of_the_least_seconds_is_no_bound_for_bytes() -> None:
    graph = tower(3)
    fast = partition(graph, "optimal", objective="seconds", device=T4)
    result = result_of(graph, partition(graph, "tvm"), fast, target=Target(T4))
    assert best_searched(result.plans) is None
    assert "of 'optimal" not in said(result.plans[0], result)
    assert "In seconds it is optimal" in said(result.plans[1], result)


def test_the_least_bytes_searched_are_what_others_are_held_against() -> None:
    graph = tower(3)
    plans = [partition(graph, "unfused"), *(partition(graph, "optimal", rules=r) for r in "AT")]
    result = result_of(graph, *plans)
    unfused, _, best = result.plans
    assert best_searched(result.plans) in result.plans[1:]
    over = unfused.traffic_bytes - best.traffic_bytes
    assert f"({percent(over, best.traffic_bytes)}) above the" in said(unfused, result)


def test_a_plan_below_an_optimum_says_how() -> None:
    graph = tower(3)
    result = result_of(graph, partition(graph, "unfused"), partition(graph, "optimal"))
    best = result.plans[1]
    lower = replace(result.plans[0], traffic_bytes=best.traffic_bytes - 64)
    assert said(lower, result).count("it holds groups that those rules forbid") == 1
    assert "it computes some ops more than once" in said(replace(lower, kind="cover"), result)


@pytest.mark.parametrize(("launch", "overlaps"), [("eager", True), ("graph", False)])
def test_launches_are_said_to_overlap_only_where_they_do(launch: str, *, overlaps: bool) -> None:
    graph = tower(8)
    result = result_of(graph, partition(graph, "unfused"), target=Target(T4, launch))
    time = result.plans[0].roofline
    assert time is not None
    assert time.overlapped is (time.pipelined_seconds < time.summed_seconds)
    if launch == "graph":
        assert ("overlap" in said(result.plans[0], result)) is overlaps


def test_a_rate_that_no_source_gives_is_said() -> None:
    graph = tower(2)
    device = load_device("trainium2")
    result = result_of(graph, partition(graph, "unfused"), target=Target(device))
    plan = result.plans[0]
    assert plan.roofline is not None
    # a relu and an add in each of two blocks
    assert plan.roofline.launches_without_vector_rate == 4
    assert "no source gives this device's rate" in said(plan, result)


def test_what_no_formula_knows_is_said_in_every_plan() -> None:
    build = Builder()
    x = build.tensor("x", (4, 4), role=Role.INPUT)
    made = build.op(
        "odd", Kind.UNKNOWN, inputs=[x], shape=(4, 4), origin=Origin.ATEN, hidden_bytes=640
    )
    graph = build.finish([made])
    result = result_of(graph, partition(graph, "unfused"))
    unknown, hidden = doubts(result.plans[0])
    assert unknown.startswith("FLOPs leave out 1 unknown op")
    assert "at least 640 bytes" in hidden
    assert said(result.plans[0], result).count("640") == 1


def test_assumptions_name_the_device_and_its_peaks() -> None:
    graph = tower(2)
    target = Target(T4)
    result = result_of(graph, partition(graph, "unfused"), target=target)
    text = " ".join(assumptions(result, target))
    assert "a roofline of" in text
    assert "Contractions of float32 at 8.1 TFLOP/s" in text
    assert "No device was named" in " ".join(assumptions(result, None))


def test_small_shares_do_not_look_like_none() -> None:
    graph = tower(2)
    result = result_of(graph, partition(graph, "unfused"))
    plan = replace(result.plans[0], traffic_bytes=999_999, unfused_traffic_bytes=1_000_000)
    assert ": 0.0001% less." in said(plan, result)


def test_an_edge_carries_no_more_than_its_source_writes() -> None:
    """x (4 x 4) is written in one row of four: 16 bytes pass on, the rest comes from outside."""
    build = Builder()
    cache = build.tensor("cache", (4, 4), role=Role.INPUT)
    row = build.tensor("row", (1, 4), role=Role.INPUT)
    build.op(
        "put", Kind.SCATTER, inputs=[row], writes=[cache], origin=Origin.ATEN,
        scatters=(Gather(cache, 16),),
    )  # fmt: skip
    graph = build.finish(
        [build.op("use", Kind.RELU, inputs=[cache], shape=(4, 4), origin=Origin.ATEN)]
    )
    edges = {(e.source, e.target): e.bytes for e in edge_rows(graph, partition(graph, "unfused"))}
    assert edges[0, 1] == 16
    assert edges[INPUT, 1] == 64


@pytest.mark.parametrize("blocks", [3, 70])
def test_all_missed_pairs_are_counted(blocks: int) -> None:
    graph = tower(blocks)
    found = missed_rows(graph, partition(graph, "unfused"))
    counts = {(row.from_, row.to): row.count for row in found.rows}
    # fc -> act and act -> add in every block; what a block makes goes into the next one's fc
    assert counts["fc_0", "act_0"] == blocks
    assert counts["act_0", "add_0"] == blocks
    assert found.left_out == 0
