"""What charts have in common: their data, names cut to fit, figures in words, colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from fuseline.report.charts.render import Spec
from fuseline.report.colours import MEANING, STRONG
from fuseline.report.text import encodable, shortened, visible

if TYPE_CHECKING:
    import altair as alt

Datum = dict[str, object]
"""One mark's data."""

NAME = 90
"""Characters of a name in a tooltip."""

_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def with_data(chart: alt.TopLevelMixin, **data: Sequence[Datum]) -> Spec:
    """The chart as a specification that holds the data of its named sources."""
    spec: Spec = chart.to_dict()
    spec.pop("config", None)  # the theme is given where it is drawn
    spec["datasets"] = {name: list(rows) for name, rows in data.items()}
    return spec


def tooltips(fields: Iterable[str]) -> list[alt.Tooltip]:
    """Fields of a mark's data, already in words, under their own names."""
    import altair as alt

    return [alt.Tooltip(f"{field}:N", title=field) for field in fields]


def bottleneck_colour(present: Iterable[str]) -> alt.Color:
    """Colour by what bounds a kernel, with a legend of those present."""
    import altair as alt

    named = set(present)
    domain = [name for name in STRONG if name in named]
    label = " : ".join(f"datum.label == '{name}' ? '{name}: {MEANING[name]}'" for name in domain)
    return (
        alt.Color("bottleneck:N", title=None)
        .scale(domain=domain, range=[STRONG[name] for name in domain])
        .legend(labelExpr=f"{label} : datum.label" if label else "datum.label")
    )


def cut(text: str) -> str:
    """A name as a tooltip shows it."""
    return shortened(encodable(visible(text)), NAME)


def scaled(value: float, unit: str) -> str:
    """A figure with a decimal prefix and three digits.

    >>> scaled(3.35e12, "B/s"), scaled(524_787_840, "B"), scaled(0, "B"), scaled(9.996e5, "B")
    ('3.35 TB/s', '525 MB', '0 B', '1 MB')
    """
    for size, prefix in _PREFIXES:
        if abs(value) >= size * 0.9995:
            return f"{value / size:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def duration(seconds: float | None) -> str:
    """Seconds in the unit that fits, three digits; a dash where there are none.

    >>> duration(1.2345e-6), duration(0.0123), duration(None)
    ('1.23 µs', '12.3 ms', '-')
    """
    if seconds is None:
        return "-"
    for size, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= size * 0.9995:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
