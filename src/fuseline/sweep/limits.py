"""What a worker process may take: time and memory for each step; and how it ends with its parent.

Both limits are the kernel's. Python's own would wait for native code that holds the interpreter:
SIGALRM, left at its default, ends the process there and then, and who started it reads the signal
from its exit code. Memory is limited by address space, so that what asks for too much is told so
(`MemoryError`), or ends.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from fuseline.sweep.tasks import Limits

_PARENT_SECONDS = 0.5
"""How often a worker looks whether its parent is still there."""

_ORPHANED = 3
"""Exit code of a worker whose parent is gone; nobody reads it."""

_STATM, _STATUS, _CLEAR = (
    Path("/proc/self/statm"), Path("/proc/self/status"), Path("/proc/self/clear_refs"),
)  # fmt: skip
_PAGE_NBYTES = resource.getpagesize()


@contextmanager
def step(limits: Limits) -> Generator[None]:
    """Run a block under limits: over its time, the process ends by SIGALRM; over its memory, an
    allocation fails. Where the system does not tell address spaces (macOS), only time is limited.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = _most_address_space(limits.nbytes, soft, hard)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
        signal.setitimer(signal.ITIMER_REAL, limits.seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _most_address_space(nbytes: int, soft: int, hard: int) -> int:
    """What there is now and `nbytes` more, within limits that are set already [bytes]."""
    try:
        now = int(_STATM.read_text().split()[0]) * _PAGE_NBYTES
    except OSError:
        return soft
    known = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    return min(now + nbytes, *known, sys.maxsize)


def is_out_of_memory(error: BaseException, *, limited: bool) -> bool:
    """Whether an error is that memory ran out, or was raised because of one that is. `limited`:
    it was raised within a `step`.

    >>> is_out_of_memory(MemoryError(), limited=False)
    True
    >>> lost = SystemError("error return without exception set")
    >>> is_out_of_memory(lost, limited=True), is_out_of_memory(lost, limited=False)
    (True, False)
    """
    return any(
        isinstance(cause, MemoryError)
        or (isinstance(cause, RuntimeError | OSError) and _says_so(str(cause)))
        or (limited and isinstance(cause, SystemError) and _lost_its_error(str(cause)))
        for cause in _causes(error)
    )


def _says_so(message: str) -> bool:
    """torch and the loader of libraries have no error class for it."""
    return any(words in message.lower() for words in ("allocate memory", "not enough memory"))


def _lost_its_error(message: str) -> bool:
    """Native code failed and could not say why: where memory is limited, it had none to say it."""
    return message.endswith(("without exception set", "without setting an exception"))


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


# --- peaks ----------------------------------------------------------------------------------


def restart_peak() -> None:
    """Have `peak_nbytes` count from now on, where the system can."""
    try:
        _CLEAR.write_text("5")  # Linux: makes the resident set of now its peak
    except OSError:
        return


def peak_nbytes() -> int:
    """The most memory that was resident since `restart_peak`, else since the start [bytes]."""
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # no /proc: what the process itself was told
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


# --- a process of its own -------------------------------------------------------------------


def prepare_worker() -> None:
    """Make this process a worker: silent, deaf to Ctrl-C, without core dumps, and gone when its
    parent is. Executors set the number of threads in its environment.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the driver decides
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    gc.set_threshold(100_000, 50, 50)  # as `fuseline.cli.start` does, for the same reason
    silence()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def silence() -> None:
    """Drop warnings, and whatever models print: how a worker ends, its exit code tells."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # of processes that models start
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TQDM_DISABLE", "1")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        stream.flush()
        os.dup2(nowhere, number)
    os.close(nowhere)


def mend_streams() -> None:
    """Open what a model closed: the next model's prints are not to fail for it."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name).closed:
            setattr(sys, name, os.fdopen(number, "w", closefd=False))


def single_thread() -> None:
    """One thread for torch, where it is imported already: workers share the cores."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def is_alive(process: int) -> bool:
    """Whether there is a process of that id, whoever's it is."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def usable_cores() -> int:
    """Cores that this process may use, where the system says; else all of the machine."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def _end_with(parent: int) -> None:
    """End the process when it is adopted by another: nobody waits for what it does. Where
    multiprocessing started it, its parent may have gone before it could ask who that is.
    """
    known = multiprocessing.parent_process()
    while os.getppid() == parent and (known is None or known.is_alive()):
        time.sleep(_PARENT_SECONDS)
    os._exit(_ORPHANED)
