"""The capacity curve as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fuseline.fusion.optimal.curve import SHARE, Knee, Point, find_knee
from fuseline.graph import Graph
from fuseline.hardware import Device
from fuseline.report.units import percent

SCHEMA = "fuseline.capacity/1"
UNITS = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))
"""Of on-chip memory."""

_MEMORIES = (
    ("L1 of a core", "on_chip", "shared_nbytes_per_core"),
    ("scratchpad", "on_chip", "scratchpad_nbytes"),
    ("last cache", "cache", "capacity_nbytes"),
)


@dataclass(frozen=True, slots=True)
class PointRow:
    """One capacity [bytes]; `saved_bytes` is against T without a capacity, `gap_bytes` what the
    plan might be above the best.
    """

    on_chip: int
    traffic_bytes: int
    launches: int
    saved_bytes: int
    lower_bound_bytes: int
    gap_bytes: int
    is_optimal: bool
    candidates: int
    seconds: float


@dataclass(frozen=True, slots=True)
class KneeRow:
    """Where more memory stops to pay, and the doubling [bytes from, to] that pays most."""

    share: float
    on_chip: int
    steepest: tuple[int, int]
    sentence: str


@dataclass(frozen=True, slots=True)
class CapacityRows:
    """The curve of one model, with the traffic of T without a capacity, and the compulsory."""

    schema: str
    fuseline: str
    model: str
    via: str
    rules: str
    compulsory_bytes: int
    without_capacity_bytes: int
    without_capacity_launches: int
    points: tuple[PointRow, ...]
    knee: KneeRow | None


@dataclass(frozen=True, slots=True)
class OnChipRow:
    """A memory that a device has on chip, by its name, to hold a curve against."""

    name: str
    bytes: int


def on_chip_rows(device: Device) -> tuple[OnChipRow, ...]:
    """On-chip memories whose size a source gives, the smallest first.

    >>> from fuseline.hardware import load_device
    >>> [(row.name, size_text(row.bytes)) for row in on_chip_rows(load_device("h100-sxm"))]
    [('L1 of a core', '256 KiB'), ('L1 of all 132 cores', '33 MiB'), ('last cache', '50 MiB')]
    """
    cores = device.find("on_chip", "cores")
    found = [
        OnChipRow(name, int(figure.value))
        for name, table, key in _MEMORIES
        if (figure := device.find(table, key)) is not None
    ]
    each = device.find("on_chip", "shared_nbytes_per_core")
    if each is not None and cores is not None and cores.value > 1:
        name = f"L1 of all {cores.value:,.0f} cores"
        found.append(OnChipRow(name, int(each.value * cores.value)))
    return tuple(sorted(found, key=lambda row: (row.bytes, row.name)))


def capacity_rows(
    graph: Graph, points: Sequence[Point], base: tuple[int, int], rules: str, version: str
) -> CapacityRows:
    """`base` is (bytes, launches) of the optimum under T without a capacity."""
    rows = tuple(
        PointRow(
            point.on_chip, point.nbytes, point.launches, base[0] - point.nbytes, point.bound,
            point.nbytes - point.bound, point.is_optimal, point.candidates,
            round(point.seconds, 3),
        )
        for point in points
    )  # fmt: skip
    knee = find_knee(points)
    return CapacityRows(
        SCHEMA, version, graph.source.name, graph.source.via, rules, graph.compulsory_bytes, *base,
        rows, _knee_row(knee) if knee else None,
    )  # fmt: skip


def _knee_row(knee: Knee) -> KneeRow:
    steepest = knee.steepest[0].on_chip, knee.steepest[1].on_chip
    return KneeRow(SHARE, knee.knee.on_chip, steepest, _knee_sentence(knee))


def _knee_sentence(knee: Knee) -> str:
    first, found, last = knee.first, knee.knee, knee.last
    saved = percent(first.nbytes - found.nbytes, first.nbytes)
    less = f"moves {saved} fewer bytes than with {size_text(first.on_chip)}"
    if found is last:
        return (
            f"With {size_text(found.on_chip)} on chip, the last size tried, the model {less}; no "
            f"smaller size saves {SHARE:.0%} of that, and a larger one may save more"
        )
    more = percent(found.nbytes - last.nbytes, first.nbytes)
    return (
        f"With {size_text(found.on_chip)} on chip the model {less}; "
        f"{size_text(last.on_chip)} would save only another {more}"
    )


def size_text(nbytes: int) -> str:
    """On-chip memory in binary units, which `--on-chip` takes too.

    >>> size_text(65536), size_text(3 << 19), size_text(1000)
    ('64 KiB', '1.5 MiB', '1000 B')
    """
    for unit, size in UNITS:
        if nbytes >= size:
            return f"{nbytes / size:.6g} {unit}"
    return f"{nbytes} B"
