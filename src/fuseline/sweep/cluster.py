"""The executor for a cluster: Ray runs each task where a CPU is free.

What Ray runs only supervises: it gives the task to a process beside it, through the executor for
one machine (`local`). So limits, deaths and what is said of them are those of one machine, and what
a process told before it died is not lost. What Ray itself loses, a machine or a supervisor, is
therefore never blamed on the step under way.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from hashlib import file_digest
from importlib import import_module
from pathlib import Path
from shutil import rmtree
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from fuseline.errors import InputError, foreign_code
from fuseline.sweep.limits import is_alive
from fuseline.sweep.local import WATCH_SECONDS, LocalExecutor, Work
from fuseline.sweep.tasks import Death, Event, Outcome, Status, Task

if TYPE_CHECKING:
    from ray import ObjectRef

SLOTS_SECONDS = 5.0
"""How often the CPUs of the cluster are counted: machines come and go."""

CONNECT_SECONDS = 10.0
"""How long a cluster may take to answer at all."""

STORE_NBYTES = 100 * 2**20
"""Ray's own object store on a Ray of this machine; answers are small."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else it warns of what is to come
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # machines have their own installation
}


class Answer(msgspec.Struct, frozen=True):
    """What a supervisor says of a task. `refusal`: why this machine can do none, in a line."""

    machine: str
    events: tuple[Event, ...] = ()
    death: Death | None = None
    refusal: str | None = None


# --- on a machine of the cluster ------------------------------------------------------------


def supervise(task: Task, work: Work | None, folder: str, files: Mapping[str, str]) -> bytes:
    """Do a task in a process beside this one, as in `folder`: an `Answer`, in MessagePack. `files`
    are those that the sweep names, with the SHA-256 of their content.
    """
    machine = socket.gethostname()
    try:
        _go_to(folder)
        for path, digest in files.items():
            _check(path, digest)
        executor = _executor(work)
        executor.submit(on_this_machine(task))
        while (outcome := executor.wait(WATCH_SECONDS)) is None:
            pass
        answer = Answer(machine, outcome.events, outcome.death)
    except InputError as error:
        answer = Answer(machine, refusal=str(error))
    return msgspec.msgpack.encode(answer)


@cache
def _executor(work: Work | None) -> LocalExecutor:
    """One a supervisor, as long as Ray lets it live: the next task finds the zoos imported."""
    # A new process runs the file of the main module, where it has one: all of Ray, for nothing.
    vars(sys.modules["__main__"]).pop("__file__", None)
    return LocalExecutor(1, _scratch_folder(), work).__enter__()


def _scratch_folder() -> Path:
    """A folder for this process. Ray ends its workers without a chance to tidy up: the folders of
    those that are gone are removed here.
    """
    common = f"fuseline-ray-{socket.gethostname()}-"  # containers may share the place
    for path in Path(tempfile.gettempdir()).glob(f"{common}*"):
        process = path.name.removeprefix(common).partition("-")[0]
        if process.isdecimal() and not is_alive(int(process)):
            rmtree(path, ignore_errors=True)  # another user's stays
    return Path(tempfile.mkdtemp(prefix=f"{common}{os.getpid()}-"))


def _go_to(folder: str) -> None:
    """Names of files are relative to where the driver is, where the machine has that too."""
    with suppress(OSError):
        os.chdir(folder)


@cache
def _check(path: str, digest: str) -> None:
    try:
        with Path(path).open("rb") as file:
            found = file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(
            f"'{path}': {error.strerror}: every machine needs it at the same path"
        ) from error
    if found != digest:
        raise InputError(f"'{path}' is another file than the driver's: copy it to every machine")


def on_this_machine(task: Task) -> Task:
    """The task, with `~` and variables in its cache's folder read as on this machine."""
    if task.caching.folder is None:
        return task
    folder = os.path.expandvars(Path(task.caching.folder).expanduser())
    return replace(task, caching=replace(task.caching, folder=folder))


# --- in the driver --------------------------------------------------------------------------


def _tell_nobody(said: str) -> None:
    del said


def check_cluster(address: str | None) -> None:
    """Raises `InputError` where Ray is not installed, or no cluster is at the address that a
    `RayExecutor` would go to: before any folder is made for it.
    """
    _import_ray()
    if address := _chosen(address):
        find_cluster(address)


def _chosen(address: str | None) -> str | None:
    return address or os.environ.get("RAY_ADDRESS") or None


def _import_ray() -> None:
    os.environ.update(_QUIET)
    try:
        import_module("ray")
    except ImportError as error:
        raise InputError("Ray is not installed: pip install 'fuseline[sweep,ray]'") from error


