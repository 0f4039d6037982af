"""A sweep's folder made small enough to be committed: what the page of the zoo reads of it.

    python -m fuseline.validate.zoo_folder OUT docs/zoo

The schema stays whole, so that `fuseline query docs/zoo "select ..."` reads it as it reads the
sweep's own folder; columns that are left out are null, lists are empty. On the devices beside the
first only the optimum is kept. One column is added: the family.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fuseline.errors import InputError
from fuseline.files import write_bytes
from fuseline.validate.zoo_classes import BEGINNING
from fuseline.validate.zoo_families import families, family_of
from fuseline.validate.zoo_queries import queries

if TYPE_CHECKING:
    import pyarrow as pa

KEYS = (
    "model", "strategy", "batch", "dtype", "device", "status", "reason", "zoo", "seq_len",
    "decode", "attention", "via", "mode", "rules", "traffic_bytes", "flops", "lower_bound_bytes",
)  # fmt: skip
"""Kept whatever the page reads: what a job is, what became of it, what it moves."""

DEVICE = "h100-sxm"
"""The device whose rows are kept whole."""

FAMILY = "family"
"""The column that is added: what `zoo_families` says."""

_ORDER = ("model", "batch", "decode", "strategy", "rules", "device")
_LEVEL = 19  # of zstd: written once, read often


def write(source: Path, target: Path) -> int:
    """Write `results/00000.parquet`, and `captures/00000.parquet` as it is; returns their bytes.

    Raises `InputError` where `source` has no rows of either.
    """
    for part in ("results", "captures"):
        if not any((source / part).glob("*.parquet")):
            raise InputError(f"'{source}' holds no {part}/*.parquet: is it a sweep's folder?")
    import pyarrow.parquet as pq

    parts = {
        "results": slim(pq.read_table(source / "results")),
        "captures": pq.read_table(source / "captures"),
    }
    written = 0
    for part, table in parts.items():
        buffer = io.BytesIO()
        pq.write_table(
            table, buffer, compression="zstd", compression_level=_LEVEL, row_group_size=1 << 20
        )
        (target / part).mkdir(parents=True, exist_ok=True)
        write_bytes(target / part / "00000.parquet", buffer.getvalue())
        written += len(buffer.getvalue())
    return written


def slim(table: pa.Table) -> pa.Table:
    """The rows in order of their models, with nothing but what the page reads."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = table.filter((pc.field("device") == DEVICE) | (pc.field("strategy") == "optimal"))
    kept = _columns(table.column_names)
    columns = []
    for field in table.schema:
        if field.name in kept:
            columns.append(table[field.name])
        elif pa.types.is_list(field.type):
            columns.append(pa.array([[]] * table.num_rows, type=field.type))
        else:
            columns.append(pa.nulls(table.num_rows, field.type))
    order = [(name, "ascending") for name in _ORDER]
    known = families()
    family = [family_of(str(model), known) for model in table["model"].to_pylist()]
    return (
        pa.table(columns, schema=table.schema)
        .append_column(pa.field(FAMILY, pa.string()), [family])
        .sort_by(order)
    )


def _columns(names: list[str]) -> set[str]:
    """The columns whose names are words of a query, or of what makes a class."""
    text = " ".join((BEGINNING, *queries().values()))
    return {*KEYS, *(set(re.findall(r"\w+", text)) & set(names))}


def main(arguments: list[str]) -> None:
    """Write the folder, and say how large it is."""
    source, target = map(Path, arguments)
    sys.stderr.write(f"{target}: {write(source, target):,} bytes\n")


if __name__ == "__main__":
    main(sys.argv[1:])
