"""The capacity curve: the least traffic for each size of on-chip memory."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING

from fuseline.report.charts.labels import BYTES, Datum, cut, tooltips, with_data
from fuseline.report.charts.render import Spec
from fuseline.report.quantities import scaled
from fuseline.report.rows.capacity import UNITS, CapacityRows, OnChipRow, PointRow, size_text
from fuseline.report.text import visible

if TYPE_CHECKING:
    import altair as alt

_HEIGHT = 300
_TOP, _FOOT = 24, _HEIGHT - 45  # of words beside lines: the curve falls from left to right
_AIR = 1.3  # factor between the outermost points and the edge
_LEVEL_SAID = "datum.level + ': ' + datum.value + ' bytes'"
_SAID = (
    "datum['on chip'] + ' on chip: ' + datum['bytes moved'] + ' bytes moved, '"
    "+ (datum.proven === 'yes' ? 'proven best' : 'at least ' + datum['at least'])"
)
_TOOLTIP = (
    "on chip", "bytes moved", "launches", "saved", "at least", "gap", "proven",
)  # fmt: skip


def capacity(rows: CapacityRows, on_chip: Sequence[OnChipRow] = (), *, device: str = "") -> Spec:
    """Bytes moved against on-chip memory; hollow points are not proven best, and the shade under
    them reaches down to what is proven. Lines mark what `device` has `on_chip`, and where more
    stops to pay.
    """
    import altair as alt

    layers = [*_levels(rows), *_marks(rows), _gap(rows), *_curve(rows)]
    drawn = alt.layer(*layers).properties(
        width="container",
        height=_HEIGHT,
        title=alt.Title(
            f"{cut(rows.model)}: bytes moved for each size of on-chip memory",
            subtitle=_subtitle(rows, on_chip, device),
        ),
    )
    return with_data(
        drawn,
        "The least that any legal plan moves, for each size of on-chip memory.",
        points=[_point(point) for point in rows.points],
        levels=[
            {"bytes": nbytes, "label": f"{name}: {scaled(nbytes, 'B')}", "level": name,
             "value": f"{nbytes:,}"}
            for name, nbytes in (
                ("compulsory", rows.compulsory_bytes),
                ("rules T, no capacity asked for", rows.without_capacity_bytes),
            )
        ],
        marks=_mark_data(rows, on_chip),
    )  # fmt: skip


def _subtitle(rows: CapacityRows, on_chip: Sequence[OnChipRow], device: str) -> list[str]:
    lines = [f"{visible(rows.knee.sentence)}."] if rows.knee else []
    if on_chip:
        sizes = ", ".join(f"{size_text(row.bytes)} {row.name}" for row in on_chip)
        lines.append(f"{cut(device) or 'The device'} has on chip: {sizes}.")
    if any(not point.is_optimal for point in rows.points):
        lines.append("Hollow: not proven best; the shade reaches down to what is proven.")
    return lines


def _point(point: PointRow) -> Datum:
    return {
        "on_chip": point.on_chip,
        "traffic_bytes": point.traffic_bytes,
        "lower_bound_bytes": point.lower_bound_bytes,
        "proven": "yes" if point.is_optimal else "no",
        "on chip": size_text(point.on_chip),
        "bytes moved": f"{point.traffic_bytes:,}",
        "launches": point.launches,
        "saved": f"{point.saved_bytes:,}",
        "at least": f"{point.lower_bound_bytes:,}",
        "gap": f"{point.gap_bytes:,}",
    }


def _ends(rows: CapacityRows) -> tuple[float, float]:
    """Of the axis: a little beyond the points."""
    sizes = [point.on_chip for point in rows.points] or [1]
    return min(sizes) / _AIR, max(sizes) * _AIR


def _mark_data(rows: CapacityRows, on_chip: Sequence[OnChipRow]) -> list[Datum]:
    """What lines mark, as far as the axis goes: words on the side that has room for them."""
    low, high = _ends(rows)
    found = [(row.name, row.bytes, "device") for row in on_chip if low <= row.bytes <= high]
    if rows.knee is not None:
        is_last = rows.knee.on_chip == max(point.on_chip for point in rows.points)
        words = "the last size tried" if is_last else f"{rows.knee.share:.0%} of all that is saved"
        found.append((words, rows.knee.on_chip, "knee"))
    return [
        {
            "on_chip": nbytes, "label": f"{words}: {size_text(nbytes)}", "what": what,
            "line": place, "is_left": nbytes > sqrt(low * high),
        }
        for place, (words, nbytes, what) in enumerate(found)
    ]  # fmt: skip


def _x(rows: CapacityRows) -> alt.X:
    import altair as alt

    sizes = [point.on_chip for point in rows.points] or [1]
    written = " : ".join(
        f"datum.value >= {size} ? datum.value / {size} + ' {unit}'" for unit, size in UNITS
    )
    return (
        alt.X("on_chip:Q", title="on-chip memory")
        .scale(type="log", base=2, domain=list(_ends(rows)), nice=False)
        .axis(values=sizes, labelExpr=f"{written} : datum.value + ' B'", labelOverlap=True)
    )


def _y(field: str) -> alt.Y:
    import altair as alt

    axis = alt.Y(f"{field}:Q", title="bytes moved").axis(
        labelExpr=BYTES, tickCount=6, tickMinStep=1
    )
    return axis.scale(zero=False, nice=True)


def _levels(rows: CapacityRows) -> list[alt.Chart]:
    """Lines across: what must move, and the least without a capacity."""
    import altair as alt

    levels = alt.Chart(alt.NamedData("levels"))
    left, _ = _ends(rows)
    words = levels.mark_text(style="note", align="left", baseline="bottom", dx=4, dy=-3, aria=False)
    return [
        levels.mark_rule(style="bound", description=alt.expr(_LEVEL_SAID)).encode(
            y=_y("bytes"), tooltip=tooltips(("level", "value"))
        ),
        words.encode(x=alt.X(datum=left, type="quantitative"), y=_y("bytes"), text="label:N"),
    ]


def _marks(rows: CapacityRows) -> list[alt.Chart]:
    """Lines where more memory stops to pay, and at what the device has. No words on one height."""
    import altair as alt

    marks = alt.Chart(alt.NamedData("marks")).encode(x=_x(rows))
    rules = [
        marks.transform_filter(f"datum.what === '{what}'").mark_rule(
            style=style, description=alt.expr("datum.label")
        )
        for what, style in (("knee", "edge"), ("device", "has"))
    ]
    return rules + [
        marks.transform_filter(f"{'' if is_left else '!'}datum.is_left")
        .mark_text(
            style=style, align="right" if is_left else "left", baseline="top",
            dx=-5 if is_left else 5,
            y=alt.expr(f"{_TOP} + 15 * datum.line" if is_left else f"{_FOOT} - 15 * datum.line"),
            aria=False,
        )
        .encode(text="label:N")
        for is_left in (True, False)
        for style in ("behind", "note")
    ]  # fmt: skip


def _gap(rows: CapacityRows) -> alt.Chart:
    import altair as alt

    shade = alt.Chart(alt.NamedData("points")).mark_area(style="gap", aria=False)
    return shade.encode(x=_x(rows), y=_y("traffic_bytes"), y2="lower_bound_bytes:Q")


def _curve(rows: CapacityRows) -> list[alt.Chart]:
    """The line, and its points: filled where they are proven."""
    import altair as alt

    points = alt.Chart(alt.NamedData("points")).encode(x=_x(rows), y=_y("traffic_bytes"))
    shown = points.encode(tooltip=tooltips(_TOOLTIP))
    said = alt.expr(_SAID)
    return [
        points.mark_line(style="line", aria=False),
        shown.transform_filter("datum.proven === 'yes'").mark_point(
            style="proven", description=said
        ),
        shown.transform_filter("datum.proven === 'no'").mark_point(
            style="unproven", filled=False, description=said
        ),
    ]
