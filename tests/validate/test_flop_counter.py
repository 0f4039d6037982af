"""Our FLOPs beside torch's own counter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fuseline.cli import cli, run
from fuseline.validate.flop_counter import FlopRow, compare_flops, page

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("model", ["swin_v2_t", "regnet_y_400mf", "shufflenet_v2_x0_5"])
def test_both_counts_agree(model: str) -> None:
    row = compare_flops(model)
    assert row.counted > 0
    assert (row.difference, row.unknown_ops) == (0, 0)


def test_the_page_counts_the_models_that_agree() -> None:
    text = page([FlopRow("a", 10, 10, 0), FlopRow("b", 12, 10, 1)])
    assert "1 of 2 models agree exactly" in text
    assert "| b | 0.000000012 | 12 | 10 | 2 | 1 |" in text


def test_the_committed_page_has_every_classifier_without_a_difference() -> None:
    lines = (ROOT / "docs" / "validation" / "flops.md").read_text().splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| ") and "," in line]
    assert len(rows) == 80
    assert {row[4] for row in rows} == {"0"}


def test_the_command_writes_page_and_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "flops.md"
    words = ["validate", "flops", "--model", "resnet50", "-o", str(target), "--json", "-"]
    assert run(cli, words) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["model"], row["ours"], row["counted"]) == ("resnet50", 8_178_368_512, 8_178_368_512)
    assert "| resnet50 | 8.178 |" in target.read_text()
