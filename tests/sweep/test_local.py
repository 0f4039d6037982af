from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pytest

from fuseline.errors import InputError
from fuseline.sweep.local import LocalExecutor
from fuseline.sweep.spool import read_events, write_events, writer_of
from fuseline.sweep.tasks import (
    Began,
    Ended,
    Event,
    Executor,
    Made,
    Outcome,
    Status,
    Task,
    Uncaptured,
)
from tests.sweep import fake_work
from tests.sweep.fake_work import task_of

DIED, LATE, FULL = Status.DIED, Status.OUT_OF_TIME, Status.OUT_OF_MEMORY

DEATHS = {
    "segfault": (DIED, "its process was ended by SIGSEGV"),
    "abort": (
        DIED,
        (
            "its process was ended by SIGABRT (as native code does where it is out of memory, "
            "or finds a fault of its own)"
        ),
    ),
    "killed": (
        DIED,
        "its process was ended by SIGKILL (as the kernel does where the machine's memory runs out)",
    ),
    "exit 0": (DIED, "its process ended before it was done"),
    "exit 7": (DIED, "its process exited with 7"),
    "sys.exit": (DIED, "SystemExit: 3"),
    "hang": (LATE, "not done after 1 s"),
    "native hang": (LATE, "not done after 1 s"),
    "50 GB": (FULL, "its memory ran out"),
    "value error": (DIED, "ValueError: two lines"),
    "odd error": (DIED, "OddError: 1 is not 2"),
    "interrupt": (DIED, "KeyboardInterrupt"),
}
"""What is said of each."""


def outcomes(executor: Executor, tasks: Iterator[Task]) -> Iterator[Outcome]:
    """Every task's outcome, as they come; never more under way than is worth it."""
    under_way = 0
    while True:
        while under_way < executor.slots and (task := next(tasks, None)) is not None:
            executor.submit(task)
            under_way += 1
        if not under_way:
            return
        if (outcome := executor.wait(1.0)) is not None:
            under_way -= 1
            yield outcome


def only(executor: Executor, task: Task) -> Outcome:
    (outcome,) = outcomes(executor, iter([task]))
    return outcome


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Outcome]]:
    """What came of one task of each kind with good ones between them, in one pool."""
    models = [each for name in DEATHS for each in (name, "fine", "Ctrl-C", "fine")]
    tasks = (task_of(model, number) for number, model in enumerate(models))
    found: dict[str, list[Outcome]] = {}
    folder = tmp_path_factory.mktemp("sweep") / "running"
    with LocalExecutor(2, folder, fake_work.work) as executor:
        for outcome in outcomes(executor, tasks):
            found.setdefault(outcome.task.capture.model, []).append(outcome)
    assert not list(folder.iterdir())
    return found


@pytest.mark.parametrize("model", DEATHS)
def test_a_task_that_dies_says_how_and_keeps_what_it_told(
    every: dict[str, list[Outcome]], model: str
) -> None:
    (outcome,) = every[model]
    assert outcome.death is not None
    assert (outcome.death.status, outcome.death.reason) == DEATHS[model]
    assert outcome.death.is_blamed
    first, second, made, last = outcome.events
    assert (first, second, last) == (Began(None), Began(0), Began(1))
    assert isinstance(made, Made)
    assert made.unit == 0


@pytest.mark.parametrize(("model", "count"), [("fine", 24), ("Ctrl-C", 12)])
def test_the_others_are_done(every: dict[str, list[Outcome]], model: str, count: int) -> None:
    assert len(every[model]) == count
    for outcome in every[model]:
        assert outcome.death is None
        assert outcome.events[-1] == Ended(0.5, 1.0, 100, cached=False)
        rows = [event.rows for event in outcome.events if isinstance(event, Made)]
        assert [row[1] for (row,) in rows] == [model, model]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("other versions", "a worker has other versions"),
        ("no room", "'.*running': File too large;"),
    ],
)
def test_what_concerns_every_task_is_one_line(tmp_path: Path, model: str, message: str) -> None:
    with (
        LocalExecutor(1, tmp_path / "running", fake_work.work) as executor,
        pytest.raises(InputError, match=message) as raised,
    ):
        only(executor, task_of(model))
    assert "\n" not in str(raised.value)


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match=r"file/running': Not a directory"),
        LocalExecutor(1, tmp_path / "file" / "running"),
    ):
        pass


