"""`fuseline query FOLDER "select ..."`: SQL over what a sweep wrote."""

from __future__ import annotations

from pathlib import Path

import click

from fuseline.cli.partition import check_writable
from fuseline.cli.tables import FOR_PEOPLE, chosen_format, show
from fuseline.errors import InputError
from fuseline.report.rows.table import Table
from fuseline.report.tabular import FORMATS
from fuseline.sweep.begun import OWN

_ROWS = 100
"""What people are shown where nothing is said; programs get all."""


@click.command()
@click.argument("folder", required=False)
@click.argument("sql", required=False)
@click.option("--schema", "asks_schema", is_flag=True,
              help="List every column, its type and its meaning; needs no FOLDER.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=0), metavar="N",
              help=f"The first N rows, 0 for all [default: {_ROWS} in a terminal and in Markdown, "
              "all elsewhere].")  # fmt: skip
@click.option("--format", "format_", metavar="|".join(FORMATS),
              help="[default: by the ending of -o, else terminal]")  # fmt: skip
@click.option("-o", "--output", metavar="FILE", help="Write it to FILE instead of stdout.")
def command(
    *,
    folder: str | None,
    sql: str | None,
    asks_schema: bool,
    limit: int | None,
    format_: str | None,
    output: str | None,
) -> None:
    """Ask what a sweep wrote to FOLDER, finished or still running, in duckdb's SQL.

    There are two tables: `results`, a row a job, and `captures`, a row a capture. Without SQL it
    says what is there, with queries to begin with.

    A query only reads: it reaches no other file, no network and no extension.
    """
    check_writable(output)
    if folder is not None and output is not None:
        _check_outside(Path(output), Path(folder))
    format_ = chosen_format(format_, output)
    if limit is None and format_ in FOR_PEOPLE:
        limit = _ROWS
    examples: tuple[str, ...] = ()
    if asks_schema:
        from fuseline.sweep.overview import schema_table

        table = schema_table()
    elif folder is None:
        raise InputError("name the folder that a sweep was written to, or ask for --schema")
    elif sql is None:
        table, examples = _overview(Path(folder))
    else:
        table = _answer(Path(folder), sql, limit or None)
    show((table,), format_, output)
    if format_ == "terminal" and output is None:
        for example in examples:
            click.echo(example)


def _check_outside(output: Path, folder: Path) -> None:
    """Refuse to write among the sweep's own files, which hold rows alone."""
    inside = output.resolve()
    if inside.is_relative_to(own := folder.resolve()):
        first = inside.relative_to(own).parts[:1]
        if first and first[0] in OWN:
            raise InputError(f"'{output}' is where the sweep keeps its own files: name another")


def _answer(folder: Path, sql: str, limit: int | None) -> Table:
    from fuseline.sweep.query import open_folder

    with open_folder(folder) as opened:
        return opened.ask(sql, limit)


def _overview(folder: Path) -> tuple[Table, tuple[str, ...]]:
    """What is there, and queries to begin with, as they are typed."""
    from fuseline.sweep.overview import EXAMPLES, overview
    from fuseline.sweep.query import open_folder

    with open_folder(folder) as opened:
        table = overview(opened)
    return table, tuple(
        f'\n{question}:\n  fuseline query {folder} "{sql}"' for question, sql in EXAMPLES.items()
    )
