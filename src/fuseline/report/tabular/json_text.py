"""A table as JSON: a row an object, its keys the columns' names."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

import msgspec

from fuseline.report.rows.table import Table, Value
from fuseline.report.text import encodable

SCHEMA = "fuseline.table/1"


def json_text(table: Table) -> bytes:
    """An indented document (UTF-8, ends with a newline). JSON has no infinity: what is infinite is
    null, and a note says so.
    """
    document = {
        "schema": SCHEMA,
        "table": table.name,
        "title": encodable(table.title),
        "columns": [
            {
                "name": encodable(column.name),
                "measure": column.measure.value,
                "meaning": encodable(column.meaning),
            }
            for column in table.columns
        ],
        "rows": [
            {
                encodable(column.name): _cell(value)
                for column, value in zip(table.columns, row, strict=True)
            }
            for row in table.rows
        ],
        "notes": [encodable(note) for note in (*table.notes, *_infinite(table))],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _cell(value: Value) -> Value:
    if isinstance(value, str):
        return encodable(value)
    return None if _is_infinite(value) else value


def _is_infinite(value: Value) -> bool:
    return isinstance(value, float) and not isfinite(value)


def _infinite(table: Table) -> Iterable[str]:
    for place, column in enumerate(table.columns):
        count = sum(_is_infinite(row[place]) for row in table.rows)
        if count:
            yield f"{column.name}: {count} of the nulls are infinite, or no number"
