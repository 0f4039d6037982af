"""Ways to run models, side by side: what varies, what they come to, and what is better.

Figures of two ways are put as better or worse only where that says something. Sizes and times are
compared within one model on the same inputs, whatever the strategy, device or dtype; seconds of one
sample at any batch; ratios (fusion efficiency, memory reduction, arithmetic intensity) across
models too; nothing across frontends, which do not see the same ops.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fuseline.errors import InputError, did_you_mean
from fuseline.report.rows.best import best_searched
from fuseline.report.rows.comparing import (
    UNSORTED,
    baselines,
    best,
    default_sort,
    ordered,
    uneven_flops,
    varying,
)
from fuseline.report.rows.comparison_notes import notes
from fuseline.report.rows.table import Column, Measure, Table, Value
from fuseline.report.rows.ways import DIMENSIONS, FIGURES, Figure, Way

_SEED = ("groups", "fusion_efficiency")
"""As the seed document counts; of recorded graphs launches say the same."""
_PLAIN = ("launches", "traffic_bytes", "memory_reduction", "arithmetic_intensity", "bottleneck")
_TIMED = ("seconds", "pipelined_seconds")
_TELLING = ("illegal_groups", "gap", "unknown_ops")
"""Shown where they tell something: any of them is not 0."""
_CHANGES = ("launches", "traffic_bytes", "seconds", "pipelined_seconds", "memory_bytes")
_PER_SAMPLE = "seconds_per_sample"
_RATIOS = ("fusion_efficiency", "memory_reduction", "arithmetic_intensity")
"""Whose changes are shown where no two ways may be compared by size."""

WAY = Column("way", Measure.COUNT, "its number, in the order asked for")
BEST = Column("best", Measure.TEXT, "figures in which no other way is better")
AGAINST = Column("against", Measure.COUNT, "the way that changes are counted from")
OVER_OPTIMAL = Column("over_optimal", Measure.FRACTION, "traffic above the least of a search")


def _change_columns() -> tuple[Column, ...]:
    """Two columns for every figure that is a number."""
    found = []
    for figure in FIGURES:
        if figure.is_number:
            name, measure = f"{figure.name}_change", figure.column.measure
            meaning = f"{figure.name} less that of the way it is against"
            found.append(Column(name, measure, meaning))
            meaning = f"{name} / {figure.name} of the way it is against"
            found.append(Column(f"{name}_fraction", Measure.FRACTION, meaning))
    return tuple(found)


COLUMNS: dict[str, Column] = {
    column.name: column
    for column in (
        WAY,
        *(dimension.column for dimension in DIMENSIONS),
        *(figure.column for figure in FIGURES),
        OVER_OPTIMAL,
        BEST,
        AGAINST,
        *_change_columns(),
    )
}
"""Every column a comparison has, by name."""


def check_columns(names: Sequence[str]) -> None:
    """Raise `InputError` for a name that is no column's, or is there twice."""
    for number, name in enumerate(names):
        if name not in COLUMNS:
            hint = did_you_mean(name, COLUMNS) or f": one of {', '.join(COLUMNS)}"
            raise InputError(f"a comparison has no column '{name}'{hint}")
        if name in names[:number]:
            raise InputError(f"column '{name}' is asked for twice")


@dataclass(frozen=True, slots=True)
class Comparison:
    """N ways. `against` names what each is put beside, `sort` the figure they are in order of (see
    `comparing.baselines` and `comparing.ordered`); None leaves both to what matters. `remarks` are
    sentences to show with the rest.

    Raises `InputError` without a way, and for names that are none.
    """

    ways: tuple[Way, ...]
    against: str | None = None
    sort: str | None = None
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.ways:
            raise InputError("nothing to compare: name a model and a strategy")
        ordered(self.ways, self.order)
        baselines(self.ways, self.against)

    @property
    def order(self) -> str:
        """The figure that ways are sorted by, or `none`."""
        return self.sort or default_sort(self.ways)

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with the figures themselves: our fault, never the model's."""
        return uneven_flops(self.ways)

    def table(self, columns: Sequence[str] | None = None) -> Table:
        """One row a way: what varies, the figures that tell something, and what is best.

        `columns` are names to show instead, in that order, `way` and `model` like any other.
        """
        cells = _Cells(self)
        names = cells.default() if columns is None else tuple(columns)
        check_columns(names)
        return self._laid_out("comparison", "Comparison", cells, names, cells.said(names))

    def differences(self) -> Table:
        """What each way has more (or less) than the one it is put beside: absolute, and relative.

        Figures that may not be compared have no column; ways that are put beside themselves or
        nothing comparable no row.
        """
        cells = _Cells(self)
        changes = cells.changes()
        names = ("way", *(each.name for each in varying(self.ways)), "against", *changes)
        made = self._laid_out("differences", "Differences", cells, names, ())
        filled = len(names) - len(changes)
        rows = tuple(
            row
            for row in made.rows
            if any(value is not None for value in row[filled:]) and row[0] != row[filled - 1]
        )
        return Table(made.name, made.title, made.columns, rows, (), made.keys)

    def wide(self) -> Table:
        """All of it in one table, for formats that programs read."""
        cells = _Cells(self)
        names = cells.every()
        return self._laid_out("comparison", "Comparison", cells, names, cells.said(names))

    def _laid_out(
        self, name: str, title: str, cells: _Cells, names: Sequence[str], said: tuple[str, ...]
    ) -> Table:
        keys = 0  # what names a row: its number, and what varies, as long as they come first
        known = {"way", *(each.name for each in DIMENSIONS)}
        while keys < len(names) and names[keys] in known:
            keys += 1
        columns = tuple(COLUMNS[each] for each in names)
        rows = tuple(
            tuple(cells.value(each, place) for each in names)
            for place in ordered(self.ways, self.order)
        )
        return Table(name, title, columns, rows, said, max(keys, 1))

    def _repr_html_(self) -> str:
        from fuseline.report.notebook import tables_html

        return tables_html(self.shown())

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        from fuseline.report.notebook import mimebundle

        return mimebundle(self.shown(), include, exclude)

    def shown(self) -> tuple[Table, ...]:
        """The tables that people look at."""
        differences = self.differences()
        return (self.table(), differences) if differences.rows else (self.table(),)


