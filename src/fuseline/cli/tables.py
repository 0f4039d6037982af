"""Tables that a command prints, or writes to a file: the same formats wherever there are tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from fuseline.errors import InputError, did_you_mean
from fuseline.files import write_bytes
from fuseline.report.rows.table import Table
from fuseline.report.tabular import FORMATS, format_of, write_tables

FOR_PEOPLE = ("terminal", "markdown")
"""Formats that show what matters; the others, for programs, hold everything."""


def chosen_format(format_: str | None, output: str | None) -> str:
    """The format asked for, else that of the file's ending, else the terminal's.

    Raises `InputError` for an unknown one, with the nearest: ask before any work is done.

    >>> chosen_format(None, None), chosen_format(None, "rows.csv"), chosen_format("json", "rows")
    ('terminal', 'csv', 'json')
    """
    if format_ is None:
        return "terminal" if output is None else format_of(Path(output))
    if format_ not in FORMATS:
        hint = did_you_mean(format_, FORMATS) or f": one of {', '.join(FORMATS)}"
        raise InputError(f"unknown format '{format_}'{hint}")
    return format_


def show(tables: Sequence[Table], format_: str, output: str | None = None) -> None:
    """The tables, on stdout or in a file. Raises `InputError` for several where the format holds
    one, and where the file cannot be written.
    """
    if output is not None:
        write_bytes(Path(output), write_tables(tables, format_))
    elif format_ == "terminal":
        from fuseline.report.terminal import stdout_console
        from fuseline.report.terminal.table import print_named_table

        for table in tables:
            print_named_table(stdout_console(), table)
    else:
        click.echo(write_tables(tables, format_), nl=False)
