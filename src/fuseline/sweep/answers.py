"""What duckdb answers as a table: its types as measures, its values as plain ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from fuseline.report.rows.table import Column, Measure, Table, Value
from fuseline.report.units import count_of
from fuseline.sweep.schema import COLUMNS

if TYPE_CHECKING:
    from duckdb.sqltypes import DuckDBPyType

_WHOLE = frozenset({
    "tinyint", "smallint", "integer", "bigint", "hugeint",
    "utinyint", "usmallint", "uinteger", "ubigint", "uhugeint",
})  # fmt: skip
_REAL = frozenset({"float", "double", "decimal"})
_NESTED = frozenset({"list", "array", "struct", "map", "union"})
_MOST = 2**63 - 1
_JSON = msgspec.json.Encoder(enc_hook=str, decimal_format="number")


@dataclass(frozen=True, slots=True)
class Answer:
    """A query's columns with their types, and its rows: all of them, or the first."""

    columns: tuple[tuple[str, DuckDBPyType], ...]
    rows: tuple[tuple[object, ...], ...]
    is_whole: bool


def table_of(answer: Answer) -> Table:
    """The answer as a table. Columns of one name are told apart by a number."""
    notes: list[str] = []
    columns: list[Column] = []
    values: list[list[Value]] = []
    for place, (name, kind) in enumerate(answer.columns):
        cells = [_value(row[place], kind.id) for row in answer.rows]
        column = column_of(_apart(name, columns), kind.id)
        if column.measure.is_whole and any(_is_beyond(cell) for cell in cells):
            column = Column(column.name, Measure.RATIO, column.meaning)
            cells = [float(cell) if isinstance(cell, int) else cell for cell in cells]
            notes.append(f"{column.name}: beyond 64 bits, and so rounded to 15 digits")
        columns.append(column)
        values.append(cells)
    if not answer.is_whole:
        there = count_of(len(answer.rows), "row")
        notes.append(f"the first {there}, and there are more: --limit 0 shows all")
    if not answer.rows:
        notes.append("no rows")
    rows = tuple(zip(*values, strict=True)) if answer.rows else ()
    return Table("query", "Query", tuple(columns), rows, tuple(notes))


_KNOWN = {column.name: column for column in COLUMNS}
_UNITS = {
    "bytes": Measure.BYTES, "flops": Measure.FLOPS, "seconds": Measure.SECONDS,
    "fraction": Measure.FRACTION,
}  # fmt: skip
_SAME_UNIT = re.compile(r"(?:sum|avg|mean|median|min|max|any_value|first|last)\(\"?(\w+)\"?\)")
"""Names that duckdb gives where the query gives none, of what has the unit of its argument."""


def column_of(name: str, kind: str) -> Column:
    """A column of the answer: what its name promises, where a type of duckdb (`kind`) can hold it.

    >>> column_of("traffic_bytes", "bigint").measure, column_of("avg(gap)", "double").measure
    (<Measure.BYTES: 'bytes'>, <Measure.FRACTION: 'fraction'>)
    >>> column_of("traffic_bytes", "double").measure, column_of("jobs", "bigint").measure
    (<Measure.RATIO: 'ratio'>, <Measure.COUNT: 'count'>)
    """
    inner = found[1] if (found := _SAME_UNIT.fullmatch(name)) else name
    known = _KNOWN.get(inner)
    promised = known.measure if known else _UNITS.get(inner.rpartition("_")[2])
    meaning = known.meaning if known and inner == name else ""
    return Column(name, _measure(promised, kind), meaning)


def _measure(promised: Measure | None, kind: str) -> Measure:
    """The measure that is promised, or the plainest that the type has."""
    if kind == "boolean":
        return Measure.YES
    if kind in _WHOLE:
        fits = promised not in (None, Measure.TEXT, Measure.YES)
        return promised if promised and fits else Measure.COUNT
    if kind in _REAL:
        fits = promised in (Measure.SECONDS, Measure.FRACTION)
        return promised if promised and fits else Measure.RATIO
    return Measure.TEXT


def _apart(name: str, before: Sequence[Column]) -> str:
    """The name, numbered where columns before it bear it: `model`, `model_1`, `model_2`."""
    names = {column.name for column in before}
    numbered, number = name, 0
    while numbered in names:
        number += 1
        numbered = f"{name}_{number}"
    return numbered


def _value(value: object, kind: str) -> Value:
    """One value of duckdb as a plain one: lists and records as JSON, dates and the like as text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Decimal):
        return float(value)
    if kind in _NESTED:
        return _JSON.encode(value).decode()
    return str(value)


def _is_beyond(value: Value) -> bool:
    return isinstance(value, int) and abs(value) > _MOST
