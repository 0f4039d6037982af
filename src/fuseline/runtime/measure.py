"""Seconds of models and plans, in rounds that take turns; and of a plan group by group."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import quantiles
from typing import Protocol

import torch

from fuseline.errors import InputError
from fuseline.frontends.sources.sourced import Inputs
from fuseline.runtime.execute import Executable, RunState, run_stage

TORCH_DEVICES = ("cpu", "cuda")
WARM_UP = 2
"""Rounds before the first that counts: compilation, allocation, caches."""

Tell = Callable[[int, int], None]
"""Called after every round with the rounds done, and those to do."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Something to be timed, by name."""

    name: str
    call: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Timing:
    """What was measured of one contender [s], a round each, in the order of the rounds."""

    name: str
    seconds: tuple[float, ...]

    @property
    def least(self) -> float:
        """The least of all rounds [s]: what is least disturbed."""
        return min(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """Lower quartile, median, upper quartile [s].

        >>> Timing("x", (4.0, 1.0, 2.0, 3.0, 5.0)).quartiles
        (2.0, 3.0, 4.0)
        """
        if len(self.seconds) == 1:
            return (self.seconds[0],) * 3
        low, middle, high = quantiles(self.seconds, n=4, method="inclusive")
        return low, middle, high


@dataclass(frozen=True, slots=True)
class GroupTiming:
    """One launched group of a plan, by its place there, and its seconds in every round."""

    place: int
    timing: Timing


class Clock(Protocol):
    """Measures a call on one kind of device."""

    def seconds(self, calls: Sequence[Callable[[], object]]) -> list[float]:
        """Seconds of each call, made one after another."""


class CpuClock:
    """By the wall: a CPU's ops have ended when they return."""

    def seconds(self, calls: Sequence[Callable[[], object]]) -> list[float]:
        """Seconds of each call, made one after another."""
        found = []
        for call in calls:
            begin = time.perf_counter()
            call()
            found.append(time.perf_counter() - begin)
        return found


class CudaClock:
    """By events on the stream: what the device took, launches that it waited for included."""

    def seconds(self, calls: Sequence[Callable[[], object]]) -> list[float]:
        """Seconds of each call, made one after another."""
        events = [torch.cuda.Event(enable_timing=True) for _ in range(len(calls) + 1)]
        torch.cuda.synchronize()
        events[0].record()
        for call, event in zip(calls, events[1:], strict=True):
            call()
            event.record()
        torch.cuda.synchronize()
        milliseconds = [begin.elapsed_time(end) for begin, end in pairwise(events)]
        return [took / 1e3 for took in milliseconds]


def find_clock(torch_device: str) -> Clock:
    """The clock of `cpu` or `cuda`.

    Raises `InputError` where torch has no such device here.
    """
    if torch_device not in TORCH_DEVICES:
        raise InputError(f"unknown torch device '{torch_device}': one of cpu, cuda")
    if torch_device == "cpu":
        return CpuClock()
    if not torch.cuda.is_available():
        built = "sees no GPU" if torch.version.cuda else "is built without CUDA"
        raise InputError(f"no CUDA device: torch {torch.__version__} {built}; run with cpu")
    return CudaClock()


@contextmanager
def threads(count: int | None) -> Generator[int]:
    """torch on so many threads (None: as it is); the number in use."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def time_plans(
    contenders: Sequence[Contender],
    *,
    rounds: int,
    clock: Clock,
    tell: Tell | None = None,
) -> tuple[Timing, ...]:
    """Seconds of each contender in each of `rounds` rounds, after `WARM_UP` that do not count.

    Every round calls each contender once, in an order that turns by one from round to round, so
    that what disturbs the machine for a while disturbs all of them alike.

    >>> calls = []
    >>> both = [Contender(name, lambda name=name: calls.append(name)) for name in "ab"]
    >>> found = time_plans(both, rounds=2, clock=CpuClock())
    >>> [(timing.name, len(timing.seconds)) for timing in found], "".join(calls)
    ([('a', 2), ('b', 2)], 'abbaabba')
    """
    found: list[list[float]] = [[] for _ in contenders]
    for turn in range(WARM_UP + rounds):
        places = [(turn + step) % len(contenders) for step in range(len(contenders))]
        with RunState():
            seconds = [clock.seconds([contenders[place].call])[0] for place in places]
        if turn >= WARM_UP:
            for place, took in zip(places, seconds, strict=True):
                found[place].append(took)
        if tell is not None:
            tell(turn + 1, WARM_UP + rounds)
    return tuple(
        Timing(contender.name, tuple(seconds))
        for contender, seconds in zip(contenders, found, strict=True)
    )


def time_groups(
    executable: Executable,
    inputs: Inputs,
    *,
    rounds: int,
    clock: Clock,
    tell: Tell | None = None,
) -> tuple[GroupTiming, ...]:
    """Seconds of every launched group, in the order in which they run.

    The whole plan runs in every round, so each group finds the caches as the one before it left
    them. On CUDA a group's seconds include what the device waited for its launch.
    """
    launched = [stage for stage in executable.stages if stage.is_launched]
    found: dict[int, list[float]] = {stage.place: [] for stage in launched}
    for turn in range(WARM_UP + rounds):
        with RunState():
            seconds = clock.seconds(_stage_calls(executable, inputs))
        if turn >= WARM_UP:
            for stage, took in zip(executable.stages, seconds, strict=True):
                if stage.is_launched:
                    found[stage.place].append(took)
        if tell is not None:
            tell(turn + 1, WARM_UP + rounds)
    return tuple(
        GroupTiming(stage.place, Timing(f"group {stage.place}", tuple(found[stage.place])))
        for stage in launched
    )


def _stage_calls(executable: Executable, inputs: Inputs) -> list[Callable[[], object]]:
    """The groups of one run, to be called one after another."""
    values = executable.start(*inputs)
    stages = zip(executable.stages, executable.runs, strict=True)
    return [partial(run_stage, stage, run, values) for stage, run in stages]
