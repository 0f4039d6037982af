"""Charts of the page of the zoo, from the answers that its tables print."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fuseline.report.charts.labels import Datum, bottleneck_colour, with_data
from fuseline.report.charts.render import Spec
from fuseline.report.colours import SOFT
from fuseline.validate.zoo_classes import SHOWN
from fuseline.validate.zoo_queries import Line, Zoo

if TYPE_CHECKING:
    import altair as alt

_WIDTH = 620
_STRATEGIES = {
    "fusion": "#882255",
    "inductor": "#D55E00",
    "onnxruntime": "#C99700",
    "tensorrt": "#8E9E1F",
    "tvm": "#2F7FC1",
    "optimal": "#117733",
}
_CLASSES = ("#D55E00", "#882255", "#2F7FC1", "#8E9E1F", "#117733", "#C99700", "#666666")
_SHAPES = ("circle", "diamond", "square", "triangle-up", "cross", "triangle-down", "stroke")
_KINDS = ("launch", "bandwidth", "compute", "vector")
_MOST_GAP = 1.0  # an axis that one model must not stretch


def charts() -> dict[str, Callable[[Zoo], Spec]]:
    """Name in the file of a picture -> the chart."""
    return {"reduction": reduction, "gap": gap, "bound": bound, "families": families}


def reduction(zoo: Zoo) -> Spec:
    """Bytes that fusion saves, by class: the seed's patterns beside the optimum."""
    import altair as alt

    lines = zoo["reductions"].lines
    base = _by_class(lines, "strategy", ("fusion", "optimal"))
    x = alt.X("reduction_10:Q", title="bytes less than unfused").axis(format="%").scale(zero=True)
    layers = (
        base.mark_rule(strokeWidth=1.4).encode(x=x, x2="reduction_90:Q"),
        base.mark_bar(size=9, opacity=0.55).encode(x="reduction_25:Q", x2="reduction_75:Q"),
        base.mark_tick(thickness=3, size=14).encode(x="reduction:Q"),
    )
    return _finished(
        alt.layer(*layers),
        "What fusion saves, batch 1",
        "Line: 10% to 90% of the models; bar: the middle half; mark: the median.",
        list(lines),
    )


def gap(zoo: Zoo) -> Spec:
    """Bytes over the proven optimum, by class and compiler."""
    import altair as alt

    lines = zoo["gaps_by_class"].lines
    base = _by_class(lines, "strategy", tuple(_STRATEGIES)[1:5])
    x = alt.X("gap_10:Q", title="bytes over the proven optimum").axis(format="%")
    layers = (
        base.mark_rule(strokeWidth=1.6).encode(
            x=x.scale(clamp=True, domain=[min(0, _least(lines)), _MOST_GAP]), x2="gap_90:Q"
        ),
        base.mark_point(filled=True, size=55, opacity=1).encode(x="gap:Q"),
    )
    return _finished(
        alt.layer(*layers),
        "What rule models of compilers leave, batch 1, H100",
        "Line: 10% to 90% of the models, cut at 100%; point: the median.",
        list(lines),
    )


def bound(zoo: Zoo) -> Spec:
    """Which share of the models each bottleneck rules, by class, device and batch."""
    import altair as alt

    lines = zoo["bound"].lines
    rows: list[Datum] = [
        {
            "class": line["class"],
            "where": f"{line['device']}, batch {line['batch']}",
            "bottleneck": kind,
            "part": line[kind],
            "place": place,
        }
        for line in lines
        for place, kind in enumerate(_KINDS)
    ]
    places = [f"{line['device']}, batch {line['batch']}" for line in lines]
    drawn = (
        alt.Chart(alt.NamedData("rows"))
        .mark_bar()
        .encode(
            x=alt.X("part:Q", title="share of models").axis(format="%", tickCount=3),
            y=_classes(lines),
            color=bottleneck_colour(_KINDS, SOFT),
            order="place:O",
        )
        .properties(width=_WIDTH // 2 - 40, height=150)
        .facet(
            facet=alt.Facet("where:N", title=None, sort=sorted(set(places))), columns=2, spacing=16
        )
    )
    return _finished(
        drawn, "What bounds most of the time of the optimum", "By the sum of its kernels.", rows
    )


def families(zoo: Zoo) -> Spec:
    """Every family of the three zoos: FLOPs a byte against the bytes that fusion saves."""
    import altair as alt

    lines = [line for line in zoo["families"].lines if line["intensity"]]
    present = [name for name in SHOWN if any(line["class"] == name for line in lines)]
    places = [SHOWN.index(name) for name in present]
    drawn = (
        alt.Chart(alt.NamedData("rows"))
        .mark_point(filled=True, opacity=0.6, size=34)
        .encode(
            x=alt.X("intensity:Q", title="FLOP/byte of the optimum, median of the family")
            .scale(type="log")
            .axis(tickCount=5),
            y=alt.Y("reduction:Q", title="bytes less than unfused").axis(format="%"),
            color=alt.Color("class:N", title=None).scale(
                domain=present, range=[_CLASSES[place] for place in places]
            ),
            shape=alt.Shape("class:N", title=None).scale(
                domain=present, range=[_SHAPES[place] for place in places]
            ),
        )
        .properties(width=_WIDTH, height=340)
    )
    rows = [{name: _short(line[name]) for name in ("class", "intensity", "reduction")}
            for line in lines]  # fmt: skip
    return _finished(
        drawn, "Families of the three zoos, batch 1", "A mark is a family or a model type.", rows
    )


def _short(value: object) -> object:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _classes(lines: tuple[Line, ...]) -> alt.Y:
    import altair as alt

    present = [name for name in SHOWN if any(line["class"] == name for line in lines)]
    return alt.Y("class:N", title=None, sort=present).axis(domain=False, ticks=False)


def _by_class(lines: tuple[Line, ...], field: str, domain: tuple[str, ...]) -> alt.Chart:
    """A row for each class, and in it one for each strategy."""
    import altair as alt

    colours = [_STRATEGIES[name] for name in domain]
    return (
        alt.Chart(alt.NamedData("rows"))
        .encode(
            y=_classes(lines),
            yOffset=alt.YOffset(f"{field}:N", sort=list(domain)),
            color=alt.Color(f"{field}:N", title=None, sort=list(domain)).scale(
                domain=list(domain), range=colours
            ),
        )
        .properties(width=_WIDTH, height=alt.Step(13))
    )


def _least(lines: tuple[Line, ...]) -> float:
    return min(float(str(line["gap_10"])) for line in lines)


def _finished(drawn: alt.TopLevelMixin, title: str, meaning: str, rows: list) -> Spec:
    import altair as alt

    titled = drawn.properties(title=alt.Title(title, subtitle=meaning))
    return with_data(titled, meaning, rows=[dict(row) for row in rows])
