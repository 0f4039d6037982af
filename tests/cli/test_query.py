"""`fuseline query`: formats, the pages it prints, and errors of one line."""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fuseline.cli import cli, run
from fuseline.sweep.store import Store
from tests.pages import ROOT, check_page
from tests.sweep.made_rows import made, made_sweep

SQL = "select model, batch, strategy, traffic_bytes from results order by all"


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    sweep = made_sweep(30, 2)
    with Store.open(tmp_path / "zoo", sweep, {"torch": "2.13.0"}) as store:
        for number in list(store.todo()):
            capture = sweep.capture(number)
            store.keep(capture, made(capture))
    return "zoo"


def test_every_format_has_the_same_rows(
    zoo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pyarrow.parquet as pq

    assert run(cli, ["query", zoo, SQL, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert len(rows) == 120
    for ending in ("csv", "parquet", "md", "txt"):
        assert run(cli, ["query", zoo, SQL, "-o", f"out.{ending}", "--limit", "0"]) == 0
    assert capsys.readouterr().out == ""
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == rows
    with (tmp_path / "out.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [int(line["traffic_bytes"]) for line in lines] == [row["traffic_bytes"] for row in rows]
    for ending in ("md", "txt"):
        text = (tmp_path / f"out.{ending}").read_text()
        assert text.count("net") == 120
        assert f"{rows[0]['traffic_bytes']:,}" in text


def test_the_sweeps_own_files_are_not_written_over(
    zoo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path(zoo).rglob("*"))
    for name in ("results/x.parquet", "results/00000.parquet", "captures/x.csv", "lock"):
        assert run(cli, ["query", zoo, SQL, "--format", "csv", "-o", f"{zoo}/{name}"]) == 2
        assert capsys.readouterr().err == (
            f"error: '{zoo}/{name}' is where the sweep keeps its own files: name another\n"
        )
    assert sorted(Path(zoo).rglob("*")) == before
    assert run(cli, ["query", zoo, SQL, "-o", f"{zoo}/answer.csv"]) == 0


def test_people_are_shown_a_hundred_rows(zoo: str, capsys: pytest.CaptureFixture[str]) -> None:
    for format_, limit, shown in (
        ("terminal", [], 100), ("markdown", [], 100), ("terminal", ["--limit", "0"], 120),
        ("terminal", ["--limit", "7"], 7), ("csv", [], 120), ("csv", ["--limit", "7"], 7),
    ):  # fmt: skip
        assert run(cli, ["query", zoo, SQL, "--format", format_, *limit]) == 0
        out = capsys.readouterr().out
        assert out.count("net") == shown
        is_said = shown < 120 and format_ != "csv"
        assert (f"the first {shown} rows, and there are more" in out) == is_said


def test_without_sql_it_says_what_is_there_and_what_to_ask(
    zoo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, ["query", zoo]) == 0
    out = capsys.readouterr().out
    assert "What is in zoo" in out
    assert "fusion (60), unfused (60)" in out
    asked = [shlex.split(line) for line in out.splitlines() if line.startswith("  fuseline query")]
    assert len(asked) == 3
    for _, *words in asked:
        assert run(cli, words) == 0
    capsys.readouterr()
    assert run(cli, ["query", zoo, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows[0] == {"what": "jobs", "there": "120"}


@pytest.mark.parametrize(("words", "message"), [
    (["zoo", "select modul from results"],
     "the query: no column 'modul': did you mean 'model'?"),
    (["zoo", "select 1", "--format", "jason"], "unknown format 'jason': did you mean 'json'?"),
    (["zoo", "select 1", "-o", "out.xyz"],
     "no table format goes with 'out.xyz': a name ends in one of .txt, .md, .csv, .json, .parquet"),
    (["other", "select 1"],
     "'other' does not exist: name the folder that a sweep was written to"),
    ([], "name the folder that a sweep was written to, or ask for --schema"),
])  # fmt: skip
def test_an_error_is_one_line(
    zoo: str, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert run(cli, ["query", *words]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"error: {message}\n")
    assert Path(zoo).is_dir()


def test_without_duckdb_the_cure_is_said(
    zoo: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert run(cli, ["query", zoo, "select 1"]) == 2
    assert capsys.readouterr().err == (
        "error: a query needs duckdb: pip install 'fuseline[query]'\n"
    )
    assert run(cli, ["query", "--schema", "--format", "csv"]) == 0
    assert "\nresults,traffic_bytes,int64,bytes," in capsys.readouterr().out


def test_the_page_of_the_schema_is_what_the_command_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    def printed(line: str, folder: Path) -> str:
        from click.testing import CliRunner

        monkeypatch.chdir(folder)
        name, *words = shlex.split(line)
        assert name == "fuseline"
        done = CliRunner().invoke(cli, words, standalone_mode=False, catch_exceptions=False)
        return done.stdout

    assert check_page(ROOT / "docs" / "sweep-schema.md", printed) == 1


def test_a_query_imports_no_torch_and_its_help_no_duckdb(zoo: str) -> None:
    code = (
        "import sys; from fuseline.cli import cli, run; "
        "code = run(cli, ['query', '--help']); "
        "code = code or 'duckdb' in sys.modules or 'pyarrow' in sys.modules; "
        f"code = code or run(cli, ['query', '{zoo}', 'from captures']); "
        "sys.exit(code or ('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
