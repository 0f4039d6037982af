"""Charts as specifications, and how Vega draws them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace

import pytest

from fuseline.graph import Builder
from fuseline.report import charts
from fuseline.report.charts.themes import GROUNDS
from fuseline.report.rows import Target
from fuseline.report.rows.bars import BESIDES
from fuseline.report.rows.capacity import (
    KneeRow,
)
from fuseline.report.rows.data import IllegalRow
from tests.golden import check_golden
from tests.report.chart_specs import CURVE, ON_ROUND, SVG, axes, data, drawn, result_of, said, specs
from tests.report.examples import example_graph, example_result
from tests.report.models import tower


def test_an_axis_of_few_decades_has_ticks_between_them() -> None:
    x, y = axes(specs()["roofline"])
    # left of 0.33, where the strip begins, nothing is an intensity; to 10; from 1.4 to 400 FLOP/s
    assert (x, y) == (["0.5", "1", "2", "5", "10"], ["10", "100"])
    _, moved = axes(specs()["bands"])  # from 64 to 768
    assert moved == ["100 B", "200 B", "500 B"]


def test_an_axis_of_one_step() -> None:
    (plan,) = result_of(tower(1), "unfused").plans
    one = replace(plan.members[0], flops=5 * 192, arithmetic_intensity=5.0)  # below the ridge
    x, _ = axes(charts.roofline(replace(plan, members=(one,))))
    assert x == ["3", "4", "5", "6", "7", "8", "9", "10"]  # from 5 / 2 to 5 * 2


def test_axes_of_bytes_have_their_unit() -> None:
    assert axes(specs()["icicle"])[0] == ["0 B", "500 B", "1 kB", "1.5 kB"]
    assert axes(specs()["strategies"])[0] == ["0 B", "500 B", "1 kB", "1.5 kB", "2 kB"]
    x, y = axes(specs()["capacity"])
    assert x == ["64 KiB", "128 KiB", "256 KiB"]
    assert y[0] == "400 B"


def test_only_with_a_key_does_the_wheel_look_closer() -> None:
    params = {found["name"]: found for found in specs()["roofline"]["params"]}  # type: ignore[attr-defined]
    zoom = params["zoom"]
    assert zoom["bind"] == "scales"
    assert "[event.ctrlKey]" in zoom["select"]["zoom"]
    assert "[event.shiftKey]" in zoom["select"]["translate"]


def test_bars_that_nothing_is_certified_of_are_hollow() -> None:
    result = result_of(tower(3), "unfused", "fusion", "optimal")
    unfused, fusion, optimal = result.plans
    broken = tuple(
        IllegalRow(group, "linear_relu", rule, "too large")
        for group, rule in ((1, "one"), (1, "two"), (4, "one"))
    )
    result = replace(
        result,
        plans=(unfused, replace(fusion, illegal_groups=broken), replace(optimal, kind="cover")),
    )
    spec = charts.strategies(result)
    assert [bar["doubt"] for bar in data(spec, "bars")] == [
        "", "2 groups break a rule", "a cover: ops computed twice",
    ]  # fmt: skip
    assert [bar["bound"] for bar in data(spec, "bars")] == [True, False, False]
    assert (
        "Hollow: groups break a rule or a cover computes ops twice, so what is certified does not "
        "hold."
    ) in spec["title"]["subtitle"]  # type: ignore[index]
    assert axes(spec)[1] == ["unfused", "fusion", "optimal (T)"]  # in the order given
    dashed = [
        mark for mark in drawn(spec).iter(f"{SVG}path") if mark.get("stroke-dasharray") == "4,2"
    ]
    assert len(dashed) == 2


def test_where_no_bar_is_doubted_nothing_is_said_of_it() -> None:
    assert not any(
        line.startswith("Hollow")
        for line in specs()["strategies"]["title"]["subtitle"]  # type: ignore[index]
    )


def test_lines_mark_what_a_device_has() -> None:
    spec = specs()["capacity"]
    # 32 MiB are beyond the axis: only said
    assert [(mark["label"], mark["what"]) for mark in data(spec, "marks")] == [
        ("L1 of a core: 128 KiB", "device"), ("the last size tried: 256 KiB", "knee"),
    ]  # fmt: skip
    assert (
        "round has on chip: 128 KiB L1 of a core, 32 MiB last cache."
        in (
            spec["title"]["subtitle"]  # type: ignore[index]
        )
    )
    earlier = replace(CURVE, knee=KneeRow(0.9, 1 << 17, (1 << 16, 1 << 17), "enough"))
    (mark,) = data(charts.capacity(earlier), "marks")
    assert mark["label"] == "90% of all that is saved: 128 KiB"


def test_every_chart_says_what_it_is() -> None:
    for name, spec in specs().items():
        title = spec["title"]["text"]  # type: ignore[index]
        assert str(spec["description"]).startswith(f"{title}. "), name
        assert drawn(spec).get("aria-label") == spec["description"]
    titles = {name: spec["title"]["text"] for name, spec in specs().items()}  # type: ignore[index]
    assert titles["roofline"] == "tower: unfused on round"
    assert titles["icicle"] == "tower: 1.92 kB moved, by module: unfused on round"
    assert titles["bottlenecks"] == "tower: what bounds unfused on round"
    assert titles["strategies"] == "hand-made: bytes moved, by strategy, on round"
    assert titles["bands"] == "unfused"


def test_marks_say_their_figures() -> None:
    assert "kernel fc_0: 576 bytes moved, 30.0% of all" in said(specs()["icicle"])
    assert "stem, 5 alike: 0.67 FLOP/byte, 192 bytes moved, time 12.6 s, bound: bandwidth" in said(
        specs()["roofline"]
    )
    assert "unfused: 1.92 kB, 11 launches, 129 s" in said(specs()["strategies"])
    assert "bytes moved, bandwidth: 1.92 kB (100.0%)" in said(specs()["bottlenecks"])
    assert "128 KiB on chip: 800 bytes moved, at least 700" in said(specs()["capacity"])


def test_figures_on_a_part_are_as_long_as_it_is_wide() -> None:
    def printed(width: int) -> list[str]:
        spec = {**specs()["bottlenecks"], "width": width}
        return [text.text or "" for text in drawn(spec).iter(f"{SVG}text")]

    assert "1.92 kB (100.0%)" in printed(200)
    assert "1.92 kB" in printed(60)
    assert "1.92 kB (100.0%)" not in printed(60)
    assert "1.92 kB" not in printed(40)


@pytest.mark.parametrize(("width", "rows"), [(900, 1), (700, 2), (250, 3)])
def test_a_legend_has_the_columns_that_there_is_room_for(width: int, rows: int) -> None:
    (plan,) = result_of(tower(3), "unfused").plans
    bounds = ("compute", "bandwidth", "launch")
    members = tuple(
        replace(member, bottleneck=bounds[place % 3]) for place, member in enumerate(plan.members)
    )
    spec = {**charts.roofline(replace(plan, members=members)), "width": width}
    (entries,) = (
        group
        for group in drawn(spec).iter(f"{SVG}g")
        if "role-legend-entry" in group.get("class", "")
    )
    heights = {
        (found.get("transform") or "").partition(",")[2]
        for scope in entries.iter(f"{SVG}g")
        if "role-scope" in scope.get("class", "")
        for found in scope
    }
    assert len(heights) == rows


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
