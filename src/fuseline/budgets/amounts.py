"""Amounts as a budget writes them: a number, or text with a unit.

Units are decimal, as in reports: 1 MB is 1,000,000 bytes. KiB, MiB and GiB are 2^10, 2^20 and 2^30.
"""

from __future__ import annotations

import re
from decimal import Decimal

from fuseline.errors import InputError
from fuseline.report.rows.table import Measure

_NUMBER = re.compile(
    r"((?:[0-9]{1,3}(?:[_,][0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)\s*(\D*)", re.IGNORECASE
)
"""Commas part thousands: in '1,5MB' one would be a decimal point, and it is refused."""

_MOST = 2**63 - 1
"""Of any amount: JSON holds no larger whole number."""

_PREFIXES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
_BINARY = {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}

_UNITS: dict[Measure, dict[str, Decimal]] = {
    Measure.COUNT: {"": Decimal(1)},
    Measure.BYTES: {
        **{f"{prefix}b": Decimal(size) for prefix, size in _PREFIXES.items()},
        **{name: Decimal(size) for name, size in _BINARY.items()},
        "": Decimal(1),
        "bytes": Decimal(1),
    },
    Measure.FLOPS: {
        f"{prefix}{word}": Decimal(size)
        for prefix, size in _PREFIXES.items()
        for word in ("", "flop", "flops")
    },
    Measure.SECONDS: {
        "": Decimal(1),
        "s": Decimal(1),
        "ms": Decimal("1e-3"),
        "us": Decimal("1e-6"),
        "\u00b5s": Decimal("1e-6"),  # micro sign
        "\u03bcs": Decimal("1e-6"),  # the Greek letter
        "ns": Decimal("1e-9"),
    },
    Measure.FRACTION: {"": Decimal(1), "%": Decimal("0.01")},
}

_EXAMPLES = {
    Measure.COUNT: "63",
    Measure.BYTES: "524794688 (bytes), '524.8MB' or '500MiB'",
    Measure.FLOPS: "35127656448 or '35.2GFLOP'",
    Measure.SECONDS: "0.00055 (seconds), '0.55ms' or '550us'",
    Measure.FRACTION: "0.05 or '5%'",
}


def parse_amount(value: object, measure: Measure) -> int | float:
    """An amount that is at least 0: whole for counts, bytes and FLOPs (a part is cut off).

    Raises `InputError` with what may be written instead.

    >>> parse_amount("524.8MB", Measure.BYTES), parse_amount("1.5 KiB", Measure.BYTES)
    (524800000, 1536)
    >>> parse_amount("35.2 GFLOP", Measure.FLOPS), parse_amount("550us", Measure.SECONDS)
    (35200000000, 0.00055)
    >>> parse_amount("5%", Measure.FRACTION), parse_amount(63, Measure.COUNT)
    (0.05, 63)
    """
    try:
        amount = _exact(value, measure)
        fits = amount is not None and 0 <= amount <= _MOST
    except ArithmeticError:  # no number, or an exponent of a million digits
        amount, fits = None, False
    if amount is None or not fits:
        raise InputError(f"{_shown(value)} is no {_NOUNS[measure]}: write {_EXAMPLES[measure]}")
    return int(amount) if measure.is_whole else float(amount)


_NOUNS = {
    Measure.COUNT: "count",
    Measure.BYTES: "size",
    Measure.FLOPS: "number of FLOPs",
    Measure.SECONDS: "time",
    Measure.FRACTION: "fraction",
}


def _exact(value: object, measure: Measure) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, float) and not measure.is_whole:
        return Decimal(str(value))
    if not isinstance(value, str):
        return None
    found = _NUMBER.fullmatch(value.strip())
    unit = _UNITS[measure].get(found[2].strip().lower()) if found else None
    if found is None or unit is None:
        return None
    return Decimal(re.sub("[_,]", "", found[1])) * unit


def _shown(value: object) -> str:
    if isinstance(value, int) and abs(value) > _MOST:
        return "so large a number"
    return f"'{value}'" if isinstance(value, str) else f"{value!r}"
