"""Values of rows as Parquet's types can hold them: numbers of 64 bits, text of whole characters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fuseline.report.rows.table import Column, Measure, Value
from fuseline.report.text import encodable
from fuseline.sweep.schema import COLUMNS, LISTS, Job, failed_row
from fuseline.sweep.tasks import Row, Status

_MOST = 2**63 - 1

_Check = Callable[[object], Value]
_Checks = tuple[tuple[str, _Check], ...]


def storable(job: Job, row: Row) -> Row:
    """The row, or where a figure is beyond 64 bits the row of a job that failed for it.

    Raises `TypeError` for a value that is not of its column's kind: our own fault.
    """
    cells, beyond = fitting(row)
    if beyond:
        cells, _ = fitting(failed_row(job, Status.REFUSED, beyond))
    return cells


def fitting(row: Row) -> tuple[Row, str]:
    """The row with every value of its column's type, and a sentence where a number is beyond 64
    bits: null stands in for it. Raises `TypeError` as `storable`.
    """
    beyond: list[str] = []
    count = len(COLUMNS)
    cells = _cells(_OF_ROW, row[:count], beyond)
    lists: list[list[dict[str, Value]]] = []
    for (name, names, checks), records in zip(_OF_LISTS, row[count:], strict=True):
        if not isinstance(records, list):
            raise TypeError(f"{name} is {records!r}, no list")
        of_records = (_cells(checks, [each[name] for name in names], beyond) for each in records)
        lists.append([dict(zip(names, values, strict=True)) for values in of_records])
    return (*cells, *lists), beyond[0] if beyond else ""


def _cells(checks: _Checks, values: Sequence[object], beyond: list[str]) -> list[Value]:
    try:
        return [
            None if value is None else check(value)
            for (_, check), value in zip(checks, values, strict=True)
        ]
    except (OverflowError, TypeError):  # one by one, then
        return [_cell(*check, value, beyond) for check, value in zip(checks, values, strict=True)]


def _cell(name: str, check: _Check, value: object, beyond: list[str]) -> Value:
    if value is None:
        return None
    try:
        return check(value)
    except OverflowError:
        beyond.append(f"{name}: {value:,} is beyond the 64 bits of Parquet's numbers")
        return None
    except TypeError as error:
        raise TypeError(f"{name} is {value!r}") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value if value.isascii() else encodable(value)


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError
    if not -_MOST <= value <= _MOST:
        raise OverflowError
    return value


def _real(value: object) -> float:
    if not isinstance(value, (int, float)):
        raise TypeError
    return float(value)


def _yes(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


_AS: dict[Measure, _Check] = {
    measure: _whole if measure.is_whole else _real for measure in Measure
} | {Measure.TEXT: _text, Measure.YES: _yes}


def _checks(columns: Sequence[Column]) -> _Checks:
    return tuple((column.name, _AS[column.measure]) for column in columns)


_OF_ROW = _checks(COLUMNS)
_OF_LISTS = tuple(
    (each.name, [field.name for field in each.fields], _checks(each.fields)) for each in LISTS
)
