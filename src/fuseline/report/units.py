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
    """Part of whole with one decimal, or as many as tell it from none and from all; a dash where
    there is no whole.

    >>> percent(87_146_496, 568_374_080), percent(1, 0)
    ('15.3%', '-')
    >>> percent(1, 10_000), percent(9_999, 10_000), percent(0, 7)
    ('0.01%', '99.99%', '0.0%')
    """
    return f"{telling(100 * part / whole, 1, apart_from=(0.0, 100.0))}%" if whole else "-"


def telling(value: float, decimals: int, *, apart_from: tuple[float, ...] = (0.0,)) -> str:
    """A figure with so many decimals, or as many more as it takes not to look like one of
    `apart_from` where it is none of them; at most twelve.

    >>> telling(0.00123, 1), telling(0.0, 1), telling(12.345, 1)
    ('0.001', '0.0', '12.3')
    """
    for places in range(decimals, 13):
        text = f"{value:,.{places}f}"
        if value in apart_from or float(text.replace(",", "")) not in apart_from:
            return text
    return f"{value:.3g}"


def fraction(value: float) -> str:
    """A part of 1 as a percentage with two decimals, or as many as tell it from none.

    >>> fraction(0.0523), fraction(0.000001), fraction(0)
    ('5.23%', '0.0001%', '0.00%')
    """
    return f"{telling(100 * value, 2)}%"


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

    >>> count_of(1, "group"), count_of(1334, "launch", "es")
    ('1 group', '1,334 launches')
    """
    return f"{count:,} {noun}" + ("" if count == 1 else plural)


def intensity(value: float) -> str:
    """FLOP a byte with two decimals."""
    return f"{value:,.2f}"


def microseconds(seconds: float) -> str:
    """Seconds as microseconds with one decimal, or as many as tell them from none.

    >>> microseconds(0.00123456), microseconds(2.3e-9), microseconds(0)
    ('1,234.6', '0.002', '0.0')
    """
    return telling(seconds * 1e6, 1)


_SIZES = ((10**10, 10**9, "GB"), (10**6, 10**6, "MB"), (10**3, 10**3, "kB"))
_TIMES = ((1.0, 1.0, "s", 3), (1e-3, 1e-3, "ms", 3), (0.0, 1e-6, "µs", 1))


def size_in_words(nbytes: int) -> str:
    """Bytes in the unit that suits a sentence: MB from one to ten thousand of them.

    >>> size_in_words(507_855_680), size_in_words(18_209_320_960), size_in_words(434_280)
    ('507.86 MB', '18.21 GB', '434.28 kB')
    >>> size_in_words(640)
    '640 bytes'
    """
    for least, unit, name in _SIZES:
        if abs(nbytes) >= least:
            return f"{nbytes / unit:,.2f} {name}"
    return count_of(nbytes, "byte")


def time_in_words(seconds: float) -> str:
    """Seconds in the unit that suits a sentence.

    >>> time_in_words(537.5e-6), time_in_words(7.2939e-3), time_in_words(2.5), time_in_words(0)
    ('537.5 µs', '7.294 ms', '2.500 s', '0.0 µs')
    """
    least, unit, name, decimals = next(row for row in _TIMES if seconds >= row[0])
    del least
    return f"{telling(seconds / unit, decimals)} {name}"
