from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseline.errors import InputError
from fuseline.report.captures import Capturing
from fuseline.sweep.drive import drive
from fuseline.sweep.grids import Capture, Grid, Planning, Sweep
from fuseline.sweep.retries import MOST_LOST
from fuseline.sweep.schema import COLUMNS, failed_rows
from fuseline.sweep.store import Counts, Finished
from fuseline.sweep.tasks import (
    Began,
    Caching,
    Death,
    Ended,
    Event,
    Limits,
    Made,
    Outcome,
    Row,
    Status,
    Task,
    Uncaptured,
)

STRATEGIES = ("unfused", "fusion", "extended")
DEVICES = ("h100-sxm", "orin-agx")
SEGFAULT = Death(Status.DIED, "its process was ended by SIGSEGV")
LATE = Death(Status.OUT_OF_TIME, "not done after 5 s")
LOST = Death(Status.DIED, "its machine was lost", is_blamed=False)

Step = int | None
"""None: the capture; or a unit."""

Happening = Death | Uncaptured | Status | KeyboardInterrupt | InputError
"""What a step comes to instead of its end. A `Status`: the unit is made, with that."""

Script = Mapping[tuple[int, Step], list[Happening]]
"""What happens at each try of a step of a capture, by the capture's number; then it goes well."""


def sweep_of(models: int) -> Sweep:
    names = tuple(f"model{number}" for number in range(models))
    return Sweep((Grid(names, (Capturing(batch=1),), Planning(STRATEGIES, DEVICES)),))


def rows_of(capture: Capture, unit: int) -> list[Row]:
    return failed_rows(capture, unit, Status.OK, f"figures of unit {unit}")


@dataclass
class Scripted:
    """An executor of which every step is written beforehand. Tasks end in the order of `random`."""

    script: Script
    slots: int = 3
    random: Random = field(default_factory=lambda: Random(0))  # noqa: S311 - no secret
    tasks: list[Task] = field(default_factory=list)
    tried: Counter[tuple[int, Step]] = field(default_factory=Counter)
    most_under_way: int = 0
    units: dict[int, list[tuple[int, ...]]] = field(default_factory=dict)
    is_left: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.is_left = True

    def submit(self, task: Task) -> None:
        self.tasks.append(task)
        self.most_under_way = max(self.most_under_way, len(self.tasks))
        self.units.setdefault(task.capture.number, []).append(task.units)

    def wait(self, seconds: float) -> Outcome | None:
        del seconds
        if self.random.random() < 0.1:
            return None  # nothing within that time
        task = self.tasks.pop(self.random.randrange(len(self.tasks)))
        events = list[Event]()
        death = self._run(task, events)
        if death is None:
            events.append(Ended(1.0, 2.0, 100 * (1 + len(task.units)), cached=len(events) > 9))
        return Outcome(task, tuple(events), death)

    def _run(self, task: Task, events: list[Event]) -> Death | None:
        steps: tuple[Step, ...] = (None, *task.units)
        for step in steps:
            events.append(Began(step))
            match self._happening(task.capture.number, step):
                case KeyboardInterrupt() | InputError() as error:
                    raise error
                case Death() as death:
                    return death
                case Uncaptured() as uncaptured:
                    events.append(uncaptured)
                    return None
                case Status() as status if step is not None:
                    made = failed_rows(task.capture, step, status, "too much")
                    events.append(Made(step, status, made))
                case _ if step is not None:
                    events.append(Made(step, Status.OK, rows_of(task.capture, step)))
                case _:
                    pass
        return None

    def _happening(self, number: int, step: Step) -> Happening | None:
        key = number, step
        self.tried[key] += 1
        happenings = self.script.get(key, [])
        return happenings[self.tried[key] - 1] if self.tried[key] <= len(happenings) else None


@dataclass
class Remembered:
    """A store that only remembers."""

    sweep: Sweep
    done: set[int] = field(default_factory=set)
    kept: dict[int, Finished] = field(default_factory=dict)
    asked: int = 0
    beats: int = 0
    is_flushed: bool = False

    def todo(self) -> Iterator[int]:
        for number in range(self.sweep.captures):
            if number not in self.done:
                self.asked += 1
                yield number

    def keep(self, capture: Capture, finished: Finished) -> None:
        assert capture.number not in self.kept
        assert len(finished.rows) == capture.planning.jobs
        self.kept[capture.number] = finished
        self.is_flushed = False

    def beat(self) -> None:
        self.beats += 1

    def flush(self) -> None:
        self.is_flushed = True

    def counts(self) -> Counts:
        done = len(self.kept)
        jobs = self.sweep.jobs_a_capture
        return Counts(self.sweep.captures, self.sweep.jobs, done, done * jobs, {})


def run(
    store: Remembered, executor: Scripted, tell: Callable[[Counts], None] | None = None
) -> None:
    drive(
        store, executor, limits=Limits(seconds=5.0), caching=Caching(None), environment={},
        tell=tell or (lambda _: None),
    )  # fmt: skip


