"""A table's cells as people read them: the same text in a terminal, in Markdown and in HTML.

Whole numbers are exact, their digits grouped. Ratios have two decimals, fractions are percentages
with two, and seconds have six digits; more where they would read as nothing. Data formats take the
values as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from fuseline.report.rows.table import Column, Measure, Table, Value
from fuseline.report.text import shortened, visible

LIMIT = 200
"""Characters that a cell may have."""

NOTHING = "-"
"""A cell that does not apply, or is not known."""

_LEAST = 0.005  # what rounds to 0.00


@dataclass(frozen=True, slots=True)
class Shown:
    """A table as text: cells yet to be escaped by whoever prints them. `notes` also say how many
    cells were cut.
    """

    title: str
    headings: tuple[str, ...]
    is_text: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    keys: int


def shown(table: Table, limit: int = LIMIT) -> Shown:
    """All cells of `table` as text of at most `limit` characters, with nothing invisible in it."""
    measures = tuple(column.measure for column in table.columns)
    whole = [
        tuple(cell_text(value, measure) for value, measure in zip(row, measures, strict=True))
        for row in table.rows
    ]
    rows = tuple(tuple(shortened(cell, limit) for cell in row) for row in whole)
    cut = sum(len(cell) > limit for row in whole for cell in row)
    notes = tuple(shortened(visible(note), 3 * limit) for note in table.notes)
    if cut:
        cells = "1 cell is" if cut == 1 else f"{cut:,} cells are"
        notes += (f"{cells} cut at {limit} characters; CSV, JSON and Parquet hold all of them",)
    return Shown(
        title=shortened(visible(table.title), limit),
        headings=tuple(shortened(visible(column.name), limit) for column in table.columns),
        is_text=tuple(measure in (Measure.TEXT, Measure.YES) for measure in measures),
        rows=rows,
        notes=notes,
        keys=table.keys,
    )


def upright(table: Table) -> Table:
    """A table of one row as one of many: its figures below each other, with what they mean."""
    [row] = table.rows
    return Table(
        table.name,
        table.title,
        (
            Column("figure", Measure.TEXT, "what a column of the table is named"),
            Column("value", Measure.TEXT, "as people read it"),
            Column("meaning", Measure.TEXT, "in words"),
        ),
        tuple(
            (column.name, cell_text(value, column.measure), column.meaning)
            for column, value in zip(table.columns, row, strict=True)
        ),
        table.notes,
    )


def cell_text(value: Value, measure: Measure) -> str:
    """One value as people read it, in full.

    >>> cell_text(524_788_224, Measure.BYTES), cell_text(1.3846, Measure.RATIO)
    ('524,788,224', '1.38')
    >>> cell_text(0.000_123_456_78, Measure.SECONDS), cell_text(0.1533, Measure.FRACTION)
    ('0.000123457', '15.33%')
    >>> cell_text(None, Measure.SECONDS), cell_text(True, Measure.YES)
    ('-', 'yes')
    """
    if value is None:
        return NOTHING
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if measure is Measure.FRACTION:
        return f"{_decimals(100 * value)}%"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if measure is Measure.SECONDS else _decimals(value)


def _decimals(value: float) -> str:
    """Two decimals; of what is smaller its first two digits, so that nothing reads as zero.

    >>> _decimals(1234.567), _decimals(0.00123), _decimals(0.0), _decimals(float("inf"))
    ('1,234.57', '0.0012', '0.00', 'inf')
    """
    if not isfinite(value):
        return str(value)
    if value and abs(value) < _LEAST:
        return f"{value:.2g}"
    return f"{value:,.2f}"
