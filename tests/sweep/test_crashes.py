"""The process ends between any two steps of the store: nothing is lost, nothing is there twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fuseline.sweep import shards
from fuseline.sweep.state import State
from fuseline.sweep.store import Store
from tests.sweep.made_rows import failed, made, made_sweep

SWEEP = made_sweep(models=3, batches=1)
STEPS = (
    (shards, "write_scratch"), (shards, "place"),
    (State, "begin"), (State, "add"), (State, "commit"),
    (State, "intend"), (State, "record"), (State, "promote"), (State, "forget_failed"),
)  # fmt: skip


class Crash(BaseException):
    """The process ends here."""


class Faults:
    """Counts the steps, and crashes before or after the one it is told."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.seen = 0

    def step(self, original: Callable[..., object]) -> Callable[..., object]:
        def stepped(*arguments: object) -> object:
            self._count()
            answer = original(*arguments)
            self._count()
            return answer

        return stepped

    def _count(self) -> None:
        self.seen += 1
        if self.seen == self.at:
            raise Crash


def part_of_a_sweep(folder: Path, made_up: list[Store]) -> None:
    """Kept one by one with a flush between, a failed one among them, that is done again."""
    store = Store.open(folder, SWEEP, {})
    made_up.append(store)
    for number in list(store.todo()):
        capture = SWEEP.capture(number)
        store.keep(capture, failed(capture) if number == 1 else made(capture))
        if number == 0:
            store.flush()
    store.forget_failed()
    store.flush()
    store.close()


def finish(folder: Path) -> dict[str, bytes]:
    with Store.open(folder, SWEEP, {}) as store:
        assert store.warning == ""
        store.forget_failed()
        for number in store.todo():
            store.keep(SWEEP.capture(number), made(SWEEP.capture(number)))
        counts = store.counts()
        assert (counts.done_captures, counts.done_jobs, counts.failed) == (3, 6, {})
    return {path.name: path.read_bytes() for path in (folder / "results").iterdir()}


@pytest.fixture
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_JOBS_A_FILE", 4)  # two captures


@pytest.mark.parametrize("stride", [13, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("ending", ["killed", "interrupted"])
@pytest.mark.usefixtures("_small_files")
def test_every_step_may_be_the_last(tmp_path: Path, ending: str, stride: int) -> None:
    clean = finish(tmp_path / "clean")
    crashes = stride // 2
    while True:
        folder = tmp_path / str(crashes)
        faults, made_up = Faults(crashes + 1), []
        with pytest.MonkeyPatch.context() as patch:
            for owner, name in STEPS:
                patch.setattr(owner, name, faults.step(getattr(owner, name)))
            try:
                part_of_a_sweep(folder, made_up)
                break
            except Crash:
                crashes += stride
        for store in made_up:
            if ending == "interrupted":  # as Ctrl-C: what can be kept is
                store.close()
            else:
                store.abandon()
        assert finish(folder) == clean
    assert crashes > 50


CHILD = """
import sys, time
from pathlib import Path
from fuseline.sweep import shards
from fuseline.sweep.store import Store
from tests.sweep.made_rows import made, made_sweep
shards._JOBS_A_FILE = 64
folder, models, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
sweep = made_sweep(models=models, batches=4)
with Store.open(Path(folder), sweep, {}) as store:
    assert not store.warning, store.warning
    store._flush_seconds = 0.05
    print("begun", flush=True)
    for number in store.todo():
        store.keep(sweep.capture(number), made(sweep.capture(number)))
        time.sleep(seconds)
"""


def begun(folder: Path, models: int, seconds: float) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", CHILD, str(folder), str(models), str(seconds)]
    return subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "results").iterdir()}


@pytest.mark.slow
def test_killed_twenty_times_it_is_as_if_never(tmp_path: Path) -> None:
    draw = random.Random(7)  # noqa: S311 - moments, no secrets
    models = 300
    clean = begun(tmp_path / "clean", models, 0.0)
    clean.communicate()
    assert clean.returncode == 0
    folder, kills = tmp_path / "zoo", 0
    for _ in range(20):
        child = begun(folder, models, 0.002)
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        time.sleep(draw.uniform(0.0, 0.25))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        kills += child.returncode == -signal.SIGKILL
    last = begun(folder, models, 0.0)
    last.communicate()
    assert last.returncode == 0
    assert kills == 20
    assert results(folder) == results(tmp_path / "clean")
