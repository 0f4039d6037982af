from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fuseline.errors import InputError
from fuseline.sweep import shards
from fuseline.sweep import store as store_module
from fuseline.sweep.grids import Sweep, job_ids
from fuseline.sweep.schema import COLUMNS
from fuseline.sweep.store import Counts, Store
from fuseline.sweep.tasks import Status
from tests.sweep.made_rows import failed, made, made_sweep

ENVIRONMENT = {"torch": "2.13.0"}
SWEEP = made_sweep(models=5, batches=2)


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_JOBS_A_FILE", 8)  # four captures: files of 4, 4 and 2


def opened(folder: Path, sweep: Sweep | None = SWEEP) -> Store:
    return Store.open(folder, sweep, ENVIRONMENT)


def keep(store: Store, numbers: Iterable[int]) -> None:
    for number in numbers:
        capture = store.sweep.capture(number)
        store.keep(capture, made(capture))


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "results").glob("*.parquet")}


def ids_in(folder: Path) -> list[str]:
    files = sorted((folder / "results").glob("*.parquet"))
    return [id_ for file in files for id_ in pq.read_table(file).column("job").to_pylist()]


def ids_of(numbers: Iterable[int]) -> list[str]:
    return [id_ for number in numbers for id_ in job_ids(SWEEP.capture(number))]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("clean") / "zoo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "_JOBS_A_FILE", 8)
        with opened(folder) as store:
            keep(store, store.todo())
    return results(folder)


# --- what is kept ---------------------------------------------------------------------------


def test_a_sweep_from_its_begin_to_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "zoo"
    with opened(folder) as store:
        assert store.counts() == Counts(10, 20, 0, 0, {})
        assert list(store.todo()) == list(range(10))
        keep(store, store.todo())
        assert store.counts() == Counts(10, 20, 10, 20, {})
        assert list(store.todo()) == []
    assert ids_in(folder) == ids_of(range(10))
    assert sorted(results(folder)) == ["00000.parquet", "00001.parquet", "00002.parquet"]
    row = pq.read_table(folder / "captures" / "00001.parquet").to_pylist()[1]
    assert (row["capture"], row["model"], row["batch"]) == (5, "net002", 2)
    assert (row["jobs"], row["failed_jobs"], row["attempts"]) == (2, 0, 1)
    assert (row["cpu_seconds"], row["peak_bytes"], row["cached"]) == (1.5, 3 * 2**20, False)


def test_it_goes_on_where_it_was_and_the_files_are_the_same(
    tmp_path: Path, clean: dict[str, bytes]
) -> None:
    folder = tmp_path / "zoo"
    for numbers in ([9, 2], [3, 0, 5], [], [8, 7], [6, 1, 4]):
        with opened(folder) as store:
            before = set(store.todo())
            keep(store, numbers)
            assert set(store.todo()) == before - set(numbers)
    assert results(folder) == clean


