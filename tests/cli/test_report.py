"""`fuseline report` as a user types it."""

from __future__ import annotations

import csv
import gzip
import json
from io import StringIO
from pathlib import Path

import pytest

from fuseline.cli import cli, run
from fuseline.report.formats import FORMATS
from tests.cli.test_commands import NET


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A saved graph in an empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    assert run(cli, ["capture", "net.py:net", "-o", "net.json"]) == 0
    return "net.json"


def test_two_words_make_a_page(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["report", graph]) == 0
    page = Path("net.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "wrote net.html" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.dot", b"digraph"),
        ("a.md", b"## "),
        ("a.parquet", b"PAR1"),
        ("a.csv", b"strategy,"),
        ("a.json", b"{"),
    ],
)
def test_the_format_goes_by_the_name(graph: str, name: str, start: bytes) -> None:
    assert run(cli, ["report", graph, "-o", name]) == 0
    assert Path(name).read_bytes().startswith(start)


def test_a_trace_is_gzipped_where_its_name_says_so(graph: str) -> None:
    words = ["report", graph, "--device", "t4", "--strategy", "tvm"]
    assert run(cli, [*words, "-o", "a.trace.json"]) == 0
    assert run(cli, [*words, "-o", "a.trace.json.gz"]) == 0
    plain = Path("a.trace.json").read_bytes()
    assert gzip.decompress(Path("a.trace.json.gz").read_bytes()) == plain


def test_overlays_lie_beside_the_graph(graph: str) -> None:
    assert run(cli, ["report", graph, "--strategy", "tvm", "-o", "a.explorer.json"]) == 0
    names = {path.name for path in Path().glob("a.*.json")} - {"a.explorer.json"}
    assert {"a.bottleneck.json", "a.traffic_bytes.json"} <= names
    for name in names:
        json.loads(Path(name).read_bytes())


def test_tables_go_to_stdout(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["report", graph, "--strategy", "tvm", "--table", "groups", "--format", "csv"]
    assert run(cli, words) == 0
    rows = list(csv.DictReader(StringIO(capsys.readouterr().out)))
    # batch 2: 2*8 + 8*16 + 16 + 2*16, then 2*16 + 16*4 + 4 + 2*4 elements of four bytes
    assert [int(row["traffic_bytes"]) for row in rows if row["launched"] == "true"] == [768, 432]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "a.htmx"], "cannot tell a format from 'a.htmx': it ends in none of .html"),
        (["--format", "htm"], "unknown format 'htm': did you mean 'html'?"),
        (["--table", "group"], "unknown table 'group': did you mean 'groups'?"),
        (["--table", "groups", "-o", "a.html"], "html holds no tables"),
        (["--chart", "rofline"], "unknown chart 'rofline': did you mean 'roofline'?"),
        (["--chart", "roofline", "-o", "a.html"], "html is no chart"),
        (["--strategy", "all", "-o", "a.dot"], "dot shows one strategy: name one"),
        (["-o", "a.trace.json"], "a timeline needs seconds: add --device NAME"),
        (["-o", "missing/a.html"], "cannot write 'missing/a.html': 'missing' is not a directory"),
        (["--table", "plans", "--table", "groups", "-o", "a.csv"], "csv holds one table"),
        (["--format", "explorer", "-o", "-"], "explorer is several files"),
        (["--rules", "A", "--rules", "T", "-o", "a.dot"], "dot shows one plan: name one rung"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    graph: str, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(Path().iterdir())
    assert run(cli, ["report", graph, *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert set(Path().iterdir()) == before


def test_the_help_names_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["report", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in FORMATS)
