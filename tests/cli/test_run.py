"""`fuseline run` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from fuseline.cli import cli, run
from fuseline.cli.running import command
from fuseline.runtime import values

MODEL = """
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 16), nn.Linear(16, 4)
    def forward(self, x):
        return self.second(torch.relu(self.first(x)))

class Zero(nn.Module):
    def forward(self, x):
        return x * 0

def make():
    return Model().eval(), torch.ones(2, 8)

def zero():
    return Zero(), torch.ones(2, 8)

class Breaks(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)
    def forward(self, x):
        x = self.linear(x)
        torch._dynamo.graph_break()
        return x.relu()

def breaks():
    return Breaks(), torch.ones(2, 8)
"""


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "net.py"
    path.write_text(MODEL)
    return str(path)


def test_plans_are_checked_and_timed(file: str, tmp_path: Path,
                                     capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    path = tmp_path / "run.json"
    words = ["--strategy", "unfused", "--strategy", "fusion", "--rounds", "3", "--per-group", "2"]
    words += ["--no-whole-graph", "--threads", "1", "--json", str(path)]
    assert run(command, [f"{file}:make", *words]) == 0
    document = json.loads(path.read_text())
    assert document["schema"] == "fuseline.run/1"
    assert (document["threads"], document["rounds"], document["inputs"]) == (1, 3, 2)
    eager, unfused, fusion = document["runs"]
    assert (eager["name"], eager["output"], eager["relative"]) == ("eager", None, 1.0)
    assert (unfused["name"], unfused["groups"], unfused["launches"]) == ("unfused", 3, 3)
    assert (fusion["groups"], fusion["launches"]) == (2, 2)  # linear + relu, linear
    for row in (unfused, fusion):
        assert (row["output"]["verdict"], row["output"]["max_difference"]) == ("equal", 0.0)
        seconds = row["seconds"]
        assert seconds["least"] <= seconds["lower_quartile"] <= seconds["median"]
        assert row["relative"] == seconds["median"] / eager["seconds"]["median"]
    assert len(document["groups"]) == 4  # two a plan
    # linear 2x8 -> 2x16 and relu in one: x 64, weight 512, bias 64, result 128 bytes
    first = next(row for row in document["groups"] if row["plan"] == "fusion" and not row["group"])
    assert first["ops"] == ["linear", "relu"]
    assert first["traffic_bytes"] == 64 + 512 + 64 + 128
    out = capsys.readouterr().out
    assert "1 thread, torch" in out
    assert "3 rounds that take turns" in out
    assert "Slowest groups of 'fusion'" in out


def test_a_device_predicts_plans_and_groups(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--device", "h100-sxm", "--rounds", "1", "--no-whole-graph", "--json", "-"]
    assert run(command, [f"{file}:make", *words]) == 0
    document = json.loads(capsys.readouterr().out)
    (plan,) = (row for row in document["runs"] if row["kind"] == "plan")
    assert plan["predicted_seconds"] > 0
    assert all(row["predicted_seconds"] > 0 for row in document["groups"])


def test_check_only_times_nothing(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, [f"{file}:make", "--strategy", "all", "--check-only"]) == 0
    out = capsys.readouterr().out
    assert "min ms" not in out
    assert out.count(" equal ") == 9  # strategies


def test_outputs_that_prove_nothing_are_no_success(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, ["run", f"{file}:zero", "--check-only"]) == 1
    out = capsys.readouterr().out
    assert "vacuous" in out
    assert "fusion: every output of the model is constant: any plan would give it" in out


def test_a_graph_break_is_a_note_and_the_rest_is_measured(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, [f"{file}:breaks", "--rounds", "1"]) == 0
    out = capsys.readouterr().out
    assert "note: whole graph not measured: torch.compile breaks the graph" in out
    line = 1 + MODEL.splitlines().index("        torch._dynamo.graph_break()")
    assert f"net.py:{line}, in forward" in out
    assert " equal " in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["net.pt2"], "'net.pt2' is an exported program"),
        (["net.json"], "'net.json' is a saved graph: it holds no code to run"),
        (["net.json.zst"], "name the model"),
        (["resnet18", "--strategy", "fusoin"], "unknown strategy 'fusoin': did you mean 'fusion'?"),
        (["resnet18", "--torch-device", "cdua"], "unknown torch device 'cdua': did you mean"),
        (["resnet18", "--via", "exprot"], "unknown frontend 'exprot': did you mean 'export'?"),
        (["resnet18", "--attention", "fusde"], "unknown attention 'fusde': did you mean 'fused'?"),
        (["resnet18", "--nsight"], "add --torch-device cuda"),
        (["resnet18", "--json", "/nowhere/run.json"], "'/nowhere' is not a directory"),
        (["resnet18", "--rounds", "0"], "Invalid value for '--rounds'"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_a_model_too_large_for_the_memory_is_one_line(
    file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(values, "free_nbytes", lambda: 100)
    assert run(command, [f"{file}:make", "--check-only"]) == 2
    assert "needs 0.0 GB of memory to run" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_cuda_without_a_device_is_one_line(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, [f"{file}:make", "--torch-device", "cuda"]) == 2
    assert "error: no CUDA device: torch" in capsys.readouterr().err


def test_no_compiler_is_one_line(
    file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from torch._inductor import cpp_builder, exc

    def none() -> str:
        raise exc.InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    assert run(command, [f"{file}:make", "--compiled", "--check-only"]) == 2
    assert "needs a C++ compiler" in capsys.readouterr().err
    assert run(command, [f"{file}:make", "--rounds", "1"]) == 0
    assert (
        "note: whole graph not measured: Inductor needs a C++ compiler" in capsys.readouterr().out
    )


def test_an_interrupt_leaves_no_file(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fuseline.runtime import measure

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, "time_plans", interrupt)
    path = tmp_path / "run.json"
    assert run(command, [f"{file}:make", "--no-whole-graph", "--json", str(path)]) == 130
    assert list(tmp_path.glob("*.json")) == []


@pytest.mark.slow
def test_a_plan_compiled_group_by_group_is_within_the_tolerance(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, [f"{file}:make", "--compiled", "--rounds", "1", "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)["runs"]
    assert [row["kind"] for row in rows] == ["model", "plan", "compiled plan", "whole graph"]
    assert all(row["output"]["passes"] for row in rows[1:])
