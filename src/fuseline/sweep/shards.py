"""A sweep's Parquet files: which captures are in which, and their content, which is the same
whatever came first and however often a file was written before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fuseline.errors import InputError
from fuseline.report.rows.table import Column, Measure
from fuseline.report.text import encodable
from fuseline.sweep.grids import Sweep
from fuseline.sweep.schema import COLUMNS, LISTS, SCHEMA, ListColumn
from fuseline.sweep.tasks import Row

if TYPE_CHECKING:
    import pyarrow as pa

_JOBS_A_FILE = 4096  # some hundred kB, and a fifth of a second to write
_ROWS_AT_ONCE = 512  # Python's objects take ten times the room of Arrow's


@dataclass(frozen=True, slots=True)
class Layout:
    """Which captures are in which file: as many in each, in order."""

    captures: int
    captures_a_shard: int

    @classmethod
    def of(cls, sweep: Sweep) -> Layout:
        """About 4096 jobs a file.

        >>> Layout(captures=10, captures_a_shard=4).numbers(2)
        range(8, 10)
        """
        return cls(sweep.captures, max(1, _JOBS_A_FILE // sweep.jobs_a_capture))

    @property
    def shards(self) -> int:
        """How many files there are in the end."""
        return -(-self.captures // self.captures_a_shard)

    def numbers(self, shard: int) -> range:
        """The captures of a file."""
        first = shard * self.captures_a_shard
        return range(first, min(first + self.captures_a_shard, self.captures))


def file_name(shard: int) -> str:
    """The name of a shard's file.

    >>> file_name(3)
    '00003.parquet'
    """
    return f"{shard:05d}.parquet"


def check_pyarrow() -> None:
    """Raises `InputError` where pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise InputError("a sweep needs pyarrow: pip install 'fuseline[sweep]'")


# --- types ----------------------------------------------------------------------------------


def arrow_schema(
    columns: Sequence[Column], lists: Sequence[ListColumn], environment: Mapping[str, str]
) -> pa.Schema:
    """Arrow's schema of a file: measures and meanings are metadata of its fields."""
    import pyarrow as pa

    fields = [_field(column) for column in columns]
    for each in lists:
        kind = pa.list_(pa.struct([_field(column) for column in each.fields]))
        fields.append(pa.field(each.name, kind, metadata={"meaning": encodable(each.meaning)}))
    about = {
        "fuseline.schema": SCHEMA,
        "fuseline.environment": msgspec.json.encode(environment, order="sorted"),
    }
    return pa.schema(fields, metadata=about)


def results_schema(environment: Mapping[str, str]) -> pa.Schema:
    """Of the files in `results/`: one row a job."""
    return arrow_schema(COLUMNS, LISTS, environment)


def _field(column: Column) -> pa.Field:
    import pyarrow as pa

    kind = pa.float64()
    if column.measure is Measure.TEXT:
        kind = pa.string()
    elif column.measure is Measure.YES:
        kind = pa.bool_()
    elif column.measure.is_whole:
        kind = pa.int64()
    about = {"measure": column.measure.value, "meaning": encodable(column.meaning)}
    return pa.field(encodable(column.name), kind, metadata=about)


# --- content --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Filed:
    """What a file holds: the rows of these captures, one capture after the other."""

    captures: tuple[int, ...]
    table: pa.Table


def read_filed(content: bytes) -> Filed:
    """What `encoded` was given."""
    import pyarrow.parquet as pq

    table = pq.read_table(BytesIO(content))
    spans = msgspec.json.decode(
        table.schema.metadata[b"fuseline.captures"], type=list[tuple[int, int]]
    )
    return Filed(tuple(chain.from_iterable(range(*span) for span in spans)), table)


def filed(rows: Iterable[tuple[int, Sequence[Row]]], schema: pa.Schema) -> Filed:
    """Rows by capture, ascending, as a table. Few are Python's objects at a time."""
    import pyarrow as pa

    captures: list[int] = []

    def one_by_one() -> Iterator[Row]:
        for number, of_capture in rows:
            captures.append(number)
            yield from of_capture

    waiting = one_by_one()
    batches = []
    while batch := list(islice(waiting, _ROWS_AT_ONCE)):
        arrays = [
            pa.array(values, type=field.type)
            for values, field in zip(zip(*batch, strict=True), schema, strict=True)
        ]
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return Filed(tuple(captures), pa.Table.from_batches(batches, schema=schema))


def merged(
    before: Filed, fresh: Filed, done: Iterable[int], jobs: Callable[[int], int], schema: pa.Schema
) -> Filed:
    """The captures that are done, ascending: from `fresh` where it has them, else from `before`.

    Raises `KeyError` where neither has one of them.
    """
    import pyarrow as pa

    places: dict[int, range] = {}
    start = 0
    for number in (*before.captures, *fresh.captures):
        places[number] = range(start, start + jobs(number))
        start += jobs(number)
    captures = tuple(done)
    order = list(chain.from_iterable(places[number] for number in captures))
    both = pa.concat_tables([_under(schema, before.table), _under(schema, fresh.table)])
    return Filed(captures, both.take(pa.array(order, type=pa.int64())))


def encoded(content: Filed) -> bytes:
    """The file's bytes: the same for the same rows."""
    import pyarrow.parquet as pq

    table = content.table.combine_chunks()  # a chunk's end would be a page's
    spans = msgspec.json.encode(list(_spans(content.captures)))
    about = {**(table.schema.metadata or {}), b"fuseline.captures": spans}
    file = BytesIO()
    pq.write_table(table.replace_schema_metadata(about), file, compression="zstd")
    return file.getvalue()


def _under(schema: pa.Schema, table: pa.Table) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_arrays(table.columns, schema=schema)


def _spans(captures: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Ascending numbers as spans [first, last + 1).

    >>> list(_spans([0, 1, 2, 5]))
    [(0, 3), (5, 6)]
    """
    first = end = -1
    for number in captures:
        if number != end:
            if end >= 0:
                yield first, end
            first = number
        end = number + 1
    if end >= 0:
        yield first, end


# --- files ----------------------------------------------------------------------------------


def scratch_of(path: Path) -> Path:
    """Where a file is written before it takes its place: no pattern for Parquet finds it."""
    return path.with_suffix(".new")


def write_scratch(path: Path, content: bytes) -> None:
    """Write the file's neighbour, down to the disk. Raises `OSError`, and leaves nothing then."""
    scratch = scratch_of(path)
    try:
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            scratch.unlink()
        raise


def place(path: Path) -> None:
    """What `write_scratch` wrote takes its place, as a whole, and stays though power fails."""
    scratch_of(path).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
