"""Figures in the unit that fits them: on a tile, and alike in a whole column of a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fuseline.report.units import telling


@dataclass(frozen=True, slots=True)
class Scale:
    """A unit: how much it is of the bare one, and the decimals that figures in it have."""

    size: float
    unit: str
    decimals: int

    def text(self, value: float) -> str:
        """The figure alone; more decimals where it would read as nothing.

        >>> MEGABYTES.text(524_794_688), MEGABYTES.text(0), MEGABYTES.text(768)
        ('524.79', '0', '0.0008')
        """
        return telling(value / self.size, self.decimals) if value else "0"


MEGABYTES = Scale(1e6, "MB", 2)
_BYTES = (
    Scale(1e12, "TB", 2), Scale(1e9, "GB", 2), MEGABYTES, Scale(1e3, "kB", 2), Scale(1, "B", 0),
)  # fmt: skip
_FLOPS = (
    Scale(1e15, "PFLOP", 3), Scale(1e12, "TFLOP", 3), Scale(1e9, "GFLOP", 3),
    Scale(1e6, "MFLOP", 3), Scale(1e3, "kFLOP", 3), Scale(1, "FLOP", 0),
)  # fmt: skip
_TIMES = (Scale(1.0, "s", 2), Scale(1e-3, "ms", 2), Scale(1e-6, "µs", 1), Scale(1e-9, "ns", 1))


def scale_of_bytes(*values: float) -> Scale:
    """The unit in which the least of these is one or more; 0 fits any.

    >>> scale_of_bytes(13_476_000_000).unit, scale_of_bytes(0, 3_072, 5e9).unit, scale_of_bytes()
    ('GB', 'kB', Scale(size=1, unit='B', decimals=0))
    """
    return _scale(_BYTES, values)


def scale_of_flops(*values: float) -> Scale:
    """The same of FLOPs.

    >>> scale_of_flops(35_127_656_448).text(35_127_656_448), scale_of_flops(768).unit
    ('35.128', 'FLOP')
    """
    return _scale(_FLOPS, values)


def scale_of_seconds(*values: float) -> Scale:
    """The same of seconds.

    >>> scale_of_seconds(0.0005375).text(0.0005375), scale_of_seconds(0.01235).text(0.01235)
    ('537.5', '12.35')
    """
    return _scale(_TIMES, values)


def _scale(scales: tuple[Scale, ...], values: Iterable[float]) -> Scale:
    least = min((abs(value) for value in values if value), default=0.0)
    return next((scale for scale in scales if least >= scale.size), scales[-1])
