"""`fuseline compare MODEL...`: models, strategies, devices, dtypes and batches side by side."""

from __future__ import annotations

from dataclasses import dataclass

import click

from fuseline.cli.comparing import plans_options, says_how_to_plan
from fuseline.cli.options import several_capture_options
from fuseline.cli.partition import check_writable
from fuseline.cli.tables import FOR_PEOPLE, chosen_format, show
from fuseline.errors import InputError
from fuseline.report.captures import Capturing
from fuseline.report.compare import (
    Planned,
    Subject,
    check_against,
    check_results,
    find_ways,
    subjects_of,
)
from fuseline.report.rows.comparing import check_sort
from fuseline.report.rows.comparison import COLUMNS, Comparison, Way, check_columns
from fuseline.report.rows.table import Table
from fuseline.report.steps import Steps
from fuseline.report.tabular import FORMATS
from fuseline.report.units import count_of


@dataclass(frozen=True, slots=True)
class Shown:
    """How a comparison is shown, in the words of the command line."""

    against: str | None
    sort: str | None
    columns: tuple[str, ...] | None
    format_: str
    output: str | None

    @property
    def is_for_people(self) -> bool:
        """Whether people read it, and remarks in it."""
        return self.format_ in FOR_PEOPLE


@dataclass(frozen=True, slots=True)
class Collected:
    """The ways; what could not be captured, in a line each; and what the user did not wait for."""

    ways: tuple[Way, ...]
    failures: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is said beside the ways."""
        if not self.missing:
            return self.failures
        there = count_of(len(self.ways), "way")
        stopped = f"stopped half-way, after {there}; missing: {_some(self.missing)}"
        return (*self.failures, stopped)


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return "; ".join(names[:_NAMED]) + more


_NAMED = 6
"""Of what is missing: the rest is counted."""


def _list_columns(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """`--columns ?` needs no model: it prints every column and what it means, and ends."""
    del option
    if value is not None and value.strip() == "?":
        width = max(map(len, COLUMNS))
        for column in COLUMNS.values():
            click.echo(f"{column.name:{width}}  {column.meaning}")
        context.exit()
    return value


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@plans_options
@several_capture_options
@click.option("--against", metavar="WAY",
              help="What changes are counted from: a row's number, or a value as unfused, float32 "
              "or batch=1 [default: the first row of the same model and inputs].")  # fmt: skip
@click.option("--sort", metavar="FIGURE",
              help="The figure to sort by, or none [default: seconds on devices, else "
              "traffic_bytes].")  # fmt: skip
@click.option("--columns", metavar="A,B,...", is_eager=True, callback=_list_columns,
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
    shown = Shown(against, sort, chosen, chosen_format(format_, output), output)
    subjects = subjects_of(models, how)
    if ops:
        _show_ops(subjects, planned, shown)
        return
    told = check_results(subjects, is_planned=says_how_to_plan(context))
    check_against(against, subjects, planned)
    found = _collect(subjects, planned)
    if found.missing and (output is not None or not shown.is_for_people):
        click.echo(f"nothing written: {found.remarks[-1]}", err=True)
        raise KeyboardInterrupt
    failures = list(found.failures)
    remarks = (*told, *found.remarks)
    try:
        comparison = Comparison(found.ways, shown.against, shown.sort, remarks)
    except InputError as error:  # only the baseline can be wrong now: no reason to lose the work
        failures.append(str(error))
        comparison = Comparison(found.ways, None, shown.sort, (*remarks, str(error)))
    show(_tables(comparison, shown), shown.format_, shown.output)
    for failure in failures:
        click.echo(f"error: {failure}", err=True)
    if found.missing:
        raise KeyboardInterrupt
    if failures or comparison.faults:
        context.exit(2 if failures else 1)


def _collect(subjects: tuple[Subject, ...], planned: Planned) -> Collected:
    """All ways, or those that are there when the user stops it."""
    ways: list[Way] = []
    failures: list[str] = []
    failed = failures.append if len(subjects) > 1 else None
    done = before = 0  # subjects that are whole, and the ways of those
    try:
        with Steps() as steps:
            for subject in subjects:
                ways.extend(find_ways((subject,), planned, steps.tell, failed))
                done, before = done + 1, len(ways)
    except KeyboardInterrupt:
        if not ways:
            raise
        missing = [subject.name for subject in subjects[done:]]
        if missing and len(ways) > before:
            missing[0] = f"the rest of {missing[0]}"
        return Collected(tuple(ways), tuple(failures), tuple(missing))
    if not ways:
        raise InputError("; ".join(failures))
    return Collected(tuple(ways), tuple(failures))


def _show_ops(subjects: tuple[Subject, ...], planned: Planned, shown: Shown) -> None:
    """What is different between two captures."""
    from fuseline.cli.comparing_ops import difference_of

    if not shown.is_for_people:
        raise InputError(f"--ops prints several tables: as {' or '.join(FOR_PEOPLE)}")
    if shown.sort or shown.columns or shown.against:
        raise InputError("--sort, --columns and --against are of ways, and --ops is of ops")
    with Steps() as steps:
        tables = difference_of(subjects, planned, steps.tell)
    show(tables, shown.format_, shown.output)


def _tables(comparison: Comparison, shown: Shown) -> tuple[Table, ...]:
    if shown.columns is not None:
        return (comparison.table(shown.columns),)
    if not shown.is_for_people:
        return (comparison.wide(),)
    return comparison.shown()
