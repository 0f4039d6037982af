"""`fuseline validate MODEL --against COMPILER`."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fuseline.cli import cli
from fuseline.errors import InputError
from fuseline.validate.inductor import cache

NET = """
import torch
from torch import nn

def make():
    return nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 16)).eval(), torch.zeros(8, 16)

class Talks(nn.Module):
    def forward(self, x):
        print(end="")
        return x * 2

def talks():
    return Talks().eval(), torch.zeros(4)
"""


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "cache")
    file = tmp_path / "net.py"
    file.write_text(NET)
    return str(file)


def validate(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["validate", *arguments], catch_exceptions=True)


def test_ours_and_theirs_side_by_side(net: str) -> None:
    result = validate(f"{net}:make", "--against", "inductor", "--strategy", "tvm")
    assert result.exit_code == 0, result.output
    for said in ("inductor-real", "tvm", "launches", "3 / 3, ratio 1.000", "pair precision"):
        assert said in result.output


def test_the_document_carries_the_agreement(net: str) -> None:
    result = validate(f"{net}:make", "--against", "inductor", "--json", "-")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert [plan["strategy"] for plan in document["plans"]] == ["inductor", "inductor-real"]
    found = document["agreement"]
    # two linears and a GELU between: nothing shares a kernel, and nothing moves twice
    assert (found["launches_ratio"], found["bytes_ratio"]) == (1.0, 1.0)
    assert (found["pair_precision"], found["pair_recall"], found["causes"]) == (1.0, 1.0, [])
    # 8 x 16 floats a tensor, 16 x 16 + 16 a linear
    assert found["real_bytes"] == 4 * (2 * (2 * 128 + 272) + 2 * 128)


def test_a_gpus_schedule_without_one(net: str) -> None:
    result = validate(
        f"{net}:make",
        "--against",
        "inductor",
        "--schedule",
        "cuda",
        "--device",
        "t4",
        "--json",
        "-",
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["agreement"]["real_launches"] == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--against", "inducto"),
            "cannot hold a model against 'inducto': did you mean 'inductor'",
        ),
        (("--against", "inductor", "--schedule", "cude"), "did you mean 'cuda'"),
        (("--against", "inductor", "--device", "t4"), "add --schedule cuda"),
        (("--against", "inductor", "--schedule", "cuda", "--device", "h10"), "h100"),
        (("--against", "inductor", "--via", "module"), "use --via record"),
        (("--against", "inductor", "--strategy", "tv"), "did you mean 'tvm'"),
        (("--against", "tvm", "--schedule", "cuda"), "tvm has one schedule"),
    ],
)
def test_what_is_asked_wrongly_is_one_line(net: str, arguments: tuple[str, ...], said: str) -> None:
    result = validate(f"{net}:make", *arguments)
    assert isinstance(result.exception, InputError)
    assert said in str(result.exception)


def test_a_graph_that_breaks_is_refused(net: str) -> None:
    result = validate(f"{net}:talks", "--against", "inductor")
    assert "breaks the graph" in str(result.exception)
    assert "net.py:10, in forward" in str(result.exception)


def test_what_holds_no_code_is_refused() -> None:
    for name in ("model.pt2", "graph.json.zst"):
        assert "holds no code" in str(validate(name, "--against", "inductor").exception)


@pytest.mark.parametrize(("compiler", "package"), [("tvm", "tvm"), ("onnxruntime", "onnxruntime")])
def test_a_missing_extra_is_named(net: str, compiler: str, package: str) -> None:
    if importlib.util.find_spec(package):
        pytest.skip(f"{package} is installed")
    result = validate(f"{net}:make", "--against", compiler)
    assert "fuseline[oracles]" in str(result.exception)
