"""Devices as people read them."""

from __future__ import annotations

from dataclasses import replace

from fuseline.hardware import DEVICES, load_device
from fuseline.hardware.rows import (
    COLUMNS,
    FIGURE_COLUMNS,
    count_read,
    device_line,
    device_row,
    figure_line,
    runs_lines,
    source_text,
    sources_of,
    value_text,
)


def test_a_device_in_one_line() -> None:
    assert dict(zip(COLUMNS, device_line(device_row(load_device("t4"))), strict=True)) == {
        "device": "t4", "fp32": "8.1", "tf32": "-", "bf16": "8.1*", "fp16": "65.0", "fp8": "-",
        "int8": "130.0", "GB/s": "320.0", "GB": "16.0", "LLC MB": "4", "ridge": "203 fp16",
    }  # fmt: skip


def test_a_stand_in_is_starred() -> None:
    row = device_row(load_device("tpu-v5e"))
    assert row.stand_ins == ("float32",)
    assert device_line(row)[1] == "197.0*"


def test_a_device_of_integers_has_a_ridge_of_integers() -> None:
    row = device_row(load_device("hailo-8"))
    assert row.ridge_dtype == "int8"
    assert row.peaks["float32"] is None
    assert (row.memory_nbytes, row.cache_nbytes) == (None, None)
    assert device_line(row)[-4:] == ("3.9", "-", "-", "6,602 int8")


def test_ridges_recompute_from_the_row() -> None:
    for name in DEVICES:
        row = device_row(load_device(name))
        peak = row.peaks[row.ridge_dtype]
        assert peak is not None
        assert row.ridge_flops_per_byte == peak / row.bandwidth_bytes_per_second


def test_figures_with_their_units() -> None:
    texts = {(figure.table, figure.key): value_text(figure) for figure in load_device("t4").figures}
    assert texts["matrix_ops_per_second", "int8"] == "130 TOP/s"
    assert texts["matrix_ops_per_second", "float16"] == "65 TFLOP/s"
    assert texts["memory", "capacity_nbytes"] == "16 GB"
    assert texts["cache", "capacity_nbytes"] == "4 MiB"
    assert texts["cache", "bandwidth_bytes_per_second"] == "1,270 GB/s"
    assert texts["on_chip", "cores"] == "40"
    assert texts["on_chip", "clock_hertz"] == "1.59 GHz"
    assert texts["on_chip", "shared_nbytes_per_core"] == "96 KiB"
    assert texts["launch", "eager_seconds"] == "5 us"


def test_a_figure_is_said_with_basis_source_and_place() -> None:
    figure = load_device("h100-sxm").find("cache", "capacity_nbytes")
    assert figure is not None
    assert dict(zip(FIGURE_COLUMNS, figure_line(figure), strict=True)) == {
        "figure": "cache.capacity_nbytes", "value": "50 MiB", "basis": "published",
        "source": "hopper (2023-03)", "note": "50 MB",
    }  # fmt: skip


def test_how_contractions_run() -> None:
    lines = {line[0]: line[1:] for line in runs_lines(load_device("a100-80gb-sxm"))}
    assert lines["float32, tf32 allowed"] == ("156 TFLOP/s", "tfloat32 on matrix units")
    assert lines["int4"] == ("1,248 TOP/s", "int4 on matrix units")
    assert "float8" not in lines
    assert "float32, tf32 allowed" not in {line[0] for line in runs_lines(load_device("t4"))}


def test_a_source_says_whether_it_was_read() -> None:
    sources = {source.key: source for source in sources_of(load_device("tpu-v5e"))}
    assert set(sources) == {"tpu-v5e", "scaling-book", "assumption", "jax-precision"}
    assert source_text(sources["tpu-v5e"]).endswith("(read: the page itself, 2026-11)")
    assert source_text(replace(sources["tpu-v5e"], checked="")).endswith("(cited, not read)")
    assert source_text(sources["assumption"]) == (
        "assumption: An assumption of this catalogue, 2026-11"
    )


def test_every_figure_is_counted_once() -> None:
    devices = [load_device(name) for name in DEVICES]
    assert sum(count_read(devices).values()) == sum(len(device.figures) for device in devices)
