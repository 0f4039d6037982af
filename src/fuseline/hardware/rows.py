"""Devices as rows: what tables, pages and JSON print."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fuseline.hardware.device import MATRIX, VECTOR, Basis, Device, Figure, Peak
from fuseline.hardware.rates import Rate
from fuseline.hardware.source import Source

NONE = "-"

_COLUMNS: tuple[tuple[str, str], ...] = (
    # column --> dtype
    ("fp32", "float32"),
    ("tf32", "tfloat32"),
    ("bf16", "bfloat16"),
    ("fp16", "float16"),
    ("fp8", "float8"),
    ("int8", "int8"),
)
_UNITS: tuple[tuple[str, float, str], ...] = (
    # a key that ends in --> what it is printed in
    ("_bytes_per_second", 1e9, "GB/s"),
    ("_seconds", 1e-6, "us"),
    ("_hertz", 1e9, "GHz"),
    ("memory.capacity_nbytes", 1e9, "GB"),
    ("_nbytes", 2**20, "MiB"),
    ("_nbytes_per_core", 2**10, "KiB"),
)
_RIDGE_OF = ("bfloat16", "float16", "int8")  # the first that the device lists natively
_MODELLED = ("float32", "tfloat32", "bfloat16", "float16", "float8", "int8", "int4")

COLUMNS = (
    "device",
    *(column for column, _ in _COLUMNS),
    "GB/s",
    "GB",
    "LLC MB",
    "ridge",
)
LEGEND = (
    "Peaks of contractions in TFLOP/s (int8: TOP/s), dense, on matrix units or else vector units; "
    "* runs as another type. LLC is the last cache before memory, in units of 2^20 bytes. "
    "Ridge [FLOP/byte] is peak / bandwidth of the type named beside it."
)
FIGURE_COLUMNS = ("figure", "value", "basis", "source", "note")
RATE_COLUMNS = (
    "kernel", "dtype", "launch us", "FLOP/ns", "other FLOP/ns", "rows/ns", "read byte/ns",
    "parameter byte/ns", "written byte/ns", "far byte/ns",
)  # fmt: skip
RUNS_COLUMNS = ("contractions of", "peak", "on")


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device in one line. Units are in the names; None is what no source gives."""

    name: str
    title: str
    vendor: str
    kind: str
    year: int
    peaks: dict[str, float | None]
    stand_ins: tuple[str, ...]
    bandwidth_bytes_per_second: float
    memory_nbytes: int | None
    cache_nbytes: int | None
    ridge_flops_per_byte: float
    ridge_dtype: str
    aliases: tuple[str, ...]


def device_row(device: Device) -> DeviceRow:
    """The device's line: peaks [operations/s] by dtype, `stand_ins` naming those not its own."""
    found = {dtype: device.find_matrix_peak(dtype) for _, dtype in _COLUMNS}
    ridge_dtype = next((dtype for dtype in _RIDGE_OF if _native(device, dtype)), "float32")
    return DeviceRow(
        device.name,
        device.title,
        device.vendor,
        device.kind,
        device.year,
        {dtype: peak.flops_per_second if peak else None for dtype, peak in found.items()},
        tuple(dtype for dtype, peak in found.items() if peak and not _native(device, dtype)),
        device.bandwidth,
        device.memory_nbytes,
        device.cache_nbytes,
        device.ridge_point(ridge_dtype),
        ridge_dtype,
        device.aliases,
    )


def _native(device: Device, dtype: str) -> bool:
    if any(stand_in.dtype == dtype for stand_in in device.stand_ins):
        return False
    return bool(device.find(MATRIX, dtype) or device.find(VECTOR, dtype))


