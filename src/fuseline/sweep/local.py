"""The executor for one machine: a Pebble pool of spawned workers, in which one that dies, hangs or
fills its memory costs its own task only.

Events come through files (`spool`), so that what a worker told before it died is not lost; the pool
says when a task is over, and how its process ended.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Self

from fuseline.errors import InputError
from fuseline.sweep.limits import is_alive, is_out_of_memory, mend_streams, prepare_worker
from fuseline.sweep.spool import read_events, write_events, writer_of
from fuseline.sweep.tasks import LOADING, Death, Event, Outcome, Status, Task

if TYPE_CHECKING:
    from pebble import ProcessPool
    from pebble.common import ProcessFuture

Work = Callable[[Task], Iterator[Event]]

MOST_TASKS = 400
"""Tasks of one worker, before a new one takes its place: what leaks, leaks no further."""

WAITING = 4, 2
"""Tasks that wait so that no worker waits for the driver: one for each so many workers, and the
fewest.
"""

MOST_BROKEN = 5
"""Pools in a row that break before any task is over."""

WATCH_SECONDS = 1.0
"""How often the processes of tasks under way are looked at."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

NO_ROOM = "; the same command goes on once that is mended"


# --- in a worker ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a task did not end though its worker lives. `concerns_all`: nor would others."""

    status: Status
    reason: str
    concerns_all: bool = False


class _Caught:
    """Whatever ends a block, in words. A model may raise anything, classes of its own too, which
    could not be sent to the driver as they are.
    """

    failure: _Failure | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> bool:
        if isinstance(error, InputError):
            self.failure = _Failure(Status.DIED, str(error), concerns_all=True)
        elif error is not None and is_out_of_memory(error, limited=False):
            self.failure = _Failure(Status.OUT_OF_MEMORY, "its memory ran out")
        elif error is not None:
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            self.failure = _Failure(Status.DIED, said.removesuffix(": "))
        return True


def _run(work: Work | None, task: Task, spool: Path) -> _Failure | None:
    """Do a task in a worker, its events into a file; what hindered it."""
    mend_streams()
    with _Caught() as caught:
        if work is None:
            from fuseline.sweep.work import work as real_work

            work = real_work
        try:
            write_events(spool, _unhindered(work(task), caught))
        except OSError as error:
            raise InputError(f"'{spool.parent}': {error.strerror or error}{NO_ROOM}") from error
    return caught.failure


def _unhindered(events: Iterator[Event], caught: _Caught) -> Iterator[Event]:
    """The events, until making one fails: what fails outside of this is the writing."""
    while True:
        event: Event | None = None
        with caught:
            event = next(events, None)
        if event is None:
            return
        yield event


