"""The capacity curve as sentences, and as a table with bars."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from fuseline.report.rows.capacity import CapacityRows, PointRow, size_text
from fuseline.report.terminal import print_pairs, print_table
from fuseline.report.units import count_of, megabytes, percent

_BAR = 40


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
        "computed twice. KiB and MiB are 2^10 and 2^20 bytes, MB 10^6."
    )
    return said
