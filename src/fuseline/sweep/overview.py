"""What is in a sweep's folder, and what its columns mean, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fuseline.report.rows.table import Column, Measure, Table
from fuseline.report.units import count_of
from fuseline.sweep.captured import CAPTURES
from fuseline.sweep.query import Folder
from fuseline.sweep.schema import COLUMNS, LISTS, SCHEMA

_NAMED = 8
"""Of what there is of one sort: the rest is counted."""

EXAMPLES = {
    "which models save most": "select model, strategy, traffic_bytes, memory_reduction from "
    "results where status = 'ok' order by memory_reduction desc limit 10",
    "what the strategies come to": "select strategy, device, count(*) as jobs, "
    "median(memory_reduction) from results where status = 'ok' group by all order by all",
    "why jobs failed": "select status, reason, count(*) as jobs from results where status <> 'ok' "
    "group by all order by jobs desc limit 10",
}
"""Questions, each with a query that answers it."""


def overview(folder: Folder) -> Table:
    """What there is: jobs by what became of them, what they are of, and what made them."""
    [(jobs,)] = folder.ask("select count(*) from results").rows
    lines = [("jobs", f"{jobs:,}"), *_statuses(folder)]
    for label, column in _OF:
        lines.append((label, _counted(folder, column)))
    if "captures" in folder.columns:
        lines += _captures(folder)
    lines.append(("schema", SCHEMA))
    lines.append(("made with", ", ".join(f"{k} {v}" for k, v in folder.environment.items())))
    columns = (
        Column("what", Measure.TEXT, "what is counted, or told"),
        Column("there", Measure.TEXT, "what there is of it, with the jobs of each"),
    )
    return Table("overview", f"What is in {folder.path}", columns, tuple(lines))


_OF = (
    ("zoos", "zoo"), ("models", "model"), ("batches", "batch"), ("dtypes", "dtype"),
    ("strategies", "strategy"), ("rules", "rules"), ("devices", "device"),
)  # fmt: skip
"""What is counted: in words, and the column."""


def _statuses(folder: Folder) -> Iterator[tuple[str, str]]:
    """Those that came to a plan first, then the others by how many they are."""
    found = folder.ask(
        "select status, count(*) from results group by 1 order by status <> 'ok', 2 desc, 1"
    ).rows
    for status, jobs in found:
        yield f"  {status}", f"{jobs:,}"


def _counted(folder: Folder, column: str) -> str:
    """The values of a column, those of most jobs first."""
    # the name is one of ours: nothing of it comes from outside
    found = folder.ask(
        f"select {column}, count(*) from results group by 1 order by 2 desc, 1"  # noqa: S608 - ^
    ).rows
    values = [(value, jobs) for value, jobs in found if value is not None]
    if len(values) > _NAMED:
        return f"{len(values):,}"
    return ", ".join(f"{value} ({jobs:,})" for value, jobs in values) or "none"


def _captures(folder: Folder) -> Iterator[tuple[str, str]]:
    [(count, cached, seconds)] = folder.ask(
        "select count(*), count(*) filter (cached), sum(cpu_seconds) from captures"
    ).rows
    spent = f", {seconds:,.0f} CPU seconds" if isinstance(seconds, float) else ""
    yield "captures", f"{count_of(int(str(count)), 'capture')}, {cached:,} from the cache{spent}"


# --- the schema -----------------------------------------------------------------------------


def schema_table() -> Table:
    """Every column of every table, and those of the records in its lists."""
    columns = (
        Column("table", Measure.TEXT, "results, or captures"),
        Column(
            "column", Measure.TEXT, "its name; `a[].b` is the field b of each record in the list a"
        ),
        Column("type", Measure.TEXT, "in Parquet"),
        Column("measure", Measure.TEXT, "what it counts, or its unit"),
        Column("meaning", Measure.TEXT, "in words"),
    )
    rows = [
        *_rows("results", COLUMNS),
        *(
            row
            for each in LISTS
            for row in (
                ("results", each.name, "list", "records", each.meaning),
                *_rows("results", each.fields, f"{each.name}[]."),
            )
        ),
        *_rows("captures", CAPTURES),
    ]
    return Table("schema", f"Columns of {SCHEMA}", columns, tuple(rows), keys=2)


def _rows(table: str, columns: Iterable[Column], before: str = "") -> Iterator[tuple[str, ...]]:
    for column in columns:
        measure = column.measure.value
        meaning = column.meaning.replace("`", "")  # Markdown would show the whole of it as code
        yield table, f"{before}{column.name}", type_of(column), measure, meaning


def type_of(column: Column) -> str:
    """The type of its values in Parquet, in Arrow's words.

    >>> type_of(Column("seconds", Measure.SECONDS))
    'double'
    """
    if column.measure is Measure.TEXT:
        return "string"
    if column.measure is Measure.YES:
        return "bool"
    return "int64" if column.measure.is_whole else "double"
