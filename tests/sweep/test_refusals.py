"""What a sweep's folder is refused for: one clear line each, and nothing is changed."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from fuseline.errors import InputError
from fuseline.report.captures import Capturing
from fuseline.sweep import shards
from fuseline.sweep.grids import Grid, Planning, Sweep
from fuseline.sweep.store import Store
from tests.sweep.made_rows import PLANNING, made, made_sweep

SWEEP = made_sweep(models=5, batches=2)
GRID = SWEEP.grids[0]
ENVIRONMENT = {"torch": "2.13.0"}


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A folder with a sweep of which a part is done."""
    folder = tmp_path / "zoo"
    with Store.open(folder, SWEEP, ENVIRONMENT) as store:
        store.keep(SWEEP.capture(0), made(SWEEP.capture(0)))
    return folder


def refusal(
    folder: Path, sweep: Sweep | None = SWEEP, environment: dict[str, str] = ENVIRONMENT
) -> str:
    """The line, without the folder; every file is as it was."""
    before = contents(folder)
    with pytest.raises(InputError) as told:
        Store.open(folder, sweep, environment)
    assert contents(folder) == before
    line = str(told.value)
    assert "\n" not in line
    return line.replace(str(folder), "zoo")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in {"lock", "state.sqlite-shm", "state.sqlite-wal"}
    }


# --- whose folder it is ---------------------------------------------------------------------


