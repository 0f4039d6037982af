"""Sweeps whose processes are killed: what is left in the end is what an undisturbed run leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from fuseline.sweep.grids import job_ids
from tests.sweep.sweep_process import sweep_of

ROOT = Path(__file__).parents[2]
UNTIMELY = "the sweep was over before it could be killed"

pytestmark = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="finds processes in /proc")


def begun(folder: Path, kind: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.sweep.sweep_process", str(folder), kind]
    return subprocess.Popen(command, cwd=ROOT)


def workers(driver: int) -> list[int]:
    """The processes that a driver began to work for it."""
    found = list[int]()
    for process in Path("/proc").iterdir():
        with suppress(OSError, ValueError):  # it is no process, or is gone by now
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == driver and "spawn_main" in (process / "cmdline").read_text():
                found.append(int(process.name))
    return sorted(found)


def is_there(process: int) -> bool:
    """Whether a process runs; one that nobody waits for has ended all the same."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def kill_again_and_again(
    folder: Path, kind: str, kills: int, seconds: float, seed: int
) -> set[int]:
    """Run a sweep that is not let finish, until so many processes were killed: in every run perhaps
    a worker, and then the driver, mostly while there are workers. Gives every worker there was.
    """
    random = Random(seed)  # noqa: S311 - no secret
    seen, killed = set[int](), 0
    while killed < kills:
        driver = begun(folder, kind)
        victims = ["worker", "driver"] if random.random() < 0.5 else ["driver"]
        for victim in victims[: kills - killed]:
            while (random.random() < 0.9 or victim == "worker") and not workers(driver.pid):
                assert driver.poll() is None, UNTIMELY
                time.sleep(0.05)
            time.sleep(random.uniform(0.0, seconds))
            found = workers(driver.pid)
            seen |= set(found)
            assert driver.poll() is None, UNTIMELY
            os.kill(random.choice(found) if victim == "worker" else driver.pid, signal.SIGKILL)
            killed += 1
        driver.kill()
        driver.wait()
    return seen


def finish(folder: Path, kind: str) -> None:
    assert begun(folder, kind).wait() == 0


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "results").iterdir()}


def jobs(folder: Path) -> list[str]:
    from pyarrow import parquet

    return [
        job
        for path in sorted((folder / "results").iterdir())
        for job in parquet.read_table(path, columns=["job"])["job"].to_pylist()
    ]


def check_against_a_clean_run(folder: Path, kind: str, kills: int, seconds: float) -> None:
    clean, killed = folder / "clean", folder / "zoo"
    finish(clean, kind)
    (folder / "graphs").mkdir()
    seen = kill_again_and_again(killed, kind, kills, seconds, seed=kills)
    finish(killed, kind)
    assert seen
    sweep, _ = sweep_of(kind)
    every = [job for n in range(sweep.captures) for job in job_ids(sweep.capture(n))]
    assert jobs(killed) == every
    assert files(killed) == files(clean)
    assert not [process for process in seen if is_there(process)]
    assert not list((killed / "running").iterdir())


def test_a_sweep_killed_three_times_is_as_one_that_was_not(tmp_path: Path) -> None:
    check_against_a_clean_run(tmp_path, "short", kills=3, seconds=0.4)


@pytest.mark.slow
def test_a_sweep_killed_twenty_times_is_as_one_that_was_not(tmp_path: Path) -> None:
    check_against_a_clean_run(tmp_path, "long", kills=20, seconds=0.5)


@pytest.mark.slow
def test_a_sweep_of_real_models_killed_twenty_times_is_as_one_that_was_not(tmp_path: Path) -> None:
    check_against_a_clean_run(tmp_path, "real", kills=20, seconds=3.0)


def test_workers_of_a_killed_driver_end_by_themselves(tmp_path: Path) -> None:
    driver = begun(tmp_path / "zoo", "hang")
    wait_for_capture(driver, tmp_path / "zoo", 0)
    found = workers(driver.pid)
    assert len(found) == 2
    assert all(is_there(process) for process in found)
    driver.kill()
    driver.wait()
    while any(is_there(process) for process in found):  # until pytest's patience ends
        time.sleep(0.05)


def test_ctrl_c_ends_a_sweep_with_what_is_done_in_the_results(tmp_path: Path) -> None:
    folder = tmp_path / "zoo"
    driver = begun(folder, "short")
    wait_for_capture(driver, folder, 20)
    found = workers(driver.pid)
    driver.send_signal(signal.SIGINT)
    assert driver.wait() != 0
    assert not [process for process in found if is_there(process)]
    assert 0 < len(jobs(folder)) < sweep_of("short")[0].jobs


def wait_for_capture(driver: subprocess.Popen[bytes], folder: Path, number: int) -> None:
    """Until a worker has begun with that capture or a later one."""
    while not any(
        int(path.name.split("-")[0]) >= number for path in (folder / "running").glob("*.events")
    ):
        assert driver.poll() is None, UNTIMELY
        time.sleep(0.02)
