"""The capacity curve as rows, as sentences, and as a table with bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape

from fuseline.fusion.optimal.curve import SHARE, Knee, Point, find_knee
from fuseline.graph import Graph
from fuseline.report.terminal import print_pairs, print_table
from fuseline.report.units import count_of, megabytes, percent

SCHEMA = "fuseline.capacity/1"
_BAR = 40
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


def proof_text(row: PointRow, compulsory: int) -> str:
    """What is proven about a point: the optimum, a gap, or no more than the compulsory bytes."""
    if row.is_optimal:
        return "optimal"
    gap = f"gap {percent(row.gap_bytes, row.traffic_bytes)}"
    return f"not proven, {gap}" if row.lower_bound_bytes == compulsory else gap


def bar(row: PointRow, compulsory: int, largest: int) -> str:
    """Traffic as a bar: `=` is compulsory, `#` is what more memory or other rules might save."""
    if not largest:
        return ""
    floor = round(_BAR * compulsory / largest)
    return "=" * floor + "#" * (round(_BAR * row.traffic_bytes / largest) - floor)


def print_capacity(console: Console, rows: CapacityRows) -> None:
    """The totals, a line for each capacity, and where it stops to pay."""
    base = count_of(rows.without_capacity_launches, "launch", "es")
    print_pairs(
        console,
        f"{rows.model}, via {rows.via}, rules {rows.rules}",
        [
            ("compulsory", f"{megabytes(rows.compulsory_bytes)} MB"),
            ("T without a capacity", f"{megabytes(rows.without_capacity_bytes)} MB, {base}"),
        ],
    )
    largest = max(rows.without_capacity_bytes, *(row.traffic_bytes for row in rows.points))
    columns = ("on chip", "traffic (= compulsory)", "MB", "launches", "saved", "bound MB", "proof")
    lines = [
        (
            size_text(row.on_chip),
            bar(row, rows.compulsory_bytes, largest),
            megabytes(row.traffic_bytes),
            str(row.launches),
            percent(row.saved_bytes, rows.without_capacity_bytes),
            megabytes(row.lower_bound_bytes),
            proof_text(row, rows.compulsory_bytes),
        )
        for row in rows.points
    ]
    print_table(console, "Traffic by on-chip memory", columns, lines, text_columns=2)
    for sentence in sentences(rows):
        console.print(escape(sentence), soft_wrap=True)


def sentences(rows: CapacityRows) -> list[str]:
    """The knee, the steepest doubling, and what optimal means here."""
    said = []
    if rows.knee is None:
        said.append("More on-chip memory saves nothing here.")
    else:
        one, other = map(size_text, rows.knee.steepest)
        said += [
            f"{rows.knee.sentence}.",
            f"The largest saving a doubling is from {one} to {other}.",
        ]
    said.append(
        "Optimal: no partition moves fewer bytes under these rules, whole tensors counted, no op "
        "computed twice. KB and MB on chip are 2^10 and 2^20 bytes; MB moved are 10^6."
    )
    return said
