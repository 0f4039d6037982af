"""Bytes alive by hand. Every tensor is float32."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseline import InputError, capture, partition
from fuseline.costs.memory import Fit, Lifetime, lifetimes, live_bytes, memory_fit
from fuseline.graph import OUTSIDE, Builder, Graph, Kind, OpClass, Role
from tests.strategies import graphs, joined, plan_of


def residual() -> Graph:
    """x (40 bytes) -> a (80) -> b (120) -> c (80); c + a -> d (80)."""
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT)
    w = build.tensor("w", (5,), role=Role.PARAMETER)
    build.tensor("unused", (500,), role=Role.PARAMETER)
    a = build.op("a", Kind.LINEAR, inputs=[x], parameters=[w], shape=(20,))
    b = build.op("b", Kind.RELU, inputs=[a], shape=(30,))
    c = build.op("c", Kind.RELU, inputs=[b], shape=(20,))
    return build.finish([build.op("d", Kind.ADD, inputs=[c, a], shape=(20,))])


def alive(graph: Graph, groups: list[tuple[int, ...]]) -> list[int]:
    return live_bytes(graph, plan_of(groups))


def test_a_storage_lives_from_its_writer_to_its_last_reader() -> None:
    # a, b and c live at 0..3, 1..2, 2..3; d, an output, all along
    graph = residual()
    assert alive(graph, [(0,), (1,), (2,), (3,)]) == [
        80 + 80,
        80 + 80 + 120,
        80 + 80 + 120 + 80,
        80 + 80 + 80,
    ]
    fit = memory_fit(graph, plan_of([(0,), (1,), (2,), (3,)]), 420)
    assert fit == Fit(parameters=20, activations_peak=360, inputs=40, peak_group=2, capacity=420)
    assert (fit.total, fit.fits) == (420, True)
    assert memory_fit(graph, plan_of([(0,), (1,), (2,), (3,)]), 419).fits is False


def test_what_stays_in_a_group_is_not_allocated() -> None:
    graph = residual()
    assert alive(graph, [(0,), (1, 2), (3,)]) == [160, 240, 240]  # b is gone
    assert alive(graph, [(0, 1, 2, 3)]) == [80]


def test_in_place_and_views_share_their_storage() -> None:
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT)
    y = build.op("y", Kind.RELU, inputs=[x], shape=(10,))
    same = build.tensor("same", (10,), storage=build.tensors[y].storage)
    build.op("relu_", Kind.RELU, inputs=[y], writes=[y], outputs=[same])
    half = build.tensor("half", (5,), storage=build.tensors[y].storage, offset=5)
    build.op("slice", Kind.SLICE, inputs=[same], outputs=[half], op_class=OpClass.VIEW)
    z = build.op("z", Kind.RELU, inputs=[half], shape=(5,))
    graph = build.finish([z])
    assert lifetimes(graph, plan_of([(0,), (1,), (2,), (3,)])) == (
        Lifetime(storage=1, nbytes=40, first=0, last=3),  # whole, though half of it is read
        Lifetime(storage=2, nbytes=20, first=0, last=3),
    )


def test_an_output_that_is_a_view_keeps_its_base() -> None:
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT)
    y = build.op("y", Kind.RELU, inputs=[x], shape=(10,))
    part = build.tensor("part", (1,), storage=build.tensors[y].storage)
    build.op("slice", Kind.SLICE, inputs=[y], outputs=[part], op_class=OpClass.VIEW)
    z = build.op("z", Kind.RELU, inputs=[x], shape=(1,))
    assert alive(build.finish([part, z]), [(0,), (1,), (2,)]) == [44, 44, 44]


def test_a_mutated_input_and_a_cache_are_counted_once() -> None:
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT)
    cache = build.tensor("cache", (100,), role=Role.INPUT)
    mean = build.tensor("mean", (3,), role=Role.BUFFER)
    build.op("put", Kind.ADD, inputs=[x, cache], parameters=[mean], writes=[cache, mean])
    fit = memory_fit(build.finish([cache]), plan_of([(0,)]))
    assert (fit.inputs, fit.parameters, fit.activations_peak) == (440, 12, 0)
    assert fit.fits is None


def test_memory_that_nobody_wrote_is_allocated_where_it_is_read() -> None:
    build = Builder()
    x = build.tensor("x", (1,), role=Role.INPUT)
    scratch = build.tensor("scratch", (10,))
    a = build.op("a", Kind.RELU, inputs=[x], shape=(1,))
    b = build.op("b", Kind.ADD, inputs=[a, scratch], shape=(10,))
    assert alive(build.finish([b]), [(0,), (1,)]) == [4 + 40, 4 + 40 + 40]


def test_a_plan_of_another_graph_is_refused() -> None:
    with pytest.raises(InputError, match="the plan is not of this graph"):
        live_bytes(residual(), plan_of([(0,)]))


def test_a_graph_without_ops_needs_its_inputs() -> None:
    build = Builder()
    x = build.tensor("x", (10,), role=Role.INPUT)
    fit = memory_fit(build.finish([x]), plan_of([]), 40)
    assert (fit.total, fit.fits, fit.peak_group) == (40, True, 0)
    assert fit.sentence == "fits: needs 40 bytes of 40 bytes"


def test_resnet18_unfused() -> None:
    graph = capture("resnet18")
    fit = memory_fit(graph, partition(graph, "unfused"))
    # 11,689,512 weights and 9,600 statistics of 4 bytes (not the counters of batches)
    assert fit.parameters == 4 * (11_689_512 + 9_600)
    assert fit.inputs == 4 * 3 * 224 * 224
    # the stem's norm reads [64, 112, 112] and writes as much; the output is there all along
    assert fit.activations_peak == 4 * (2 * 64 * 112 * 112 + 1000)


@given(st.data(), graphs(gathers=True, scatters=True))
def test_live_bytes_agree_with_a_walk_over_the_groups(data: st.DataObject, graph: Graph) -> None:
    plan = plan_of(data.draw(joined(graph)).ordered())
    home = {op: group.id for group in plan.groups for op in group.ops}
    flows = [flow for found in graph.flows.read_by for flow in found] + list(graph.flows.kept)
    expected = []
    for now in range(len(plan.groups)):
        storages = set()
        for flow in flows:
            if graph.storages[flow.storage].role is not Role.ACTIVATION:
                continue
            if flow.reader == OUTSIDE:
                storages.add(flow.storage)
                continue
            end = home[flow.reader]
            start = home.get(flow.writer, end)
            crosses = start != end or flow.writer == OUTSIDE
            others = [
                place
                for other in flows
                if other.storage == flow.storage and other.reader != OUTSIDE
                for place in (home[other.reader], home.get(other.writer, home[other.reader]))
                if home[other.reader] != home.get(other.writer, -1)
            ]
            if crosses and min(others) <= now <= max(others):
                storages.add(flow.storage)
        expected.append(sum(graph.storages[storage].nbytes for storage in storages))
    assert live_bytes(graph, plan) == expected


@given(st.data(), graphs())
def test_fusing_never_needs_more_than_every_result_at_once(
    data: st.DataObject, graph: Graph
) -> None:
    plan = plan_of(data.draw(joined(graph)).ordered())
    everything = sum(s.nbytes for s in graph.storages if s.role is Role.ACTIVATION)
    assert all(nbytes <= everything for nbytes in live_bytes(graph, plan))
