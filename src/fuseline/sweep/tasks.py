"""What goes to a worker and what comes back: a task, then events; and what an executor must do."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import msgspec

from fuseline.report.rows.table import Value
from fuseline.sweep.grids import Capture

Row = tuple[Value | list[dict[str, Value]], ...]
"""A row's values in the order of `schema.COLUMNS` and then `schema.LISTS`."""


class Status(Enum):
    """What became of a job."""

    OK = "ok"
    REFUSED = "refused"  # the model cannot be captured, or the strategy refuses it
    OUT_OF_TIME = "out of time"
    OUT_OF_MEMORY = "out of memory"
    DIED = "died"  # its process ended: a fault in native code, or somebody killed it


RETRIED = frozenset({Status.OUT_OF_TIME, Status.OUT_OF_MEMORY, Status.DIED})
"""What another try, in another process, may mend."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one step of a task (the capture, one unit) may take."""

    seconds: float = 600.0
    nbytes: int = 8 * 2**30  # of address space, on top of what the worker had at its start


LOADING = Limits(seconds=600.0, nbytes=1 << 60)
"""Of importing torch and a zoo, once a worker: no model is to blame for what that takes."""


@dataclass(frozen=True, slots=True)
class Caching:
    """Where graphs are kept between sweeps (None: nowhere), and how much of them. `~` and variables
    in `folder` are read on each machine of a cluster.
    """

    folder: str | None
    most_nbytes: int = 2 * 2**30


@dataclass(frozen=True, slots=True)
class Task:
    """A capture, and those of its units that are to be done. `environment` is the driver's
    (`environment.here()`): a worker with another one refuses the task.
    """

    capture: Capture
    units: tuple[int, ...]
    limits: Limits
    caching: Caching
    environment: Mapping[str, str]


# --- events: a worker tells each as it comes ------------------------------------------------


class Began(msgspec.Struct, frozen=True, tag="began"):
    """A step began: the capture (None), or a unit by its number."""

    unit: int | None


class Made(msgspec.Struct, frozen=True, tag="made"):
    """A unit is done, or has failed: a row for each device, in the order of the devices."""

    unit: int
    status: Status
    rows: list[Row]


class Uncaptured(msgspec.Struct, frozen=True, tag="uncaptured"):
    """There is no graph, so that no unit can be done."""

    status: Status
    reason: str


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The task came to its end; what it took. `cached`: the graph was there already."""

    cpu_seconds: float
    seconds: float
    peak_nbytes: int
    cached: bool


Event = Began | Made | Uncaptured | Ended


def encode_event(event: Event) -> bytes:
    """One event as MessagePack: floats are exact, infinities too."""
    return msgspec.msgpack.encode(event)


def decode_event(content: bytes) -> Event:
    """What `encode_event` was given."""
    return msgspec.msgpack.decode(content, type=Event)


# --- executors ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Death:
    """A task that did not end by itself: how, and in what words. `is_blamed` is false where the
    step under way has nothing to do with it, as when a machine of a cluster is lost.
    """

    status: Status
    reason: str
    is_blamed: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a task: the events told, and its death where it did not end."""

    task: Task
    events: tuple[Event, ...]
    death: Death | None = None


class Executor(AbstractContextManager["Executor"], Protocol):
    """Runs tasks in other processes. Leaving it ends whatever still runs, at once."""

    @property
    def slots(self) -> int:
        """How many tasks are worth having under way: the driver submits no more."""
        ...

    def submit(self, task: Task) -> None:
        """Take a task; returns at once."""
        ...

    def wait(self, seconds: float) -> Outcome | None:
        """The next task that is over; None where none is within `seconds`. Raises `InputError` for
        what concerns all tasks: a full disk, workers of another version, a lost cluster.
        """
        ...
