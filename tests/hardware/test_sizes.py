from __future__ import annotations

import pytest

from fuseline.errors import InputError
from fuseline.hardware.sizes import parse_size


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("65536", 65_536),
        ("256KB", 262_144),
        ("256 kib", 262_144),
        ("256k", 262_144),
        ("24MB", 25_165_824),
        ("24MiB", 25_165_824),
        ("1.5GB", 1_610_612_736),
    ],
)
def test_units_are_powers_of_two(text: str, nbytes: int) -> None:
    assert parse_size(text) == nbytes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("much", "'much' is no size: write 65536, 256KB or 24MB"),
        ("1,5MB", "'1,5MB' is no size"),
        ("1e5", "'1e5' is no size"),
        ("3iB", "'3iB' is no size"),
        ("9" * 18 + "GB", "is no size"),
        ("9" * 40, "is no size"),
        ("0", "on-chip memory must be positive, not '0'"),
        ("-3MB", "on-chip memory must be positive, not '-3MB'"),
    ],
)
def test_what_is_no_size_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_size(text)
    assert message in str(caught.value)
