"""What colour stands for what bounds a kernel: the same in pictures, charts and pages.

Told apart by people who are colour-blind (after Paul Tol's and Okabe and Ito's palettes), and
never alone: a legend or a word says the same. `SOFT` fills lie behind black text; `STRONG` marks
stand on a light or a dark ground.
"""

from __future__ import annotations

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

MEANING = {
    "compute": "bound by contractions",
    "vector": "bound by other arithmetic",
    "bandwidth": "bound by memory bandwidth",
    "launch": "bound by its launch",
    "unknown": "not known",
    "besides": "kernels of no op",
    "compute-bound": "above 50 FLOP/byte",
    "balanced": "10 to 50 FLOP/byte",
    "memory-bound": "1 to 10 FLOP/byte",
    "bandwidth-bound": "up to 1 FLOP/byte",
}
"""What a legend says of each."""
