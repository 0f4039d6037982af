"""Timelines: the schedule by hand on a device of round numbers, and the trace that says it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseline import InputError
from fuseline.costs import roofline
from fuseline.fusion import partition
from fuseline.graph import Builder, Graph, Kind, Origin, Role, Status, Work
from fuseline.hardware import Basis, Device, Figure, KernelClass, Rate, Source
from fuseline.plan import Extra, Group, Plan
from fuseline.report.rows import Target
from fuseline.report.rows.timeline import IN_TURN, OVERLAPPED, TimelineRows, timeline_rows
from fuseline.report.timeline import encode_trace
from tests.golden import check_golden
from tests.report.models import SQUARE, tower
from tests.small_graphs import small_graph
from tests.strategies import graphs, joined, plan_of

_SOURCE = Source("round", "round numbers for tests", "", "2026-11")


def _device(launch: float = 2e-6) -> Device:
    """1 FLOP/ns and 64 bytes (a 4 x 4 tensor)/us; 2 us a launch, replayed as a graph 0.5."""
    figures = {
        ("matrix_ops_per_second", "float32"): 1e9,
        ("vector_ops_per_second", "float32"): 1e9,
        ("memory", "bandwidth_bytes_per_second"): 64e6,
        ("launch", "eager_seconds"): launch,
        ("launch", "graph_seconds"): 0.5e-6,
    }
    made = tuple(
        Figure(table, key, value, Basis.ASSUMED, _SOURCE) for (table, key), value in figures.items()
    )
    return Device("round", "Round <i>1</i>", "nobody", "gpu", "none", 2026, made)


EAGER = Target(_device())
REPLAYED = Target(_device(), launch="graph")


def _apart(graph: Graph) -> Plan:
    return replace(plan_of([(op.id,) for op in graph.ops]), strategy="apart")


def _waiting() -> Graph:
    """add of two inputs (3 us) -> value read by the host (1 us); then relu of the sum (2 us)."""
    build = Builder()
    pair = [build.tensor(name, SQUARE, role=Role.INPUT) for name in "xy"]
    total = build.op("add", Kind.ADD, inputs=pair, shape=SQUARE, origin=Origin.ATEN)
    build.op("item", Kind.HOST_READ, inputs=[total], origin=Origin.ATEN)
    last = build.op("relu", Kind.RELU, inputs=[total], shape=SQUARE, origin=Origin.ATEN)
    return build.finish([last])


def _us(rows: TimelineRows) -> list[tuple[float, float, float, float]]:
    """Launch from, to, kernel from, to: in microseconds."""
    return [
        (
            round(kernel.launch_start_seconds * 1e6, 6),
            round((kernel.launch_start_seconds + kernel.launch_seconds) * 1e6, 6),
            round(kernel.start_seconds * 1e6, 6),
            round((kernel.start_seconds + kernel.device_seconds) * 1e6, 6),
        )
        for kernel in rows.kernels
    ]


def test_launches_run_ahead_of_the_device_and_wait_where_the_host_reads() -> None:
    graph = _waiting()
    rows = timeline_rows(graph, _apart(graph), EAGER)
    # launches take 2: the read is issued at 2..4 while the sum runs 2..5; then the host waits to 6
    assert _us(rows) == [(0, 2, 2, 5), (2, 4, 5, 6), (6, 8, 8, 10)]
    assert rows.schedule == OVERLAPPED
    assert rows.launches == "host: launches"


def test_replayed_as_a_graph_every_launch_shows() -> None:
    graph = _waiting()
    rows = timeline_rows(graph, _apart(graph), REPLAYED)
    assert _us(rows) == [(0, 0.5, 0.5, 3.5), (3.5, 4, 4, 5), (5, 5.5, 5.5, 7.5)]
    assert rows.schedule == IN_TURN
    assert rows.launches == "launch overhead"


def test_hidden_launches_follow_each_other() -> None:
    graph = tower(blocks=1)  # stem 3 us, fc 3, act 2, add 3, head 3
    rows = timeline_rows(graph, _apart(graph), EAGER)
    assert _us(rows) == [(0, 2, 2, 5), (2, 4, 5, 8), (4, 6, 8, 10), (6, 8, 10, 13), (8, 10, 13, 16)]


def test_by_measured_rates_no_launch_hides() -> None:
    build = Builder()
    x = build.tensor("x", SQUARE, role=Role.INPUT)
    for name in ("first", "second"):
        work = Work(0, 16, Status.COUNTED)
        x = build.op(name, Kind.RELU, inputs=[x], shape=SQUARE, work=work, origin=Origin.ATEN)
    graph = build.finish([x])
    # 1 us to launch; 16 operations at 16e6/s, 64 bytes in and 64 out at 64e6/s: 1 us each
    rate = Rate(
        KernelClass.ACTIVATION, "float32", 1e-6, None, 16e6, None, 64e6, None, 64e6, None, 0,
        _SOURCE,
    )  # fmt: skip
    rows = timeline_rows(graph, _apart(graph), Target(replace(_device(), rates=(rate,))))
    assert _us(rows) == [(0, 1, 1, 4), (4, 5, 5, 8)]
    assert (rows.schedule, rows.launches) == (IN_TURN, "launch overhead")


def test_memory_is_what_is_alive_while_each_kernel_runs() -> None:
    graph = _waiting()
    rows = timeline_rows(graph, _apart(graph), EAGER)
    # the output is there from the start; the sum is alive in all three; two inputs are held
    assert [live.activation_bytes for live in rows.live] == [128]
    assert rows.held_bytes == 128
    graph = tower(blocks=1)
    rows = timeline_rows(graph, _apart(graph), EAGER)
    # output + stem's result, + fc's, + act's, then stem's, act's and add's, then add's alone
    told = [(round(live.start_seconds * 1e6), live.activation_bytes) for live in rows.live]
    assert told == [(2, 128), (5, 192), (8, 256), (13, 128)]
    assert rows.held_bytes == 4 * 64  # three weights and the input
    assert rows.plan.memory is not None
    assert max(live.activation_bytes for live in rows.live) == (
        rows.plan.memory.activations_peak_bytes
    )


def test_a_kernel_is_called_by_its_pattern_or_its_only_operator() -> None:
    graph = tower(blocks=1)
    plan = Plan("two", (Group(0, (0,), "Unfused"), Group(1, (1, 2, 3, 4), "linear_relu")), ())
    assert [kernel.name for kernel in timeline_rows(graph, plan, EAGER).kernels] == [
        "linear",
        "linear_relu",
    ]


def test_kernels_besides_the_groups_come_last() -> None:
    graph = tower(blocks=1)
    extra = Extra("copy_", "to channels-last", 128)
    rows = timeline_rows(graph, replace(_apart(graph), extras=(extra,)), EAGER)
    assert _us(rows)[-1] == (10, 12, 16, 18)
    assert rows.kernels[-1].member is None
    assert "1 kernel besides the groups comes last: where it runs is not told" in rows.notes
    event = _kernels(_trace(rows))[-1]
    assert event["args"]["purpose"] == "to channels-last"
    assert event["args"]["traffic_bytes"] == 128


def test_of_a_cover_no_memory_is_told() -> None:
    graph = tower(blocks=1)
    groups = (Group(0, (0, 1, 2, 3), "a"), Group(1, (3, 4), "b", recomputed=(3,)))
    rows = timeline_rows(graph, Plan("cover", groups, (), is_cover=True), EAGER)
    assert (rows.live, rows.held_bytes) == ((), None)
    assert any("live memory is not told" in note for note in rows.notes)
    assert not [event for event in _trace(rows)["traceEvents"] if event["ph"] == "C"]


def test_what_the_times_leave_out_is_said() -> None:
    build = Builder()
    x = build.tensor("x", SQUARE, role=Role.INPUT)
    graph = build.finish([build.op("odd", Kind.UNKNOWN, inputs=[x], shape=SQUARE)])
    notes = timeline_rows(graph, _apart(graph), EAGER).notes
    assert "work of 1 op that no formula knows is left out" in notes


def test_a_timeline_needs_a_device() -> None:
    graph = tower()
    with pytest.raises(InputError, match="a timeline needs seconds: add --device NAME"):
        timeline_rows(graph, _apart(graph), None)


def test_what_is_not_launched_takes_no_time() -> None:
    graph = Builder().finish([])
    rows = timeline_rows(graph, Plan("none", (), ()), EAGER)
    assert (rows.seconds, rows.kernels) == (0.0, ())
    assert all(event["ph"] == "M" for event in _trace(rows)["traceEvents"])


_Json = dict[str, Any]


def _trace(*rows: TimelineRows) -> _Json:
    return json.loads(encode_trace(rows), parse_constant=_refuse)


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def _kernels(trace: _Json, process: int = 1) -> list[_Json]:
    return [
        event
        for event in trace["traceEvents"]
        if event["ph"] == "X" and (event["pid"], event["cat"]) == (process, "kernel")
    ]


def test_the_trace_of_two_plans() -> None:
    graph = tower(blocks=1)
    fused = Plan("joined", (Group(0, (0,), "Unfused"), Group(1, (1, 2, 3, 4), "linear_relu")), ())
    rows = (timeline_rows(graph, _apart(graph), EAGER), timeline_rows(graph, fused, EAGER))
    check_golden("timeline.json", encode_trace(rows))


def test_gzipped_it_says_the_same_and_every_time_in_the_same_bytes() -> None:
    rows = (timeline_rows(tower(), _apart(tower()), EAGER),)
    packed = encode_trace(rows, gzipped=True)
    assert gzip.decompress(packed) == encode_trace(rows)
    assert packed[4:8] == bytes(4)  # no time of writing
    assert packed == encode_trace(rows, gzipped=True)


def test_twenty_thousand_kernels_stay_below_a_megabyte() -> None:
    """Blocks of a model repeat, and compress: a tenth of it is held to a tenth of the size."""
    graph = tower(blocks=666)
    rows = timeline_rows(graph, _apart(graph), EAGER)
    assert len(rows.kernels) == 2_000
    assert len(encode_trace((rows,), gzipped=True)) < 100_000


HOSTILE = (
    "</script><script>alert(1)</script>",
    "\"quotes' and \\ backslashes",
    "line\nend\ttab\x00nul\x1b[31m",
    "\u202eright to left",
    "__proto__",
    "a/b;c___group___",
    "=cmd()",
    "",
    "ends in a backslash\\",
    "\\" * 3 + '"',
    "x" * 10_000,
)


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_is_text(name: str) -> None:
    event = _kernels(_trace(timeline_rows(*_named(name), EAGER)))[0]
    assert (event["name"], event["args"]["module"]) == (name or "relu", name)
    assert event["args"]["ops"] == [name]


def test_no_string_ends_in_a_backslash_for_a_careless_reader() -> None:
    """Perfetto (v52) takes what stands before a quote for its escape, and then opens nothing."""
    content = encode_trace((timeline_rows(*_named("ends in a backslash\\"), EAGER),))
    assert rb"ends in a backslash\u005c" in content
    assert rb"\"" not in content


def test_half_a_surrogate_pair_is_written_out() -> None:
    event = _kernels(_trace(timeline_rows(*_named("a\ud800b"), EAGER)))[0]
    assert (event["name"], event["args"]["ops"]) == (r"a\ud800b", [r"a\ud800b"])


def _named(name: str) -> tuple[Graph, Plan]:
    """A graph of one op whose every name is this one."""
    build = Builder()
    x = build.tensor(name, SQUARE, role=Role.INPUT)
    made = build.op(
        name, Kind.RELU, inputs=[x], shape=SQUARE, target=name or "relu",
        module_path=name, module_class=name, work=Work(0, 16, Status.COUNTED),
    )  # fmt: skip
    graph = build.finish([made])
    return graph, Plan("one", (Group(0, (0,), name),), ())


def test_nothing_infinite_is_written() -> None:
    """Work without traffic has an infinite intensity, which JSON does not know."""
    build = Builder()
    x = build.tensor("x", (0,), role=Role.INPUT)
    work = Work(10, 0, Status.COUNTED)
    graph = build.finish([build.op("fc", Kind.LINEAR, inputs=[x], shape=(0,), work=work)])
    args = _kernels(_trace(timeline_rows(graph, _apart(graph), EAGER)))[0]["args"]
    assert "arithmetic_intensity" not in args
    assert args["flops"] == 10


def _ends(trace: _Json, process: int) -> Iterator[tuple[int, int]]:
    """Start and end of every slice as a reader takes them: times 1,000, and cut [ns]."""
    for event in trace["traceEvents"]:
        if event["ph"] == "X" and event["pid"] == process:
            start = int(event["ts"] * 1000)
            yield start, start + int(event["dur"] * 1000)


def _check(graph: Graph, plan: Plan, target: Target) -> None:
    """Totals over the events are the plan's, and the trace ends when the plan does."""
    rows = timeline_rows(graph, plan, target)
    time = roofline(graph, plan, target.device, launch=target.launch)
    assert rows.seconds == pytest.approx(time.pipelined_seconds, rel=1e-12)
    trace = _trace(rows)
    kernels = _kernels(trace)
    assert len(kernels) == rows.plan.launches
    assert sum(event["args"]["traffic_bytes"] for event in kernels) == rows.plan.traffic_bytes
    assert sum(event["args"].get("flops", 0) for event in kernels) == rows.plan.flops
    busy = sum(event["dur"] for event in kernels) * 1e-6
    assert busy == pytest.approx(time.device_seconds, abs=1e-9 * (len(kernels) + 1))
    end = max((end for _, end in _ends(trace, 1)), default=0)
    assert end * 1e-9 == pytest.approx(time.pipelined_seconds, abs=1.5e-9)
    for track in ("kernel", "launch"):
        slices = [event for event in trace["traceEvents"] if event.get("cat") == track]
        spans = list(_ends({"traceEvents": slices}, 1))
        assert all(before[1] <= after[0] for before, after in pairwise(spans))


@given(
    st.data(),
    graphs(gathers=True, scatters=True),
    st.sampled_from(("eager", "graph")),
    st.floats(0, 3e-6),
)
def test_the_trace_adds_up_to_the_plan(
    data: st.DataObject, graph: Graph, launch: str, overhead: float
) -> None:
    plan = plan_of(data.draw(joined(graph)).ordered())
    _check(graph, plan, Target(_device(overhead), launch))


@pytest.mark.parametrize("strategy", ["fusion", "inductor", "optimal"])
def test_the_trace_of_every_sort_of_plan_adds_up(strategy: str) -> None:
    for seed in range(10):
        graph = small_graph(seed)
        _check(graph, partition(graph, strategy), EAGER)
