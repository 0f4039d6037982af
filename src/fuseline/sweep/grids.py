"""What a sweep is to do: grids of captures and plans, numbered, each job with an id of its own.

A *capture* is a model in one way; a *job* is one plan of it: a strategy (under one rung, where it
reads rungs) on one device. Nothing here is listed: captures and jobs are found by number, so that a
million of them take no memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, product

import msgspec

from fuseline.errors import InputError
from fuseline.fusion import READS_RULES, Settings
from fuseline.hardware import load_device
from fuseline.report.captures import Capturing
from fuseline.report.jobs import Job, jobs, settings_of
from fuseline.report.rows import Target


@dataclass(frozen=True, slots=True)
class Planning:
    """How plans are made of each capture, in the words of the command line; device and rule files
    are named by path.
    """

    strategies: tuple[str, ...]
    devices: tuple[str, ...] = ()
    rules: tuple[str, ...] = ("T",)
    on_chip: int | None = None
    objective: str = "bytes"
    launch: str = "eager"
    tf32: bool = False
    search_seconds: float = 60.0
    pair_rules: str = "tflite-cpu"

    @property
    def targets(self) -> tuple[Target, ...]:
        """The devices, loaded. Raises `InputError` for one that is none."""
        return tuple(Target(load_device(name), self.launch, self.tf32) for name in self.devices)

    def units(self) -> tuple[Job, ...]:
        """Every strategy with its settings, one for each rung where it reads them. A unit is
        planned once, and priced on every device.
        """
        targets = self.targets
        first = Settings(
            on_chip=self.on_chip,
            objective=self.objective,
            device=targets[0].device if targets else None,
            launch=self.launch,
            tf32=self.tf32,
            seconds=self.search_seconds,
            pair_rules=self.pair_rules,
        )
        return jobs(self.strategies, settings_of(first, self.rules, "--on-chip SIZE"))

    @property
    def unit_names(self) -> tuple[tuple[str, str | None], ...]:
        """Strategy and rung (None where it reads none) of every unit."""
        return tuple(
            (strategy, rung if strategy in READS_RULES else None)
            for strategy, rung in jobs(self.strategies, tuple(dict.fromkeys(self.rules)))
        )

    @property
    def devices_or_none(self) -> tuple[str | None, ...]:
        """The devices that a unit is priced on; None where plans are not timed."""
        return self.devices or (None,)

    @property
    def jobs(self) -> int:
        """How many jobs each capture has."""
        return len(self.unit_names) * len(self.devices_or_none)


@dataclass(frozen=True, slots=True)
class Capture:
    """One model, captured in one way; `number` is its place in the sweep, `first_job` the number
    of its first job.
    """

    number: int
    first_job: int
    model: str
    how: Capturing
    planning: Planning


@dataclass(frozen=True, slots=True)
class Grid:
    """Every model in every way, under every plan."""

    models: tuple[str, ...]
    ways: tuple[Capturing, ...]
    planning: Planning

    @property
    def captures(self) -> int:
        """How many captures it takes."""
        return len(self.models) * len(self.ways)

    @property
    def jobs(self) -> int:
        """How many rows it ends in."""
        return self.captures * self.planning.jobs


@dataclass(frozen=True, slots=True)
class Sweep:
    """Everything to be done. `files` are those named by path, with the SHA-256 of their content:
    a sweep goes on with what it began with.

    >>> ways = (Capturing(batch=1), Capturing(batch=64))
    >>> planning = Planning(("fusion", "optimal"), ("h100-sxm",), rules=("A", "T"))
    >>> sweep = Sweep((Grid(("resnet18", "resnet50"), ways, planning),))
    >>> sweep.captures, sweep.jobs
    (4, 12)
    >>> third = sweep.capture(2)
    >>> third.model, third.how.batch, third.first_job
    ('resnet50', 1, 6)
    """

    grids: tuple[Grid, ...]
    files: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Raises `InputError` where two grids ask for one job."""
        for number, grid in enumerate(self.grids):
            for before, other in enumerate(self.grids[:number]):
                if twice := in_both(other, grid):
                    raise InputError(f"grids {before + 1} and {number + 1} both ask for {twice}")

    @property
    def captures(self) -> int:
        """How many captures it takes."""
        return sum(grid.captures for grid in self.grids)

    @property
    def jobs(self) -> int:
        """How many rows it ends in."""
        return sum(grid.jobs for grid in self.grids)

    @property
    def jobs_a_capture(self) -> int:
        """The most jobs that one capture has."""
        return max((grid.planning.jobs for grid in self.grids), default=1)

    def capture(self, number: int) -> Capture:
        """The capture of that number: models in order, each in every way before the next."""
        ends = list(accumulate(grid.captures for grid in self.grids))
        place = bisect_right(ends, number)
        grid = self.grids[place]
        local = number - (ends[place] - grid.captures)
        model, way = divmod(local, len(grid.ways))
        before = sum(each.jobs for each in self.grids[:place])
        return Capture(
            number, before + local * grid.planning.jobs,
            grid.models[model], grid.ways[way], grid.planning,
        )  # fmt: skip


def in_both(one: Grid, other: Grid) -> str:
    """A job that two grids share, in words; empty where there is none."""
    models, ways = set(other.models), set(other.ways)
    model = next((model for model in one.models if model in models), None)
    if model is None or ways.isdisjoint(one.ways):
        return ""
    ids = {_plan_of(one.planning, *plan) for plan in _plans(one.planning)}
    for plan in _plans(other.planning):
        if _plan_of(other.planning, *plan) in ids:
            (strategy, _), device = plan
            return f"'{model}' by {strategy}" + (f" on {device}" if device else "")
    return ""


def _plans(planning: Planning) -> Iterator[tuple[tuple[str, str | None], str | None]]:
    yield from product(planning.unit_names, planning.devices_or_none)


# --- ids ------------------------------------------------------------------------------------


def job_ids(capture: Capture) -> tuple[str, ...]:
    """The id of every job of a capture, in order: 16 hex digits that tell what is computed, the
    same in every sweep. What a strategy does not read is not in its id.

    >>> planning = Planning(("unfused", "fusion"))
    >>> one = Capture(0, 0, "resnet18", Capturing(batch=1), planning)
    >>> len(set(job_ids(one)))
    2
    """
    what = msgspec.to_builtins(capture.how)
    return tuple(
        sha256(
            msgspec.json.encode(
                {"model": capture.model, "how": what, "plan": _plan_of(capture.planning, *plan)},
                order="sorted",
            )
        ).hexdigest()[:16]
        for plan in _plans(capture.planning)
    )


def _plan_of(
    planning: Planning, unit: tuple[str, str | None], device: str | None
) -> tuple[str | float | bool | None, ...]:
    """What decides a plan and its price, and no more."""
    strategy, rung = unit
    search = (planning.on_chip, planning.objective, planning.search_seconds)
    searched = search if rung else (None, None, None)
    pair_rules = planning.pair_rules if strategy == "pairs" else None
    timed = (planning.launch, planning.tf32) if device else (None, None)
    return strategy, rung, *searched, pair_rules, device, *timed
