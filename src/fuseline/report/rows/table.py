"""A table: named columns and rows of plain values. Every tabular format prints this and no more.

The names are the same in a terminal, in Markdown, CSV, JSON and Parquet, and bear their units:
`traffic_bytes`, `seconds`, `flops`. Values are exact; a renderer may group digits, and rounds
nothing but ratios and seconds, and those only where people read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from fuseline.errors import InputError, did_you_mean

Value = str | int | float | bool | None
"""What a cell holds; None where it does not apply or is not known."""


class Measure(Enum):
    """What a column holds, and so how it is aligned, typed and written."""

    TEXT = "text"
    COUNT = "count"  # whole numbers: launches, ops, groups
    BYTES = "bytes"
    FLOPS = "FLOP"
    SECONDS = "s"
    RATIO = "ratio"  # x per y: FLOP/byte, operators/groups
    FRACTION = "fraction"  # of 1: a share, a relative difference
    YES = "yes or no"

    @property
    def is_whole(self) -> bool:
        """Whether its values are integers."""
        return self in (Measure.COUNT, Measure.BYTES, Measure.FLOPS)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name in every format, what it holds, and a sentence for a legend."""

    name: str
    measure: Measure
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under named columns. `name` is the table's in file names and options, `title` its
    heading, `notes` are sentences that belong beside it. Its first `keys` columns name a row:
    where a table is broken because it is too wide, they are on every part.

    >>> table = Table("plans", "Plans", (Column("launches", Measure.COUNT),), ((137,), (63,)))
    >>> table.column("launches")
    (137, 63)
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    notes: tuple[str, ...] = ()
    keys: int = 1

    def __post_init__(self) -> None:
        """Names differ, and every row has a value for every column. Raises `ValueError` otherwise:
        our own fault.
        """
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"table {self.name}: two columns of one name")
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"table {self.name}: {len(row)} values, {len(names)} columns")

    def column(self, name: str) -> tuple[Value, ...]:
        """All values of one column, in order. Raises `ValueError` where there is none."""
        place = [column.name for column in self.columns].index(name)
        return tuple(row[place] for row in self.rows)

    def with_columns(self, names: Sequence[str]) -> Table:
        """The same rows, of these columns alone and in this order.

        Raises `InputError` for a name that is no column's, and for one that is there twice.

        >>> columns = (Column("groups", Measure.COUNT), Column("launches", Measure.COUNT))
        >>> Table("plans", "Plans", columns, ((156, 137),)).with_columns(["launches"]).rows
        ((137,),)
        """
        places = {column.name: place for place, column in enumerate(self.columns)}
        for number, name in enumerate(names):
            if name not in places:
                hint = did_you_mean(name, places) or f": one of {', '.join(places)}"
                raise InputError(f"table {self.name} has no column '{name}'{hint}")
            if name in names[:number]:
                raise InputError(f"column '{name}' of table {self.name} is asked for twice")
        chosen = [places[name] for name in names]
        return replace(
            self,
            columns=tuple(self.columns[place] for place in chosen),
            rows=tuple(tuple(row[place] for place in chosen) for row in self.rows),
            keys=1,
        )
