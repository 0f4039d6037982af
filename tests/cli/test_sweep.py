"""`fuseline sweep` as a user types it, on small models."""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fuseline.cli import cli, run
from fuseline.cli.sweep import Running
from fuseline.cli.sweeping import Bar, progress_in_words
from fuseline.sweep.asked import sweep_of
from fuseline.sweep.declared import read_jobs
from fuseline.sweep.environment import here
from fuseline.sweep.schema import failed_rows
from fuseline.sweep.store import Counts, Finished, Store
from fuseline.sweep.tasks import Caching, Limits, Status

NETS = """
import torch
from torch import nn

def net():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval(), torch.empty(2, 8)

def deeper():
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU()), torch.empty(2, 8)

def raises():
    raise RuntimeError("no such weights")

def slow():
    import pathlib, time
    while not pathlib.Path("go").exists():
        time.sleep(0.1)
    return net()
"""

JOBS = """
[[sweep]]
models = ["nets.py:net", "nets.py:deeper"]
batch = [1, 2]
strategy = ["unfused", "fusion"]
device = ["t4", "orin-agx"]
"""
FLAGS = [
    "--models", "nets.py:net", "--models", "nets.py:deeper", "--batch", "1", "--batch", "2",
    "--strategy", "unfused", "--strategy", "fusion", "--device", "t4", "--device", "orin-agx",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin_in(tmp_path, monkeypatch)


def begin_in(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Stand in a folder with models and jobs, and with a cache of its own."""
    patch.chdir(folder)
    patch.setenv("FUSELINE_CACHE", str(folder / "cache"))
    (folder / "nets.py").write_text(NETS)
    (folder / "jobs.toml").write_text(JOBS)


@dataclass(frozen=True)
class Done:
    """A sweep that is over: its folder and what it said."""

    folder: Path
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """FLAGS, done once for several tests."""
    place = tmp_path_factory.mktemp("done")
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        begin_in(place, patch)
        with redirect_stdout(out), redirect_stderr(err):
            code = sweep(*FLAGS, "-o", "zoo/")
    return Done(place / "zoo", code, out.getvalue(), err.getvalue())


@pytest.fixture
def zoo(done: Done, tmp_path: Path) -> Done:
    """The same, to go on with."""
    shutil.copytree(done.folder, tmp_path / "zoo")
    return done


@pytest.fixture
def written(tmp_path: Path) -> Iterator[None]:
    """Nothing may be: a refusal comes before any work."""
    before = {path.name for path in tmp_path.iterdir()}
    yield
    assert {path.name for path in tmp_path.iterdir()} == before


def rows_of(folder: str | Path) -> list[dict[str, object]]:
    """The rows of the results, in order."""
    files = sorted(Path(folder, "results").glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def sweep(*words: str) -> int:
    return run(cli, ["sweep", *words])


# --- what it does ---------------------------------------------------------------------------


def test_a_sweep_and_its_summary(done: Done) -> None:
    assert done.code == 0
    assert all(re.match(r"\d+ of 16 jobs", line) for line in done.err.splitlines())  # how far it is
    assert done.out.startswith("16 jobs of 4 captures: 16 ok\n")
    for words in (r"this run +4 captures in \d", r"a capture +\d.* CPU seconds on average",
                  r"rows +zoo/results/\*\.parquet", r'fuseline query zoo/ "select '):  # fmt: skip
        assert re.search(words, done.out), words
    rows = rows_of(done.folder)
    assert [(row["model"], row["batch"], row["strategy"], row["device"]) for row in rows[:8]] == [
        ("nets.py:net", batch, strategy, device)
        for batch in (1, 2)
        for strategy in ("unfused", "fusion")
        for device in ("t4", "jetson-agx-orin-64gb")
    ]
    # nets.py:net by 2, unfused: float32 of linear 2*8 + (8*16+16) + 2*16, relu, linear
    assert rows[4]["traffic_bytes"] == 4 * ((16 + 144 + 32) + 64 + (32 + 68 + 8))


@pytest.mark.parametrize("words", [FLAGS, ["--jobs", "jobs.toml"], []], ids=["flags", "file", "-"])
def test_the_same_again_has_nothing_to_do(
    words: list[str], zoo: Done, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rows_of("zoo")
    assert sweep(*words, "-o", "zoo/") == 0
    out = capsys.readouterr().out
    said = "  this run   nothing was left to do\n"
    assert said in out
    assert set(out.replace(said, "").splitlines()) < set(zoo.out.splitlines())
    assert rows_of("zoo") == before


def test_failed_jobs_are_said_and_tried_again_when_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--models", "nets.py:raises", "--models", "nets.py:net", "-o", "zoo", "--workers", "1"]
    assert sweep(*words) == 1
    out = capsys.readouterr().out
    assert "2 jobs of 2 captures: 1 ok, 1 failed" in out
    assert re.search(
        r"failed +1 refused\n    refused: nets.py:raises fusion: .*no such weights", out
    )
    assert [(row["model"], row["status"]) for row in rows_of("zoo")] == [
        ("nets.py:raises", "refused"), ("nets.py:net", "ok"),
    ]  # fmt: skip
    assert sweep("-o", "zoo") == 1  # nothing to do, and it still failed
    assert "nothing was left to do" in capsys.readouterr().out
    assert sweep("-o", "zoo", "--retry-failed") == 1
    said = capsys.readouterr()
    assert said.err.startswith("1 jobs are done again\n")
    assert re.search(r"this run +1 capture in", said.out)


@pytest.mark.slow
def test_graphs_are_kept_unless_told_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--models", "resnet18", "--workers", "1"]
    assert sweep(*words, "--no-cache", "-o", "first") == 0
    assert not Path("cache").exists()
    assert sweep(*words, "-o", "second") == 0
    assert "came from the cache" not in capsys.readouterr().out
    assert sweep(*words, "--strategy", "tvm", "-o", "third") == 0
    assert re.search(r"graphs +1 came from the cache", capsys.readouterr().out)
    assert rows_of("first") == rows_of("second")


@pytest.mark.slow
def test_limits_reach_the_jobs() -> None:
    words = ["--models", "nets.py:slow", "--job-seconds", "0.5", "--workers", "1", "-o", "zoo"]
    assert sweep(*words) == 1
    assert [row["status"] for row in rows_of("zoo")] == ["out of time"]


def test_a_dry_run_writes_nothing(written: None, capsys: pytest.CaptureFixture[str]) -> None:
    del written
    words = ["--models", "torchvision/*", "--models", "timm/*", "--models", "hf/*"]
    words += ["--batch", "1", "--batch", "64", "--dtype", "bfloat16", "--device", "h100-sxm"]
    words += ["--device", "orin-agx", "--strategy", "fusion", "--strategy", "inductor"]
    assert sweep(*words, "--strategy", "optimal", "-o", "zoo/", "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    found = [re.findall(r"([\d,]+) jobs of ([\d,]+) captures", line) for line in lines[:4]]
    jobs, captures = zip(*(
        (int(line[0][0].replace(",", "")), int(line[0][1].replace(",", ""))) for line in found
    ), strict=True)  # fmt: skip
    assert jobs[0] == sum(jobs[1:]) == 6 * captures[0]
    assert [line.split()[0] for line in lines[1:4]] == ["torchvision", "timm", "hf"]
    assert lines[4:6] == [
        "each capture by:", "  fusion, inductor, optimal on h100-sxm, jetson-agx-orin-64gb",
    ]  # fmt: skip
    assert lines[7] == "  alexnet, batch 1, dtype bfloat16: 6 jobs"
    assert len(lines) == 12


def test_a_dry_run_needs_no_folder_and_tells_what_differs(
    written: None, capsys: pytest.CaptureFixture[str]
) -> None:
    del written
    Path("jobs.toml").write_text(
        JOBS
        + """
[[sweep]]
models = "hf/bert"
seq-len = [16]
train = true
device = "t4"
launch = "graph"
tf32 = true
strategy = "optimal"
rules = ["A", "T"]
"""
    )
    assert sweep("--jobs", "jobs.toml", "--dry-run") == 0
    out = capsys.readouterr().out
    assert "captures by:\n  unfused, fusion on t4, jetson-agx-orin-64gb: 4\n" in out
    assert "  optimal (rules A, T) on t4 with graph and tf32: 1\n" in out
    assert "  hf/bert, seq-len 16, train: 2 jobs\n" in out


def test_a_dry_run_says_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    sweep_of_all = sweep_of(read_jobs(Path("jobs.toml")))
    with Store.open(Path("zoo"), sweep_of_all, here()) as store:
        capture = sweep_of_all.capture(0)
        rows = [
            row for unit in (0, 1) for row in failed_rows(capture, unit, Status.DIED, "it fell")
        ]
        store.keep(capture, Finished(tuple(rows), 2, 0.0, 0.0, 0, cached=False))
    before = {path: path.read_bytes() for path in Path("zoo").rglob("*") if path.is_file()}
    for words in ([], FLAGS):
        assert sweep(*words, "-o", "zoo", "--dry-run") == 0
        assert capsys.readouterr().out.endswith("left to do: 12 jobs of 3 captures\n")
    assert sweep(*FLAGS, "--batch", "7", "-o", "zoo", "--dry-run") == 2
    assert "was begun with --batch 1, 2, and now it is 1, 2, 7" in capsys.readouterr().err
    after = {path: path.read_bytes() for path in Path("zoo").rglob("*") if path.is_file()}
    assert before == after
    [row] = pq.read_table("zoo/captures").to_pylist()
    assert [row[name] for name in ("cpu_seconds", "seconds", "peak_bytes")] == [None] * 3


# --- interruptions --------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_keeps_what_is_done_and_goes_on(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--models", "nets.py:net", "--models", "nets.py:slow", "--workers", "1", "-o", "zoo"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from fuseline.cli import main; main()", "sweep", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not slow_has_begun() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.endswith("stopped: 1 of 2 jobs are done; the same command goes on\n")
    assert [row["model"] for row in rows_of("zoo")] == ["nets.py:net"]

    Path("go").touch()
    assert sweep("-o", "zoo") == 0
    assert "2 jobs of 2 captures: 2 ok" in capsys.readouterr().out
    assert [row["model"] for row in rows_of("zoo")] == ["nets.py:net", "nets.py:slow"]


def slow_has_begun() -> bool:
    """Whether the second capture is under way, the first being done."""
    return any(path.stat().st_size for path in Path("zoo/running").glob("1-*"))


def test_a_line_now_and_then_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 1000.0
    monkeypatch.setattr("fuseline.cli.sweeping.monotonic", lambda: now)
    with Bar(Counts(10, 100, 0, 0, {})) as bar:
        bar.tell(Counts(10, 100, 1, 10, {}))
        now += 5
        bar.tell(Counts(10, 100, 1, 10, {}))
        bar.tell(Counts(10, 100, 1, 10, {}))
        now += 25
        bar.tell(Counts(10, 100, 2, 15, {"died": 1}))
        now += 5
        bar.tell(Counts(10, 100, 2, 20, {"died": 1}))
    assert capsys.readouterr().err.splitlines() == [
        "10 of 100 jobs, 120 jobs/min, 0:45 left",
        "20 of 100 jobs, 1 failed, 34 jobs/min, 2:20 left",
    ]


def test_progress_before_anything_is_done() -> None:
    assert progress_in_words(Counts(1, 5, 0, 0, {}), 0, 0.0) == "0 of 5 jobs"


def test_a_bar_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.openpty()
    with os.fdopen(write, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "120")
        with Bar(Counts(10, 100, 0, 0, {})) as bar:
            bar.tell(Counts(10, 100, 4, 40, {"died": 2}))
            time.sleep(0.3)  # it draws itself, several times a second
        drawn = os.read(read, 100_000).decode()
    assert "40 of 100 jobs, 2 failed" in drawn


# --- what is refused ------------------------------------------------------------------------

ONE = ["--models", "resnet18"]
REFUSED: tuple[tuple[list[str], str], ...] = (
    ([*ONE, "--strategy", "fusoin"], "unknown strategy 'fusoin': did you mean 'fusion'?"),
    ([*ONE, "--device", "h100"], "unknown device 'h100': did you mean 'h100-pcie' or 'h100-sxm'?"),
    ([*ONE, "--dtype", "bf16"], "unknown dtype 'bf16'"),
    ([*ONE, "--launch", "graph"], "--launch and --tf32 say how a device runs: add --device NAME"),
    (["--models", "resnet19"], "unknown model 'resnet19': did you mean 'resnet"),
    (["--models", "resnext9*"], "no torchvision model matches 'resnext9*': did you mean"),
    ([*ONE, "--executor", "rya"], "unknown executor 'rya': did you mean 'ray'?"),
    ([*ONE, "--executor", "slurm"], "unknown executor 'slurm': local or ray"),
    ([*ONE, "--address", "auto"], "--address is a cluster's: add --executor ray"),
    ([*ONE, "--executor", "ray", "--workers", "3"], "--workers are of this machine"),
    ([*ONE, "--workers", "0"], "Invalid value for '--workers'"),
    ([*ONE, "--job-seconds", "0"], "--job-seconds must be positive and at most"),
    ([*ONE, "--job-seconds", "inf"], "at most 1,000,000,000, not inf"),
    ([*ONE, "--job-seconds", "1e10"], "at most 1,000,000,000, not 1e+10"),
    ([*ONE, "--job-memory", "63MB"], "--job-memory must be at least 64.0 MiB, not '63MB'"),
    ([*ONE, "--executor", "ray", "--address", "h"], "'h' is no address of a Ray cluster"),
    ([*ONE, "--job-memory", "0"], "--job-memory must be positive, not '0'"),
    ([*ONE, "--job-memory", "lots"], "'lots' is no size"),
    ([*ONE, "--cache-limit", "-1"], "--cache-limit must be positive, not '-1'"),
    ([*ONE, "--jobs", "jobs.toml"], "--jobs names every job: leave out --models"),
    (["--jobs", "jobs.toml", "--batch", "2"], "--jobs names every job: leave out --batch"),
    (["--jobs", "nowhere.toml"], "cannot read 'nowhere.toml'"),
    (["--batch", "3"], "--batch: of which models? Add --models NAME"),
    (["--strategy", "tvm"], "--strategy: of which models? Add --models NAME"),
    ([], "'zoo' holds no sweep to go on with: name models, as --models resnet50"),
    (["--dry-run"], "'zoo' holds no sweep to go on with"),
)


@pytest.mark.parametrize(("words", "said"), REFUSED, ids=[said[:28] for _, said in REFUSED])
def test_bad_input_is_one_line_and_nothing_is_written(
    words: list[str], said: str, written: None, capsys: pytest.CaptureFixture[str]
) -> None:
    del written
    assert sweep(*words, "-o", "zoo") == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert told.err.startswith("error: ")
    assert said in told.err


def test_a_folder_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(*ONE) == 2
    assert "Missing option '-o'" in capsys.readouterr().err


def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, written: None, capsys: pytest.CaptureFixture[str]
) -> None:
    del written
    gone = {"pebble", "pyarrow"}
    monkeypatch.setattr("fuseline.cli.sweep.find_spec", lambda name: None if name in gone else name)
    assert sweep(*ONE, "-o", "zoo") == 2
    said = "error: a sweep needs pebble and pyarrow: pip install 'fuseline[sweep]'\n"
    assert capsys.readouterr().err == said
    gone = {"ray"}
    assert sweep(*ONE, "-o", "zoo", "--executor", "ray") == 2
    said = "error: a sweep needs ray: pip install 'fuseline[sweep,ray]'\n"
    assert capsys.readouterr().err == said


def test_another_sweep_into_the_folder_is_refused(
    zoo: Done, capsys: pytest.CaptureFixture[str]
) -> None:
    del zoo
    before = rows_of("zoo")
    assert sweep(*FLAGS, "--batch", "7", "-o", "zoo") == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert "batch" in told
    assert rows_of("zoo") == before


def test_a_model_that_has_changed_since_is_refused(
    zoo: Done, capsys: pytest.CaptureFixture[str]
) -> None:
    del zoo
    Path("nets.py").write_text(NETS + "\n")
    assert sweep("-o", "zoo") == 2
    assert "nets.py" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_is_said(
    zoo: Done, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    del zoo
    monkeypatch.setenv("FUSELINE_CACHE", "nets.py")
    assert sweep("-o", "zoo") == 0
    assert capsys.readouterr().err.startswith("warning: graphs are not kept: ")


def test_a_cluster_has_a_cache_on_each_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("FUSELINE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    local = Running("local", None, 1, 600.0, "8GB", "1GB", no_cache=False)
    ray = replace(local, executor="ray", workers=None)
    assert local.caching == Caching(str(tmp_path / ".cache/fuseline/graphs"), 2**30)
    assert ray.caching == Caching("~/.cache/fuseline/graphs", 2**30)
    assert replace(local, no_cache=True).caching.folder is None
    assert local.limits == Limits(600.0, 8 * 2**30)
