"""The capacity curve as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fuseline.fusion.optimal.curve import SHARE, Knee, Point, find_knee
from fuseline.graph import Graph
from fuseline.report.units import percent

SCHEMA = "fuseline.capacity/1"
_UNITS = (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10))


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
    said = f"{size_text(found.on_chip)} of on-chip memory saves {saved} of the traffic"
    said += f" that {size_text(first.on_chip)} leaves"
    if found is last:
        return f"{said}, and nothing smaller saves {SHARE:.0%} of that"
    more = percent(found.nbytes - last.nbytes, first.nbytes)
    return f"{said}; {size_text(last.on_chip - found.on_chip)} more saves only another {more}"


def size_text(nbytes: int) -> str:
    """On-chip memory in binary units, as `--on-chip` takes it.

    >>> size_text(65536), size_text(3 << 19), size_text(1000)
    ('64 KB', '1.5 MB', '1000 B')
    """
    for unit, size in _UNITS:
        if nbytes >= size:
            return f"{nbytes / size:.6g} {unit}"
    return f"{nbytes} B"
