"""Limits of a step, and a worker's manners: each in a process of its own."""

from __future__ import annotations

import math
import os
import resource
import signal
import subprocess
import sys
import textwrap
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from fuseline.sweep import limits
from fuseline.sweep.limits import is_alive, is_out_of_memory, step, usable_cores
from fuseline.sweep.tasks import Limits

_HEAD = """
import os, resource, signal, sys, time, warnings
from fuseline.sweep.limits import prepare_worker, step
from fuseline.sweep.tasks import Limits
"""
_needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="address spaces are told by /proc")


def _run(code: str, pass_fds: tuple[int, ...] = ()) -> subprocess.CompletedProcess[str]:
    said = _HEAD + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", said], capture_output=True, text=True, check=False, pass_fds=pass_fds
    )


# --- time -----------------------------------------------------------------------------------


def test_over_its_time_a_process_ends_though_native_code_holds_the_interpreter() -> None:
    ended = _run("""
        import re
        with step(Limits(0.2, 1 << 40)):
            re.match("(a+)+b", "a" * 60)  # takes years, in C
    """)
    assert ended.returncode == -signal.SIGALRM


def test_after_a_step_nothing_is_limited() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    with step(Limits(600, 1 << 40)):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_after_a_step_that_fails_nothing_is_limited_either() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(ValueError, match="its own"), step(Limits(600, 1 << 40)):
        raise ValueError("its own")
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert resource.getrlimit(resource.RLIMIT_AS) == before


# --- memory ---------------------------------------------------------------------------------


@_needs_proc
def test_over_its_memory_an_allocation_fails_and_the_next_step_goes_on() -> None:
    ended = _run("""
        try:
            with step(Limits(60, 1 << 30)):
                bytearray(50 << 30)
        except MemoryError:
            print("refused")
        with step(Limits(60, 1 << 30)):
            print(len(bytearray(1 << 28)))
    """)
    assert ended.stdout.split() == ["refused", str(1 << 28)]


@_needs_proc
def test_what_the_worker_has_already_is_not_counted() -> None:
    ended = _run("""
        held = bytearray(1 << 29)
        with step(Limits(60, 1 << 28)):
            print(len(bytearray(1 << 27)))
    """)
    assert ended.stdout.split() == [str(1 << 27)]


@_needs_proc
def test_a_limit_that_is_set_already_is_not_raised() -> None:
    ended = _run("""
        now = int(open("/proc/self/statm").read().split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (now + (1 << 30),) * 2)
        with step(Limits(60, 1 << 40)):
            print(resource.getrlimit(resource.RLIMIT_AS) == (now + (1 << 30),) * 2)
    """)
    assert ended.stdout.split() == ["True"]


def test_memory_errors_are_known_when_wrapped() -> None:
    def wrapped(cause: Exception) -> ValueError:
        try:
            try:
                raise cause
            except type(cause) as error:
                raise ValueError("what it was for") from error
        except ValueError as found:
            return found

    def found(error: Exception, *, limited: bool = False) -> bool:
        return is_out_of_memory(error, limited=limited)

    assert found(wrapped(MemoryError()))
    said = "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"
    assert found(wrapped(RuntimeError(said)))
    assert found(OSError(12, os.strerror(12)))
    assert not found(wrapped(RuntimeError("shapes differ")))
    assert not found(ValueError("can't allocate memory"))
    for said in ("error return without exception set",
                 "<class 'map'> returned NULL without setting an exception"):  # fmt: skip
        assert found(wrapped(SystemError(said)), limited=True)
        assert not found(SystemError(said))
    assert not found(SystemError("bad argument"), limited=True)


@pytest.mark.parametrize("seconds", [math.inf, 1e300, -1.0])
def test_a_time_that_no_timer_takes_leaves_memory_as_it_was(seconds: float) -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises((OverflowError, OSError)), step(Limits(seconds)):
        pass
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_processes_of_others_are_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(process: int, number: int) -> None:
        raise PermissionError(process, number)

    assert is_alive(os.getpid())
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert not is_alive(ended.pid)
    monkeypatch.setattr("os.kill", refuse)
    assert is_alive(1)


def test_cores_are_counted_where_the_system_does_not_tell_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert usable_cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr("os.sched_getaffinity")
    assert usable_cores() == (os.cpu_count() or 1)


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="peaks are not reset")
def test_a_peak_counts_from_its_start() -> None:
    held = bytearray(b"1") * (200 << 20)
    high = limits.peak_nbytes()
    del held
    limits.restart_peak()
    assert limits.peak_nbytes() < high - (150 << 20)


# --- a worker -------------------------------------------------------------------------------


def test_a_worker_is_silent() -> None:
    ended = _run("""
        prepare_worker()
        print("a model says so")
        os.write(1, b"so does native code")
        warnings.warn("and warns")
        print("and complains", file=sys.stderr)
        os.system("echo as what it starts")
    """)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("", "", 0)


def test_what_a_model_closed_is_open_for_the_next() -> None:
    ended = _run("""
        told = os.dup(2)
        prepare_worker()
        sys.stdout.close()
        from fuseline.sweep.limits import mend_streams
        mend_streams()
        print("the next model", flush=True)
        os.write(told, b"fine")
    """)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("", "fine", 0)


def test_a_worker_is_deaf_to_ctrl_c_and_dumps_no_core() -> None:
    ended = _run("""
        told = os.dup(2)
        prepare_worker()
        os.kill(os.getpid(), signal.SIGINT)
        os.write(told, b"%d" % resource.getrlimit(resource.RLIMIT_CORE)[0])
    """)
    assert ended.stderr == "0"


def test_a_worker_ends_when_its_parent_is_gone() -> None:
    reading, writing = os.pipe()
    ended = _run(
        f"""
        ready, tell = os.pipe()
        if os.fork() == 0:  # the worker: nobody but its own watch ends it
            prepare_worker()
            os.write(tell, b"1")
            time.sleep(60)
            os.write({writing}, b"late")
            os._exit(0)
        os.read(ready, 1)
        os._exit(0)
        """,
        pass_fds=(writing,),
    )
    os.close(writing)
    assert ended.returncode == 0
    with os.fdopen(reading, "rb") as told:
        assert told.read() == b""  # it ends with the last process that can write: the worker


def test_torch_gets_one_thread_where_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Mock()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(set_num_threads=asked))
    limits.single_thread()
    asked.assert_called_once_with(1)
