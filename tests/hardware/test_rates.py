"""Measured rates: read from a device file, refused in one line, worked out by hand."""

from __future__ import annotations

import pytest

from fuseline.errors import InputError
from fuseline.hardware import Device, KernelClass
from fuseline.hardware.load import parse_device
from fuseline.hardware.rates import RATE_KEYS, Amounts
from fuseline.hardware.rows import RATE_COLUMNS, rate_line

HEAD = """\
name = "my-cpu"
title = "My CPU"
vendor = "Me"
kind = "cpu"
architecture = "First"
year = 2026

[sources.bench]
title = "My bench"
date = "2026-10-31"

[matrix_ops_per_second]
float32 = { value = 1e11, source = "bench" }

[memory]
bandwidth_bytes_per_second = { value = 1e10, source = "bench" }

[launch]
eager_seconds = { value = 1e-6, source = "bench" }
graph_seconds = { value = 1e-6, source = "bench" }
"""
ROW = """
[[rates]]
kernel = "linear"
dtype = "float32"
launch_seconds = 1e-5
flops_per_second = 1e11
other_flops_per_second = 1e9
rows_per_second = 1e6
reads_bytes_per_second = 1e10
parameters_bytes_per_second = 5e9
writes_bytes_per_second = 2e9
far_bytes_per_second = 1e9
near_nbytes = 4000
source = "bench"
note = "fitted"
"""


def parsed(text: str) -> Device:
    return parse_device(text.encode(), "my.toml")


def test_a_row_is_read_and_found_by_class_and_dtype() -> None:
    device = parsed(HEAD + ROW)
    rate = device.find_rate(KernelClass.LINEAR, "float32")
    assert rate is not None
    assert (rate.launch_seconds, rate.flops_per_second, rate.near_nbytes) == (1e-5, 1e11, 4000)
    assert (rate.source.title, rate.note) == ("My bench", "fitted")
    assert device.find_rate(KernelClass.LINEAR, "bfloat16") is None
    assert device.find_rate(KernelClass.MATMUL, "float32") is None
    assert parsed(HEAD).rates == ()


def test_every_term_by_hand() -> None:
    rate = parsed(HEAD + ROW).rates[0]
    amounts = Amounts(200_000, 1000, 3, reads=2000, parameters=2000, writes=1000)
    # 200000 / 1e11 = 2 us; 1000 / 1e9 + 3 / 1e6 = 4 us
    assert rate.work_seconds(amounts) == pytest.approx((2e-6, 4e-6))
    # 2000 / 1e10 + 2000 / 5e9 + 1000 / 2e9 = 0.2 + 0.4 + 0.5 us; 5000 - 4000 far bytes: 1 us
    assert rate.memory_seconds(amounts) == pytest.approx(2.1e-6)
    assert rate.seconds(amounts) == pytest.approx(18.1e-6)  # and 10 us to launch


def test_a_row_as_text() -> None:
    rate = parsed(HEAD + ROW.replace("rows_per_second = 1e6\n", "")).rates[0]
    assert rate_line(rate) == (
        "linear", "float32", "10.0", "100", "1", "-", "10", "5", "2", "1",
    )  # fmt: skip
    assert len(RATE_COLUMNS) == len(RATE_KEYS) + 3
    assert rate.figures() == tuple(getattr(rate, key) for key in RATE_KEYS)


def test_a_rate_that_is_not_given_costs_nothing() -> None:
    text = "\n".join(line for line in ROW.splitlines() if "_per_second" not in line)
    rate = parsed(HEAD + text).rates[0]
    assert rate.flops_per_second is None
    assert rate.seconds(Amounts(10**9, 10**9, 10**9, 10**9, 10**9, 10**9)) == 1e-5


@pytest.mark.parametrize(
    ("was", "put", "said"),
    [
        ('"linear"', '"liner"', "rates[0].kernel is 'liner', no class of kernels: did you mean"),
        ('"float32"\nlaunch', '"fp32"\nlaunch', "rates[0].dtype is 'fp32', no dtype of torch"),
        ("launch_seconds = 1e-5\n", "", "rates[0].launch_seconds is missing"),
        ("launch_seconds = 1e-5", "launch_seconds = 10", "is 10, outside 0 to 1"),
        ("near_nbytes = 4000\n", "", "rates[0].near_nbytes is missing: far bytes are those"),
        ("flops_per_second = 1e11", "flops_per_second = 100", "is that another unit?"),
        ("reads_bytes_per_second", "reads_gb", "reads_gb is unknown: did you mean 'reads_bytes"),
        ('source = "bench"\nnote', 'source = "bank"\nnote', "rates[0].source is 'bank', not in"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_row_is_named(was: str, put: str, said: str) -> None:
    assert was in ROW
    with pytest.raises(InputError) as raised:
        parsed(HEAD + ROW.replace(was, put, 1))
    assert said in str(raised.value)
    assert str(raised.value).startswith("'my.toml': rates[0]")


def test_two_rows_of_one_class_and_dtype_are_refused() -> None:
    with pytest.raises(InputError, match="second row of linear in float32"):
        parsed(HEAD + ROW + ROW)


def test_rates_that_are_no_list_of_tables_are_refused() -> None:
    with pytest.raises(InputError, match=r"rates is not a list of tables, \[\[rates\]\] each"):
        parsed("rates = 3\n" + HEAD)
