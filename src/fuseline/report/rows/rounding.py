"""Figures that are compared: whole numbers exactly, others but for what floats round.

The same seconds added up in another order differ in their last digits; that makes nothing better.
"""

from __future__ import annotations

_ROUNDING = 1e-9
"""Of the larger of two figures, unless both are whole: less than this part is no difference."""


def alike(one: float, other: float) -> bool:
    """Whether two figures are the same.

    >>> alike(0.1 + 0.2, 0.3), alike(0.3, 0.31), alike(10**18, 10**18 + 1)
    (True, False, False)
    """
    if isinstance(one, int) and isinstance(other, int):
        return one == other
    return abs(one - other) <= _ROUNDING * max(abs(one), abs(other))


def exceeds(value: float, limit: float) -> bool:
    """Whether a figure is above a limit, and not by rounding alone.

    >>> exceeds(0.1 + 0.2, 0.3), exceeds(64, 63)
    (False, True)
    """
    return value > limit and not alike(value, limit)


def change_of(value: float, before: float) -> float:
    """A figure less what it was before; nothing where they are alike.

    >>> change_of(0.1 + 0.2, 0.3), change_of(64, 63)
    (0.0, 1)
    """
    if alike(value, before):
        return 0 if isinstance(value, int) and isinstance(before, int) else 0.0
    return value - before
