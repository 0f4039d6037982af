"""Timing: who is called when, what the clock says, and groups one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import nn

from fuseline.errors import InputError
from fuseline.frontends import write_script
from fuseline.frontends.sources.sourced import Sourced
from fuseline.fusion import partition
from fuseline.runtime.execute import execute_script
from fuseline.runtime.measure import (
    WARM_UP,
    Contender,
    CpuClock,
    Timing,
    find_clock,
    threads,
    time_groups,
    time_plans,
)


class Ticks:
    """A clock by which the n-th call of all takes n seconds."""

    def __init__(self) -> None:
        self.count = 0

    def seconds(self, calls: Sequence[Callable[[], object]]) -> list[float]:
        found = []
        for call in calls:
            call()
            self.count += 1
            found.append(float(self.count))
        return found


def test_rounds_take_turns_and_warm_up_does_not_count() -> None:
    """Two of warm-up are calls 1 to 4; then a, b are calls 5, 6, and b, a calls 7, 8."""
    told: list[tuple[int, int]] = []
    calls: list[str] = []
    both = [Contender(name, lambda name=name: calls.append(name)) for name in "ab"]
    a, b = time_plans(
        both, rounds=2, clock=Ticks(), tell=lambda done, every: told.append((done, every))
    )
    assert (a.seconds, b.seconds) == ((5.0, 8.0), (6.0, 7.0))
    assert "".join(calls) == "abbaabba"
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_least_and_quartiles() -> None:
    timing = Timing("x", (5.0, 1.0, 2.0, 4.0, 3.0))
    assert (timing.least, timing.quartiles) == (1.0, (2.0, 3.0, 4.0))
    assert Timing("x", (2.0,)).quartiles == (2.0, 2.0, 2.0)


def test_every_launched_group_is_timed() -> None:
    """`linear` and `relu` are launched, the view between them is not: 3 groups, 2 timings."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x).t().relu()

    made = Sourced(Model(), ((torch.ones(2, 4),), {}), "x", "python", 1, "float32")
    script = write_script(made)
    executable = execute_script(partition(script.graph, "unfused"), script, made.model)
    assert [stage.is_launched for stage in executable.stages] == [True, False, True]
    found = time_groups(executable, made.inputs, rounds=3, clock=Ticks())
    # three calls a run, WARM_UP runs before: the first counted one begins at call 7
    assert [group.place for group in found] == [0, 2]
    assert [group.timing.seconds for group in found] == [(7.0, 10.0, 13.0), (9.0, 12.0, 15.0)]
    assert WARM_UP == 2


def test_threads_are_set_and_put_back() -> None:
    before = torch.get_num_threads()
    with threads(1) as count:
        assert count == torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    with threads(None) as count:
        assert count == before


def test_the_cpu_clock_takes_time() -> None:
    (seconds,) = CpuClock().seconds([lambda: sum(range(1000))])
    assert 0 < seconds < 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_cuda_without_a_device_is_one_line() -> None:
    with pytest.raises(InputError, match=r"no CUDA device: torch .* run with cpu"):
        find_clock("cuda")


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(InputError, match="unknown torch device 'tpu'"):
        find_clock("tpu")
