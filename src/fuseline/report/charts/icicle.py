"""The icicle: which modules move the bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fuseline.report.charts.labels import (
    BYTES,
    Datum,
    bottleneck_colour,
    chosen,
    cut,
    doubt_lines,
    selectable,
    titled,
    tooltips,
    with_data,
)
from fuseline.report.charts.render import Spec
from fuseline.report.colours import SOFT
from fuseline.report.quantities import duration, scaled
from fuseline.report.rows.data import PlanRow
from fuseline.report.rows.icicle import RectRow, icicle_rows
from fuseline.report.rows.outline import Piece, outline
from fuseline.report.units import count_of, percent

if TYPE_CHECKING:
    import altair as alt

_ROW = 34  # pixels of a level
_NARROWEST = 30  # pixels of a rectangle that has its name on it
_MEANING = "Modules over what is in them, each as wide as the bytes that it moves."
_SAID = "datum.what + ': ' + datum['bytes moved'] + ' bytes moved, ' + datum['of all'] + ' of all'"
_TOOLTIP = (
    "what", "module", "copies", "kernels", "bytes moved", "of all", "FLOPs", "time", "bottleneck",
)  # fmt: skip


def icicle(plan: PlanRow, tree: Piece | None = None, *, model: str = "") -> Spec:
    """Modules over what is in them, as wide as the bytes they move; kernels in the colour of what
    bounds them. `tree` is the outline of the plan, where it is made already; the title names
    `model`.

    A kernel's `groups` are the ids of its copies, and `group` the first.
    """
    import altair as alt

    rects = icicle_rows(tree or outline(plan.members), plan.members)
    depth = 1 + max(rect.depth for rect in rects)
    drawn = alt.layer(
        _rects(rects, depth, "datum.bottleneck === ''").mark_rect(
            style="module", description=alt.expr(_SAID)
        ),
        _rects(rects, depth, "datum.bottleneck !== ''")
        .mark_rect(style="kernel", cursor="pointer", description=alt.expr(_SAID))
        .encode(color=bottleneck_colour((rect.bottleneck for rect in rects), SOFT)),
        _words(rects, depth, "datum.bottleneck === ''", "label"),
        _words(rects, depth, "datum.bottleneck !== ''", "printed"),
        _rects(rects, depth, chosen()).mark_rect(style="chosen", fill="transparent", aria=False),
    ).properties(
        width="container",
        height=_ROW * depth,
        title=alt.Title(
            titled(model, f"{scaled(rects[0].traffic_bytes, 'B')} moved, by module: {_of(plan)}"),
            subtitle=_subtitle(plan),
        ),
    )
    return with_data(selectable(drawn), _MEANING, rects=[_rect(rect, rects[0]) for rect in rects])


def _of(plan: PlanRow) -> str:
    return cut(f"{plan.label} on {plan.device}" if plan.device else plan.label)


def _subtitle(plan: PlanRow) -> list[str]:
    lines = ["What repeats is drawn once, as wide as all copies together."]
    if plan.extra_launches:
        kernels, moved = count_of(plan.extra_launches, "kernel"), plan.extra_traffic_bytes
        lines.append(f"{kernels} of no op, which move {scaled(moved, 'B')} more, are not in it.")
    return [*lines, *doubt_lines(plan)]


def _rect(rect: RectRow, whole: RectRow) -> Datum:
    name = cut(rect.name)
    if rect.kind == "repeat":
        name = f"{name}  x{rect.count}".strip()
    made: Datum = {
        "groups": list(rect.groups),
        "start": rect.start,
        "end": rect.end,
        "depth": rect.depth,
        "share": rect.traffic_bytes / whole.traffic_bytes if whole.traffic_bytes else 0.0,
        "bottleneck": rect.bottleneck,
        "name": name or ("the whole model" if rect.kind == "model" else ""),
        "what": f"{rect.kind} {name}".strip(),
        "module": cut(rect.module),
        "copies": rect.count,
        "kernels": rect.launches,
        "bytes moved": f"{rect.traffic_bytes:,}",
        "of all": percent(rect.traffic_bytes, whole.traffic_bytes),
        "FLOPs": f"{rect.flops:,}",
        "time": "-" if rect.seconds is None else duration(rect.seconds),
    }
    return made | ({"group": rect.groups[0]} if rect.groups else {})


def _scales(rects: Sequence[RectRow], depth: int) -> tuple[alt.X, alt.Y]:
    import altair as alt

    x = alt.X("start:Q", title="bytes moved").axis(
        labelExpr=BYTES,
        grid=False,
        tickCount=6,
        tickMinStep=1,
        labelOverlap=True,
        labelSeparation=8,
    )
    y = alt.Y("depth:Q", title=None).axis(None)
    return (
        x.scale(domain=[0, max(rects[0].end, 1)], nice=False, zero=True),
        y.scale(domain=[0, depth], reverse=True, nice=False),
    )


def _rects(rects: Sequence[RectRow], depth: int, which: str) -> alt.Chart:
    """Rectangles that pass a test, each a level high."""
    import altair as alt

    x, y = _scales(rects, depth)
    return (
        alt.Chart(alt.NamedData("rects"))
        .transform_filter(which)
        .transform_calculate(bottom="datum.depth + 1")
        .encode(x=x, x2="end:Q", y=y, y2="bottom:Q", tooltip=tooltips(_TOOLTIP))
    )


def _words(rects: Sequence[RectRow], depth: int, which: str, style: str) -> alt.Chart:
    """Names on the rectangles that are wide enough, cut where they end."""
    import altair as alt

    x, y = _scales(rects, depth)
    return (
        alt.Chart(alt.NamedData("rects"))
        .transform_filter(which)
        .mark_text(
            style=style,
            align="left",
            baseline="middle",
            dx=5,
            dy=_ROW / 2,
            tooltip=None,
            aria=False,
            limit=alt.expr("max(datum.share * width - 8, 1)"),
            opacity=alt.expr(f"datum.share * width > {_NARROWEST} ? 1 : 0"),
        )
        .encode(x=x, y=y, text="name:N")
    )
