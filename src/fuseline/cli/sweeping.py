"""What `fuseline sweep` shows: how far it is, on stderr, and what it came to, on stdout."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

from fuseline.hardware.sizes import needed_text
from fuseline.report.text import shortened, visible
from fuseline.report.units import count_of
from fuseline.sweep.grids import Planning, Sweep
from fuseline.sweep.schema import zoo_of
from fuseline.sweep.summary import cost_of, first_failures

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from fuseline.sweep.begun import Done
    from fuseline.sweep.store import Counts

_FIRST_SECONDS, _LINE_SECONDS = 5.0, 30.0  # to a first line where stderr is no terminal; between
_REASONS = 3  # of each status
_REASON_WIDTH = 160
_SHOWN = 5  # jobs of a dry run
_QUERY = "select model, strategy, device, fusion_efficiency, traffic_bytes from results limit 9"
_QUERY_OF_FAILED = "select status, reason, count(*) from results group by all order by 3 desc"


class Bar:
    """How far a sweep is: a bar in a terminal, elsewhere a line now and then. Used with `with`."""

    def __init__(self, before: Counts) -> None:
        self._before = before.done_jobs
        self._began = monotonic()
        self._next = self._began + _FIRST_SECONDS
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                BarColumn(bar_width=None), TextColumn("{task.description}"), TimeElapsedColumn(),
                console=Console(stderr=True, force_jupyter=False), transient=True, expand=True,
            )  # fmt: skip
            self._task = self._bar.add_task("starting", total=None)
            self._bar.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def tell(self, counts: Counts) -> None:
        """Show that so much is done."""
        now = monotonic()
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, total=counts.jobs, completed=counts.done_jobs,
                description=progress_in_words(counts, self._before, now - self._began),
            )  # fmt: skip
        elif now >= self._next:
            self._next = now + _LINE_SECONDS
            click.echo(progress_in_words(counts, self._before, now - self._began), err=True)


def progress_in_words(counts: Counts, before: int, seconds: float) -> str:
    """How far a sweep is that had `before` jobs done when it began, `seconds` ago.

    >>> from fuseline.sweep.store import Counts
    >>> progress_in_words(Counts(10, 100, 4, 40, {"refused": 2}), 20, 60.0)
    '40 of 100 jobs, 2 failed, 20 jobs/min, 3:00 left'
    """
    said = f"{counts.done_jobs:,} of {counts.jobs:,} jobs"
    if failed := sum(counts.failed.values()):
        said += f", {failed:,} failed"
    done = counts.done_jobs - before
    if done > 0 and seconds > 0:
        left = (counts.jobs - counts.done_jobs) * seconds / done
        said += f", {done / seconds * 60:,.0f} jobs/min, {clock(left)} left"
    return said


def clock(seconds: float) -> str:
    """A duration as on a clock.

    >>> clock(75), clock(3_675), clock(200_000)
    ('1:15', '1:01:15', '2 d 7:33:20')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours}:{minutes:02}:{rest:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


# --- before ---------------------------------------------------------------------------------


def show_plan(sweep: Sweep) -> None:
    """What would be done: jobs and captures, by zoo, and the first of them."""
    click.echo(f"{count_of(sweep.jobs, 'job')} of {count_of(sweep.captures, 'capture')}")
    captures: Counter[str] = Counter()
    jobs: Counter[str] = Counter()
    for grid in sweep.grids:
        for zoo, models in Counter(map(zoo_of, grid.models)).items():
            captures[zoo] += models * len(grid.ways)
            jobs[zoo] += models * len(grid.ways) * grid.planning.jobs
    for zoo, number in captures.items():
        click.echo(f"  {zoo:<12} {count_of(jobs[zoo], 'job')} of {count_of(number, 'capture')}")
    _show_plans(sweep)
    click.echo("first captures:")
    for number in range(min(_SHOWN, sweep.captures)):
        capture = sweep.capture(number)
        how = capture.how
        words = (
            ("batch", how.batch), ("dtype", how.dtype), ("via", how.via),
            ("seq-len", how.seq_len), ("decode", how.decode), ("attention", how.attention),
        )  # fmt: skip
        told = [f"{name} {value}" for name, value in words if value is not None]
        asked = ", ".join([*told, "train"] if how.train else told)
        plans = count_of(capture.planning.jobs, "job")
        said = f"{visible(capture.model)}{f', {asked}' if asked else ''}: {plans}"
        click.echo(f"  {said}")


def _show_plans(sweep: Sweep) -> None:
    """What is done with captures: strategies and devices, with how many where some differ."""
    captures: Counter[str] = Counter()
    for grid in sweep.grids:
        captures[_plans_in_words(grid.planning)] += grid.captures
    click.echo("each capture by:" if len(captures) == 1 else "captures by:")
    for said, number in captures.most_common(_SHOWN):
        click.echo(f"  {said}" if len(captures) == 1 else f"  {said}: {number:,}")
    if len(captures) > _SHOWN:
        click.echo(f"  and in {len(captures) - _SHOWN:,} other ways")


def _plans_in_words(planning: Planning) -> str:
    """Strategies, their rules where they are not the usual ones, and devices.

    >>> _plans_in_words(Planning(("fusion", "optimal"), ("t4",), rules=("A", "T"), tf32=True))
    'fusion, optimal (rules A, T) on t4 with tf32'
    """
    reads_rules = any(rung is not None for _, rung in planning.unit_names)
    said = ", ".join(planning.strategies)
    if reads_rules and planning.rules != Planning(()).rules:
        said += f" (rules {', '.join(planning.rules)})"
    if planning.devices:
        said += f" on {', '.join(planning.devices)}"
    how = [word for word in (planning.launch,) if word != Planning(()).launch]
    how += ["tf32"] if planning.tf32 else []
    return said + (f" with {' and '.join(how)}" if how else "")


def show_left(sweep: Sweep, done: Done) -> None:
    """What of it is not done yet."""
    jobs = count_of(sweep.jobs - done.jobs, "job")
    captures = count_of(sweep.captures - done.captures, "capture")
    click.echo(f"left to do: {jobs} of {captures}")


# --- after ----------------------------------------------------------------------------------


def show_summary(
    folder: Path, before: Counts, counts: Counts, seconds: float, *, executor: str
) -> None:
    """What the sweep came to, in this run of `seconds` and in all."""
    failed = sum(counts.failed.values())
    said = f"{count_of(counts.jobs, 'job')} of {count_of(counts.captures, 'capture')}"
    click.echo(f"{said}: {counts.jobs - failed:,} ok" + (f", {failed:,} failed" if failed else ""))
    done = counts.done_captures - before.done_captures
    if done:
        rate = f"{done / seconds * 60:,.1f} a minute"
        _line("this run", f"{count_of(done, 'capture')} in {clock(seconds)}: {rate} ({executor})")
    else:
        _line("this run", "nothing was left to do")
    cost = cost_of(folder)
    if cost.captures:
        cpu = cost.cpu_seconds / cost.captures
        peak = needed_text(cost.peak_nbytes)
        _line("a capture", f"{cpu:,.2f} CPU seconds on average; at most {peak} in a worker")
    if cost.cached:
        _line("graphs", f"{cost.cached:,} came from the cache")
    _show_failed(folder, counts.failed)
    _line("rows", f"{folder}/results/*.parquet")
    query = _QUERY if counts.jobs > failed else _QUERY_OF_FAILED
    _line("ask them", f'fuseline query {folder}/ "{query}"')


def _show_failed(folder: Path, failed: Mapping[str, int]) -> None:
    if not failed:
        return
    _line("failed", ", ".join(f"{number:,} {status}" for status, number in failed.items()))
    for failure in first_failures(folder, failed, _REASONS):
        reason = shortened(visible(failure.reason), _REASON_WIDTH)
        click.echo(f"    {failure.status}: {visible(failure.job)}: {reason}")
    _line("", "once the cause is mended: the same command with --retry-failed")


def _line(label: str, said: str) -> None:
    click.echo(f"  {label:<10} {said}")