def after(script: Script, models: int = 1) -> tuple[Remembered, Scripted]:
    store, executor = Remembered(sweep_of(models)), Scripted(script)
    run(store, executor)
    return store, executor


def undisturbed(number: int, sweep: Sweep) -> tuple[Row, ...]:
    capture = sweep.capture(number)
    return tuple(row for unit in range(len(STRATEGIES)) for row in rows_of(capture, unit))


def said(finished: Finished) -> list[tuple[str, str]]:
    """Status and reason of every unit, the same on both devices."""
    places = [[column.name for column in COLUMNS].index(name) for name in ("status", "reason")]
    every = [tuple(str(row[place]) for place in places) for row in finished.rows]
    assert every[::2] == every[1::2]
    return [(status, reason) for status, reason in every[::2]]


FINE = [("ok", f"figures of unit {unit}") for unit in range(len(STRATEGIES))]


def test_every_capture_that_is_to_do_is_done_once_in_the_order_of_its_jobs() -> None:
    store, executor = Remembered(sweep_of(50), done={0, 7, 8, 49}), Scripted({})
    run(store, executor)
    assert sorted(store.kept) == sorted(set(range(50)) - store.done)
    for number, finished in store.kept.items():
        assert finished.rows == undisturbed(number, store.sweep)
        assert finished.attempts == 1
    assert store.is_flushed
    assert executor.is_left


def test_no_more_is_asked_for_than_is_worth_having_under_way() -> None:
    store, executor = Remembered(sweep_of(200)), Scripted({})
    ahead = list[int]()
    run(store, executor, lambda counts: ahead.append(store.asked - counts.done_captures))
    assert max(ahead) == executor.most_under_way == executor.slots
    assert store.beats > 0  # nothing was over within the time, now and then


def test_the_caller_hears_how_far_it_is_up_to_the_end() -> None:
    store, heard = Remembered(sweep_of(5)), list[Counts]()
    run(store, Scripted({}), heard.append)
    assert [heard[0].done_captures, heard[-1].done_captures] == [0, 5]


@pytest.mark.parametrize("step", [None, 0, 1, 2])
@pytest.mark.parametrize("death", [SEGFAULT, LATE, LOST])
def test_a_step_that_dies_once_leaves_no_trace_but_an_attempt(step: Step, death: Death) -> None:
    store, _ = after({(1, step): [death]}, models=3)
    assert {n: each.attempts for n, each in store.kept.items()} == {0: 1, 1: 2, 2: 1}
    assert store.kept[1].rows == undisturbed(1, store.sweep)


@pytest.mark.parametrize("unit", [0, 1, 2])
def test_a_unit_that_dies_twice_costs_its_own_rows_only(unit: int) -> None:
    store, executor = after({(1, unit): [SEGFAULT, SEGFAULT]}, models=3)
    reason = f"{STRATEGIES[unit]}: its process was ended by SIGSEGV; tried twice"
    expected = [*FINE[:unit], ("died", reason), *FINE[unit + 1 :]]
    assert said(store.kept[1]) == expected
    assert store.kept[1].attempts == 2
    assert said(store.kept[0]) == said(store.kept[2]) == FINE
    # What was made before is not made again, and what is to blame goes last.
    assert executor.units[1] == [(0, 1, 2), (*range(unit + 1, 3), unit)]


def test_a_capture_that_dies_twice_fails_all_that_is_left_of_it() -> None:
    store, _ = after({(0, None): [SEGFAULT, LATE]})
    assert said(store.kept[0]) == [("out of time", "capture: not done after 5 s; tried twice")] * 3
    assert store.kept[0].attempts == 2


def test_rows_made_before_a_capture_dies_twice_stay() -> None:
    # The capture succeeds, unit 1 dies, and then the capture dies twice.
    fickle = Fickle({(0, 1): [SEGFAULT]})
    store = Remembered(sweep_of(1))
    run(store, fickle)
    reason = "capture: its process was ended by SIGSEGV; tried twice"
    assert said(store.kept[0]) == [FINE[0], ("died", reason), ("died", reason)]
    assert store.kept[0].attempts == 3


class Fickle(Scripted):
    """Captures once, and dies of it from then on."""

    def _happening(self, number: int, step: Step) -> Happening | None:
        if step is None:
            self.tried[number, None] += 1
            return SEGFAULT if self.tried[number, None] > 1 else None
        return super()._happening(number, step)


def test_two_units_that_die_each_have_their_own_reason() -> None:
    store, executor = after({(0, 0): [SEGFAULT] * 2, (0, 2): [LATE] * 2})
    assert said(store.kept[0]) == [
        ("died", "unfused: its process was ended by SIGSEGV; tried twice"),
        FINE[1],
        ("out of time", "extended: not done after 5 s; tried twice"),
    ]
    assert executor.units[0] == [(0, 1, 2), (1, 2, 0), (0, 2), (2,)]