def device_line(row: DeviceRow) -> tuple[str, ...]:
    """The row as text, in the order of `COLUMNS`."""
    peaks = [
        NONE if (peak := row.peaks[dtype]) is None else f"{peak / 1e12:,.1f}{_mark(row, dtype)}"
        for _, dtype in _COLUMNS
    ]
    short = {dtype: column for column, dtype in _COLUMNS}
    return (
        row.name,
        *peaks,
        f"{row.bandwidth_bytes_per_second / 1e9:,.1f}",
        NONE if row.memory_nbytes is None else f"{row.memory_nbytes / 1e9:,.1f}",
        NONE if row.cache_nbytes is None else f"{row.cache_nbytes / 2**20:,.0f}",
        f"{row.ridge_flops_per_byte:,.0f} {short[row.ridge_dtype]}",
    )


def _mark(row: DeviceRow, dtype: str) -> str:
    return "*" if dtype in row.stand_ins else ""


def figure_line(figure: Figure) -> tuple[str, ...]:
    """A figure as text, in the order of `FIGURE_COLUMNS`."""
    source = f"{figure.source.key} ({figure.source.date})"
    note = "; ".join(filter(None, (figure.where, figure.note)))
    return f"{figure.table}.{figure.key}", value_text(figure), figure.basis.value, source, note


def value_text(figure: Figure) -> str:
    """The value with its unit, as people read it: caches in powers of two, memory in GB.

    >>> from fuseline.hardware.load import load_device
    >>> [value_text(f) for f in load_device("h100-sxm").figures if f.table in ("memory", "cache")]
    ['3,350 GB/s', '80 GB', '50 MiB']
    """
    scale, unit = _unit(figure)
    return f"{figure.value / scale:,.6g} {unit}".rstrip()


def _unit(figure: Figure) -> tuple[float, str]:
    if figure.table in {MATRIX, VECTOR}:
        return 1e12, _ops_unit(figure.key)
    for ending, scale, unit in _UNITS:
        if f"{figure.table}.{figure.key}".endswith(ending):
            return scale, unit
    return 1, ""


def _ops_unit(dtype: str) -> str:
    return "TOP/s" if dtype.startswith("int") else "TFLOP/s"


def rate_line(rate: Rate) -> tuple[str, ...]:
    """A measured rate as text, in the order of `RATE_COLUMNS`: billions a second, `-` for free."""
    return (
        rate.kernel.value,
        rate.dtype,
        f"{rate.launch_seconds * 1e6:.1f}",
        *(NONE if value is None else f"{value / 1e9:,.3g}" for value in rate.figures()),
    )


def runs_lines(device: Device) -> list[tuple[str, ...]]:
    """How contractions of each dtype run, in the order of `RUNS_COLUMNS`."""
    asked = [(dtype, device.find_matrix_peak(dtype)) for dtype in _MODELLED]
    if device.find(MATRIX, "tfloat32"):
        asked.insert(1, ("float32, tf32 allowed", device.find_matrix_peak("float32", tf32=True)))
    return [(dtype, _peak_text(dtype, peak), peak.how) for dtype, peak in asked if peak]


def _peak_text(dtype: str, peak: Peak) -> str:
    return f"{peak.flops_per_second / 1e12:,.6g} {_ops_unit(dtype)}"


def sources_of(device: Device) -> tuple[Source, ...]:
    """Every source that a figure or a stand-in of the device names, once."""
    found: dict[str, Source] = {figure.source.key: figure.source for figure in device.figures}
    found.update({stand_in.source.key: stand_in.source for stand_in in device.stand_ins})
    return tuple(found.values())


def source_text(source: Source) -> str:
    """A source in one line: title, address, date, and whether it was read."""
    if not source.url:
        return f"{source.key}: {source.title}, {source.date}"
    read = f"read: {source.checked}" if source.checked else "cited, not read"
    return f"{source.key}: {source.title}, {source.date}, {source.url} ({read})"


def count_read(devices: Iterable[Device]) -> dict[str, int]:
    """How many figures are: of a source that was read, cited alone, measured, assumed."""
    counts = {"read": 0, "cited": 0, "assumed": 0}
    for figure in (figure for device in devices for figure in device.figures):
        if figure.basis is Basis.ASSUMED:
            counts["assumed"] += 1
        else:
            counts["read" if figure.source.checked else "cited"] += 1
    return counts