def test_without_a_sweep_it_goes_on_with_what_it_began(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        keep(store, [0])
    with opened(tmp_path, None) as store:
        assert store.sweep == SWEEP
        assert store.counts().done_captures == 1


def test_what_runs_can_be_queried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as store:
        keep(store, [1, 6])
        assert results(tmp_path) == {}
        store.flush()
        assert ids_in(tmp_path) == ids_of([1, 6])
        monkeypatch.setattr(store, "_flush_seconds", 0.0)  # a minute went by
        keep(store, [0])
        assert ids_in(tmp_path) == ids_of([0, 1, 6])


def test_a_beat_makes_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as store:
        monkeypatch.setattr(store_module, "_COMMIT_SECONDS", 1e9)
        keep(store, [1])
        assert on_disk(tmp_path) == []
        monkeypatch.setattr(store_module, "_COMMIT_SECONDS", 0.0)
        store.beat()
        assert on_disk(tmp_path) == [1]
        monkeypatch.setattr(store_module, "_COMMIT_SECONDS", 1e9)
        monkeypatch.setattr(store_module, "_COMMIT_CAPTURES", 2)
        keep(store, [4])
        assert on_disk(tmp_path) == [1]
        keep(store, [5])
        assert on_disk(tmp_path) == [1, 4, 5]


def on_disk(folder: Path) -> list[int]:
    """What another process would find done."""
    base = sqlite3.connect(folder / "state.sqlite")
    found = [number for (number,) in base.execute("SELECT number FROM captures ORDER BY 1")]
    base.close()
    return found


def test_failures_are_counted_and_may_be_done_again(
    tmp_path: Path, clean: dict[str, bytes]
) -> None:
    with opened(tmp_path) as store:
        keep(store, set(range(10)) - {1, 4, 5, 9})
        for number, status in ((1, Status.DIED), (4, Status.OUT_OF_TIME), (9, Status.DIED)):
            store.keep(SWEEP.capture(number), failed(SWEEP.capture(number), status))
        assert store.counts().failed == {"died": 2, "out of time": 1}
    captures = pq.read_table(tmp_path / "captures" / "00000.parquet").to_pylist()
    assert [row["failed_jobs"] for row in captures] == [0, 1, 0, 0]
    with opened(tmp_path) as store:
        assert store.counts() == Counts(10, 20, 9, 18, {"died": 2, "out of time": 1})
        assert store.forget_failed() == 6
        assert store.counts() == Counts(10, 20, 6, 12, {})
        assert list(store.todo()) == [1, 4, 5, 9]
        store.flush()
        assert ids_in(tmp_path) == ids_of([0, 2, 3, 6, 7, 8])
        keep(store, store.todo())
    assert results(tmp_path) == clean


def test_failures_are_forgotten_though_it_ends_at_once(
    tmp_path: Path, clean: dict[str, bytes]
) -> None:
    with opened(tmp_path) as store:
        keep(store, range(9))
        store.keep(SWEEP.capture(9), failed(SWEEP.capture(9)))
    store = opened(tmp_path)
    assert store.forget_failed() == 2
    store.abandon()
    with opened(tmp_path) as store:
        assert list(store.todo()) == [9]
        keep(store, [9])
    assert results(tmp_path) == clean


def test_a_figure_beyond_64_bits_is_one_failed_job(tmp_path: Path) -> None:
    place = [column.name for column in COLUMNS].index("flops")
    capture = SWEEP.capture(3)
    done = made(capture)
    first = (*done.rows[0][:place], 2**70, *done.rows[0][place + 1 :])
    with opened(tmp_path) as store:
        store.keep(capture, replace(done, rows=(first, done.rows[1])))
        assert store.counts().failed == {"refused": 1}
    rows = pq.read_table(tmp_path / "results" / "00000.parquet").to_pylist()
    assert [row["status"] for row in rows] == ["refused", "ok"]
    assert rows[0]["reason"].startswith("flops: 1,180,591,620,717,411,303,424 is beyond")


def test_faults_of_ours_are_refused(tmp_path: Path) -> None:
    capture = SWEEP.capture(0)
    with opened(tmp_path) as store:
        with pytest.raises(ValueError, match="capture 0 has 2 jobs, not 1"):
            store.keep(capture, replace(made(capture), rows=made(capture).rows[:1]))
        store.keep(capture, made(capture))
        with pytest.raises(ValueError, match="capture 0 is done already"):
            store.keep(capture, failed(capture))
        assert store.counts() == Counts(10, 20, 1, 2, {})
    rows = pq.read_table(tmp_path / "results" / "00000.parquet").to_pylist()
    assert [row["status"] for row in rows] == ["ok", "ok"]


def test_it_may_be_closed_twice(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        keep(store, [0])
        store.close()
    assert ids_in(tmp_path) == ids_of([0])


# --- files that are not what they were ------------------------------------------------------


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    folder = tmp_path / "zoo"
    with opened(folder) as store:
        keep(store, store.todo())
    return folder


def test_a_file_that_is_gone_or_damaged_is_done_again(
    finished: Path, clean: dict[str, bytes]
) -> None:
    (finished / "results" / "00000.parquet").unlink()
    damaged = finished / "results" / "00001.parquet"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with opened(finished) as store:
        assert store.warning == (
            f"'{finished}/results/00000.parquet' and 1 more changed or gone since the sweep wrote "
            "it: those captures are done again"
        )
        assert store.counts() == Counts(10, 20, 2, 4, {})
        assert ids_in(finished) == ids_of([8, 9])
        assert (finished / "results" / "00001.parquet.damaged").read_bytes() == content
        keep(store, store.todo())
    assert results(finished) == clean


def test_of_a_lost_file_only_what_was_in_it_alone_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_COMMIT_SECONDS", 0.0)
    with opened(tmp_path) as store:
        keep(store, [0])
    store = opened(tmp_path)
    keep(store, [1])
    store.abandon()
    (tmp_path / "results" / "00000.parquet").unlink()
    with opened(tmp_path) as store:
        assert list(store.todo())[:3] == [0, 2, 3]
    assert ids_in(tmp_path) == ids_of([1])


def test_a_file_changed_while_the_sweep_runs_is_not_read(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        keep(store, [0])
        store.flush()
        (tmp_path / "results" / "00000.parquet").write_bytes(b"PAR1")
        keep(store, [1])
        with pytest.raises(InputError, match="was changed while the sweep ran: give the command"):
            store.flush()
    with opened(tmp_path) as store:
        assert list(store.todo())[:3] == [0, 2, 3]


def test_what_captures_took_is_written_again_where_it_is_gone(finished: Path) -> None:
    path = finished / "captures" / "00001.parquet"
    content = path.read_bytes()
    path.unlink()
    with opened(finished) as store:
        assert (store.warning, store.counts().done_captures) == ("", 10)
    assert path.read_bytes() == content


def test_a_file_of_somebody_else_is_not_counted(finished: Path) -> None:
    copy = finished / "results" / "copy.parquet"
    copy.write_bytes((finished / "results" / "00000.parquet").read_bytes())
    with pytest.raises(InputError, match=r"copy\.parquet' is not of this sweep"):
        opened(finished)
    assert copy.exists()


def test_what_was_half_written_goes(finished: Path, clean: dict[str, bytes]) -> None:
    (finished / "results" / "00000.new").write_bytes(b"PAR1")
    with opened(finished):
        assert not (finished / "results" / "00000.new").exists()
    assert results(finished) == clean
