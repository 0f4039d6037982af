"""`fuseline compare`: exit codes, formats, and the page whose tables it prints."""

from __future__ import annotations

import csv
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fuseline import compare
from fuseline.cli import cli, run
from fuseline.cli import compare as command
from fuseline.cli.planning import PARAMETERS
from fuseline.errors import InputError
from fuseline.report.compare import Planned, Subject, find_ways
from fuseline.report.rows.comparison import COLUMNS
from fuseline.report.rows.ways import Way
from tests.pages import ROOT, check_page

NET = """
import torch
from torch import nn

def net():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval(), torch.empty(2, 8)

def deeper():
    return nn.Sequential(
        nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)
    ).eval(), torch.empty(2, 8)

def raises():
    raise RuntimeError("no such weights")
"""


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "net.py").write_text(NET)
    return "net.py"


def compared(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """The rows that a comparison writes as JSON."""
    capsys.readouterr()
    assert run(cli, ["compare", *words, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)["rows"]


def test_every_way_is_a_row(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"{net}:net", "--strategy", "unfused", "--strategy", "optimal", "--rules", "A"]
    words += ["--rules", "B", "--dtype", "float32", "--dtype", "float16", "--device", "t4"]
    rows = compared([*words, "--sort", "none"], capsys)
    assert [(row["dtype"], row["strategy"], row["rules"], row["way"]) for row in rows] == [
        ("float32", "unfused", None, 1), ("float32", "optimal", "A", 2),
        ("float32", "optimal", "B", 3), ("float16", "unfused", None, 4),
        ("float16", "optimal", "A", 5), ("float16", "optimal", "B", 6),
    ]  # fmt: skip
    # floats: Linear 2*8 + (8*16+16) + 2*16, ReLU 2*(2*16), Linear 2*16 + (16*4+4) + 2*4
    assert rows[0]["traffic_bytes"] == 4 * ((16 + 144 + 32) + 64 + (32 + 68 + 8))
    assert rows[3]["traffic_bytes"] == 2 * ((16 + 144 + 32) + 64 + (32 + 68 + 8))
    assert rows[1]["traffic_bytes_change"] == -4 * 64
    assert rows[3]["traffic_bytes_change_fraction"] == -0.5


def test_every_format_has_the_same_rows(
    net: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"{net}:net", "--strategy", "unfused", "--strategy", "tvm"]
    rows = compared(words, capsys)
    for ending in ("csv", "parquet", "md", "txt"):
        assert run(cli, ["compare", *words, "-o", f"out.{ending}"]) == 0
    assert capsys.readouterr().out == ""
    with (tmp_path / "out.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [int(line["traffic_bytes"]) for line in lines] == [row["traffic_bytes"] for row in rows]
    assert set(lines[0]) == set(rows[0])
    import pyarrow.parquet as pq

    table = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert table == [{name: row[name] for name in table[0]} for row in rows]
    assert "| unfused |" in (tmp_path / "out.md").read_text()
    assert "Differences" in (tmp_path / "out.txt").read_text()


def test_columns_and_order_are_chosen(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", f"{net}:net", f"{net}:deeper", "--columns", "model, launches"]
    assert run(cli, [*words, "--sort", "launches", "--format", "markdown"]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("| net")] == [
        "| net.py:net | 2 |",
        "| net.py:deeper | 3 |",
    ]
    assert "Differences" not in out


def test_a_result_file_and_a_saved_graph_are_ways_too(
    net: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--strategy", "unfused", "--strategy", "tvm", "--device", "t4"]
    assert run(cli, ["capture", f"{net}:net", "-o", "graph.json.zst"]) == 0
    assert run(cli, ["partition", f"{net}:net", *options, "--json", "result.json"]) == 0
    live = compared([f"{net}:net", *options], capsys)
    for words in (["graph.json.zst", *options], ["result.json"]):
        rows = compared(words, capsys)
        assert [{**row, "asked": f"{net}:net"} for row in rows] == live


def test_what_a_result_cannot_give_is_not_asked_of_it(
    net: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, ["partition", f"{net}:net", "--json", "result.json"]) == 0
    fixed = "'result.json' is a result: how it was"
    for words, message in (
        (["--strategy", "tvm"], f"{fixed} partitioned and timed is fixed"),
        (["--strategy", "fusion"], f"{fixed} partitioned and timed is fixed"),
        (["--device", "t4"], f"{fixed} partitioned and timed is fixed"),
        (["--batch", "4"], f"{fixed} captured is fixed"),
    ):
        capsys.readouterr()
        assert run(cli, ["compare", "result.json", *words]) == 2
        captured = capsys.readouterr()
        assert (captured.out, captured.err) == ("", f"error: {message}\n")
    words = ["compare", "result.json", f"{net}:deeper", "--strategy", "tvm", "--format", "markdown"]
    assert run(cli, words) == 0
    out = capsys.readouterr().out
    assert "As they were written, whatever is asked of the others: result.json" in out
    with pytest.raises(InputError, match=f"{fixed} partitioned and timed is fixed"):
        compare("result.json", "tvm")
    assert [way.plan.strategy for way in compare("result.json").ways] == ["fusion"]


def test_every_option_of_plans_is_known_to_be_one() -> None:
    named = {parameter.name for parameter in command.command.params}
    assert {"strategies", *PARAMETERS} <= named
    assert named - {"strategies", *PARAMETERS} == {
        "models", "via", "batch", "dtype", "input_shapes", "seq_len", "decode", "train",
        "attention", "against", "sort", "columns", "ops", "format_", "output",
    }  # fmt: skip


def test_a_question_mark_lists_the_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["compare", "--columns", "?"]) == 0
    captured = capsys.readouterr()
    assert [line.split()[0] for line in captured.out.splitlines()] == list(COLUMNS)
    assert captured.err == ""


def test_a_result_that_cannot_be_read_is_one_line(
    net: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, ["partition", f"{net}:net", "--json", "result.json"]) == 0
    document = json.loads((tmp_path / "result.json").read_text())
    without_plans = json.dumps({**document, "plans": []})
    capsys.readouterr()
    for content, message in (
        ('{"schema": "fuseline.result/2"}', "has schema 'fuseline.result/2'; this version reads"),
        ('{"schema": "fuseline.result/1"}', "is no result that can be read"),
        ('{"schema": "fuseline.graph/9"}', "has schema 'fuseline.graph/9'"),
        (without_plans, "error: 'odd.json' holds no plan to compare"),
    ):
        (tmp_path / "odd.json").write_text(content)
        assert run(cli, ["compare", "odd.json"]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert message in captured.err
        assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sort", "launchs"], "unknown figure to sort by 'launchs': did you mean 'launches'?"),
        (["--columns", "way,launchs"], "no column 'launchs': did you mean 'launches'?"),
        (["--format", "cvs"], "unknown format 'cvs': did you mean 'csv'?"),
        (["-o", "out.pdf"], "no table format goes with 'out.pdf'"),
        (["-o", "none/out.csv"], "'none' is not a directory"),
        (["--strategy", "tmv"], "unknown strategy 'tmv': did you mean 'tvm'?"),
        (["--device", "h100"], "h100"),
        (["--rules", "M"], "rules M allow what fits on chip: add --on-chip SIZE"),
        (["--launch", "graph"], "add --device NAME"),
        (["--objective", "seconds"], "the objective seconds needs a device"),
        (["--via", "modul"], "unknown frontend 'modul': did you mean 'module'?"),
        (["--ops"], "--ops lays two captures side by side"),
        (["--ops", "--format", "csv"], "--ops prints several tables: as terminal or markdown"),
        (["--ops", "--sort", "launches"], "--sort, --columns and --against are of ways"),
        (["--ops", "--columns", "launches"], "--sort, --columns and --against are of ways"),
        (["--ops", "--against", "1"], "--sort, --columns and --against are of ways"),
        (["--against", "2"], "no way has the number 2: there are 1"),
        (["--against", "unfused"], "no way has 'unfused': one of fusion"),
        (["--against", "unfussed"], "no way has 'unfussed': one of fusion"),
    ],
)
def test_bad_input_is_one_line(
    net: str, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, ["compare", f"{net}:net", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_a_model_that_fails_does_not_take_the_others_with_it(
    net: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", f"{net}:raises", f"{net}:net", "--format", "markdown"]
    assert run(cli, words) == 2
    captured = capsys.readouterr()
    assert "net.py:raises" in captured.out  # said beside the rows, too
    assert "| 1 | 2 |" in captured.out
    assert captured.err == (
        "error: net.py:raises: 'net.py:raises' failed: RuntimeError: no such weights\n"
    )


def test_a_baseline_that_is_not_there_does_not_cost_the_work(
    net: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", f"{net}:net", "--strategy", "tvm", "--strategy", "unfused"]
    assert run(cli, [*words, "--against", "float23", "--format", "markdown"]) == 2
    captured = capsys.readouterr()
    assert "| tvm |" in captured.out
    assert captured.err == "error: no way has 'float23': did you mean 'float32'?\n"


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user stops it after the first way of the second model."""

    def find(
        subjects: tuple[Subject, ...],
        planned: Planned,
        tell: Callable[[str], None],
        failed: Callable[[str], None] | None = None,
    ) -> Iterator[Way]:
        ways = find_ways(subjects, planned, tell, failed)
        yield next(ways)
        if subjects[0].name.endswith("deeper"):
            raise KeyboardInterrupt
        yield from ways

    monkeypatch.setattr(command, "find_ways", find)


def stopped_words(net: str) -> list[str]:
    models = [f"{net}:net", f"{net}:deeper", f"{net}:raises"]
    return ["compare", *models, "--strategy", "tvm", "--strategy", "unfused"]


@pytest.mark.usefixtures("interrupted")
def test_an_interrupt_shows_what_is_there_and_says_what_is_not(
    net: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, [*stopped_words(net), "--format", "markdown"]) == 130
    captured = capsys.readouterr()
    missing = "missing: the rest of net.py:deeper; net.py:raises"
    assert f"stopped half-way, after 3 ways; {missing}" in captured.out
    assert captured.err.strip() == "interrupted"


@pytest.mark.usefixtures("interrupted")
def test_an_interrupt_leaves_files_and_what_programs_read_alone(
    net: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out.md").write_text("earlier")
    for words in (["-o", "out.md"], ["-o", "out.csv"], ["--format", "csv"]):
        assert run(cli, [*stopped_words(net), *words]) == 130
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("nothing written: stopped half-way, after 3 ways; missing")
    assert (tmp_path / "out.md").read_text() == "earlier"
    assert not (tmp_path / "out.csv").exists()


def test_two_captures_op_by_op(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", f"{net}:net", f"{net}:deeper", "--ops", "--strategy", "fusion"]
    assert run(cli, [*words, "--format", "markdown"]) == 0
    out = capsys.readouterr().out
    # one more Linear(16, 16) with its ReLU: 2*16 + (16*16 + 16) + 2*16 floats, 2*2*16*16 FLOPs
    assert "| before | 2 |" in out
    assert "| after | 3 |" in out
    moved = 4 * (32 + 272 + 32)
    assert f"| 2 | 1 | {moved:,} | 1,024 |" in out  # module 2, one launch more
    assert "| added | linear_1 | 2 | linear | 2x16 float32 |" in out
    assert "| added | relu_1 | 3 | relu | 2x16 float32 |" in out
    assert "| removed |" not in out
    assert "1 op moved to another module, and nothing else" in out  # the last linear, 2 -> 4
    timed = ["--strategy", "optimal", "--objective", "seconds", "--device", "h100-sxm", "--tf32"]
    words = ["compare", f"{net}:net", f"{net}:deeper", "--ops", *timed, "--launch", "graph"]
    assert run(cli, [*words, "--format", "markdown"]) == 0
    how = "under optimal (T), least seconds, on h100-sxm, launched by graph, tf32"
    assert f"From net.py:net to net.py:deeper, {how}" in capsys.readouterr().out


def test_the_page_is_what_the_commands_print(monkeypatch: pytest.MonkeyPatch) -> None:
    def printed(line: str, folder: Path) -> str:
        from click.testing import CliRunner

        monkeypatch.chdir(folder)
        name, *words = shlex.split(line)
        assert name == "fuseline"
        done = CliRunner().invoke(cli, words, standalone_mode=False, catch_exceptions=False)
        return done.stdout

    assert check_page(ROOT / "docs" / "compare.md", printed) == 3


def test_comparing_saved_graphs_imports_no_torch(net: str) -> None:
    import subprocess

    assert run(cli, ["capture", f"{net}:net", "-o", "graph.json"]) == 0
    code = (
        "import sys; from fuseline.cli import cli, run; "
        "code = run(cli, ['compare', 'graph.json', '--strategy', 'all', '--device', 't4']); "
        "sys.exit(code or ('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
