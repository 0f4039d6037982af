"""Charts: what is in them, and how they are drawn."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseline.fusion import STRATEGIES, partition
from fuseline.graph import Builder, Graph, Kind, Origin, Role
from fuseline.hardware import load_device
from fuseline.report import charts
from fuseline.report.charts.themes import GROUNDS
from fuseline.report.rows import Result, Target, rows
from fuseline.report.rows.bars import BESIDES, bottleneck_parts, strategy_bars
from fuseline.report.rows.capacity import CapacityRows, KneeRow, PointRow
from fuseline.report.rows.icicle import RectRow, icicle_rows
from fuseline.report.rows.outline import outline
from fuseline.report.rows.roofline import roofline_chart
from tests.costs.test_roofline import ROUND
from tests.golden import check_golden
from tests.report.examples import example_graph, example_result
from tests.report.models import SQUARE_BYTES, tower
from tests.strategies import graphs

SVG = "{http://www.w3.org/2000/svg}"
ON_ROUND, ON_H100 = Target(ROUND), Target(load_device("h100-sxm"))


def result_of(graph: Graph, *strategies: str, target: Target | None = ON_ROUND) -> Result:
    plans = tuple(partition(graph, strategy) for strategy in strategies)
    return rows(graph, plans, "0", target)


CURVE = CapacityRows(
    "fuseline.capacity/1", "0", "model", "record", "M", 400, 1000, 10,
    (
        PointRow(1 << 16, 1000, 10, 0, 1000, 0, is_optimal=True, candidates=9, seconds=0.1),
        PointRow(1 << 17, 800, 8, 200, 700, 100, is_optimal=False, candidates=9, seconds=0.1),
        PointRow(1 << 18, 500, 5, 500, 500, 0, is_optimal=True, candidates=9, seconds=0.1),
    ),
    KneeRow(0.9, 1 << 18, (1 << 17, 1 << 18), "256 KB is enough"),
)  # fmt: skip


@cache
def specs() -> dict[str, charts.Spec]:
    result = result_of(tower(3), "unfused", "optimal")
    plan = result.plans[0]
    return {
        "roofline": charts.roofline(plan),
        "bands": charts.roofline(result_of(tower(3), "unfused", target=None).plans[0]),
        "icicle": charts.icicle(plan),
        "strategies": charts.strategies(result),
        "bottlenecks": charts.bottlenecks(plan),
        "capacity": charts.capacity(CURVE),
    }


def data(spec: charts.Spec, name: str) -> list[dict[str, object]]:
    found = spec["datasets"]
    assert isinstance(found, dict)
    return found[name]


# What is in them


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


# How they are drawn


def test_a_selected_group_is_a_parameter() -> None:
    for name in ("roofline", "bands", "icicle", "strategies"):
        assert {"name": "selected", "value": None} in specs()[name]["params"]  # type: ignore[operator]
    points = data(specs()["roofline"], "points")
    assert points[0]["group"] == 0
    assert points[0]["groups"] == [0, 1, 4, 7, 10]
    rects = data(specs()["icicle"], "rects")
    assert [rect["groups"] for rect in rects if "group" in rect] == [
        [0], [1, 4, 7], [2, 5, 8], [3, 6, 9], [10],
    ]  # fmt: skip
    assert [bar["place"] for bar in data(specs()["strategies"], "bars")] == [0, 1]


def test_figures_are_exact_where_they_are_pointed_at() -> None:
    (point, *_) = data(specs()["roofline"], "points")
    assert (point["bytes moved"], point["FLOPs"], point["alike"]) == ("192", "128", 5)
    assert (point["time"], point["FLOP/s"], point["bytes/s"]) == (
        "12.6 s", "10.2 FLOP/s", "15.2 B/s",
    )  # fmt: skip
    bars = data(specs()["strategies"], "bars")
    assert bars[0]["words"] == "1.92 kB, 11 launches, 129 s"


@pytest.mark.parametrize("name", list(specs()))
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_chart_draws_its_marks(
    name: str, theme: charts.Theme, capfd: pytest.CaptureFixture[str]
) -> None:
    drawn = charts.to_svg(specs()[name], theme)
    assert capfd.readouterr().err == ""  # where Vega fails it only says so there
    root = ET.fromstring(drawn)  # noqa: S314 - our own
    marks = [
        mark
        for group in root.iter(f"{SVG}g")
        if "role-mark" in group.get("class", "")
        for mark in group
    ]
    assert len(marks) > len(data(specs()[name], next(iter(specs()[name]["datasets"]))))  # type: ignore[call-overload]
    assert GROUNDS[theme] in drawn.decode()


def test_a_chart_is_drawn_alike_every_time() -> None:
    for spec in specs().values():
        assert charts.to_svg(spec) == charts.to_svg(spec)
    check_golden("charts/roofline.svg", charts.to_svg(specs()["roofline"]))


def test_specifications_are_as_they_were() -> None:
    for name, spec in specs().items():
        check_golden(f"charts/{name}.vl.json", json.dumps(spec, indent=1, ensure_ascii=False))


def test_a_chart_as_png_has_two_pixels_a_unit() -> None:
    drawn = charts.to_png(specs()["bottlenecks"])
    assert drawn[:8] == b"\x89PNG\r\n\x1a\n"
    width = int.from_bytes(drawn[16:20], "big")
    svg = ET.fromstring(charts.to_svg(specs()["bottlenecks"]))  # noqa: S314 - our own
    assert width == 2 * int(svg.get("width", "0"))


def test_a_page_holds_a_specification_as_text() -> None:
    hostile = example_graph("</script><!--&\u2028", module="<b>.</script>")
    spec = charts.roofline(result_of(hostile, "unfused").plans[0])
    text = charts.spec_json(spec)
    assert not set("<>&") & set(text)
    assert json.loads(text) == spec


def test_the_bundle_may_stand_in_a_page() -> None:
    bundle = charts.vega_bundle()
    assert bundle.startswith("(()=>{")
    assert bundle.endswith("})();")
    assert "window.vegaEmbed=" in bundle
    assert "</script" not in bundle.lower()
    assert "<!--" not in bundle
    assert len(bundle) < 1_000_000
    assert charts.vega_bundle() is bundle


def test_both_themes_set_the_same_things() -> None:
    def keys(found: object) -> object:
        return (
            {name: keys(value) for name, value in found.items()} if isinstance(found, dict) else 0
        )

    assert keys(charts.LIGHT) == keys(charts.DARK)
    assert charts.LIGHT["background"] is None


@pytest.mark.parametrize("chart", [charts.roofline, charts.icicle, charts.bottlenecks])
@pytest.mark.parametrize("target", [None, ON_ROUND])
def test_a_model_without_a_kernel_has_charts(
    chart: Callable[..., charts.Spec],
    target: Target | None,
    capfd: pytest.CaptureFixture[str],
) -> None:
    result = result_of(Builder().finish([]), "unfused", target=target)
    for spec in (chart(result.plans[0]), charts.strategies(result)):
        assert charts.to_svg(spec).startswith(b"<svg")
    assert capfd.readouterr().err == ""


def test_every_part_has_a_colour() -> None:
    spec = charts.bottlenecks(example_result(on_device=True).plans[0])
    bars = spec["layer"][0]  # type: ignore[index]
    named = set(bars["encoding"]["color"]["scale"]["domain"])
    assert {part["bottleneck"] for part in data(spec, "parts")} == named
    assert BESIDES in named
