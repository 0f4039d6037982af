"""The driver: captures to an executor, a few at a time, and what comes of them to the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from fuseline.sweep.grids import Capture, Sweep
from fuseline.sweep.retries import Progress
from fuseline.sweep.store import Counts, Finished
from fuseline.sweep.tasks import Caching, Executor, Limits, Task

WAIT_SECONDS = 0.5
"""How often, at least, the store and the caller hear of a sweep in which nothing ends."""


class Results(Protocol):
    """What is asked of a `Store`."""

    @property
    def sweep(self) -> Sweep:
        """What is to be done."""
        ...

    def todo(self) -> Iterator[int]:
        """The captures that are not done, ascending, found as they are asked for."""
        ...

    def keep(self, capture: Capture, finished: Finished) -> None:
        """A capture is done."""
        ...

    def beat(self) -> None:
        """Some time went by."""
        ...

    def flush(self) -> None:
        """Everything that was kept is to be in the results."""
        ...

    def counts(self) -> Counts:
        """How far it is; cheap."""
        ...


def drive(
    store: Results,
    executor: Executor,
    *,
    limits: Limits,
    caching: Caching,
    environment: Mapping[str, str],
    tell: Callable[[Counts], None],
) -> None:
    """Do everything that is still to be done, and leave every row in the results.

    The executor is entered and left here: however this ends, its workers end too. After Ctrl-C what
    is done is in the results; after an error that is for `store.close`, which knows whether it may
    write. What is remembered is what is under way, however long the sweep. Raises `InputError` for
    what concerns every task.
    """

    def task_of(progress: Progress) -> Task:
        return Task(progress.capture, progress.units, limits, caching, environment)

    try:
        with executor:
            _drive(store, executor, task_of, tell)
    except KeyboardInterrupt:
        store.flush()
        raise
    store.flush()


def _drive(
    store: Results,
    executor: Executor,
    task_of: Callable[[Progress], Task],
    tell: Callable[[Counts], None],
) -> None:
    todo = store.todo()
    under_way: dict[int, Progress] = {}
    while True:
        for number in _first(todo, executor.slots - len(under_way)):
            under_way[number] = Progress(store.sweep.capture(number))
            executor.submit(task_of(under_way[number]))
        tell(store.counts())
        if not under_way:
            return
        outcome = executor.wait(WAIT_SECONDS)
        if outcome is None:
            store.beat()
            continue
        number = outcome.task.capture.number
        progress = under_way[number]
        progress.take(outcome)
        if progress.units:
            executor.submit(task_of(progress))
        else:
            store.keep(progress.capture, progress.finished)
            del under_way[number]


def _first(numbers: Iterator[int], most: int) -> Iterator[int]:
    """The next few, as they are asked for: fewer where there are no more.

    >>> numbers = iter(range(3))
    >>> list(_first(numbers, 2)), list(_first(numbers, 2)), list(_first(numbers, 2))
    ([0, 1], [2], [])
    """
    for _ in range(most):
        if (number := next(numbers, None)) is None:
            return
        yield number
