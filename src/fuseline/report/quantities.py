"""Figures as a picture or a chart has room for: three digits, with a decimal prefix."""

from __future__ import annotations

_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_ROUNDS_UP = 0.9995  # from here on three digits would read as a thousand of the smaller unit


def scaled(value: float, unit: str) -> str:
    """A figure with the prefix that fits.

    >>> scaled(3.35e12, "B/s"), scaled(524_787_840, "B"), scaled(0, "B"), scaled(999_600, "B")
    ('3.35 TB/s', '525 MB', '0 B', '1.00 MB')
    """
    for size, prefix in _PREFIXES:
        if abs(value) >= size * _ROUNDS_UP:
            return f"{_digits(value / size)} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def duration(seconds: float) -> str:
    """Seconds in the unit that fits.

    >>> duration(1.2345e-6), duration(0.0123), duration(2.0), duration(4e-9), duration(0.0)
    ('1.23 µs', '12.3 ms', '2.00 s', '4.00 ns', '0 s')
    """
    for size, unit in _TIMES:
        if seconds >= size * _ROUNDS_UP:
            return f"{_digits(seconds / size)} {unit}"
    return f"{_digits(seconds * 1e9)} ns" if seconds else "0 s"


def _digits(value: float) -> str:
    """Three digits, zeros too.

    >>> [_digits(value) for value in (5.25, 9.514, 9.996, 52.49, 99.96, 525.4)]
    ['5.25', '9.51', '10.0', '52.5', '100', '525']
    """
    decimals = sum(abs(value) < least for least in (9.995, 99.95))
    return f"{value:,.{decimals}f}"