class RayExecutor:
    """Runs tasks on the Ray cluster at `address`: `HOST:PORT`; `auto`, the one that this machine is
    part of; None, the one that `RAY_ADDRESS` names, else a Ray of this machine alone. `files` are
    those that the sweep names by path, with the SHA-256 of their content: every machine must have
    the same. `work` is what is done with a task, found by its name there: `work.work`. `tell` hears
    what a user should know meanwhile, in a line.
    """

    def __init__(
        self,
        address: str | None,
        files: Sequence[tuple[str, str]] = (),
        work: Work | None = None,
        tell: Callable[[str], None] = _tell_nobody,
    ) -> None:
        self.address = _chosen(address)
        self._tell = tell
        self._said_none = False
        self._digests = dict(files)
        self._work = work
        self._folder = str(Path.cwd())
        self._under_way: dict[ObjectRef[bytes], Task] = {}
        self._over: deque[ObjectRef[bytes]] = deque()
        self._slots = 0
        self._counted = -math.inf

    def __enter__(self) -> Self:
        """Raises `InputError` where Ray is not installed, or no cluster is at the address."""
        _import_ray()
        import ray
        from ray._private import worker

        if self.address is None:
            with foreign_code("Ray does not start on this machine"):
                ray.init(
                    "local", include_dashboard=False, object_store_memory=STORE_NBYTES,
                    log_to_driver=False, logging_level=logging.ERROR,
                )  # fmt: skip
        else:
            address = find_cluster(self.address)
            with foreign_code(f"no Ray cluster at '{address}'"):
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        # What it has to say of lost workers, it would print to stdout, where our results go.
        worker._worker_logs_enabled = False  # noqa: SLF001 - there is no public way
        self._supervise = ray.remote(num_cpus=1, max_retries=0)(supervise)
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        import ray

        self._under_way.clear()
        self._over.clear()
        ray.shutdown()  # ends the supervisors, and these their processes

    @property
    def slots(self) -> int:
        """One for each CPU of the cluster, as it is now, and a quarter that wait.

        Raises `InputError` where this machine is no longer part of it: nothing would begin.
        """
        import ray

        if time.monotonic() - self._counted >= SLOTS_SECONDS:
            with _connected():
                machines = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
                here = ray.get_runtime_context().get_node_id()
            if here not in machines:
                raise InputError(
                    "this machine is no longer part of the Ray cluster: start Ray again, and the "
                    "same command goes on"
                )
            cpus = sum(node["Resources"].get("CPU", 0.0) for node in machines.values())
            if not cpus and not self._said_none:
                self._said_none = True
                self._tell("no CPU in the cluster yet: 'ray start --address HEAD:6379' adds some")
            self._slots = math.floor(cpus + max(2, cpus / 4))
            self._counted = time.monotonic()
        return self._slots

    def submit(self, task: Task) -> None:
        """Take a task; returns at once."""
        files = {name: self._digests[name] for name in _names(task) if name in self._digests}
        with _connected():
            answer = self._supervise.remote(task, self._work, self._folder, files)
        self._under_way[answer] = task

    def wait(self, seconds: float) -> Outcome | None:
        """The next task that is over; None where none is within `seconds`. Raises `InputError` for
        what concerns all tasks.
        """
        import ray

        if not self._over and self._under_way:
            under_way = list(self._under_way)
            with _connected():
                over, _ = ray.wait(under_way, num_returns=1, timeout=seconds)
                if over:  # and all that are by now: asking is dear where thousands are under way
                    over, _ = ray.wait(under_way, num_returns=len(under_way), timeout=0)
            self._over.extend(over)
        if not self._over:
            return None
        answer = self._over.popleft()
        return self._outcome(answer, self._under_way.pop(answer))

    def _outcome(self, answer: ObjectRef[bytes], task: Task) -> Outcome:
        import ray

        losses = _losses()
        try:
            with _connected():
                told = msgspec.msgpack.decode(ray.get(answer), type=Answer)
        except tuple(losses) as error:
            death = next(death for kind, death in losses.items() if isinstance(error, kind))
            return Outcome(task, (), death)
        if told.refusal is not None:
            raise InputError(f"machine '{told.machine}': {told.refusal}")
        return Outcome(task, told.events, told.death)


def find_cluster(address: str) -> str:
    """The `HOST:PORT` of a cluster.

    Raises `InputError` for an address that is none, or where nothing answers: Ray itself would try
    for minutes, and for ever where `auto` is a cluster that has ended.
    """
    if address == "auto":
        from ray._private.services import canonicalize_bootstrap_address_or_die

        try:
            address = canonicalize_bootstrap_address_or_die("auto")
        except ConnectionError as error:
            raise InputError(
                "no Ray cluster on this machine: 'ray start --head' begins one, and "
                "'ray start --address HOST:PORT' makes it part of one"
            ) from error
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal()) or "/" in host:
        raise InputError(
            f"'{address}' is no address of a Ray cluster: HOST:PORT as 'ray start --head' prints "
            "it, or 'auto' on one of its machines"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"no Ray cluster at '{address}': {said}; 'ray start --head' begins one"
        ) from error
    return address


def _names(task: Task) -> set[str]:
    """What of a task may be the path of a file."""
    capture = task.capture
    model, _, _ = capture.model.rpartition(":")
    named = (capture.model, model, *capture.planning.devices, capture.planning.pair_rules)
    return {str(Path(name)) for name in named}


# Whom Ray ends where a machine is full is not who filled it: a step's own limit finds that one.
_FULL = Death(Status.OUT_OF_MEMORY, "its machine was out of memory", is_blamed=False)
_CRASHED = Death(Status.DIED, "its Ray worker was lost", is_blamed=False)
_GONE = Death(Status.DIED, "its machine was lost", is_blamed=False)


_OTHER_CODE = (ImportError, AttributeError, TypeError)
"""What comes of a task that is not read as it was written."""


def _losses() -> dict[type[Exception], Death]:
    """Errors that say a task was lost, and not through what it did."""
    from ray import exceptions

    return {
        exceptions.OutOfMemoryError: _FULL,
        exceptions.WorkerCrashedError: _CRASHED,
        exceptions.NodeDiedError: _GONE,
        exceptions.ObjectLostError: _GONE,
    }


@contextmanager
def _connected() -> Generator[None]:
    """Whatever Ray raises but losses concerns all tasks: a lost cluster, other software there."""
    from ray.exceptions import RayTaskError

    losses = tuple(_losses())
    with foreign_code("the Ray cluster", passing=lambda error: isinstance(error, losses)):
        try:
            yield
        except RayTaskError as error:  # its text is a traceback
            said = f"machine '{error.ip}': {type(error.cause).__name__}: {error.cause}"
            cure = ": has it the same Fuseline?" if isinstance(error.cause, _OTHER_CODE) else ""
            raise InputError(said + cure) from error
