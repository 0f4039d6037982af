"""Bars: strategies side by side, and what bounds a plan's kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuseline.report.charts.labels import (
    BYTES,
    Datum,
    bottleneck_colour,
    cut,
    doubt_lines,
    titled,
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
_LETTER, _SIDES = 6.2, 8  # pixels of a letter on a part, and beside its words
_MEANING_OF_PARTS = "Each bar is split by what bounds the kernels."
_SAID = "datum.strategy + ': ' + datum.words + (datum.doubt ? ', ' + datum.doubt : '')"
_LINE_SAID = "datum.line + ': ' + datum.bound + ' bytes'"
_PART_SAID = "datum.figure + ', ' + datum.bottleneck + ': ' + datum.words"


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
            titled(result.model.name, f"bytes moved, by strategy{_where(result)}"),
            subtitle=[*_subtitle(found), *doubt_lines(result.plans[0])],
        ),
    )
    drawn = drawn.add_params(alt.param(name="selected", value=None))
    return with_data(
        drawn,
        "A bar for each strategy; lines are bytes that none goes below.",
        bars=[_bar(bar) for bar in found.bars],
        lines=[_line(line) for line in found.lines],
    )


def _where(result: Result) -> str:
    device = result.plans[0].device
    return f", on {cut(device)}" if device else ""


def _subtitle(found: StrategyBars) -> list[str]:
    lines = [
        f"{_meaning(line)}: {scaled(line.bytes, 'B')} ({'dotted' if line.rules else 'dashed'} line)"
        for line in found.lines
    ]
    why = [
        words
        for words, said in (
            ("groups break a rule", any(bar.illegal for bar in found.bars)),
            ("a cover computes ops twice", any(bar.is_cover for bar in found.bars)),
        )
        if said
    ]
    if why and any(line.rules for line in found.lines):
        lines.append(f"Hollow: {' or '.join(why)}, so what is certified does not hold.")
    return lines


def _meaning(line: LineRow) -> str:
    if line.rules is None:
        return "Compulsory, whatever is fused"
    return f"Certified least of any partition legal under rules {line.rules}"


def _bar(bar: BarRow) -> Datum:
    words, doubt = count_of(bar.launches, "launch", "es"), _doubt(bar)
    if bar.seconds is not None:
        words += f", {duration(bar.seconds)}"
    return {
        "place": bar.place,
        "label": cut(bar.label),
        "traffic_bytes": bar.traffic_bytes,
        "words": f"{scaled(bar.traffic_bytes, 'B')}, {words}",
        "best": bar.is_least,
        "bound": bar.is_bound,
        "doubt": doubt,
        "strategy": cut(bar.label),
        "bytes moved": f"{bar.traffic_bytes:,}",
        "launches": bar.launches,
        "time": "-" if bar.seconds is None else duration(bar.seconds),
        "rules": doubt or "every group keeps them",
    }


def _doubt(bar: BarRow) -> str:
    """Why nothing is certified of it."""
    if bar.is_cover:
        return "a cover: ops computed twice"
    breaks = "breaks" if bar.illegal == 1 else "break"
    return f"{count_of(bar.illegal, 'group')} {breaks} a rule" if bar.illegal else ""


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
    x = alt.X("traffic_bytes:Q", title="bytes moved").axis(
        labelExpr=BYTES, tickCount=6, tickMinStep=1, labelOverlap=True, labelSeparation=8
    )
    return alt.Chart(alt.NamedData("bars")).encode(
        x=x.scale(domain=[0, max(*ends, 1)], nice=True),
        y=alt.Y("label:N", title=None, sort=[cut(bar.label) for bar in found.bars]).axis(
            labelFontSize=12, domain=False, ticks=False
        ),
        tooltip=tooltips(("strategy", "bytes moved", "launches", "time", "rules")),
    )


def _bars(found: StrategyBars) -> list[alt.Chart]:
    import altair as alt

    mine = "selected === null || datum.place === selected"
    opacity = alt.when(mine).then(alt.value(1)).otherwise(alt.value(0.45))
    return [
        _base(found)
        .transform_filter(which)
        .mark_bar(style=style, cursor="pointer", size=16, yOffset=8, description=alt.expr(_SAID))
        .encode(opacity=opacity)
        for which, style in (("datum.bound", "bar"), ("!datum.bound", "hollow"))
    ]


def _words(found: StrategyBars) -> list[alt.Chart]:
    """Figures above each bar, with the ground behind them where a line would cross; inside it what
    keeps it from being held against what is certified.
    """
    import altair as alt

    x = alt.X(datum=0, type="quantitative")
    places = (("words", "behind", 0), ("words", "label", 0), ("doubt", "note", 15))
    return [
        _base(found)
        .mark_text(style=style, align="left", baseline="bottom", dx=3, dy=below, aria=False)
        .encode(x=x, text=f"{field}:N")
        for field, style, below in places
    ]


def _lines() -> list[alt.Chart]:
    import altair as alt

    rules = alt.Chart(alt.NamedData("lines")).encode(
        x=alt.X("bytes:Q"), tooltip=tooltips(("line", "bound"))
    )
    return [
        rules.transform_filter(which).mark_rule(style=style, description=alt.expr(_LINE_SAID))
        for which, style in (("!datum.certified", "bound"), ("datum.certified", "certified"))
    ]


def bottlenecks(plan: PlanRow, *, model: str = "") -> Spec:
    """Launches, bytes and time of a plan, each split by what bounds the kernels. The title names
    `model`.
    """
    import altair as alt

    parts = bottleneck_parts(plan)
    what, where = "what" if model else "What", f" on {plan.device}" if plan.device else ""
    basis = [] if plan.device else ["By FLOPs a byte: no device given."]
    figures = list(dict.fromkeys(part.figure for part in parts))
    data = alt.NamedData("parts")
    x = alt.X("start:Q", title="share").axis(format=".0%", tickCount=5, grid=False)
    y = alt.Y("figure:N", title=None, sort=figures).axis(domain=False, ticks=False)
    base = alt.Chart(data).encode(x=x.scale(domain=[0, 1]), y=y)
    bars = base.mark_bar(style="kernel", description=alt.expr(_PART_SAID)).encode(
        x2="end:Q",
        color=bottleneck_colour((part.bottleneck for part in parts), SOFT),
        tooltip=tooltips(("figure", "bottleneck", "value", "of", "share")),
    )
    words = base.mark_text(
        style="printed",
        align="left",
        baseline="middle",
        dx=5,
        text=alt.expr(f"{_fits('words')} : {_fits('value')} : ''"),
        aria=False,
    )
    drawn = alt.layer(bars, words).properties(
        width="container",
        height=_BAR * max(len(figures), 1),
        title=alt.Title(
            titled(model, f"{what} bounds {cut(plan.label + where)}"),
            subtitle=[*basis, *doubt_lines(plan)],
        ),
    )
    return with_data(drawn, _MEANING_OF_PARTS, parts=[_part(part) for part in parts])


def _fits(field: str) -> str:
    """Vega's test of whether words fit on a part, and the words."""
    room = "(datum.end - datum.start) * width"
    return f"length(datum.{field}) * {_LETTER} + {_SIDES} < {room} ? datum.{field}"


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
