"""`fuseline compare MODEL...`: models, strategies, devices, dtypes and batches side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from fuseline.cli.comparing import capturing_options, plans_options
from fuseline.cli.partition import check_writable
from fuseline.errors import InputError, did_you_mean
from fuseline.files import write_bytes
from fuseline.report.captures import Capturing
from fuseline.report.compare import Planned, Subject, find_ways, subjects_of
from fuseline.report.rows.comparing import check_sort
from fuseline.report.rows.comparison import Comparison, Way, check_columns
from fuseline.report.rows.table import Table
from fuseline.report.steps import Steps
from fuseline.report.tabular import FORMATS, format_of, write_tables

_FOR_PEOPLE = ("terminal", "markdown")
"""Formats that show what matters; the others, for programs, hold one table of every column."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How a comparison is shown, in the words of the command line."""

    against: str | None
    sort: str | None
    columns: tuple[str, ...] | None
    format_: str
    output: str | None


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@plans_options
@capturing_options
@click.option("--against", metavar="WAY",
              help="What changes are counted from: a row's number, or a value as unfused, float32 "
              "or batch=1 [default: the first row of the same model and inputs].")  # fmt: skip
@click.option("--sort", metavar="FIGURE",
              help="The figure to sort by, or none [default: seconds on devices, else "
              "traffic_bytes].")  # fmt: skip
@click.option("--columns", metavar="A,B,...",
              help="Show these columns alone, in this order; ? lists them.")  # fmt: skip
@click.option("--ops", is_flag=True,
              help="Two captures of one model, kernel by kernel and op by op: what the second has "
              "that the first has not.")  # fmt: skip
@click.option("--format", "format_", metavar="|".join(FORMATS),
              help="[default: by the ending of -o, else terminal]")  # fmt: skip
@click.option("-o", "--output", metavar="FILE", help="Write it to FILE instead of stdout.")
@click.pass_context
def command(
    context: click.Context,
    *,
    models: tuple[str, ...],
    planned: Planned,
    how: tuple[Capturing, ...],
    against: str | None,
    sort: str | None,
    columns: str | None,
    ops: bool,
    format_: str | None,
    output: str | None,
) -> None:
    """Lay models side by side: every MODEL under every strategy, rule set, device, dtype and batch.

    MODEL is what `partition` takes, a pattern of names ('resnet*', 'timm/convnext_*'), or a result
    that `partition --json` wrote. Only what is comparable is put as better: sizes and times of one
    model on the same inputs, ratios across models, nothing across frontends.

    csv, json and parquet hold every column. Exits with 2 where a model cannot be captured; the
    others are shown all the same.
    """
    chosen = None if columns is None else tuple(name.strip() for name in columns.split(","))
    check_columns(chosen or ())
    check_sort(sort)
    check_writable(output)
    shown = Shown(against, sort, chosen, _format(format_, output), output)
    if ops:
        _show_ops(subjects_of(models, how), planned, shown)
        return
    ways, failures, stopped = _collect(subjects_of(models, how), planned)
    remarks = (*failures, *(["stopped half-way: not every way is here"] if stopped else ()))
    try:
        comparison = Comparison(ways, shown.against, shown.sort, remarks)
    except InputError as error:  # only the baseline can be wrong now: no reason to lose the work
        failures += (str(error),)
        comparison = Comparison(ways, None, shown.sort, (*remarks, str(error)))
    _show(_tables(comparison, shown), shown)
    for failure in failures:
        click.echo(f"error: {failure}", err=True)
    if stopped:
        raise KeyboardInterrupt
    if failures or comparison.faults:
        context.exit(2 if failures else 1)


def _format(format_: str | None, output: str | None) -> str:
    """The format asked for; an unknown one is refused before any work is done."""
    if format_ is None:
        return "terminal" if output is None else format_of(Path(output))
    if format_ not in FORMATS:
        hint = did_you_mean(format_, FORMATS) or f": one of {', '.join(FORMATS)}"
        raise InputError(f"unknown format '{format_}'{hint}")
    return format_


def _collect(
    subjects: tuple[Subject, ...], planned: Planned
) -> tuple[tuple[Way, ...], tuple[str, ...], bool]:
    """All ways; what could not be captured; and whether the user stopped it half-way."""
    ways: list[Way] = []
    failures: list[str] = []
    failed = failures.append if len(subjects) > 1 else None
    try:
        with Steps() as steps:
            ways.extend(find_ways(subjects, planned, steps.tell, failed))
    except KeyboardInterrupt:
        if not ways:
            raise
        return tuple(ways), tuple(failures), True
    if not ways:
        raise InputError("; ".join(failures))
    return tuple(ways), tuple(failures), False


def _show_ops(subjects: tuple[Subject, ...], planned: Planned, shown: Shown) -> None:
    """What is different between two captures."""
    from fuseline.cli.comparing_ops import difference_of

    if shown.format_ not in _FOR_PEOPLE:
        raise InputError(f"--ops prints several tables: as {' or '.join(_FOR_PEOPLE)}")
    with Steps() as steps:
        tables = difference_of(subjects, planned, steps.tell)
    _show(tables, shown)


def _show(tables: tuple[Table, ...], shown: Shown) -> None:
    """The tables, on stdout or in a file."""
    if shown.output is not None:
        write_bytes(Path(shown.output), write_tables(tables, shown.format_))
    elif shown.format_ == "terminal":
        from fuseline.report.terminal import stdout_console
        from fuseline.report.terminal.table import print_named_table

        for table in tables:
            print_named_table(stdout_console(), table)
    else:
        click.echo(write_tables(tables, shown.format_), nl=False)


def _tables(comparison: Comparison, shown: Shown) -> tuple[Table, ...]:
    if shown.columns is not None:
        return (comparison.table(shown.columns),)
    if shown.format_ not in _FOR_PEOPLE:
        return (comparison.wide(),)
    return comparison.shown()
