"""Sizes as they are written on the command line."""

from __future__ import annotations

import re

from fuseline.errors import InputError

_UNITS = {"": 1, "B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


def parse_size(text: str) -> int:
    """Bytes: a number with a unit, of which each is 2^10 of the one before.

    >>> parse_size("256KB"), parse_size("1.5MB"), parse_size("65536")
    (262144, 1572864, 65536)
    """
    found = re.fullmatch(r"(-?[0-9]+(?:\.[0-9]+)?)\s*([KMG]?B?)", text.strip(), re.IGNORECASE)
    unit = found[2].upper() if found else ""
    unit += "B" if unit in ("K", "M", "G") else ""
    if found is None or unit not in _UNITS:
        raise InputError(f"'{text}' is no size: write 65536, 256KB or 24MB")
    nbytes = round(float(found[1]) * _UNITS[unit])
    if nbytes <= 0:
        raise InputError(f"on-chip memory must be positive, not '{text}'")
    return nbytes