def test_a_unit_out_of_memory_is_tried_once_more_in_another_task() -> None:
    store, executor = after({(0, 1): [Status.OUT_OF_MEMORY]})
    assert said(store.kept[0]) == FINE
    assert executor.units[0] == [(0, 1, 2), (1,)]
    store, executor = after({(0, 1): [Status.OUT_OF_MEMORY] * 2})
    assert said(store.kept[0]) == [
        FINE[0], ("out of memory", "fusion: too much; tried twice"), FINE[2],
    ]  # fmt: skip
    assert store.kept[0].attempts == 2


def test_a_unit_that_is_refused_is_not_tried_again() -> None:
    store, _ = after({(0, 1): [Status.REFUSED]})
    assert said(store.kept[0]) == [FINE[0], ("refused", "too much"), FINE[2]]
    assert store.kept[0].attempts == 1


@pytest.mark.parametrize(
    ("status", "attempts"), [(Status.REFUSED, 1), (Status.OUT_OF_MEMORY, 2), (Status.DIED, 2)]
)
def test_a_model_that_cannot_be_captured_fails_every_unit(status: Status, attempts: int) -> None:
    store, _ = after({(0, None): [Uncaptured(status, "no such op")] * 2})
    reason = "no such op" if attempts == 1 else "capture: no such op; tried twice"
    assert said(store.kept[0]) == [(status.value, reason)] * 3
    assert store.kept[0].attempts == attempts


def test_a_capture_out_of_memory_may_succeed_when_tried_again() -> None:
    store, _ = after({(0, None): [Uncaptured(Status.OUT_OF_MEMORY, "too large")]})
    assert said(store.kept[0]) == FINE


def test_deaths_that_blame_no_step_are_borne_a_while() -> None:
    store, _ = after({(0, None): [LOST] * (MOST_LOST - 1)})
    assert said(store.kept[0]) == FINE
    store, _ = after({(0, None): [LOST] * MOST_LOST})
    assert said(store.kept[0]) == [("died", "its machine was lost; tried 10 times")] * 3


def test_a_lost_machine_is_no_mark_against_what_it_made() -> None:
    """Units made before a loss are progress: losses after them count anew only where none is."""
    store, executor = after({(0, 0): [LOST], (0, 1): [LOST], (0, 2): [LOST, SEGFAULT]})
    assert said(store.kept[0]) == FINE
    assert executor.units[0] == [(0, 1, 2), (0, 1, 2), (1, 2), (2,), (2,)]


class Silent(Scripted):
    """Tasks end at once, and tell nothing: of a worker that is wrong."""

    def _run(self, task: Task, events: list[Event]) -> Death | None:
        del task, events


def test_tasks_that_bring_nothing_do_not_go_on_for_ever() -> None:
    store = Remembered(sweep_of(1))
    run(store, Silent({}))
    reason = "its task ended without rows; tried 10 times"
    assert said(store.kept[0]) == [("died", reason)] * 3


def test_what_attempts_took_is_added_up() -> None:
    store, _ = after({(0, 1): [Status.OUT_OF_MEMORY]})
    finished = store.kept[0]
    assert (finished.attempts, finished.cpu_seconds, finished.seconds) == (2, 2.0, 4.0)
    assert finished.peak_nbytes == 400  # of the first, which had three units
    assert not finished.cached  # as the first found it


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("the disk is full")])
def test_what_ends_the_sweep_ends_the_executor(error: KeyboardInterrupt | InputError) -> None:
    store, executor = Remembered(sweep_of(20)), Scripted({(5, 1): [error]})
    with pytest.raises(type(error)):
        run(store, executor)
    assert executor.is_left
    assert store.kept  # those before
    assert 5 not in store.kept
    assert store.is_flushed == isinstance(error, KeyboardInterrupt)


STEPS = st.tuples(st.integers(0, 5), st.sampled_from([None, *range(len(STRATEGIES))]))
ONCE = st.sampled_from([SEGFAULT, LATE, Status.OUT_OF_MEMORY])


@given(
    once=st.dictionaries(STEPS, ONCE, max_size=12),
    lost=st.dictionaries(STEPS, st.integers(1, 2), max_size=4),
    slots=st.integers(1, 8),
    seed=st.integers(0, 2**32),
)
def test_whatever_dies_once_the_rows_are_those_of_an_undisturbed_run(
    once: dict[tuple[int, Step], Death | Status],
    lost: dict[tuple[int, Step], int],
    slots: int,
    seed: int,
) -> None:
    script: dict[tuple[int, Step], list[Happening]] = {key: [LOST] * lost[key] for key in lost}
    for (number, step), each in once.items():
        is_capture = step is None and isinstance(each, Status)
        happening = Uncaptured(Status.OUT_OF_MEMORY, "too large") if is_capture else each
        script.setdefault((number, step), []).append(happening)
    store = Remembered(sweep_of(6))
    executor = Scripted(script, slots, Random(seed))  # noqa: S311 - no secret
    run(store, executor)
    assert {n: each.rows for n, each in store.kept.items()} == {
        number: undisturbed(number, store.sweep) for number in range(6)
    }
    assert executor.most_under_way <= slots
