"""A table as a Parquet file: typed columns, zstd, the same bytes for the same table."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import msgspec

from fuseline.errors import InputError
from fuseline.report.rows.table import Column, Measure, Table
from fuseline.report.tabular.json_text import SCHEMA
from fuseline.report.text import encodable

if TYPE_CHECKING:
    import pyarrow as pa

_MOST = 2**63 - 1


def parquet_bytes(table: Table) -> bytes:
    """The file's content. Measures, meanings, the title and the notes are in its metadata.

    Raises `InputError` where pyarrow is not installed, or a figure is beyond 64 bits.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise InputError("Parquet needs pyarrow: pip install 'fuseline[parquet]'") from error
    schema = pa.schema(
        [_field(column) for column in table.columns],
        metadata={
            "fuseline.schema": SCHEMA,
            "fuseline.table": table.name,
            "fuseline.title": encodable(table.title),
            "fuseline.notes": msgspec.json.encode([encodable(note) for note in table.notes]),
        },
    )
    columns = [_values(table, place, schema.field(place)) for place in range(len(table.columns))]
    file = BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), file, compression="zstd")
    return file.getvalue()


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


def _values(table: Table, place: int, field: pa.Field) -> pa.Array:
    import pyarrow as pa

    values = [row[place] for row in table.rows]
    for value in values:
        if isinstance(value, int) and abs(value) > _MOST:
            raise InputError(f"{field.name}: {value:,} is beyond the 64 bits of Parquet's integers")
    cells = [encodable(value) if isinstance(value, str) else value for value in values]
    return pa.array(cells, type=field.type)
