"""What the parts of `extended` add: blocks found by shape, figures by hand, the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from fuseline import capture
from fuseline.cli import cli, run
from fuseline.fusion import Neighbours
from fuseline.graph import Graph
from fuseline.validate.extended import (
    PLANS,
    ExtendedRow,
    Figures,
    attention_blocks,
    compare_extensions,
    measure,
)
from fuseline.validate.extended_page import encode, lines, page

PAGE = Path(__file__).parents[2] / "docs" / "validation" / "extended.md"


class Attention(nn.Module):
    """Pre-norm self-attention of 2 heads, with a residual and a bias of the scores."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.qkv = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.out = nn.Linear(8, 8)
        self.before = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        x = self.before(x)
        normed = self.norm(x)
        q, k, v = (linear(normed).unflatten(-1, (2, 4)).transpose(1, 2) for linear in self.qkv)
        scores = q @ k.transpose(-2, -1) + bias.relu()
        y = scores.softmax(-1) @ v
        return x + self.out(y.transpose(1, 2).flatten(2))


def _targets(graph: Graph, ops: frozenset[int]) -> list[str]:
    return [graph.ops[op].target for op in sorted(ops)]


def test_a_block_goes_from_the_norm_to_the_projection_of_the_result() -> None:
    graph = capture(Attention(), (torch.empty(1, 5, 8), torch.empty(5, 5)))
    (block,) = attention_blocks(Neighbours(graph))
    found = _targets(graph, block)
    assert found.count("linear") == 4  # neither the one before the norm
    assert found[0] == "layer_norm"
    assert found.count("matmul") == 2
    assert "relu" not in found  # nor what makes the bias
    assert found.count("add") == 1  # that of the bias, not the residual


def test_a_model_without_attention_has_no_block() -> None:
    graph = capture(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), torch.empty(1, 4))
    assert attention_blocks(Neighbours(graph)) == []


def test_every_plan_is_of_one_graph_and_a_part_only_adds() -> None:
    row = compare_extensions("timm/deit_tiny_patch16_224")
    assert tuple(row.plans) == PLANS
    base = row.plans["fusion"]
    for figures in row.plans.values():
        assert figures.launches <= base.launches <= row.ops
        assert figures.nbytes <= base.nbytes <= row.unfused_nbytes
        assert figures.fused >= base.fused
    assert (row.attentions, row.plans["all"].attention_launches) == (12, 36)


def test_drop_path_joins_in_train_mode_only() -> None:
    row = compare_extensions("efficientnet_b0 --train")
    assert row.plans["drop-path"].launches < row.plans["fusion"].launches
    still = measure("efficientnet_b0", capture("efficientnet_b0"))
    assert still.plans["drop-path"] == still.plans["fusion"]


BASE = Figures(10, 1000, 4, 8)
ROWS = (
    ExtendedRow(
        "a", 20, 2000, 2, 16,
        {"fusion": BASE, "attention": Figures(6, 500, 8, 4), "residual": Figures(8, 900, 6, 8),
         "drop-path": BASE, "all": Figures(4, 400, 12, 4)},
    ),
    ExtendedRow("b", 20, 2000, 0, 0, dict.fromkeys(PLANS, Figures(10, 1000, 4, 0))),
)  # fmt: skip


def test_the_page_says_plainly_what_was_found() -> None:
    text = page(ROWS, "9.9")
    assert (
        "2.00x (`a`) to 2.00x (`a`), median 2.00x: below the expectation. Launches of these "
        "models together 10 -> 6 (40.0% fewer)"
    ) in text
    assert "10.00 points (`a`), median 10.00 points: within the expectation" in text
    assert '"2-3% additional fusion". Found: nothing to join in these models.' in text
    assert "over all 2 models. Launches of these models together 20 -> 14 (30.0% fewer)" in text
    assert "| a | + attention | 20 | 6 | 40.0% | 0.000500 | 50.0% | 8 | 40.0% |" in text


def test_the_json_is_unrounded() -> None:
    document = json.loads(encode(ROWS))
    assert document["models"][0]["plans"]["all"]["nbytes"] == 400


@pytest.mark.parametrize("model", ["vit_b_16", "resnet50", "efficientnet_b0 --train"])
def test_the_committed_page_has_what_the_command_finds(model: str) -> None:
    committed = PAGE.read_text().splitlines()
    for line in lines([compare_extensions(model)]):
        assert f"| {' | '.join(line)} |" in committed


def test_committed_percentages_recompute_from_the_totals_beside_them() -> None:
    found = re.findall(r"together ([\d,]+) -> ([\d,]+) \(([\d.]+)% fewer\)", PAGE.read_text())
    assert len(found) == 4
    for before, after, share in found:
        first, then = (int(text.replace(",", "")) for text in (before, after))
        assert f"{100 * (first - then) / first:.1f}" == share


def test_the_command_writes_page_and_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "extended.md"
    words = ["validate", "extended", "--model", "resnet50", "-o", str(target), "--json", "-"]
    assert run(cli, words) == 0
    (row,) = json.loads(capsys.readouterr().out)["models"]
    assert row["plans"]["fusion"]["launches"] == 72
    assert "| resnet50 | + residual | 174 | 56 |" in target.read_text()


def test_a_mode_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["validate", "extended", "--model", "swin_t --trian"]) == 2
    assert "did you mean 'swin_t --train'" in capsys.readouterr().err
