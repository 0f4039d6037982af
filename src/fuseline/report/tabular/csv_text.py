"""A table as CSV (RFC 4180, line feeds): exact figures, for a spreadsheet or a data frame."""

from __future__ import annotations

import csv
from io import StringIO

from fuseline.report.rows.table import Table, Value
from fuseline.report.text import visible

_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the start of a formula, in either width. A tab or a line end would
be one too, but is written out.
"""


def csv_text(table: Table) -> str:
    """The table, its names first, a row a line. What is None is an empty cell.

    Text that a spreadsheet would run as a formula begins with an apostrophe; numbers never do. What
    is invisible in a text is written out: CSV is looked at, in terminals too.

    >>> from fuseline.report.rows.table import Column, Measure
    >>> columns = (Column("op", Measure.TEXT), Column("saved_bytes", Measure.BYTES))
    >>> print(csv_text(Table("ops", "Ops", columns, (("=1+1", -4), ("relu", None)))), end="")
    op,saved_bytes
    '=1+1,-4
    relu,
    """
    text = StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_cell(column.name) for column in table.columns])
    writer.writerows([_cell(value) for value in row] for row in table.rows)
    return text.getvalue()


def _cell(value: Value) -> str | int | float | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = visible(value)
        return f"'{text}" if text.startswith(_FORMULA) else text
    return value
