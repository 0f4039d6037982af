"""Models that crash, hang, fill the memory or raise, in a real sweep with a real store."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuseline.report.captures import Capturing
from fuseline.sweep.drive import drive
from fuseline.sweep.environment import here
from fuseline.sweep.grids import Grid, Planning, Sweep
from fuseline.sweep.local import LocalExecutor
from fuseline.sweep.store import Store
from fuseline.sweep.tasks import Caching, Limits

MODELS = Path(__file__).with_name("failing_models.py")

EXPECTED = {
    "fine": ("ok", None, 1),
    "segfault": ("died", "capture: its process was ended by SIGSEGV; tried twice", 2),
    "hang": ("out of time", "capture: not done after 15 s; tried twice", 2),
    "native_hang": ("out of time", "capture: not done after 15 s; tried twice", 2),
    "allocating": (
        "out of memory", "capture: it needs more than the 8.0 GiB that a job may take; tried", 2,
    ),
    "abort": ("died", "capture: its process was ended by SIGABRT", 2),
    "raising": ("refused", "ValueError: no such width", 1),
    "exiting": ("refused", "it exits (3)", 1),
    "no_model": ("refused", "returned int, not a torch.nn.Module", 1),
    "nowhere": ("refused", "has no 'nowhere'", 1),
    "printing": ("ok", None, 1),
}  # fmt: skip
"""Status, what the reason says, and attempts, of each factory."""


def sweep(folder: Path, names: tuple[str, ...]) -> dict[str, list[tuple[str, str | None, int]]]:
    """What became of every job of these models, and in how many attempts."""
    from pyarrow import parquet

    models = tuple(f"{MODELS}:{name}" for name in names)
    grid = Grid(models, (Capturing(),), Planning(("unfused", "fusion")))
    with Store.open(folder, Sweep((grid,)), here()) as store:
        drive(
            store,
            LocalExecutor(2, folder / "running"),
            limits=Limits(seconds=15.0),
            caching=Caching(None),
            environment=here(),
            tell=lambda _: None,
        )
    captures = parquet.read_table(folder / "captures").to_pylist()
    attempts = {row["model"]: row["attempts"] for row in captures}
    found: dict[str, list[tuple[str, str | None, int]]] = {}
    for row in parquet.read_table(folder / "results").to_pylist():
        name = row["model"].rpartition(":")[2]
        found.setdefault(name, []).append((row["status"], row["reason"], attempts[row["model"]]))
    return found


def check(found: dict[str, list[tuple[str, str | None, int]]], names: tuple[str, ...]) -> None:
    assert tuple(found) == names
    for name, jobs in found.items():
        status, says, attempts = EXPECTED[name]
        assert len(jobs) == 2
        for job in jobs:
            assert (job[0], job[2]) == (status, attempts)
            assert says == job[1] if says is None else says in str(job[1])


def test_a_model_that_crashes_costs_its_own_jobs_only(tmp_path: Path) -> None:
    names = ("segfault", "fine", "raising")
    check(sweep(tmp_path / "zoo", names), names)


@pytest.mark.slow
def test_every_way_to_fail_has_its_rows_and_the_others_are_done(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    names = tuple(EXPECTED)
    check(sweep(tmp_path / "zoo", names), names)
    assert not capfd.readouterr().out  # whatever models print
