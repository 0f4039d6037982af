"""Figures held against a budget and a baseline: what is over, worse, better, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from fuseline.budgets.baseline import Kept
from fuseline.budgets.difference import Difference, difference
from fuseline.budgets.entries import Entry
from fuseline.budgets.figures import FIGURES, Figure
from fuseline.budgets.measure import Measured
from fuseline.report.rows.rounding import change_of, exceeds
from fuseline.report.rows.table import Measure

Number = int | float


class Verdict(Enum):
    """What is said of one figure."""

    OVER = "over budget"
    WORSE = "worse than the baseline"
    LOST = "told in the baseline, and no longer"
    MISSING = "not told in the baseline: save it again"
    BETTER = "better: the baseline can be lowered"
    TOLERATED = "worse, within tolerance"
    UNASKED = "not compared: searched for only where it has a budget"
    GOOD = "ok"

    @property
    def is_failure(self) -> bool:
        """Whether it fails a check."""
        return self in (Verdict.OVER, Verdict.WORSE, Verdict.LOST, Verdict.MISSING)


@dataclass(frozen=True, slots=True)
class Held:
    """One figure as it is `now`, its `limit`, what the `baseline` has, and the verdict; None where
    there is none. `allowed` is the most that the baseline and its tolerance allow.
    """

    figure: str
    measure: Measure
    now: Number | None
    limit: Number | None
    baseline: Number | None
    allowed: Number | None
    verdicts: tuple[Verdict, ...]

    @property
    def change(self) -> Number | None:
        """`now` less the baseline's."""
        if self.now is None or self.baseline is None:
            return None
        return change_of(self.now, self.baseline)

    @property
    def change_fraction(self) -> float | None:
        """The change as a part of the baseline's figure."""
        return self.change / self.baseline if self.baseline and self.change is not None else None

    @property
    def fails(self) -> bool:
        """Whether it is over budget, worse than it may be, or cannot be compared."""
        return any(verdict.is_failure for verdict in self.verdicts)


@dataclass(frozen=True, slots=True)
class Checked:
    """One entry: its figures, held; and where they differ from a baseline, the kernels that do.

    `is_new` says that there is a baseline, and the entry is not in it.
    """

    measured: Measured
    held: tuple[Held, ...]
    difference: Difference | None
    is_new: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def entry(self) -> Entry:
        """What was checked."""
        return self.measured.entry

    @property
    def fails(self) -> bool:
        """Whether any figure fails."""
        return any(held.fails for held in self.held)


def check(measured: Measured, kept: Kept | None, *, has_baseline: bool) -> Checked:
    """Hold what was measured against its budget, and against `kept` where there is one."""
    held = tuple(
        found for figure in FIGURES if (found := _hold(figure, measured, kept)) is not None
    )
    found = None
    remarks = []
    if kept is not None:
        found = difference(kept.priced, measured.priced)
        if kept.torch != measured.torch:
            remarks.append(
                f"the baseline was captured with torch {kept.torch}, this with {measured.torch}"
            )
        if _asked(kept.entry) != _asked(measured.entry):
            remarks.append("the baseline was captured, partitioned or timed otherwise")
    is_new = has_baseline and kept is None
    return Checked(measured, held, found, is_new, tuple(remarks))


def _asked(entry: Entry) -> object:
    return entry.capture, entry.planning


def _hold(figure: Figure, measured: Measured, kept: Kept | None) -> Held | None:
    """One figure, held; None where neither this model nor the baseline tells it."""
    now = measured.figures[figure.name]
    baseline = kept.figures.get(figure.name) if kept else None
    if now is None and baseline is None:
        return None
    limit = measured.entry.budget.get(figure.name)
    allowed = None
    if baseline is not None:
        allowed = _allowed(baseline, measured.entry.tolerance_of(figure.name))
    verdicts = []
    if now is not None and limit is not None and exceeds(now, limit):
        verdicts.append(Verdict.OVER)
    if now is None or baseline is None:
        verdicts += [_incomparable(figure, now)] if kept else []
    elif allowed is not None and exceeds(now, allowed):
        verdicts.append(Verdict.WORSE)
    elif exceeds(now, baseline):
        verdicts.append(Verdict.TOLERATED)
    elif exceeds(baseline, now):
        verdicts.append(Verdict.BETTER)
    return Held(
        figure.name, figure.measure, now, limit, baseline, allowed,
        tuple(verdicts) or (Verdict.GOOD,),
    )  # fmt: skip


def _incomparable(figure: Figure, now: Number | None) -> Verdict:
    """Of a figure that only one of model and baseline tells."""
    if figure.on_request:
        return Verdict.UNASKED
    return Verdict.LOST if now is None else Verdict.MISSING


def _allowed(baseline: Number, tolerance: float) -> Number:
    """The most that a tolerance allows, exactly; whole where the baseline is.

    >>> _allowed(1_000, 0.0015), _allowed(100, 0.29), _allowed(2**60 + 1, 0.0)
    (1001, 129, 1152921504606846977)
    """
    if not isinstance(baseline, int):
        return baseline + baseline * tolerance
    return baseline + int(baseline * Fraction(str(tolerance)))  # 0.29 is 29/100, as it was written
