"""What the driver of a sweep takes as jobs grow: driver and store, fed with made rows of the real
schema by an executor that runs nothing.

python benchmarks/sweep_scale.py [JOBS...]

Each size is kept in one fresh process (a job a capture, all but the last) and taken up again in
another, as after an interruption. Making the rows is in the seconds: it stands for what a driver
does besides.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from fuseline.report.captures import Capturing
from fuseline.report.rows.table import Column, Measure, Value
from fuseline.sweep.drive import drive
from fuseline.sweep.grids import Capture, Grid, Planning, Sweep
from fuseline.sweep.schema import COLUMNS, LISTS, failed_row, jobs_of
from fuseline.sweep.store import Store
from fuseline.sweep.tasks import Began, Caching, Ended, Limits, Made, Outcome, Row, Status, Task
from processes import run_for_json
from tables import section, table

SIZES = (10_000, 100_000, 1_000_000)
MODELS = 1000
FAILED = 0.02  # of the jobs
ENVIRONMENT = {"rows": "made"}
REASON = [column.name for column in COLUMNS].index("reason")
PLANNING = Planning(("fusion",), devices=("h100-sxm",))


def sweep_of(jobs: int) -> Sweep:
    ways = tuple(Capturing(batch=batch) for batch in range(1, max(2, jobs // MODELS + 1)))
    models = tuple(f"timm/model_{number:04d}" for number in range(min(MODELS, jobs)))
    return Sweep((Grid(models, ways, PLANNING),))


def figure(column: Column, scale: int, draw: random.Random) -> Value:
    match column.measure:
        case Measure.TEXT:
            return "bandwidth"
        case Measure.YES:
            return draw.random() < 0.5
        case Measure.COUNT:
            return draw.randrange(20, 900)
        case Measure.BYTES | Measure.FLOPS:
            return scale * draw.randrange(10_000, 20_000_000)
        case _:
            return draw.random() * scale


def made_row(capture: Capture, draw: random.Random) -> Row:
    """Figures of plausible sizes."""
    (job,) = jobs_of(capture)
    if draw.random() < FAILED:
        return failed_row(job, Status.DIED, "its process ended: signal 11 (SIGSEGV)")
    asked = failed_row(job, Status.OK, "")[: len(COLUMNS)]
    scale = (capture.how.batch or 1) * (1 + int(capture.model[-4:]) % 97)
    row = [
        figure(column, scale, draw) if value is None else value
        for column, value in zip(COLUMNS, asked, strict=True)
    ]
    row[REASON] = None
    lists = [
        [
            {field.name: figure(field, scale, draw) for field in each.fields}
            for _ in range(draw.randrange(2, 6))
        ]
        for each in LISTS
    ]
    return (*row, *lists)


class Simulated:
    """An executor whose tasks are over at once, each with a made row; the last stops the sweep, as
    Ctrl-C would.
    """

    slots = 8

    def __init__(self, last: int) -> None:
        self._last = last
        self._draw = random.Random(7)  # noqa: S311 - figures, no secrets
        self._tasks: deque[Task] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tasks.clear()

    def submit(self, task: Task) -> None:
        self._tasks.append(task)

    def wait(self, seconds: float) -> Outcome:
        del seconds
        task = self._tasks.popleft()
        if task.capture.number == self._last:
            raise KeyboardInterrupt
        row = made_row(task.capture, self._draw)
        ended = Ended(cpu_seconds=2.5, seconds=2.6, peak_nbytes=700 * 2**20, cached=False)
        return Outcome(task, (Began(None), Began(0), Made(0, Status.OK, [row]), ended))


def keep(folder: str, jobs: str) -> dict[str, float]:
    """All captures but the last, through the driver."""
    sweep = sweep_of(int(jobs))
    started = time.monotonic()
    with Store.open(Path(folder), sweep, ENVIRONMENT) as store, suppress(KeyboardInterrupt):
        drive(
            store, Simulated(sweep.captures - 1), limits=Limits(), caching=Caching(None),
            environment=ENVIRONMENT, tell=lambda _: None,
        )  # fmt: skip
    return {"seconds": time.monotonic() - started}


def take_up(folder: str) -> dict[str, float]:
    """Until the first capture that is to do is known."""
    started = time.monotonic()
    with Store.open(Path(folder), None, ENVIRONMENT) as store:
        counts = store.counts()
        first = next(store.todo())
        seconds = time.monotonic() - started
    if first != counts.done_captures or counts.done_captures != counts.captures - 1:
        raise SystemExit(f"{counts}, and {first} is to do")
    return {"seconds": seconds}


MEASURES = {"keep": keep, "take_up": take_up}


def in_child(*words: str) -> dict[str, float]:
    return run_for_json([sys.executable, __file__, *words])


def nbytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True, slots=True)
class Scaled:
    """What a sweep of so many jobs took its driver, and to take up again."""

    jobs: int
    seconds: float
    cpu_seconds: float
    mebibytes: float
    again_seconds: float
    again_mebibytes: float
    result_nbytes: int
    folder_nbytes: int

    @property
    def cells(self) -> tuple[str, ...]:
        """A row of the table."""
        return (
            f"{self.jobs:,}", f"{self.seconds:.1f}", f"{self.cpu_seconds:.1f}",
            f"{self.mebibytes:.0f}", f"{self.again_seconds:.2f}", f"{self.again_mebibytes:.0f}",
            f"{self.result_nbytes / self.jobs:.0f}", f"{self.folder_nbytes / self.jobs:.0f}",
        )  # fmt: skip


def scaled(jobs: int) -> Scaled:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "zoo"
        done = in_child("keep", str(folder), str(jobs))
        again = in_child("take_up", str(folder))
        return Scaled(
            jobs, done["seconds"], done["cpu_seconds"], done["mebibytes"], again["seconds"],
            again["mebibytes"], nbytes_in(folder / "results"), nbytes_in(folder),
        )  # fmt: skip


NAMES = ("jobs", "seconds", "CPU seconds", "peak MiB", "taken up again, seconds", "its peak MiB",
         "bytes a job in results/", "bytes a job in the folder")  # fmt: skip


@section
def scale_section(sizes: list[Scaled]) -> Iterator[str]:
    yield "\n## The driver as jobs grow\n"
    yield (
        "Driver and store, with made rows of the real schema from an executor that runs nothing: "
        "a job a capture, all but the last done in one process, stopped, and taken up again in "
        "another, until the first that is to do is known. Making the rows is in the seconds.\n"
    )
    yield from table(NAMES, [size.cells for size in sizes])
    first, last = sizes[0], sizes[-1]
    yield (
        f"\nTarget: {last.jobs:,} jobs are taken up again in under 10 s: "
        f"{'met' if last.again_seconds < 10 else '**missed**'}. The driver's peak goes from "
        f"{first.mebibytes:.0f} MiB with {first.jobs:,} jobs to {last.mebibytes:.0f} MiB with "
        f"{last.jobs:,}."
    )


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in MEASURES:
        figures = MEASURES[sys.argv[1]](*sys.argv[2:])
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(
            json.dumps(
                figures
                | {"cpu_seconds": used.ru_utime + used.ru_stime, "mebibytes": used.ru_maxrss / 1024}
            )
        )
    else:
        scale_section([scaled(jobs) for jobs in tuple(map(int, sys.argv[1:])) or SIZES])
