"""Figures as people read them. Units are decimal: 1 MB is 1,000,000 bytes."""

from __future__ import annotations


def megabytes(nbytes: int) -> str:
    """Bytes in MB: two decimals, or exact below one MB.

    >>> megabytes(481_227_584), megabytes(3_072), megabytes(0)
    ('481.23', '0.003072', '0')
    """
    if not nbytes:
        return "0"
    return f"{nbytes / 1e6:,.2f}" if abs(nbytes) >= 1e6 else f"{nbytes / 1e6:.6f}"  # noqa: PLR2004


def giga(flops: int) -> str:
    """FLOPs in GFLOP: three decimals, or exact below one MFLOP.

    >>> giga(35_127_656_448), giga(768), giga(0)
    ('35.128', '0.000000768', '0')
    """
    if not flops:
        return "0"
    return f"{flops / 1e9:,.3f}" if flops >= 1e6 else f"{flops / 1e9:.9f}"  # noqa: PLR2004


def percent(part: float, whole: float) -> str:
    """Part of whole with one decimal; a dash where there is no whole.

    >>> percent(87_146_496, 568_374_080), percent(1, 0)
    ('15.3%', '-')
    """
    return f"{100 * part / whole:.1f}%" if whole else "-"


def ratio(value: float) -> str:
    """A factor with two decimals.

    >>> ratio(216 / 156)
    '1.38x'
    """
    return f"{value:.2f}x"


def at_least(figure: str, unknown_ops: int) -> str:
    """A figure that leaves unknown ops out says so.

    >>> at_least("0.5", 0), at_least("0.5", 2)
    ('0.5', '>= 0.5 + 2 unknown')
    """
    return f">= {figure} + {unknown_ops} unknown" if unknown_ops else figure


def count_of(count: int, noun: str, plural: str = "s") -> str:
    """A count with its noun.

    >>> count_of(1, "group"), count_of(2, "launch", "es")
    ('1 group', '2 launches')
    """
    return f"{count} {noun}" + ("" if count == 1 else plural)


def intensity(value: float) -> str:
    """FLOP a byte with two decimals."""
    return f"{value:,.2f}"


def microseconds(seconds: float) -> str:
    """Seconds as microseconds with one decimal.

    >>> microseconds(0.00123456)
    '1,234.6'
    """
    return f"{seconds * 1e6:,.1f}"
