"""What charts show: their rows, by hand and of random graphs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseline.costs import BANDS, band_of
from fuseline.fusion import STRATEGIES
from fuseline.fusion.optimal.curve import Point
from fuseline.graph import Builder, Graph, Kind, Origin, Role
from fuseline.hardware import load_device
from fuseline.report.colours import MEANING
from fuseline.report.rows import Target
from fuseline.report.rows.bars import BESIDES, bottleneck_parts, strategy_bars
from fuseline.report.rows.capacity import capacity_rows, on_chip_rows
from fuseline.report.rows.icicle import RectRow, icicle_rows
from fuseline.report.rows.outline import outline
from fuseline.report.rows.roofline import roofline_chart
from tests.report.chart_specs import ON_H100, result_of
from tests.report.examples import example_result
from tests.report.models import SQUARE_BYTES, tower
from tests.strategies import graphs


def test_a_roofline_by_hand() -> None:
    found = roofline_chart(result_of(tower(3), "unfused").plans[0])
    linear, add, act = found.points  # most bytes first: 5 x 192, 3 x 192, 3 x 128
    # 128 FLOPs, 192 bytes at 20 bytes/s and 3 s to launch: 12.6 s
    assert (linear.groups, linear.total_bytes) == ((0, 1, 4, 7, 10), 5 * 192)
    assert (linear.x, linear.y) == (pytest.approx(128 / 192), pytest.approx(128 / 12.6))
    assert linear.has_flops
    # as far below the slope as 192 bytes in 12.6 s are below 20 bytes/s
    assert not add.has_flops
    assert add.y / add.x == pytest.approx(192 / 12.6)
    assert act.y / act.x == pytest.approx(128 / 9.4)
    assert (found.kernels, found.without_flops) == (11, 6)
    assert found.strip is not None
    assert act.x < found.strip
    assert add.x < found.strip < linear.x
    (roof,) = found.roofs
    assert (roof.dtype, roof.flops_per_second, roof.ridge_point) == ("float32", 100.0, 5.0)
    assert roof.corners[1] == (5.0, 100.0)
    assert found.slope is not None
    assert found.slope.bytes_per_second == 20.0
    assert found.slope.end == (5.0, 100.0)


def test_without_a_device_kernels_stand_over_bands() -> None:
    found = roofline_chart(result_of(tower(3), "unfused", target=None).plans[0])
    assert (found.device, found.roofs, found.slope) == (None, (), None)
    linear = found.points[0]
    assert (linear.x, linear.y) == (pytest.approx(128 / 192), 192.0)
    assert [band.name for band in found.bands] == [
        "bandwidth-bound", "memory-bound", "balanced", "compute-bound",
    ]  # fmt: skip


def test_a_device_without_a_peak_in_use_still_has_its_bandwidth() -> None:
    build = Builder()
    assert roofline_chart(result_of(build.finish([]), "unfused").plans[0]).slope is None
    result = example_result(on_device=True)
    found = roofline_chart(result.plans[0])
    assert found.left_out == 1
    assert found.slope is not None
    assert found.slope.bytes_per_second == 20.0


@pytest.mark.parametrize("target", [None, ON_H100])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_kernel_is_left_out_of_a_chart(strategy: str, target: Target | None) -> None:
    plan = result_of(tower(4), strategy, target=target).plans[0]
    found = roofline_chart(plan)
    launched = sorted(member.group for member in plan.members if member.launched)
    assert sorted(group for point in found.points for group in point.groups) == launched
    assert sum(point.total_bytes for point in found.points) == (
        plan.traffic_bytes - plan.extra_traffic_bytes
    )
    low, high = found.x_range
    assert all(low <= point.x <= high for point in found.points)
    bottom, top = found.y_range
    assert all(bottom <= point.y <= top for point in found.points)


def test_an_icicle_by_hand() -> None:
    plan = result_of(tower(3), "unfused").plans[0]
    whole, stem, blocks, repeat, fc, act, add, head = icicle_rows(
        outline(plan.members), plan.members
    )
    assert (whole.kind, whole.traffic_bytes, whole.launches) == ("model", 30 * SQUARE_BYTES, 11)
    assert (stem.start, stem.end, stem.depth) == (0, 192, 1)
    assert (blocks.kind, blocks.module, blocks.depth) == ("module", "net.blocks", 1)
    assert (repeat.kind, repeat.name, repeat.count, repeat.launches) == ("repeat", "0 … 2", 3, 9)
    assert (repeat.module, repeat.traffic_bytes) == ("net.blocks.0", 3 * 8 * SQUARE_BYTES)
    # one kernel stands for the same in all three copies
    assert (fc.groups, fc.start, fc.end, fc.depth) == ((1, 4, 7), 192, 192 + 3 * 192, 3)
    assert (act.start, add.start, head.start) == (fc.end, act.end, add.end)
    assert head.end == whole.end


def test_narrow_neighbours_are_one_rectangle() -> None:
    build = Builder()
    x = build.tensor("x", (10_000,), role=Role.INPUT)
    wide = build.op("wide", Kind.RELU, inputs=[x], shape=(10_000,), origin=Origin.ATEN)
    y = build.tensor("y", (4,), role=Role.INPUT)
    for place in range(3):  # 16 + 20, 20 + 24, 24 + 28 bytes: under a thousandth of 80,000
        y = build.op(f"pad_{place}", Kind.PAD, inputs=[y], shape=(5 + place,), origin=Origin.ATEN)
    plan = result_of(build.finish([wide, y]), "unfused").plans[0]
    whole, big, rest = icicle_rows(outline(plan.members), plan.members)
    assert (big.kind, big.traffic_bytes) == ("kernel", 80_000)
    assert (rest.kind, rest.launches, rest.traffic_bytes) == ("rest", 3, 36 + 44 + 52)
    assert rest.end == whole.end == 80_132


@given(graphs(), st.sampled_from(("unfused", "fusion", "tvm")))
def test_icicles_of_random_graphs(graph: Graph, strategy: str) -> None:
    plan = result_of(graph, strategy, target=None).plans[0]
    check(icicle_rows(outline(plan.members), plan.members), plan.traffic_bytes)


def check(rects: tuple[RectRow, ...], traffic_bytes: int) -> None:
    """What is in a rectangle fills it from end to end, and no kernel is lost."""
    assert rects[0].traffic_bytes == traffic_bytes
    assert sum(rect.launches for rect in rects if rect.kind in ("kernel", "rest")) == (
        rects[0].launches
    )
    for place, rect in enumerate(rects):
        inside = []
        for other in rects[place + 1 :]:
            if other.depth <= rect.depth:
                break
            if other.depth == rect.depth + 1:
                inside.append(other)
        if inside:
            assert [other.start for other in inside] == [rect.start, *(o.end for o in inside[:-1])]
            assert inside[-1].end == rect.end


def test_bars_by_hand() -> None:
    found = strategy_bars(result_of(tower(3), "unfused", "optimal"))
    unfused, optimal = found.bars
    # five linears and three adds of 192 bytes, three relus of 128; fused: five of 192
    assert (unfused.traffic_bytes, unfused.launches, unfused.is_least) == (1920, 11, False)
    assert unfused.illegal == optimal.illegal == 0
    assert unfused.is_bound
    assert (optimal.traffic_bytes, optimal.launches, optimal.is_least) == (960, 5, True)
    # x, five weights, and what head makes
    assert [(line.name, line.rules, line.bytes) for line in found.lines] == [
        ("compulsory", None, 7 * SQUARE_BYTES),
        ("certified", "T", 960),
    ]


def test_parts_by_hand() -> None:
    plan = example_result(on_device=True).plans[0]
    parts = {(part.figure, part.bottleneck): part for part in bottleneck_parts(plan)}
    # of three kernels, a copy of 64 bytes is none of the groups'
    assert parts["bytes moved", BESIDES].value == 64
    assert parts["bytes moved", BESIDES].whole == plan.traffic_bytes
    for figure in ("launches", "bytes moved", "time"):
        found = [part for part in bottleneck_parts(plan) if part.figure == figure]
        assert (found[0].start, found[-1].end) == (0.0, 1.0)
        assert sum(part.value for part in found) == pytest.approx(found[0].whole)
        assert [part.start for part in found[1:]] == [part.end for part in found[:-1]]
    assert parts["time", "unknown"].whole == pytest.approx(plan.seconds)


def test_bands_leave_no_intensity_out() -> None:
    assert [band for band, _, _ in BANDS] == [band_of(most) for _, _, most in BANDS]
    assert [above for _, above, _ in BANDS[1:]] == [most for _, _, most in BANDS[:-1]]
    assert (BANDS[0][1], BANDS[-1][2]) == (0.0, math.inf)
    assert MEANING["compute-bound"] == "above 50 FLOP/byte"


def test_a_devices_memories_by_hand() -> None:
    tpu = on_chip_rows(load_device("tpu-v5e"))
    assert [row.name for row in tpu] == ["scratchpad"]
    # 64 cores of 32 KiB each
    epyc = on_chip_rows(load_device("epyc-7763"))
    assert [(row.name, row.bytes) for row in epyc] == [
        ("L1 of a core", 32 << 10), ("L1 of all 64 cores", 2 << 20), ("last cache", 256 << 20),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("moved", "sentence"),
    [
        # of 600 bytes saved, 540 are 90%
        (
            (1000, 460, 400),
            (
                "With 128 KiB on chip the model moves 54.0% fewer bytes than with 64 KiB; "
                "256 KiB would save only another 6.0%"
            ),
        ),
        (
            (1000, 500, 400),
            (
                "With 256 KiB on chip, the last size tried, the model moves 60.0% fewer bytes than "
                "with 64 KiB; no smaller size saves 90% of that, and a larger one may save more"
            ),
        ),
    ],
)
def test_the_knee_in_words(moved: tuple[int, int, int], sentence: str) -> None:
    points = [
        Point(
            (1 << 16) << place,
            nbytes,
            1,
            nbytes,
            is_optimal=True,
            candidates=1,
            seconds=0.0,
            groups=(),
        )
        for place, nbytes in enumerate(moved)
    ]
    found = capacity_rows(tower(1), points, (1000, 1), "M", "0")
    assert found.knee is not None
    assert found.knee.sentence == sentence