class _Cells:
    """Every column of a comparison by its name, and its value for each way."""

    def __init__(self, comparison: Comparison) -> None:
        self.ways = ways = comparison.ways
        self.order = comparison.order
        self.remarks = (*comparison.faults, *comparison.remarks)
        self.base = baselines(ways, comparison.against)
        self.best = {figure.name: best(ways, figure) for figure in FIGURES}
        self._values: dict[str, list[Value]] = {}
        self._put(WAY.name, [place + 1 for place in range(len(ways))])
        for dimension in DIMENSIONS:
            self._put(dimension.name, [dimension.of(way) for way in ways])
        for figure in FIGURES:
            self._put(figure.name, [figure.of(way) for way in ways])
        self._put(OVER_OPTIMAL.name, _over_optimal(ways))
        self._put(BEST.name, [self._bests(place) for place in range(len(ways))])
        self._put(AGAINST.name, [place + 1 for place in self.base])
        for figure in FIGURES:
            if figure.is_number:
                self._put_changes(figure)

    def _put(self, name: str, values: Sequence[Value]) -> None:
        self._values[name] = list(values)

    def _bests(self, place: int) -> str:
        return ", ".join(name for name, places in self.best.items() if place in places)

    def _put_changes(self, figure: Figure) -> None:
        """The change of a figure, and the change as a part of what it was."""
        changes: list[Value] = []
        parts: list[Value] = []
        for way, base in zip(self.ways, self.base, strict=True):
            change = figure.change(way, self.ways[base])
            before = figure.number(self.ways[base])
            changes.append(change)
            parts.append(change / before if change is not None and before else None)
        self._put(f"{figure.name}_change", changes)
        self._put(f"{figure.name}_change_fraction", parts)

    def value(self, name: str, place: int) -> Value:
        """One cell."""
        return self._values[name][place]

    def default(self) -> tuple[str, ...]:
        """What is shown where nobody chooses."""
        names = ["way", *(each.name for each in varying(self.ways))]
        if "module" in self._values["via"]:
            names += _SEED
        elif self.best["fusion_efficiency"]:
            names.append("fusion_efficiency")
        names += _PLAIN
        if any(value is not None for value in self._values["seconds"]):
            names += _TIMED
            names += [_PER_SAMPLE] if self._differ("batch") else []
        names += ["memory_bytes", *(["fits"] if False in self._values["fits"] else [])]
        names += [name for name in _TELLING if any(self._values[name])]
        names += ["over_optimal"] if self._differ("over_optimal") else []
        if self.order != UNSORTED and self.order not in names:
            names.append(self.order)
        return (*names, "best") if any(self._values["best"]) else tuple(names)

    def every(self) -> tuple[str, ...]:
        """All columns, those without a value in any row left out; no two of one name."""
        always = {"way", *(each.name for each in DIMENSIONS if not each.follows)}
        return tuple(
            name
            for name, values in self._values.items()
            if name in always or any(value is not None and value != "" for value in values)
        )

    def changes(self) -> tuple[str, ...]:
        """Columns of changes that people look at first, where they are not 0 throughout."""
        sizes = (*_CHANGES, _PER_SAMPLE) if self._differ("batch") else _CHANGES
        for judged in (sizes, _RATIOS):
            names = [f"{name}_change{part}" for name in judged for part in ("", "_fraction")]
            if found := tuple(name for name in names if any(self._values[name])):
                return found
        return ()

    def _differ(self, name: str) -> bool:
        return len(set(self._values[name])) > 1

    def said(self, names: Sequence[str]) -> tuple[str, ...]:
        """Sentences that belong beside the columns of these names."""
        marked = [name for name, places in self.best.items() if places and BEST.name in names]
        return notes(self.ways, varying(self.ways), self.order, marked, self.remarks)


def _over_optimal(ways: Sequence[Way]) -> list[Value]:
    """Traffic above the least that a search for bytes found for the same graph; None where there is
    no such way, or where that is no bound: for illegal groups and covers.
    """
    found: list[Value] = []
    for way in ways:
        optimum = best_searched(other.plan for other in ways if other.captured == way.captured)
        judged = way.plan.kind == "partition" and not way.plan.illegal_groups
        least = optimum.traffic_bytes if optimum else 0
        found.append(way.plan.traffic_bytes / least - 1 if least and judged else None)
    return found
