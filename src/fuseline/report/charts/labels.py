"""What charts have in common: their data, names cut to fit, figures in words, colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, floor, log10
from typing import TYPE_CHECKING

from fuseline.report.charts.render import Spec
from fuseline.report.colours import MEANING, STRONG
from fuseline.report.rows.data import PlanRow
from fuseline.report.rows.doubts import doubts
from fuseline.report.text import shortened, visible

if TYPE_CHECKING:
    import altair as alt

Datum = dict[str, object]
"""One mark's data."""

NAME = 90
"""Characters of a name in a tooltip."""

BYTES = "replace(format(datum.value, '~s'), regexp('([a-zA-Z]?)$'), ' $1B')"
"""Vega's words for the bytes of an axis: 100 MB."""

_LETTER, _SYMBOL = 7.2, 46  # pixels of a legend's entry: a letter in the widest font, the rest


def with_data(chart: alt.TopLevelMixin, meaning: str, **data: Sequence[Datum]) -> Spec:
    """The chart as a specification that holds the data of its named sources.

    Its description, which is read to those who do not see it, is the title and the `meaning`.
    """
    spec: Spec = chart.to_dict()
    spec.pop("config", None)  # the theme is given where it is drawn
    title = spec["title"]
    words = title["text"] if isinstance(title, dict) else title
    spec["description"] = f"{words}. {meaning}"
    spec["$schema"] = "https://vega.github.io/schema/vega-lite/v6.json"  # a name: nobody fetches it
    spec["datasets"] = {name: list(rows) for name, rows in data.items()}
    return spec


def chosen() -> str:
    """Vega's test of whether a mark's data is the selected group's."""
    return "indexof(datum.groups, selected) >= 0"


def selectable(chart: alt.LayerChart | alt.FacetChart) -> alt.TopLevelMixin:
    """The chart with the parameter `selected`: the id of a group, or null."""
    import altair as alt

    return chart.add_params(alt.param(name="selected", value=None))


def tooltips(fields: Iterable[str]) -> list[alt.Tooltip]:
    """Fields of a mark's data, already in words, under their own names."""
    import altair as alt

    return [alt.Tooltip(f"{field}:N", title=field) for field in fields]


def bottleneck_colour(present: Iterable[str], colours: dict[str, str] = STRONG) -> alt.Color:
    """Colour by what bounds a kernel, with a legend of those present, in the order of `colours`.

    The legend has as many columns as the chart has room for.
    """
    import altair as alt

    named = set(present)
    domain = [name for name in colours if name in named]
    longest = max((len(f"{name}: {MEANING[name]}") for name in domain), default=0)
    entry = round(longest * _LETTER) + _SYMBOL
    label = " : ".join(f"datum.label == '{name}' ? '{name}: {MEANING[name]}'" for name in domain)
    return (
        alt.Color("bottleneck:N", title=None)
        .scale(domain=domain, range=[colours[name] for name in domain])
        .legend(
            symbolOpacity=1,
            labelExpr=f"{label} : datum.label" if label else "datum.label",
            columns=alt.expr(f"max(1, floor((width + {_SYMBOL}) / {entry}))"),
        )
    )


def log_ticks(scale: str, low: float, high: float) -> alt.ExprRef:
    """Ticks of an axis of logarithms from `low` on, whatever part of it is looked at.

    Powers of ten; of under two decades also their double and fivefold; of under a factor of five
    all of one step.
    """
    import altair as alt

    powers = range(floor(log10(low)), ceil(log10(high)) + 2)
    fine = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    fine = [tick for tick in fine if tick >= low]
    tens = [10.0**power for power in powers if 10.0**power >= low]
    first, last = f"domain('{scale}')[0]", f"domain('{scale}')[1]"
    step = f"pow(10, floor(log({last} - {first}) / LN10))"
    every = f"sequence(ceil(max({first}, {low}) / {step}) * {step}, {last} * 1.0001, {step})"
    return alt.expr(f"{last} / {first} >= 100 ? {tens} : {last} / {first} >= 5 ? {fine} : {every}")


def titled(model: str, text: str) -> str:
    """A title that names its model first, where it is given.

    >>> titled("vit_b_16", "optimal (T)"), titled("", "optimal (T)")
    ('vit_b_16: optimal (T)', 'optimal (T)')
    """
    return f"{cut(model)}: {text}" if model else text


def cut(text: str) -> str:
    """A name as a tooltip shows it."""
    return shortened(visible(text), NAME)


def doubt_lines(plan: PlanRow) -> list[str]:
    """What the plan's figures leave out, as lines of a subtitle."""
    return [f"{clause[:1].upper()}{clause[1:]}." for clause in doubts(plan)]
