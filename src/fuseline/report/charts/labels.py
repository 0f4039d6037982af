"""What charts have in common: their data, names cut to fit, figures in words, colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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

_COLUMNS = "width < 520 ? 1 : width < 900 ? 2 : 0"
"""Of a legend, by the pixels of its chart; 0: all in a row."""


def with_data(chart: alt.TopLevelMixin, **data: Sequence[Datum]) -> Spec:
    """The chart as a specification that holds the data of its named sources."""
    spec: Spec = chart.to_dict()
    spec.pop("config", None)  # the theme is given where it is drawn
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
    """Colour by what bounds a kernel, with a legend of those present, in the order of `colours`."""
    import altair as alt

    named = set(present)
    domain = [name for name in colours if name in named]
    label = " : ".join(f"datum.label == '{name}' ? '{name}: {MEANING[name]}'" for name in domain)
    return (
        alt.Color("bottleneck:N", title=None)
        .scale(domain=domain, range=[colours[name] for name in domain])
        .legend(
            labelExpr=f"{label} : datum.label" if label else "datum.label",
            columns=alt.expr(_COLUMNS),
        )
    )


def cut(text: str) -> str:
    """A name as a tooltip shows it."""
    return shortened(visible(text), NAME)


def doubt_lines(plan: PlanRow) -> list[str]:
    """What the plan's figures leave out, as lines of a subtitle."""
    return [f"{clause[:1].upper()}{clause[1:]}." for clause in doubts(plan)]