def test_what_a_killed_driver_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "3-1-abcdef01.events"
    left.write_bytes(b"half an eve")
    with LocalExecutor(1, tmp_path):
        assert not left.exists()


def test_workers_have_one_thread_and_the_environment_is_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with LocalExecutor(1, tmp_path, fake_work.tell) as executor:
        (told,) = only(executor, task_of("any")).events
    assert isinstance(told, Uncaptured)
    assert told.reason.split()[1] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def test_leaving_ends_workers_at_once_whatever_they_do(tmp_path: Path) -> None:
    note = tmp_path / "process"
    with LocalExecutor(1, tmp_path / "running", fake_work.note_and_hang) as executor:
        executor.submit(task_of(str(note), seconds=1000.0))
        while not (note.exists() and note.read_text()):
            assert executor.wait(0.05) is None
        process = int(note.read_text())
        os.kill(process, 0)  # it is there
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_an_idle_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    with LocalExecutor(1, tmp_path, fake_work.tell) as executor:
        (told,) = only(executor, task_of("any")).events
        assert isinstance(told, Uncaptured)
        first = told.reason
        os.kill(int(first.split()[0]), signal.SIGKILL)
        outcome = only(executor, task_of("any"))
        while outcome.death is not None:  # the pool may break only with the next task
            assert not outcome.death.is_blamed
            outcome = only(executor, task_of("any"))
        (told,) = outcome.events
        assert isinstance(told, Uncaptured)
        assert told.reason != first


def _unready() -> None:
    os._exit(1)


def test_workers_that_never_become_ready_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fuseline.sweep.local._prepare", _unready)
    with (
        LocalExecutor(1, tmp_path, fake_work.tell) as executor,
        pytest.raises(InputError, match="workers end before they are ready"),
    ):
        list(outcomes(executor, repeat(task_of("any"))))


def test_nothing_is_over_within_the_time(tmp_path: Path) -> None:
    with LocalExecutor(1, tmp_path) as executor:
        assert executor.wait(0.01) is None


def test_workers_are_replaced_after_many_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fuseline.sweep.local.MOST_TASKS", 5)
    with LocalExecutor(2, tmp_path, fake_work.tell) as executor:
        found = list(outcomes(executor, (task_of("any", number) for number in range(30))))
    processes = {str(outcome.events[0]) for outcome in found}
    assert len(found) == 30
    assert len(processes) >= 6


# --- the spool ------------------------------------------------------------------------------


EVENTS: tuple[Event, ...] = (
    Began(None),
    Began(3),
    Uncaptured(DIED, "ü"),
    Ended(1.0, 2.0, 3, cached=True),
)


def test_a_spool_gives_back_what_was_told(tmp_path: Path) -> None:
    path = tmp_path / "a.events"
    write_events(path, iter(EVENTS))
    assert read_events(path) == EVENTS
    assert writer_of(path) == os.getpid()


def test_a_spool_that_is_cut_anywhere_gives_the_events_before(tmp_path: Path) -> None:
    path = tmp_path / "a.events"
    write_events(path, iter(EVENTS))
    whole = path.read_bytes()
    counts = list[int]()
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        events = read_events(path)
        assert events == EVENTS[: len(events)]
        assert (writer_of(path) is None) == (end < 8)
        counts.append(len(events))
    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 2, 3, 4}


def test_a_spool_that_was_never_begun_has_no_events(tmp_path: Path) -> None:
    assert read_events(tmp_path / "none.events") == ()
    assert writer_of(tmp_path / "none.events") is None


def test_events_are_there_as_soon_as_they_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.events"

    def telling() -> Iterator[Event]:
        for number, event in enumerate(EVENTS):
            assert read_events(path) == EVENTS[:number]
            yield event

    write_events(path, telling())
    assert read_events(path) == EVENTS
