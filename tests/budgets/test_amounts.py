from __future__ import annotations

import pytest

from fuseline.budgets.amounts import parse_amount
from fuseline.budgets.figures import FIGURES
from fuseline.errors import InputError
from fuseline.report.rows.table import Measure


@pytest.mark.parametrize(
    ("written", "measure", "amount"),
    [
        ("524.794688MB", Measure.BYTES, 524_794_688),
        ("524,794,688", Measure.BYTES, 524_794_688),
        ("1 kB", Measure.BYTES, 1_000),
        ("1KB", Measure.BYTES, 1_000),
        ("1KiB", Measure.BYTES, 1_024),
        ("2 GiB", Measure.BYTES, 2 * 2**30),
        ("12 bytes", Measure.BYTES, 12),
        ("0.3B", Measure.BYTES, 0),
        ("1,500MB", Measure.BYTES, 1_500_000_000),
        ("1_500 kB", Measure.BYTES, 1_500_000),
        ("1e3", Measure.BYTES, 1_000),
        ("1e+3 B", Measure.BYTES, 1_000),
        ("9223372036854775807", Measure.BYTES, 2**63 - 1),
        (7, Measure.BYTES, 7),
        ("35.127656448 GFLOP", Measure.FLOPS, 35_127_656_448),
        ("2T", Measure.FLOPS, 2 * 10**12),
        ("850us", Measure.SECONDS, 0.00085),
        ("850 \u00b5s", Measure.SECONDS, 0.00085),
        (0.00085, Measure.SECONDS, 0.00085),
        (1, Measure.SECONDS, 1.0),
        ("1.5ms", Measure.SECONDS, 0.0015),
        ("0.5%", Measure.FRACTION, 0.005),
        (0, Measure.COUNT, 0),
        ("12", Measure.COUNT, 12),
    ],
)
def test_amounts_as_written(written: object, measure: Measure, amount: float) -> None:
    found = parse_amount(written, measure)
    assert found == amount
    assert isinstance(found, int) is measure.is_whole


@pytest.mark.parametrize(
    ("written", "measure", "message"),
    [
        ("12 apples", Measure.BYTES, "'12 apples' is no size: write 524794688 (bytes), '524.8MB'"),
        ("MB", Measure.BYTES, "'MB' is no size"),
        ("-1MB", Measure.BYTES, "'-1MB' is no size"),
        (-1, Measure.COUNT, "-1 is no count: write 63"),
        (1.5, Measure.COUNT, "1.5 is no count"),
        (True, Measure.COUNT, "True is no count"),
        (float("nan"), Measure.SECONDS, "nan is no time"),
        (float("inf"), Measure.SECONDS, "inf is no time"),
        ("5MB", Measure.SECONDS, "'5MB' is no time: write 0.00055 (seconds), '0.55ms' or '550us'"),
        ([1], Measure.FRACTION, "[1] is no fraction: write 0.05 or '5%'"),
        ("1 mflop", Measure.BYTES, "'1 mflop' is no size"),
        ("1,5MB", Measure.BYTES, "'1,5MB' is no size"),
        ("12,34,567", Measure.BYTES, "'12,34,567' is no size"),
        ("1,5", Measure.SECONDS, "'1,5' is no time"),
        ("nan", Measure.SECONDS, "'nan' is no time"),
        ("1e400 s", Measure.SECONDS, "'1e400 s' is no time"),
        ("1e9999999", Measure.BYTES, "'1e9999999' is no size"),
        ("1e99999999999999999999", Measure.FLOPS, "is no number of FLOPs"),
        ("9223372036854775808", Measure.BYTES, "'9223372036854775808' is no size"),
        (2**64, Measure.BYTES, "so large a number is no size"),
    ],
)
def test_what_is_no_amount_is_refused(written: object, measure: Measure, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_amount(written, measure)
    assert message in str(caught.value)


def test_every_figure_can_be_written() -> None:
    assert all(parse_amount(1, figure.measure) == 1 for figure in FIGURES)