def test_a_folder_of_other_things(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    assert refusal(tmp_path) == (
        "'zoo/' holds other things (thesis.tex) and no state.sqlite of a sweep: name a new folder, "
        "or an empty one"
    )


def test_results_without_a_state(begun: Path) -> None:
    (begun / "state.sqlite").unlink()
    assert "(results/00000.parquet) and no state.sqlite" in refusal(begun)


def test_a_file_and_a_folder_below_one(tmp_path: Path) -> None:
    path = tmp_path / "zoo"
    path.write_text("x")
    assert refusal(path) == "'zoo' is a file: a sweep needs a folder"
    assert "Not a directory" in refusal(path / "below")


def test_nothing_to_go_on_with(tmp_path: Path) -> None:
    assert refusal(tmp_path, None) == "'zoo/' holds no sweep to go on with"
    assert refusal(tmp_path / "none", None) == "there is no 'zoo/': no sweep to go on with"
    assert list(tmp_path.iterdir()) == []


def test_a_second_sweep_in_it_at_once(begun: Path) -> None:
    with Store.open(begun, SWEEP, ENVIRONMENT):
        assert refusal(begun).startswith(
            f"'zoo/' is in use by another sweep (process {os.getpid()} on "
        )


# --- what it was begun with -----------------------------------------------------------------


def in_state(folder: Path, statement: str) -> None:
    base = sqlite3.connect(folder / "state.sqlite")
    base.execute(statement)
    base.commit()
    base.close()


def test_a_newer_schema(begun: Path) -> None:
    in_state(begun, "UPDATE meta SET value = 'fuseline.sweep/2' WHERE name = 'schema'")
    assert refusal(begun) == (
        "'zoo/' holds 'fuseline.sweep/2', and this Fuseline goes on with 'fuseline.sweep/1' alone: "
        "use the version that began it, or another folder"
    )


def with_planning(planning: Planning) -> Sweep:
    return Sweep((replace(GRID, planning=planning),))


OTHERS = [
    (with_planning(Planning(("fusion",))), "--strategy unfused, fusion, and now it is fusion"),
    (
        with_planning(replace(PLANNING, devices=("h100-sxm",))),
        "--device none, and now it is h100-sxm",
    ),
    (
        with_planning(replace(PLANNING, search_seconds=5.0)),
        "--time-limit 60, and now it is 5",
    ),
    (
        Sweep((replace(GRID, ways=(Capturing(batch=1), Capturing(batch=8))),)),
        "--batch 1, 2, and now it is 1, 8",
    ),
    (
        Sweep((replace(GRID, ways=(*GRID.ways, Capturing(batch=1, dtype="float16"))),)),
        "--dtype none, and now it is none, float16",
    ),
    (
        Sweep((replace(GRID, ways=GRID.ways[::-1]),)),
        "--batch 1, 2, and now it is 2, 1",
    ),
    (
        Sweep((replace(GRID, models=(*GRID.models[1:], "resnet18")),)),
        "5 models; now without net000; now with resnet18 too",
    ),
    (Sweep((replace(GRID, models=GRID.models[::-1]),)), "models in another order"),
    (
        Sweep((GRID, Grid(("resnet18",), GRID.ways, PLANNING))),
        "jobs in 1 grids, and now there are 2",
    ),
]


@pytest.mark.parametrize(("sweep", "words"), OTHERS)
def test_another_sweep(begun: Path, sweep: Sweep, words: str) -> None:
    assert refusal(begun, sweep) == (
        f"'zoo/' was begun with {words}: ask for the same, or name another folder"
    )


def test_ways_that_differ_in_how_they_are_paired(tmp_path: Path) -> None:
    ways = tuple(Capturing(batch=batch, dtype=dtype) for batch in (1, 2) for dtype in ("a", "b"))
    with Store.open(tmp_path, Sweep((replace(GRID, ways=ways),)), ENVIRONMENT):
        pass
    other = (*ways[:3],)
    assert "4 ways of capture, and now there are other 3" in refusal(
        tmp_path, Sweep((replace(GRID, ways=other),))
    )


def test_another_environment(begun: Path) -> None:
    assert refusal(begun, None, {"torch": "2.14.0"}) == (
        "'zoo/' was begun with another environment (torch 2.14.0 here, 2.13.0 there): go on with "
        "that one, or name another folder"
    )


def test_a_file_that_has_changed_since(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text("old")
    sweep = replace(SWEEP, files=((str(rules), sha256(b"old").hexdigest()),))
    folder = tmp_path / "zoo"
    for asked in (sweep, sweep, None):
        with Store.open(folder, asked, ENVIRONMENT):
            pass
    rules.write_text("new")
    now = replace(SWEEP, files=((str(rules), sha256(b"new").hexdigest()),))
    for asked in (now, None):
        assert refusal(folder, asked) == (
            f"'{rules}' has changed since the sweep in 'zoo/' began: put it back as it was, or "
            "name another folder"
        )
    rules.unlink()
    assert refusal(folder, None).startswith(
        f"cannot read '{rules}', which the sweep needs: No such"
    )


# --- damage ---------------------------------------------------------------------------------


def test_a_state_that_is_no_database(begun: Path) -> None:
    (begun / "state.sqlite").write_text("not a database, and longer than its header would be" * 9)
    assert refusal(begun) == (
        "'zoo/state.sqlite' is damaged (file is not a database): what is in results/ can still be "
        "queried; sweep anew into another folder"
    )


def test_a_state_with_a_damaged_page(begun: Path) -> None:
    path = begun / "state.sqlite"
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    path.write_bytes(content)
    assert "zoo/state.sqlite' is damaged (" in refusal(begun)


def test_a_state_that_was_emptied(begun: Path) -> None:
    (begun / "state.sqlite").write_bytes(b"")
    with pytest.raises(InputError, match=r"is damaged \(it is empty\)"):
        Store.open(begun, SWEEP, ENVIRONMENT)
    assert (begun / "results" / "00000.parquet").exists()


def test_a_state_of_something_else(tmp_path: Path) -> None:
    in_state(tmp_path, "CREATE TABLE recipes (name TEXT)")
    with pytest.raises(InputError, match="its tables are no sweep's"):
        Store.open(tmp_path, SWEEP, ENVIRONMENT)


@pytest.mark.parametrize("name", ["sweep", "environment"])
def test_a_state_that_does_not_say_what_it_is_of(begun: Path, name: str) -> None:
    in_state(begun, f"UPDATE meta SET value = '[]' WHERE name = '{name}'")  # noqa: S608 - ours
    assert "is damaged (no sweep in it: " in refusal(begun)


def test_a_begin_that_did_not_come_far_is_no_harm(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "lock").write_text("process 1 on nowhere\n")
    (tmp_path / "state.sqlite").write_bytes(b"")
    with Store.open(tmp_path, SWEEP, ENVIRONMENT) as store:
        assert store.counts().done_captures == 0


# --- no room, no right ----------------------------------------------------------------------


@contextmanager
def as_nobody() -> Generator[None]:
    """Root may write everywhere: be somebody else."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_may_not_be_written() -> None:
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "zoo"
        folder.mkdir()
        for path in (Path(parent), folder):
            path.chmod(0o555)
        try:
            with as_nobody():
                assert refusal(folder).startswith("cannot write 'zoo/': '")
                assert refusal(folder).endswith("Permission denied")
                assert refusal(folder / "new").endswith("Permission denied")
        finally:
            for path in (Path(parent), folder):
                path.chmod(0o755)


def fill(folder: Path, sweep: Sweep) -> str:
    """Go on until something is refused; the line, or nothing."""
    try:
        with Store.open(folder, sweep, ENVIRONMENT) as store:
            for number in store.todo():
                store.keep(sweep.capture(number), made(sweep.capture(number)))
    except InputError as error:
        return str(error).replace(str(folder), "zoo")
    return ""


def results(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / "results").iterdir())]


LARGE = made_sweep(models=150, batches=6)


@pytest.fixture
def _many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_JOBS_A_FILE", 400)


@pytest.mark.usefixtures("_many_files")
@pytest.mark.parametrize("kilobytes", [300, 700])
def test_a_full_disk(tmp_path: Path, kilobytes: int) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(disk)],  # noqa: S607
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"no disk of this size may be mounted: {mounted.stderr.strip()}")
    try:
        full = "cannot write 'zoo/': its disk is full: make room, and the same command goes on"
        assert fill(disk / "zoo", LARGE) == full
        assert fill(disk / "zoo", LARGE) == full  # and again, with no room at the start
        subprocess.run(
            ["mount", "-o", "remount,size=64m", str(disk)],  # noqa: S607 - of the system
            check=True,
        )
        assert fill(disk / "zoo", LARGE) == ""
        assert fill(tmp_path / "clean", LARGE) == ""
        assert results(disk / "zoo") == results(tmp_path / "clean")
    finally:
        subprocess.run(["umount", str(disk)], check=True)  # noqa: S607 - of the system


@pytest.mark.usefixtures("_many_files")
def test_files_that_may_not_grow(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN  # as Python starts
    resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, limits[1]))
    try:
        line = fill(tmp_path / "zoo", LARGE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (
        line
        == "cannot write 'zoo/': files may not grow so large (ulimit -f): raise that, and go on"
    )
    assert fill(tmp_path / "zoo", LARGE) == ""
    assert fill(tmp_path / "clean", LARGE) == ""
    assert results(tmp_path / "zoo") == results(tmp_path / "clean")
