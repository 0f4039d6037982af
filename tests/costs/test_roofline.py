"""Seconds by hand, on a device of round numbers: 100 FLOP/s, 10 operations/s, 20 B/s."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseline import InputError
from fuseline.costs.plan_cost import cost
from fuseline.costs.roofline import (
    Bottleneck,
    PlanTime,
    Share,
    UsedPeak,
    exposed_launches,
    roofline,
)
from fuseline.graph import Builder, Graph, Kind, OpClass, Role, Status, Work
from fuseline.hardware import Basis, Device, Figure, Source
from fuseline.plan import Extra, Plan
from tests.strategies import graphs, joined, plan_of

_SOURCE = Source("round", "round numbers for tests", "", "2026-11")
_ROUND = {
    ("matrix_ops_per_second", "float32"): 100.0,
    ("matrix_ops_per_second", "float16"): 400.0,
    ("vector_ops_per_second", "float32"): 10.0,
    ("memory", "bandwidth_bytes_per_second"): 20.0,
    ("launch", "eager_seconds"): 3.0,
    ("launch", "graph_seconds"): 0.5,
}
_CACHE = {("cache", "capacity_nbytes"): 100.0, ("cache", "bandwidth_bytes_per_second"): 80.0}


def device(figures: dict[tuple[str, str], float]) -> Device:
    made = (
        Figure(table, key, value, Basis.ASSUMED, _SOURCE) for (table, key), value in figures.items()
    )
    return Device("round", "Round", "nobody", "gpu", "none", 2026, tuple(made))


ROUND = device(_ROUND)


def chain(*, dtype: str = "float32", unknown: bool = False) -> Graph:
    """x (40 bytes) -> fc (1000 FLOPs, 5 others) -> view -> relu (10 others) -> copy."""
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT, dtype=dtype)
    y = build.op("fc", Kind.LINEAR, inputs=[x], shape=(10,), work=Work(1000, 5, Status.COUNTED))
    same = build.tensor("same", (10,), storage=build.tensors[y].storage)
    build.op("view", Kind.RESHAPE, inputs=[y], outputs=[same], op_class=OpClass.VIEW)
    work = Work(0, 0, Status.UNKNOWN) if unknown else Work(0, 10, Status.COUNTED)
    z = build.op("relu", Kind.RELU, inputs=[same], shape=(10,), work=work)
    return build.finish([build.op("copy", Kind.CONTIGUOUS, inputs=[z], shape=(10,))])


APART = plan_of([(0,), (1,), (2,), (3,)])


def test_every_term_by_hand() -> None:
    time = roofline(chain(), APART, ROUND)
    fc, view, relu, copy = time.groups
    # 1000 FLOPs / 100, 5 / 10, (40 + 40) bytes / 20
    assert (fc.compute_seconds, fc.vector_seconds, fc.bandwidth_seconds) == (10.0, 0.5, 4.0)
    assert (fc.device_seconds, fc.launch_seconds, fc.seconds) == (10.0, 3.0, 13.0)
    assert (relu.compute_seconds, relu.vector_seconds, relu.bandwidth_seconds) == (0.0, 1.0, 4.0)
    assert (view.seconds, view.bottleneck, view.is_launch) == (0.0, None, False)
    assert (copy.vector_seconds, copy.bottleneck) == (0.0, Bottleneck.BANDWIDTH)
    assert (fc.bottleneck, relu.bottleneck) == (Bottleneck.COMPUTE, Bottleneck.BANDWIDTH)
    assert time.summed_seconds == 13 + 7 + 7
    # issued at 3, 6, 9; the device works 3..13, 13..17, 17..21: only the first launch shows
    assert [group.exposed_seconds for group in time.groups] == [3.0, 0.0, 0.0, 0.0]
    assert (time.device_seconds, time.pipelined_seconds) == (18.0, 21.0)
    assert time.attained_fraction == 10 / 21  # 1000 FLOPs in 21 s at 100 FLOP/s
    assert time.shares == (
        Share(Bottleneck.COMPUTE, 1, 13.0),
        Share(Bottleneck.BANDWIDTH, 2, 14.0),
    )
    assert time.peaks == (UsedPeak("float32", 100.0, "float32 on matrix units", 5.0),)


def test_a_kernel_besides_the_groups_moves_its_bytes_and_is_launched() -> None:
    besides = replace(APART, extras=(Extra("op0", "layout copy", 100),))
    price, plain = cost(chain(), besides), cost(chain(), APART)
    assert (price.launches, price.nbytes) == (plain.launches + 1, plain.nbytes + 100)
    *groups, copied = roofline(chain(), besides, ROUND).groups
    assert len(groups) == len(APART.groups)
    # 100 bytes / 20, and a launch of 3
    assert (copied.compute_seconds, copied.bandwidth_seconds, copied.seconds) == (0.0, 5.0, 8.0)
    assert copied.bottleneck is Bottleneck.BANDWIDTH


def test_fusing_saves_bytes_and_launches() -> None:
    time = roofline(chain(), plan_of([(0, 1, 2, 3)]), ROUND)
    assert time.groups[0].vector_seconds == 1.5
    assert time.summed_seconds == time.pipelined_seconds == 10 + 3


def test_a_replayed_graph_hides_no_launch() -> None:
    time = roofline(chain(), APART, ROUND, launch="graph")
    assert time.summed_seconds == time.pipelined_seconds == 18 + 3 * 0.5


def test_vector_and_launch_may_bound_a_group() -> None:
    slow = device({**_ROUND, ("vector_ops_per_second", "float32"): 1.0})
    assert roofline(chain(), APART, slow).groups[2].bottleneck is Bottleneck.VECTOR
    late = device({**_ROUND, ("launch", "eager_seconds"): 99.0})
    time = roofline(chain(), APART, late)
    assert [share.bottleneck for share in time.shares] == [Bottleneck.LAUNCH]
    # issued at 99, 198, 297; each kernel ends before the next comes
    assert [group.exposed_seconds for group in time.groups] == [99.0, 0.0, 89.0, 95.0]


def test_what_nobody_knows_is_said() -> None:
    time = roofline(chain(unknown=True), APART, ROUND)
    assert time.unknown_ops == 1
    assert time.groups[2].bottleneck is Bottleneck.UNKNOWN
    rateless = {key: value for key, value in _ROUND.items() if key[0] != "vector_ops_per_second"}
    time = roofline(chain(), APART, device(rateless))
    assert [group.vector_seconds for group in time.groups] == [None, 0.0, None, 0.0]
    assert time.groups_without_vector_rate == 2
    assert [share.bottleneck for share in time.shares] == [
        Bottleneck.BANDWIDTH,
        Bottleneck.UNKNOWN,
    ]


def test_a_contraction_runs_in_the_dtype_of_its_activations() -> None:
    time = roofline(chain(dtype="float16"), APART, ROUND)
    assert (time.groups[0].dtype, time.groups[0].compute_seconds) == ("float16", 1000 / 400)
    integers = roofline(chain(dtype="int64"), APART, ROUND)  # no matrix unit: 10 operations/s
    assert integers.groups[0].compute_seconds == 100.0


def test_float32_runs_as_tf32_only_where_it_is_allowed() -> None:
    tf32 = device({**_ROUND, ("matrix_ops_per_second", "tfloat32"): 200.0})
    assert roofline(chain(), APART, tf32).groups[0].compute_seconds == 10.0
    assert roofline(chain(), APART, tf32, tf32=True).groups[0].compute_seconds == 5.0


def test_elementwise_work_goes_by_its_float_operand() -> None:
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT)
    mask = build.tensor("mask", (10,), dtype="bool")
    build.op("gt", Kind.COMPARE, inputs=[x], outputs=[mask], work=Work(0, 10, Status.COUNTED))
    ids = build.tensor("ids", (10,), dtype="int64", role=Role.INPUT)
    rows = build.op("embed", Kind.EMBEDDING, inputs=[ids], shape=(10,))
    graph = build.finish([mask, rows])
    time = roofline(graph, plan_of([(0,), (1,)]), ROUND)
    assert [group.dtype for group in time.groups] == ["float32", "float32"]


def test_input_that_cannot_be_used() -> None:
    with pytest.raises(InputError, match="unknown launch mode 'eagre': did you mean 'eager'"):
        roofline(chain(), APART, ROUND, launch="eagre")
    with pytest.raises(InputError, match="round has no float64 peak: float32 and float16 only"):
        roofline(chain(dtype="float64"), APART, ROUND)
    with pytest.raises(InputError, match="the plan is not of this graph"):
        roofline(chain(), plan_of([(0,)]), ROUND)


def test_the_host_waits_for_a_value() -> None:
    build = Builder()
    x = build.tensor("x", (20,), role=Role.INPUT)  # 80 bytes: 4 s
    y = build.op("a", Kind.RELU, inputs=[x], shape=(20,))  # 160 bytes: 8 s
    build.op("item", Kind.HOST_READ, inputs=[y])  # 80 bytes: 4 s
    z = build.op("b", Kind.RELU, inputs=[y], shape=(20,))
    graph = build.finish([z])
    time = roofline(graph, plan_of([(0,), (1,), (2,)]), ROUND)
    # launched at 3; works 3..11, 11..15; only then is the next launched, at 18
    assert [group.exposed_seconds for group in time.groups] == [3.0, 0.0, 3.0]
    assert time.pipelined_seconds == 26.0


def test_the_cache_is_a_tier_beside_the_memory() -> None:
    assert roofline(chain(), APART, ROUND).cache is None
    tiered = roofline(chain(), APART, device({**_ROUND, **_CACHE}))
    assert tiered.summed_seconds == roofline(chain(), APART, ROUND).summed_seconds
    assert tiered.cache is not None
    # fc's result and relu's are read again from the cache: 40 bytes each of 240
    assert tiered.cache.hit_nbytes == (0, 0, 40, 40)
    assert tiered.cache.memory_nbytes == 240 - 80
    # relu and copy: max(40 left / 20, 80 moved / 80) = 2 s each; then launched at 3, 3 + 10 + 2 + 2
    assert tiered.cache.pipelined_seconds == 17.0
    capacity = {("cache", "capacity_nbytes"): 100.0}
    unknown = roofline(chain(), APART, device({**_ROUND, **capacity})).cache
    assert unknown is not None
    assert (unknown.hit_nbytes, unknown.pipelined_seconds) == ((0, 0, 40, 40), None)


def _brute_force(work: list[float], issue: float) -> float:
    """When the last kernel ends, by the two rules that define it."""
    end = 0.0
    for number, seconds in enumerate(work):
        end = max(end, (number + 1) * issue) + seconds
    return end


@given(st.lists(st.integers(0, 9), min_size=1), st.integers(0, 9))
def test_the_pipeline_lies_between_the_device_and_the_sum(work: list[int], issue: int) -> None:
    exposed = exposed_launches([float(seconds) for seconds in work], float(issue))
    makespan = sum(work) + sum(exposed)
    assert makespan == _brute_force([float(seconds) for seconds in work], float(issue))
    assert max(sum(work), issue * len(work)) <= makespan <= sum(work) + issue * len(work)


@given(st.data(), graphs(gathers=True, scatters=True))
def test_totals_hold_together_on_any_plan(data: st.DataObject, graph: Graph) -> None:
    fast = device({**_ROUND, **_CACHE, ("launch", "eager_seconds"): 0.25})
    times: list[PlanTime] = []
    plan: Plan = plan_of(data.draw(joined(graph)).ordered())
    for launch in ("eager", "graph"):
        time = roofline(graph, plan, fast, launch=launch)
        times.append(time)
        assert time.device_seconds <= time.pipelined_seconds <= time.summed_seconds + 1e-9
        assert sum(share.seconds for share in time.shares) == pytest.approx(time.summed_seconds)
        assert time.cache is not None
        assert time.cache.memory_nbytes >= graph.compulsory_bytes
        assert 0.0 <= time.attained_fraction <= 1.0 + 1e-9
    assert times[0].device_seconds == times[1].device_seconds