def _prepare() -> None:
    """Make a worker ready. SIGTERM ends it as it ends any process: at once, in native code too."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    prepare_worker()


# --- in the driver --------------------------------------------------------------------------


@dataclass(slots=True)
class _Running:
    """A task that a pool has. `is_gone`: its process was not there when last looked at."""

    task: Task
    pool: ProcessPool
    future: ProcessFuture[_Failure | None]
    spool: Path
    is_gone: bool = False


class LocalExecutor:
    """Runs tasks in `workers` processes of this machine; events go through files in `folder`, which
    is this executor's alone and emptied first. `work` is what a worker does with a task, found by
    its name there: `work.work`.
    """

    def __init__(self, workers: int, folder: Path, work: Work | None = None) -> None:
        self.workers = workers
        self.folder = folder
        self._work = work
        self._running: dict[int, _Running] = {}
        self._over: SimpleQueue[int] = SimpleQueue()
        self._pool: ProcessPool | None = None
        self._token = os.urandom(4).hex()  # orphans of a killed driver may still write files
        self._serial = 0
        self._broken = 0
        self._watched = 0.0
        self._at_end = ExitStack()

    @property
    def slots(self) -> int:
        """One for each worker, and a few that wait."""
        share, fewest = WAITING
        return self.workers + max(self.workers // share, fewest)

    def __enter__(self) -> Self:
        """Raises `InputError` where `folder` cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._empty_folder()
        except OSError as error:
            raise InputError(f"'{self.folder}': {error.strerror or error}") from error
        self._at_end.callback(self._empty_folder)
        self._at_end.enter_context(_environment(ONE_THREAD))
        self._at_end.callback(self._end_pool)
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._at_end.close()

    def _empty_folder(self) -> None:
        for spool in self.folder.glob("*.events"):
            spool.unlink(missing_ok=True)

    def submit(self, task: Task) -> None:
        """Take a task; returns at once."""
        self._serial += 1
        serial = self._serial
        spool = self.folder / f"{task.capture.number}-{serial}-{self._token}.events"
        pool = self._ready_pool()
        # Each step has its own limit, held by the kernel; this is for what that misses.
        seconds = LOADING.seconds + task.limits.seconds * (1 + len(task.units)) + 60
        future = pool.schedule(_run, args=(self._work, task, spool), timeout=seconds)
        self._running[serial] = _Running(task, pool, future, spool)
        future.add_done_callback(lambda _: self._over.put(serial))

    def wait(self, seconds: float) -> Outcome | None:
        """The next task that is over; None where none is within `seconds`. Raises `InputError` for
        what concerns all tasks.
        """
        self._watch()
        try:
            serial = self._over.get(timeout=seconds)
        except Empty:
            return None
        running = self._running.pop(serial)
        death = self._death_of(running)
        events = read_events(running.spool)
        running.spool.unlink(missing_ok=True)
        return Outcome(running.task, events, death)

    def _death_of(self, running: _Running) -> Death | None:
        from pebble import ProcessExpired

        if running.future.cancelled():
            if running.is_gone:
                return Death(Status.DIED, "its process ended before it was done")
            return _LOST
        match running.future.exception():
            case None:
                self._broken = 0
                return _failed(running.future.result())
            case ProcessExpired() as error:
                self._broken = 0
                return _expired(error.exitcode, running.task.limits.seconds)
            case TimeoutError():
                return _expired(-signal.SIGALRM, running.task.limits.seconds)
            case BrokenProcessPool():
                self._end_broken_pool()
                return _LOST
            case error:
                raise error

    def _watch(self) -> None:
        """Give up tasks that the pool would wait for in vain: their process ended as if all were
        well, or faster than the pool heard of its task.
        """
        if time.monotonic() - self._watched < WATCH_SECONDS:
            return
        self._watched = time.monotonic()
        self._end_broken_pool()
        for running in self._running.values():
            process = writer_of(running.spool)
            if process is None or running.future.done() or is_alive(process):
                continue
            if running.is_gone:
                running.future.cancel()
            running.is_gone = True

    def _ready_pool(self) -> ProcessPool:
        self._end_broken_pool()
        if self._pool is None:
            self._pool = _begin_pool(self.workers)
        return self._pool

    def _end_broken_pool(self) -> None:
        """A pool breaks where a worker dies with no task, or with a lock. End its other workers, so
        that no spool is still written; the next task begins another pool.
        """
        if self._pool is None or self._pool.active:
            return
        broken = self._pool
        self._end_pool()
        for running in self._running.values():
            if running.pool is broken and not running.future.done():
                running.future.cancel()
        self._broken += 1
        if self._broken >= MOST_BROKEN:
            raise InputError("workers end before they are ready: 'fuseline doctor' may say why")

    def _end_pool(self) -> None:
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None


_LOST = Death(Status.DIED, "its worker was lost", is_blamed=False)


def _begin_pool(workers: int) -> ProcessPool:
    """A pool whose processes never see Ctrl-C: the driver's terminal sends it to all of them, from
    their first instruction on. Its threads begin workers, and these inherit what is blocked.
    """
    from multiprocessing import get_context

    from pebble import ProcessPool

    pool = ProcessPool(workers, MOST_TASKS, _prepare, context=get_context("spawn"))
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        if not pool.active:  # asking begins it
            raise InputError("no worker can be started")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return pool


@contextmanager
def _environment(values: dict[str, str]) -> Generator[None]:
    """Variables of the environment, for processes that begin meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _failed(failure: _Failure | None) -> Death | None:
    if failure is None:
        return None
    if failure.concerns_all:
        raise InputError(failure.reason)
    return Death(failure.status, failure.reason)


_MEANING = {
    signal.SIGKILL: " (as the kernel does where the machine's memory runs out)",
    signal.SIGABRT: " (as native code does where it is out of memory, or finds a fault of its own)",
}


def _expired(exitcode: int, seconds: float) -> Death:
    """How a process ended, in words: the same for every process that ended so.

    >>> _expired(-signal.SIGSEGV, 600.0).reason, _expired(3, 600.0).reason
    ('its process was ended by SIGSEGV', 'its process exited with 3')
    """
    if exitcode == -signal.SIGALRM:
        return Death(Status.OUT_OF_TIME, f"not done after {seconds:g} s")
    if exitcode >= 0:
        return Death(Status.DIED, f"its process exited with {exitcode}")
    number = -exitcode
    known = {each.value: each for each in signal.Signals}
    name = known[number].name if number in known else f"signal {number}"
    meaning = _MEANING.get(known.get(number, signal.SIGTERM), "")
    return Death(Status.DIED, f"its process was ended by {name}{meaning}")
