"""What colour stands for what bounds a kernel: the same in pictures, charts and pages.

Told apart by people who are colour-blind (after Paul Tol's and Okabe and Ito's palettes), and
never alone: a legend or a word says the same. `SOFT` fills lie behind black text; `STRONG` marks
stand on a light or a dark ground.
"""

from __future__ import annotations

from math import isinf

from fuseline.costs import BANDS

SOFT = {
    "compute": "#EE8866",
    "vector": "#BBCC33",
    "bandwidth": "#77AADD",
    "launch": "#EEDD88",
    "unknown": "#DDDDDD",
    "besides": "#C9B7D9",
    "compute-bound": "#EE8866",
    "balanced": "#BBCC33",
    "memory-bound": "#99DDFF",
    "bandwidth-bound": "#77AADD",
}
"""By bottleneck on a device, and by intensity band where there is none. `besides`: of kernels that
compute no op only the bytes are known.
"""

STRONG = {
    "compute": "#D55E00",
    "vector": "#8E9E1F",
    "bandwidth": "#2F7FC1",
    "launch": "#C99700",
    "unknown": "#888888",
    "besides": "#9277AD",
    "compute-bound": "#D55E00",
    "balanced": "#8E9E1F",
    "memory-bound": "#3FA7C8",
    "bandwidth-bound": "#2F7FC1",
}
"""The same, for points and bars."""


def _between(above: float, most: float) -> str:
    """A band of intensities in words.

    >>> _between(0.0, 1.0), _between(1.0, 10.0), _between(50.0, float("inf"))
    ('up to 1 FLOP/byte', '1 to 10 FLOP/byte', 'above 50 FLOP/byte')
    """
    if isinf(most):
        return f"above {above:g} FLOP/byte"
    return f"{above:g} to {most:g} FLOP/byte" if above else f"up to {most:g} FLOP/byte"


MEANING = {
    "compute": "bound by contractions",
    "vector": "bound by other arithmetic",
    "bandwidth": "bound by memory bandwidth",
    "launch": "bound by its launch",
    "unknown": "not known",
    "besides": "kernels of no op",
} | {band.value: _between(above, most) for band, above, most in BANDS}
"""What a legend says of each."""
