"""Plans on a GPU. Run with `pytest -m gpu` wherever there is one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from fuseline.cli import run
from fuseline.cli.running import command

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]


@pytest.mark.parametrize("name", ["resnet18", "vit_b_16"])
def test_plans_on_a_gpu_equal_the_model_and_are_timed(name: str, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    words = [name, "--strategy", "fusion", "--strategy", "optimal", "--torch-device", "cuda"]
    assert run(command, [*words, "--compiled", "--json", str(path)]) == 0
    document = json.loads(path.read_text())
    assert all(row["output"]["passes"] for row in document["runs"] if row["output"])
    assert all(row["seconds"]["least"] > 0 for row in document["runs"])


@pytest.mark.skipif(shutil.which("ncu") is None, reason="Nsight Compute (ncu) is not on the path")
def test_nsight_counts_both_tiers(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    words = ["resnet18", "--torch-device", "cuda", "--nsight", "--no-whole-graph"]
    assert run(command, [*words, "--json", str(path)]) == 0
    groups = json.loads(path.read_text())["groups"]
    assert all(row["l2_bytes"] > 0 for row in groups)
