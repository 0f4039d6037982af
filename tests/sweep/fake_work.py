"""What a worker does in tests of executors: a task's model says what happens. Workers find these
functions by name, and import no torch for them.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fuseline.errors import InputError
from fuseline.report.captures import Capturing
from fuseline.sweep.grids import Capture, Planning
from fuseline.sweep.limits import step
from fuseline.sweep.schema import failed_rows
from fuseline.sweep.tasks import (
    Began,
    Caching,
    Ended,
    Event,
    Limits,
    Made,
    Status,
    Task,
    Uncaptured,
)

LIBC = ctypes.PyDLL(None)  # calls hold the interpreter, as native code may


class OddError(BaseException):
    """Cannot be sent between processes: it is not made as it says it is."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} is not {other}")


def _raise(error: BaseException) -> None:
    raise error


def _spin() -> None:
    while True:
        pass


HAPPENINGS: dict[str, Callable[[], object]] = {
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exit 0": lambda: os._exit(0),
    "exit 7": lambda: os._exit(7),
    "sys.exit": lambda: sys.exit(3),
    "hang": _spin,
    "native hang": lambda: LIBC.sleep(1000),
    "50 GB": lambda: bytearray(50 * 2**30),
    "value error": lambda: _raise(ValueError("two\nlines")),
    "odd error": lambda: _raise(OddError(1, 2)),
    "interrupt": lambda: _raise(KeyboardInterrupt()),
    "other versions": lambda: _raise(InputError("a worker has other versions: torch 1 here")),
    "no room": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20)),
    "Ctrl-C": lambda: os.kill(os.getpid(), signal.SIGINT),
    "fine": lambda: None,
}


def task_of(model: str, number: int = 0, seconds: float = 1.0) -> Task:
    """A task of two units, without devices, with a second a step."""
    capture = Capture(number, 0, model, Capturing(batch=1), Planning(("unfused", "fusion")))
    return Task(capture, (0, 1), Limits(seconds), Caching(None), {})


def work(task: Task) -> Iterator[Event]:
    """Make the first unit, then do what the model's name says; the second unit if that is over."""
    yield Began(None)
    for unit in task.units:
        yield Began(unit)
        if unit == 1:
            with step(task.limits):
                HAPPENINGS[task.capture.model]()
        rows = failed_rows(task.capture, unit, Status.OK, task.capture.model)
        yield Made(unit, Status.OK, rows)
    yield Ended(0.5, 1.0, 100, cached=False)


def tell(task: Task) -> Iterator[Event]:
    """Tell the process and an environment variable."""
    del task
    yield Uncaptured(Status.REFUSED, f"{os.getpid()} {os.environ.get('OMP_NUM_THREADS')}")


def note_and_hang(task: Task) -> Iterator[Event]:
    """Write the process into the file that the model names, and hang in native code that would
    hold up every signal handler.
    """
    yield Began(None)
    Path(task.capture.model).write_text(str(os.getpid()))
    LIBC.sleep(1000)


def hang(task: Task) -> Iterator[Event]:
    """Begin, and never end."""
    yield Began(None)
    time.sleep(1000)
    yield Uncaptured(Status.REFUSED, task.capture.model)


def briefly(task: Task) -> Iterator[Event]:
    """Every unit, in a millisecond or so each; every seventh model cannot be captured."""
    yield Began(None)
    time.sleep(0.002)
    if task.capture.number % 7 == 3:
        yield Uncaptured(Status.REFUSED, f"'{task.capture.model}' cannot be captured")
    else:
        for unit in task.units:
            yield Began(unit)
            time.sleep(0.001)
            reason = f"{unit} refuses {task.capture.model}"
            yield Made(
                unit, Status.REFUSED, failed_rows(task.capture, unit, Status.REFUSED, reason)
            )
    yield Ended(0.5, 1.0, 100, cached=False)
