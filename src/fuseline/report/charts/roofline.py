"""The roofline: every kernel of a plan under the roof of a device, or over the intensity bands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuseline.report.charts.labels import (
    BYTES,
    Datum,
    Spec,
    bottleneck_colour,
    chosen,
    cut,
    doubt_lines,
    log_ticks,
    selectable,
    titled,
    tooltips,
    with_data,
)
from fuseline.report.colours import SOFT
from fuseline.report.quantities import duration, scaled
from fuseline.report.rows.data import PlanRow
from fuseline.report.rows.roofline import PointRow, RooflineChart, RoofRow, SlopeRow, roofline_chart
from fuseline.report.units import count_of, intensity

if TYPE_CHECKING:
    import altair as alt

_HEIGHT = 380
_MEANING = "Roofline: each kernel at its FLOPs a byte and FLOP/s, under the roof of the device."
_MEANING_OF_BANDS = "Each kernel at its FLOPs a byte and the bytes that it moves."
_SAID = (
    "datum.kernel + (datum.alike > 1 ? ', ' + datum.alike + ' alike' : '') + ': ' "
    "+ datum['FLOP/byte'] + ' FLOP/byte, ' + datum['bytes moved'] + ' bytes moved, time ' "
    "+ datum.time + ', bound: ' + datum.bottleneck"
)
_ROOF_SAID = "datum.roof + ': ' + datum.peak + ', bends at ' + datum.ridge"
_TOOLTIP = (
    "kernel", "module", "alike", "bottleneck", "bytes moved", "FLOPs", "other FLOPs", "FLOP/byte",
    "time", "FLOP/s", "bytes/s", "unknown ops",
)  # fmt: skip


def roofline(plan: PlanRow, *, model: str = "") -> Spec:
    """Each kernel a point at FLOP/byte and FLOP/s; its area is the bytes that it moves. The title
    names `model`.

    A point's `groups` are the ids of the kernels alike that it stands for, `group` is the first.
    """
    import altair as alt

    chart = roofline_chart(plan)
    top = chart.y_range[1]
    layers = [
        *_strip(chart), *_bands(chart), *_roofs(chart), _points(chart), _halo(chart),
        *_heights(chart),
    ]  # fmt: skip
    drawn = alt.layer(*layers).properties(
        width="container",
        height=_HEIGHT,
        title=alt.Title(
            titled(model, _title(plan)), subtitle=[*_subtitle(chart, plan), *doubt_lines(plan)]
        ),
    )
    return with_data(
        selectable(drawn),
        _MEANING if chart.device else _MEANING_OF_BANDS,
        points=[_point(point) for point in chart.points],
        roofs=_corners(chart),
        ridges=[_ridge(roof) for roof in chart.roofs],
        slope=[_slope(chart.slope)] if chart.slope else [],
        strip=[{"x": chart.x_range[0], "x2": chart.strip, "y": top}],
        bands=[
            {"name": band.name, "x": band.start, "x2": band.end, "y": top, "fill": SOFT[band.name]}
            for band in chart.bands
        ],
    )


def _title(plan: PlanRow) -> str:
    return cut(f"{plan.label} on {plan.device}" if plan.device else plan.label)


def _subtitle(chart: RooflineChart, plan: PlanRow) -> list[str]:
    first = f"{count_of(chart.kernels, 'kernel')}, each at its FLOPs a byte; area: bytes moved"
    if chart.points:  # the first is the largest
        first += f", at most {scaled(chart.points[0].total_bytes, 'B')} by kernels alike"
    first += "."
    lines = [first]
    if not chart.device:
        lines.append("No device given: the bands of the intensity are behind them.")
    if chart.without_flops:
        what = f"{chart.without_flops} without a contraction in the strip on the left"
        place = ", as far below the bandwidth roof as their bytes/s are below the device's"
        lines.append(f"{what}{place if chart.slope else ''}.")
    if plan.roofline is not None and plan.roofline.rated:
        lines.append("Times are by rates measured for each class of kernels: no one roof.")
    if chart.left_out:
        lines.append(f"{count_of(chart.left_out, 'kernel')} of no op left out.")
    return lines


def _point(point: PointRow) -> Datum:
    return {
        "group": point.groups[0],
        "groups": list(point.groups),
        "x": point.x,
        "y": point.y,
        "total_bytes": point.total_bytes,
        "bottleneck": point.bottleneck,
        "kernel": cut(point.label),
        "module": cut(point.module),
        "alike": len(point.groups),
        "bytes moved": f"{point.traffic_bytes:,}",
        "FLOPs": f"{point.flops:,}",
        "other FLOPs": f"{point.other_flops:,}",
        "FLOP/byte": intensity(point.arithmetic_intensity),
        "time": "-" if point.seconds is None else duration(point.seconds),
        "FLOP/s": scaled(point.flops_per_second, "FLOP/s") if point.flops_per_second else "-",
        "bytes/s": scaled(point.bytes_per_second, "B/s") if point.bytes_per_second else "-",
        "unknown ops": point.unknown_ops,
    }


def _corners(chart: RooflineChart) -> list[Datum]:
    """Corners of all roofs, and of the slope below them."""
    lines = [(roof.dtype, roof.corners) for roof in chart.roofs]
    if chart.slope:
        lines.append(("bandwidth", (chart.slope.start, chart.slope.middle, chart.slope.end)))
    return [
        {"dtype": name, "x": x, "y": y, "corner": place}
        for name, corners in lines
        for place, (x, y) in enumerate(corners)
    ]


def _slope(slope: SlopeRow) -> Datum:
    x, y = slope.middle
    return {"x": x, "y": y, "label": scaled(slope.bytes_per_second, "B/s")}


def _ridge(roof: RoofRow) -> Datum:
    rate, ridge = scaled(roof.flops_per_second, "FLOP/s"), f"{roof.ridge_point:.3g} FLOP/byte"
    return {
        "x": roof.ridge_point,
        "y": roof.flops_per_second,
        "end": roof.corners[2][0],
        "label": f"{roof.dtype}: {rate}",
        "roof": f"{roof.dtype}, {roof.how}",
        "peak": rate,
        "ridge": ridge,
    }


def _x(chart: RooflineChart, field: str = "x") -> alt.X:
    import altair as alt

    low = chart.strip or chart.x_range[0]  # left of the strip's edge no place is an intensity
    return (
        alt.X(f"{field}:Q", title="FLOPs of contractions / bytes moved  [FLOP/byte]")
        .scale(type="log", domain=list(chart.x_range), nice=False)
        .axis(values=log_ticks("x", low, chart.x_range[1]), format="~g")
    )


def _y(chart: RooflineChart, field: str = "y") -> alt.Y:
    import altair as alt

    title = "FLOPs / predicted time  [FLOP/s]" if chart.device else "bytes moved"
    words = "datum.label" if chart.device else BYTES
    return (
        alt.Y(f"{field}:Q", title=title)
        .scale(type="log", domain=list(chart.y_range), nice=False)
        .axis(values=log_ticks("y", *chart.y_range), format="~s", labelExpr=words)
    )


def _points(chart: RooflineChart) -> alt.Chart:
    """The largest first: none hides another, and each has its outline."""
    import altair as alt

    return (
        alt.Chart(alt.NamedData("points"))
        .mark_point(
            style="dot", filled=True, cursor="pointer", clip=True, description=alt.expr(_SAID)
        )
        .encode(
            x=_x(chart),
            y=_y(chart),
            size=alt.Size("total_bytes:Q").scale(range=[24, 600]).legend(None),
            color=bottleneck_colour(point.bottleneck for point in chart.points),
            opacity=alt.when(f"selected === null || {chosen()}")
            .then(alt.value(1))
            .otherwise(alt.value(0.35)),
            tooltip=tooltips(_TOOLTIP),
        )
        .properties(name="kernels")
        .add_params(_zoom())
    )


def _zoom() -> alt.Parameter:
    """Ctrl and the wheel (or two fingers) look closer, shift moves, two clicks go back: the page
    around the chart scrolls as ever.
    """
    import altair as alt

    return alt.selection_interval(
        name="zoom",
        bind="scales",
        zoom="wheel![event.ctrlKey]",
        translate="[pointerdown[event.shiftKey], window:pointerup] > window:pointermove!",
    )


def _halo(chart: RooflineChart) -> alt.Chart:
    """A ring around the point of the selected group."""
    import altair as alt

    return (
        alt.Chart(alt.NamedData("points"))
        .transform_filter(chosen())
        .mark_point(style="halo", clip=True)
        .encode(x=_x(chart), y=_y(chart))
    )


def _strip(chart: RooflineChart) -> list[alt.Chart]:
    """The strip of the kernels without a contraction, and what it is."""
    import altair as alt

    if chart.strip is None:
        return []
    data = alt.NamedData("strip")
    shade = (
        alt.Chart(data)
        .mark_rect(style="shade", clip=True, aria=False)
        .encode(x=_x(chart), x2="x2:Q")
    )
    words = alt.Chart(data).mark_text(
        style="note", text="no contraction", baseline="top", align="left", dx=4, dy=4, clip=True,
        aria=False,
    )  # fmt: skip
    return [shade, words.encode(x=_x(chart), y=alt.value(0))]


def _bands(chart: RooflineChart) -> list[alt.Chart]:
    """The bands of the intensity, behind everything."""
    import altair as alt

    if not chart.bands:
        return []
    data = alt.NamedData("bands")
    colour = alt.Fill("fill:N").scale(None)
    shade = alt.Chart(data).mark_rect(opacity=0.16, clip=True, aria=False)
    width = "scale('x', datum.x2) - scale('x', datum.x)"
    words = alt.Chart(data).mark_text(
        style="note", baseline="top", align="left", dx=4, dy=4, clip=True, aria=False,
        limit=alt.expr(f"max({width} - 8, 1)"),
    )  # fmt: skip
    return [
        shade.encode(x=_x(chart), x2="x2:Q", fill=colour),
        words.encode(x=_x(chart), y=alt.value(0), text="name:N"),
    ]


def _roofs(chart: RooflineChart) -> list[alt.Chart]:
    """Roofs, and the points where they bend."""
    import altair as alt

    if chart.slope is None:
        return []
    lines = (
        alt.Chart(alt.NamedData("roofs"))
        .mark_line(style="roof", clip=True, aria=False)
        .encode(x=_x(chart), y=_y(chart), detail="dtype:N", order="corner:Q")
    )
    ridges = alt.Chart(alt.NamedData("ridges"))
    dots = ridges.mark_point(style="ridge", clip=True, description=alt.expr(_ROOF_SAID)).encode(
        x=_x(chart), y=_y(chart), tooltip=tooltips(("roof", "peak", "ridge"))
    )
    return [lines, dots]


def _heights(chart: RooflineChart) -> list[alt.Chart]:
    """How high the roofs are: above all points, with the ground behind the words."""
    import altair as alt

    if chart.slope is None:
        return []
    made = []
    for style in ("behind", "label"):
        for name, x, left, up in (("ridges", "end", 4, 5), ("slope", "x", 8, 2)):
            words = alt.Chart(alt.NamedData(name)).mark_text(
                style=style, align="right", baseline="bottom", dx=-left, dy=-up, clip=True,
                aria=False,
            )  # fmt: skip
            made.append(words.encode(x=_x(chart, x), y=_y(chart), text="label:N"))
    return made
