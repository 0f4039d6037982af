"""Sizes of memories as people write them."""

from __future__ import annotations

import re
from decimal import Decimal

from fuseline.errors import InputError

_SIZE = re.compile(r"(-?[0-9]{1,18}(?:\.[0-9]{1,18})?)\s*(?:([KMG]?)B?|([KMG])iB)", re.IGNORECASE)
_TOO_MANY = 1 << 63
_SHIFTS = {"": 0, "K": 10, "M": 20, "G": 30}


def parse_size(text: str, what: str = "on-chip memory") -> int:
    """Bytes: a number with a unit, of which each is 2^10 of the one before; KiB is KB. `what` it
    is the size of is said of one that is not positive.

    >>> parse_size("256KB"), parse_size("256KiB"), parse_size("1.5MB"), parse_size("65536")
    (262144, 262144, 1572864, 65536)
    """
    found = _SIZE.fullmatch(text.strip())
    unit = (found[2] or found[3] or "").upper() if found else ""
    nbytes = round(Decimal(found[1]) * (1 << _SHIFTS[unit])) if found else _TOO_MANY
    if nbytes >= _TOO_MANY:
        raise InputError(f"'{text}' is no size: write 65536, 256KB or 24MB")
    if nbytes <= 0:
        raise InputError(f"{what} must be positive, not '{text}'")
    return nbytes


def needed_text(nbytes: int) -> str:
    """Memory that something needs, rounded up to a tenth, so that as much suffices.

    >>> needed_text(96), needed_text(2048), needed_text(18_911_232)
    ('96 bytes', '2.0 KiB', '18.1 MiB')
    >>> parse_size("18.1MiB") >= 18_911_232
    True
    """
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if nbytes >= 1 << shift:
            return f"{-(-nbytes * 10 // (1 << shift)) / 10:.1f} {unit}"
    return f"{nbytes} bytes"
