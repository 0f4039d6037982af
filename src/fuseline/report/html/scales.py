"""Figures in the unit that fits them: on a tile, and alike in a whole column of a table.

Units go on as those of a report's sentences do (`units.size_in_words`, `units.time_in_words`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fuseline.report.units import telling


@dataclass(frozen=True, slots=True)
class Scale:
    """A unit: how much it is of the bare one, from which figure on it suits, and how many decimals
    figures in it have.
    """

    size: float
    least: float
    unit: str
    decimals: int

    def text(self, value: float) -> str:
        """The figure alone; more decimals where it would read as nothing.

        >>> scale = scale_of_bytes(524_794_688)
        >>> scale.text(524_794_688), scale.text(0), scale.text(768)
        ('524.79', '0', '0.001')
        """
        return telling(value / self.size, self.decimals) if value else "0"

    def whole(self, value: float) -> str:
        """The figure with its unit.

        >>> scale_of_bytes(768).whole(768)
        '768 B'
        """
        return f"{self.text(value)} {self.unit}"


_BYTES = (
    Scale(1e12, 1e13, "TB", 2), Scale(1e9, 1e10, "GB", 2), Scale(1e6, 1e6, "MB", 2),
    Scale(1e3, 1e3, "kB", 2), Scale(1, 0, "B", 0),
)  # fmt: skip
_FLOPS = (
    Scale(1e15, 1e15, "PFLOP", 3), Scale(1e12, 1e12, "TFLOP", 3), Scale(1e9, 1e9, "GFLOP", 3),
    Scale(1e6, 1e6, "MFLOP", 3), Scale(1e3, 1e3, "kFLOP", 3), Scale(1, 0, "FLOP", 0),
)  # fmt: skip
_TIMES = (Scale(1.0, 1.0, "s", 3), Scale(1e-3, 1e-3, "ms", 3), Scale(1e-6, 0, "µs", 1))


def scale_of_bytes(*values: float) -> Scale:
    """The unit that suits the least of these; 0 fits any.

    >>> [scale_of_bytes(*values).unit for values in ((13_476_000_000,), (0, 3_072, 5e9), ())]
    ['GB', 'kB', 'B']
    """
    return _scale(_BYTES, values)


def scale_of_flops(*values: float) -> Scale:
    """The same of FLOPs.

    >>> scale_of_flops(35_127_656_448).whole(35_127_656_448), scale_of_flops(768).unit
    ('35.128 GFLOP', 'FLOP')
    """
    return _scale(_FLOPS, values)


def scale_of_seconds(*values: float) -> Scale:
    """The same of seconds.

    >>> scale_of_seconds(0.0005375).whole(0.0005375), scale_of_seconds(0.01235).whole(0.01235)
    ('537.5 µs', '12.350 ms')
    """
    return _scale(_TIMES, values)


def _scale(scales: tuple[Scale, ...], values: Iterable[float]) -> Scale:
    least = min((abs(value) for value in values if value), default=0.0)
    return next(scale for scale in scales if least >= scale.least)
