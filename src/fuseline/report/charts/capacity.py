"""The capacity curve: the least traffic for each size of on-chip memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuseline.report.charts.labels import Datum, cut, tooltips, with_data
from fuseline.report.charts.render import Spec
from fuseline.report.quantities import scaled
from fuseline.report.rows.capacity import CapacityRows, PointRow, size_text
from fuseline.report.text import visible

if TYPE_CHECKING:
    import altair as alt

_HEIGHT = 300
_TOOLTIP = (
    "on chip", "bytes moved", "launches", "saved", "at least", "gap", "proven",
)  # fmt: skip


def capacity(rows: CapacityRows) -> Spec:
    """Bytes moved against on-chip memory; hollow points are not proven best, and the shade under
    them reaches down to what is proven.
    """
    import altair as alt

    layers = [*_levels(rows), *_knee(rows), _gap(rows), *_curve(rows)]
    drawn = alt.layer(*layers).properties(
        width="container",
        height=_HEIGHT,
        title=alt.Title(
            f"{cut(rows.model)}: bytes moved for each size of on-chip memory",
            subtitle=_subtitle(rows),
        ),
    )
    return with_data(
        drawn,
        points=[_point(point) for point in rows.points],
        levels=[
            {"bytes": nbytes, "label": f"{name}: {scaled(nbytes, 'B')}", "level": name,
             "value": f"{nbytes:,}"}
            for name, nbytes in (
                ("compulsory", rows.compulsory_bytes),
                ("rules T, no capacity asked for", rows.without_capacity_bytes),
            )
        ],
        knee=[{"on_chip": rows.knee.on_chip, "label": f"knee: {size_text(rows.knee.on_chip)}"}]
        if rows.knee
        else [],
    )  # fmt: skip


def _subtitle(rows: CapacityRows) -> list[str]:
    lines = [f"{visible(rows.knee.sentence)}."] if rows.knee else []
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


def _x(rows: CapacityRows) -> alt.X:
    import altair as alt

    sizes = [point.on_chip for point in rows.points] or [1]
    written = " : ".join(
        f"datum.value >= {size} ? datum.value / {size} + ' {unit}'"
        for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10))
    )
    return (
        alt.X("on_chip:Q", title="on-chip memory")
        .scale(type="log", base=2, domain=[min(sizes) / 1.3, max(sizes) * 1.3], nice=False)
        .axis(values=sizes, labelExpr=f"{written} : datum.value + ' B'", labelOverlap=True)
    )


def _y(field: str) -> alt.Y:
    import altair as alt

    axis = alt.Y(f"{field}:Q", title="bytes moved").axis(format="~s", tickCount=6)
    return axis.scale(zero=False, nice=True)


def _levels(rows: CapacityRows) -> list[alt.Chart]:
    """Lines across: what must move, and the least without a capacity."""
    import altair as alt

    levels = alt.Chart(alt.NamedData("levels"))
    left = min((point.on_chip for point in rows.points), default=1) / 1.3
    words = levels.mark_text(style="note", align="left", baseline="bottom", dx=4, dy=-3)
    return [
        levels.mark_rule(style="bound").encode(y=_y("bytes"), tooltip=tooltips(("level", "value"))),
        words.encode(x=alt.X(datum=left, type="quantitative"), y=_y("bytes"), text="label:N"),
    ]


def _knee(rows: CapacityRows) -> list[alt.Chart]:
    """A line where more memory stops to pay."""
    import altair as alt

    if rows.knee is None:
        return []
    knee = alt.Chart(alt.NamedData("knee")).encode(x=_x(rows))
    words = knee.mark_text(style="note", align="left", baseline="top", dx=5, dy=4)
    return [
        knee.mark_rule(style="edge"),
        words.encode(y=alt.value(0), text="label:N"),
    ]


def _gap(rows: CapacityRows) -> alt.Chart:
    import altair as alt

    shade = alt.Chart(alt.NamedData("points")).mark_area(style="gap")
    return shade.encode(x=_x(rows), y=_y("traffic_bytes"), y2="lower_bound_bytes:Q")


def _curve(rows: CapacityRows) -> list[alt.Chart]:
    """The line, and its points: filled where they are proven."""
    import altair as alt

    points = alt.Chart(alt.NamedData("points")).encode(x=_x(rows), y=_y("traffic_bytes"))
    shown = points.encode(tooltip=tooltips(_TOOLTIP))
    return [
        points.mark_line(style="line"),
        shown.transform_filter("datum.proven === 'yes'").mark_point(style="proven"),
        shown.transform_filter("datum.proven === 'no'").mark_point(style="unproven", filled=False),
    ]
