"""Rates from measurements: the terms that come nearest to the seconds measured.

    least over rates >= 0 of    sum over measurements of |predicted / measured - 1|

A linear programme, solved by HiGHS. Relative errors let a kernel of 5 us weigh as one of 5 ms;
their sum, not their squares, keeps one disturbed measurement from bending the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from fuseline.hardware.rates import Amounts

_SECONDS_A_UNIT = 1e-9
"""Columns are in nanoseconds a FLOP or byte and microseconds a launch, near 1 for the solver."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one kernel does, and the seconds it took."""

    amounts: Amounts
    seconds: float


@dataclass(frozen=True, slots=True)
class Fit:
    """The terms of a row: seconds a launch, and a FLOP or byte of each sort in the order of
    `RATE_KEYS`, 0 for a free one.

    `median_error` is that of the relative errors over the samples.
    """

    launch_seconds: float
    seconds_each: tuple[float, ...]
    median_error: float


def fit(samples: Sequence[Sample], near_nbytes: int) -> Fit:
    """The row for these samples, of which there is at least one.

    >>> moved = [Amounts(0, 0, 0, n, 0, n) for n in (1000, 2000, 4000)]
    >>> row = fit([Sample(a, 1e-6 + a.reads * 2e-9) for a in moved], 10_000)
    >>> f"{row.launch_seconds:.1e} {sum(row.seconds_each):.1e} {row.median_error:.2f}"
    '1.0e-06 2.0e-09 0.00'
    """
    columns = [_columns(sample, near_nbytes) for sample in samples]
    values = _least_relative_errors(columns)
    errors = [abs(sum(c * v for c, v in zip(row, values, strict=True)) - 1) for row in columns]
    launch, *each = (value * _SECONDS_A_UNIT for value in values)
    return Fit(launch * 1e3, tuple(each), median(errors))


def _columns(sample: Sample, near_nbytes: int) -> tuple[float, ...]:
    """Each term at a rate of 1, as a share of the seconds measured."""
    unit = _SECONDS_A_UNIT / sample.seconds
    return tuple(amount * unit for amount in (1e3, *sample.amounts.terms(near_nbytes)))


def _least_relative_errors(rows: Sequence[Sequence[float]]) -> list[float]:
    """x >= 0 that makes the sum of |row . x - 1| least."""
    import highspy

    model = highspy.Highs()
    model.setOptionValue("output_flag", False)  # noqa: FBT003 - HiGHS takes values by place
    model.setOptionValue("threads", 1)
    x = [model.addVariable(lb=0.0) for _ in rows[0]]
    errors = []
    for row in rows:
        over, under = model.addVariable(lb=0.0, obj=1.0), model.addVariable(lb=0.0, obj=1.0)
        predicted = sum(share * variable for share, variable in zip(row, x, strict=True))
        model.addConstr(predicted - over + under == 1.0)
        errors.append((over, under))
    model.minimize()
    return [max(0.0, float(model.variableValue(variable))) for variable in x]
