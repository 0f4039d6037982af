"""Tables in any format: the same rows under the same names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fuseline.errors import InputError, did_you_mean
from fuseline.report.rows.table import Table

FORMATS = ("terminal", "markdown", "csv", "json", "parquet")
"""What a table can be written as."""

_ENDINGS = {
    ".txt": "terminal", ".md": "markdown", ".csv": "csv", ".json": "json", ".parquet": "parquet",
}  # fmt: skip

_MANY = ("terminal", "markdown")  # those that hold several tables


def write_table(table: Table, format_: str, *, width: int | None = None) -> bytes:
    """One table as `format_`, one of `FORMATS`; text is UTF-8 and ends with a newline.

    `width` is that of the terminal, in columns; without one lines are as long as they need be.
    Raises `InputError` for an unknown format.
    """
    return write_tables((table,), format_, width=width)


def write_tables(tables: Sequence[Table], format_: str, *, width: int | None = None) -> bytes:
    """Several tables as one document. Raises `InputError` where the format holds only one."""
    if format_ not in FORMATS:
        hint = did_you_mean(format_, FORMATS) or f": one of {', '.join(FORMATS)}"
        raise InputError(f"unknown table format '{format_}'{hint}")
    if format_ == "terminal":
        from fuseline.report.terminal.table import table_text

        return "\n".join(table_text(table, width) for table in tables).encode()
    if format_ == "markdown":
        from fuseline.report.markdown import markdown_document

        return markdown_document(tables).encode()
    if len(tables) != 1:
        names = ", ".join(table.name for table in tables)
        raise InputError(
            f"{format_} holds one table, not {names}: ask for one, or for {' or '.join(_MANY)}"
        )
    return _data(tables[0], format_)


def format_of(path: Path) -> str:
    """The format that a file's name asks for. Raises `InputError` where it asks for none.

    >>> format_of(Path("groups.csv"))
    'csv'
    """
    found = _ENDINGS.get(path.suffix.lower())
    if found is None:
        known = ", ".join(_ENDINGS)
        raise InputError(f"no table format goes with '{path.name}': a name ends in one of {known}")
    return found


def _data(table: Table, format_: str) -> bytes:
    """Formats for programs, which hold one table and exact values."""
    if format_ == "csv":
        from fuseline.report.tabular.csv_text import csv_text

        return csv_text(table).encode()
    if format_ == "json":
        from fuseline.report.tabular.json_text import json_text

        return json_text(table)
    from fuseline.report.tabular.parquet_file import parquet_bytes

    return parquet_bytes(table)
