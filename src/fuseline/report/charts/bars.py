"""Bars: strategies side by side, and what bounds a plan's kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuseline.report.charts.labels import (
    Datum,
    bottleneck_colour,
    cut,
    doubt_lines,
    tooltips,
    with_data,
)
from fuseline.report.charts.render import Spec
from fuseline.report.colours import SOFT
from fuseline.report.quantities import duration, scaled
from fuseline.report.rows.bars import (
    BarRow,
    LineRow,
    PartRow,
    StrategyBars,
    bottleneck_parts,
    strategy_bars,
)
from fuseline.report.rows.data import PlanRow, Result
from fuseline.report.units import count_of, percent

if TYPE_CHECKING:
    import altair as alt

_BAR = 30  # pixels of a bar with the space around it
_WORDED = 42  # pixels of a bar with words above it
_NARROWEST = 64  # pixels of a part that has its figure on it


def strategies(result: Result) -> Spec:
    """Bytes that each strategy moves, its launches in words, and what none goes below.

    Parameter `selected` is the place of a plan in the result, or null; so is a bar's `place`.
    """
    import altair as alt

    found = strategy_bars(result)
    drawn = alt.layer(*_bars(found), *_lines(), *_words(found)).properties(
        width="container",
        height=_WORDED * max(len(found.bars), 1),
        title=alt.Title(
            "Bytes moved, by strategy", subtitle=[*_subtitle(found), *doubt_lines(result.plans[0])]
        ),
    )
    drawn = drawn.add_params(alt.param(name="selected", value=None))
    return with_data(
        drawn,
        bars=[_bar(bar) for bar in found.bars],
        lines=[_line(line) for line in found.lines],
    )


def _subtitle(found: StrategyBars) -> list[str]:
    lines = [
        f"{_meaning(line)}: {scaled(line.bytes, 'B')} ({'dotted' if line.rules else 'dashed'} line)"
        for line in found.lines
    ]
    if any(bar.is_cover for bar in found.bars):
        lines.append("A cover computes some ops more than once: no bound holds for it.")
    return lines


def _meaning(line: LineRow) -> str:
    if line.rules is None:
        return "Compulsory, whatever is fused"
    return f"Certified least of any partition legal under rules {line.rules}"


def _bar(bar: BarRow) -> Datum:
    words = count_of(bar.launches, "launch", "es")
    if bar.seconds is not None:
        words += f", {duration(bar.seconds)}"
    return {
        "place": bar.place,
        "label": cut(bar.label) + (" (cover)" if bar.is_cover else ""),
        "traffic_bytes": bar.traffic_bytes,
        "words": f"{scaled(bar.traffic_bytes, 'B')}, {words}",
        "best": bar.is_least,
        "strategy": cut(bar.label),
        "bytes moved": f"{bar.traffic_bytes:,}",
        "launches": bar.launches,
        "time": "-" if bar.seconds is None else duration(bar.seconds),
    }


def _line(line: LineRow) -> Datum:
    return {
        "bytes": line.bytes,
        "certified": line.rules is not None,
        "line": _meaning(line),
        "bound": f"{line.bytes:,}",
    }


def _base(found: StrategyBars) -> alt.Chart:
    """A place for each strategy, in the order given."""
    import altair as alt

    top = max((bar.traffic_bytes for bar in found.bars), default=0)
    ends = [top, *(line.bytes for line in found.lines)]
    x = alt.X("traffic_bytes:Q", title="bytes moved").axis(format="~s", tickCount=6)
    return alt.Chart(alt.NamedData("bars")).encode(
        x=x.scale(domain=[0, max(*ends, 1)], nice=True),
        y=alt.Y("label:N", title=None, sort=None).axis(labelFontSize=12, domain=False, ticks=False),
        tooltip=tooltips(("strategy", "bytes moved", "launches", "time")),
    )


def _bars(found: StrategyBars) -> list[alt.Chart]:
    import altair as alt

    mine = "selected === null || datum.place === selected"
    bars = _base(found).mark_bar(style="bar", cursor="pointer", size=16, yOffset=8)
    opacity = alt.when(mine).then(alt.value(1)).otherwise(alt.value(0.45))
    return [bars.encode(opacity=opacity)]


def _words(found: StrategyBars) -> list[alt.Chart]:
    """Figures above each bar, with the ground behind them where a line would cross."""
    import altair as alt

    x = alt.X(datum=0, type="quantitative")
    return [
        _base(found)
        .mark_text(style=style, align="left", baseline="bottom", dx=3, aria=style == "label")
        .encode(x=x, text="words:N")
        for style in ("behind", "label")
    ]


def _lines() -> list[alt.Chart]:
    import altair as alt

    rules = alt.Chart(alt.NamedData("lines")).encode(
        x=alt.X("bytes:Q"), tooltip=tooltips(("line", "bound"))
    )
    return [
        rules.transform_filter("!datum.certified").mark_rule(style="bound"),
        rules.transform_filter("datum.certified").mark_rule(style="certified"),
    ]


def bottlenecks(plan: PlanRow) -> Spec:
    """Launches, bytes and time of a plan, each split by what bounds the kernels."""
    import altair as alt

    parts = bottleneck_parts(plan)
    basis = cut(f"on {plan.device}") if plan.device else "by FLOPs a byte: no device given"
    figures = list(dict.fromkeys(part.figure for part in parts))
    data = alt.NamedData("parts")
    x = alt.X("start:Q", title="share").axis(format=".0%", tickCount=5, grid=False)
    y = alt.Y("figure:N", title=None, sort=figures).axis(domain=False, ticks=False)
    base = alt.Chart(data).encode(x=x.scale(domain=[0, 1]), y=y)
    bars = base.mark_bar(style="kernel").encode(
        x2="end:Q",
        color=bottleneck_colour((part.bottleneck for part in parts), SOFT),
        tooltip=tooltips(("figure", "bottleneck", "value", "of", "share")),
    )
    words = base.mark_text(
        style="printed",
        align="left",
        baseline="middle",
        dx=5,
        limit=alt.expr("max((datum.end - datum.start) * width - 8, 1)"),
        opacity=alt.expr(f"(datum.end - datum.start) * width > {_NARROWEST} ? 1 : 0"),
    ).encode(text="words:N")
    drawn = alt.layer(bars, words).properties(
        width="container",
        height=_BAR * max(len(figures), 1),
        title=alt.Title(f"What bounds {cut(plan.label)}", subtitle=[basis, *doubt_lines(plan)]),
    )
    return with_data(drawn, parts=[_part(part) for part in parts])


def _part(part: PartRow) -> Datum:
    value = _valued(part.figure, part.value)
    share = percent(part.value, part.whole)
    return {
        "figure": part.figure,
        "bottleneck": part.bottleneck,
        "start": part.start,
        "end": part.end,
        "words": f"{value} ({share})",
        "value": value,
        "of": _valued(part.figure, part.whole),
        "share": share,
    }


def _valued(figure: str, value: float) -> str:
    if figure == "time":
        return duration(value)
    return scaled(value, "B") if figure == "bytes moved" else f"{value:,.0f}"
