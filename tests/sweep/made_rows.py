"""Rows of the real schema without a capture, for tests of what keeps them."""

from __future__ import annotations

from dataclasses import replace

from fuseline.report.captures import Capturing
from fuseline.report.rows.table import Measure, Value
from fuseline.sweep.grids import Capture, Grid, Planning, Sweep
from fuseline.sweep.schema import COLUMNS, LISTS, Job, failed_row, jobs_of
from fuseline.sweep.store import Finished
from fuseline.sweep.tasks import Row, Status

PLANNING = Planning(("unfused", "fusion"))


def made_sweep(models: int = 5, batches: int = 2, planning: Planning = PLANNING) -> Sweep:
    """So many models, each in so many batches: two jobs a capture."""
    ways = tuple(Capturing(batch=1 + number) for number in range(batches))
    return Sweep((Grid(tuple(f"net{number:03d}" for number in range(models)), ways, planning),))


def made_row(job: Job) -> Row:
    """A row with a value in every column, told apart by the job's id."""
    seed = int(job.id, 16) % 1_000_003
    asked = dict(
        zip([column.name for column in COLUMNS], failed_row(job, Status.OK, ""), strict=False)
    )
    cells: list[Value] = []
    for place, column in enumerate(COLUMNS):
        value: Value | list[dict[str, Value]] = asked[column.name]
        if column.name == "reason":
            cells.append(None)
        elif value is not None and not isinstance(value, list):
            cells.append(value)
        elif column.measure is Measure.TEXT:
            cells.append(f"{column.name} {seed % 3}")
        elif column.measure is Measure.YES:
            cells.append(seed % 2 == 0)
        else:
            cells.append(seed * (place + 1) if column.measure.is_whole else seed / (place + 3))
    records: dict[str, Value] = {
        column.name: "word" if column.measure is Measure.TEXT else seed
        for column in LISTS[0].fields
    }
    lists: list[list[dict[str, Value]]] = [[records] * (seed % 3), [], []]
    return (*cells, *lists)


def made(capture: Capture, *, attempts: int = 1) -> Finished:
    """A capture every job of which came to a plan."""
    rows = tuple(made_row(job) for job in jobs_of(capture))
    return Finished(rows, attempts, 1.5, 2.0, 3 * 2**20, cached=False)


def failed(capture: Capture, status: Status = Status.DIED) -> Finished:
    """A capture whose last job failed."""
    *_, last = jobs_of(capture)
    done = made(capture)
    return replace(done, rows=(*done.rows[:-1], failed_row(last, status, "signal 11")))
