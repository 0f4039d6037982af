"""What repeats in a sequence: runs of equal neighbours, one by one or several at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_LONGEST = 256  # a period longer than this is not looked for: work grows with it


@dataclass(frozen=True, slots=True)
class Run:
    """`count` times `period` entries from `start` on, each time the same; once: nothing repeats."""

    start: int
    period: int
    count: int


def find_runs(numbers: Sequence[int]) -> tuple[Run, ...]:
    """Cut a sequence, from left to right, into runs: at each place the one that covers most, the
    shorter period first.

    >>> [(run.start, run.period, run.count) for run in find_runs([7, 1, 2, 1, 2, 1, 2, 5])]
    [(0, 1, 1), (1, 2, 3), (7, 1, 1)]
    >>> [(run.period, run.count) for run in find_runs([1, 1, 2, 1, 1, 2])]
    [(3, 2)]
    """
    total = len(numbers)
    periods = range(1, min(total // 2, _LONGEST) + 1)
    alike = _alike(np.asarray(numbers), periods)
    runs: list[Run] = []
    start = 0
    while start < total:
        best = Run(start, 1, 1)
        for period in periods:
            if start + 2 * period > total:
                break
            count = int(alike[period - 1][start]) // period + 1
            if count > 1 and period * count > best.period * best.count:
                best = Run(start, period, count)
        runs.append(best)
        start += best.period * best.count
    return tuple(runs)


def _alike(numbers: npt.NDArray[np.int64], periods: range) -> list[npt.NDArray[np.int64]]:
    """For each period and place: how many entries from there on equal the one a period later."""
    found = []
    for period in periods:
        differs = np.flatnonzero(numbers[:-period] != numbers[period:])
        ends = np.append(differs, len(numbers) - period)
        places = np.arange(len(numbers) - period)
        found.append(ends[np.searchsorted(ends, places)] - places)
    return found
