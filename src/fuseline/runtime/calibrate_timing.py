"""Seconds of each group of a plan as it runs, the least of many passes."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from fuseline.runtime.execute import Executable, RunState

Values = dict[int, Any]

_LARGE_NBYTES = 31 << 20
"""Just below what glibc's allocator takes from the system each time anew."""


@contextmanager
def steady(threads: int) -> Generator[None]:
    """Run torch on so many threads, in a state that does not depend on what ran before.

    Denormal numbers are flushed to zero: a masked softmax leaves some, on which a product takes up
    to 70 times as long, and a graph knows nothing of values. And the C allocator is made to keep
    what is freed, as it does once it has seen a large block go: else some results would be written
    to pages that the system has to hand out first.
    """
    before = torch.get_num_threads()
    torch.empty(_LARGE_NBYTES, dtype=torch.uint8)  # glibc keeps up to twice this from now on
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)


def clock_for(threads: int) -> Callable[[], float]:
    """The time of one thread on its core, which other processes do not lengthen; that of the wall
    where several threads work.
    """
    return time.thread_time if threads == 1 else time.perf_counter


def time_groups(
    executable: Executable,
    inputs: tuple[tuple[Any, ...], Mapping[str, Any]],
    *,
    passes: int,
    seconds: float,
    produced: bool = False,
    report: Callable[[float], None] | None = None,
) -> tuple[float, ...]:
    """Seconds of each group, in the plan's order: the least of at most `passes` runs of the whole
    plan, which stop after `seconds`. Groups without a compute op are not launched: 0.

    With `produced` the first input of a group is written just before the group runs, untimed, as
    if another kernel had made it; what else it takes was made long before; and results of kernels
    are let go at once, so that their memory is used again. `report` is called after each pass with
    the share that is done.

    The first pass is not counted; at least two are.
    """
    best = [float("inf")] * len(executable.plan.groups)
    for stage in executable.stages:
        if not stage.is_launched:
            best[stage.place] = 0.0
    given = frozenset(executable.script.inputs) if produced else frozenset()
    begin = time.perf_counter()
    for turn in range(passes + 1):
        spent = time.perf_counter() - begin
        if turn > 2 and spent > seconds:  # noqa: PLR2004 - two passes that count
            break
        _one_pass(executable, executable.start(*inputs), given, best if turn else None)
        if report is not None:
            report(min(1.0, max((turn + 1) / (passes + 1), spent / seconds)))
    return tuple(best)


def _one_pass(
    executable: Executable, values: Values, given: frozenset[int], best: list[float] | None
) -> None:
    """One run of the plan; `best` keeps the least."""
    clock = clock_for(torch.get_num_threads())
    with RunState(), torch.inference_mode():
        for stage in executable.stages:
            first = next((value for value in stage.inputs if value in given), None)
            if first is not None and stage.is_launched and values[first].is_floating_point():
                values[first].add_(0)
            forward, taken = stage.module.forward, [values[value] for value in stage.inputs]
            begin = clock()
            made = forward(*taken)
            took = clock() - begin
            taken.clear()
            if not (given and stage.is_launched):
                values.update(zip(stage.outputs, made, strict=True))
            del made
            for value in stage.last:
                values.pop(value, None)
            if best is not None and stage.is_launched:
                best[stage.place] = min(best[stage.place], took)


def time_model(call: Callable[[], object], *, passes: int, seconds: float) -> float:
    """Seconds of one call: the least of at most `passes`, which stop after `seconds`; the first
    is not counted, at least two are.
    """
    best, begin, clock = float("inf"), time.perf_counter(), clock_for(torch.get_num_threads())
    for turn in range(passes + 1):
        if turn > 2 and time.perf_counter() - begin > seconds:  # noqa: PLR2004 - as above
            break
        start = clock()
        call()
        if turn:
            best = min(best, clock() - start)
    return best
