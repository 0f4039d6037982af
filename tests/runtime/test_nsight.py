"""Nsight Compute's table, by its documented columns and metrics, joined to groups."""

from __future__ import annotations

import shutil

import pytest

from fuseline.errors import InputError
from fuseline.runtime.nsight import KernelTraffic, join, profile, read_csv

HEAD = (
    '"ID","Process ID","Process Name","Host Name","Kernel Name","Context","Stream","Block Size",'
    '"Grid Size","Device","CC","Section Name","Metric Name","Metric Unit","Metric Value"'
)


def row(number: int, kernel: str, metric: str, unit: str, value: str) -> str:
    return (
        f'"{number}","77","python","host","{kernel}","1","7","(128, 1, 1)","(64, 1, 1)","0","9.0",'
        f'"Command line profiler metrics","{metric}","{unit}","{value}"'
    )


def kernel(number: int, name: str, *values: str, unit: str = "byte") -> str:
    """The rows of one kernel: bytes read and written of device memory, bytes through L2."""
    metrics = ("dram__bytes_read.sum", "dram__bytes_write.sum", "lts__t_bytes.sum")
    return "\n".join(
        row(number, name, metric, unit, value)
        for metric, value in zip(metrics, values, strict=True)
    )


TABLE = "\n".join([
    "==PROF== Connected to process 77",
    "some words of the program",
    "==PROF== Disconnected from process 77",
    HEAD,
    kernel(0, "set_up", "9", "9", "9"),
    kernel(1, "fuseline group 4/gemm", "1,024", "256", "4096"),
    kernel(2, "fuseline group 4/gelu", "64", "32", "128"),
    kernel(3, "fuseline group 12/copy", "1.5", "0.25", "2", unit="Kbyte"),
])  # fmt: skip


def test_kernels_of_marked_ranges_are_read() -> None:
    assert read_csv(TABLE) == (
        KernelTraffic(4, "fuseline group 4/gemm", 1024, 256, 4096),
        KernelTraffic(4, "fuseline group 4/gelu", 64, 32, 128),
        KernelTraffic(12, "fuseline group 12/copy", 1500, 250, 2000),
    )


def test_a_mark_in_a_column_of_its_own_counts() -> None:
    """With `--nvtx` alone the range is a further column."""
    lines = [HEAD + ',"Push/Pop_Range"']
    lines += [f'{line},"fuseline group 3"' for line in kernel(0, "k", "1", "2", "4").splitlines()]
    assert read_csv("\n".join(lines)) == (KernelTraffic(3, "k", 1, 2, 4),)


def test_both_tiers_are_added_up_by_group() -> None:
    found = join(read_csv(TABLE))
    assert sorted(found) == [4, 12]
    assert (found[4].kernels, found[4].dram_nbytes, found[4].l2_nbytes) == (2, 1376, 4224)
    assert (found[12].kernels, found[12].dram_nbytes, found[12].l2_nbytes) == (1, 1750, 2000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("==ERROR== no permission", "no table"),
        (HEAD.replace("Metric Unit", "Unit") + "\n", "no column 'Metric Unit'"),
        (f"{HEAD}\n" + kernel(0, "fuseline group 1", "1", "1", "1", unit="warp"), "not in bytes"),
        (f"{HEAD}\n" + kernel(0, "fuseline group 1", "n/a", "1", "1"), "no figure"),
        (
            f"{HEAD}\n" + row(0, "fuseline group 1", "dram__bytes_read.sum", "byte", "1"),
            "no 'dram__bytes_write.sum'",
        ),
    ],
)
def test_what_is_no_such_table_is_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_csv(text)


@pytest.mark.skipif(shutil.which("ncu") is not None, reason="has Nsight Compute")
def test_without_ncu_there_is_one_line() -> None:
    with pytest.raises(InputError, match=r"\(ncu\) is not on the path"):
        profile(["true"])
