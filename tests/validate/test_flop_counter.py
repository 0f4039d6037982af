"""Our FLOPs beside torch's own counter."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from fuseline import capture
from fuseline.cli import cli, run
from fuseline.frontends.sources.find import Options, prepare
from fuseline.validate.flop_counter import (
    FlopRow,
    compare_flops,
    count_by_torch,
    explain,
    page,
    uncounted_by_torch,
)

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


# --- what torch's counter has no formula for --------------------------------------------------


class Call(nn.Module):
    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: torch.Tensor) -> torch.Tensor:
        return self.function(*args)


def _grouped(left: torch.Tensor, right: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    return torch._grouped_mm(left, right, offs=ends)  # noqa: SLF001 - transformers calls it


def _empty(*shapes: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.empty(shape) for shape in shapes)


BF16 = torch.bfloat16
UNCOUNTED = {  # and the count by hand
    # 15 tokens, 4 gates of 16: layer 1 takes 8 and 16, layer 2 takes 16 and 16
    "lstm": (nn.LSTM(8, 16, 2), _empty((5, 3, 8)), 2 * 15 * 64 * (24 + 32)),
    "bilinear": (nn.Bilinear(4, 5, 6), _empty((3, 4), (3, 5)), 2 * 3 * 6 * (4 * 5 + 5)),
    "addbmm": (Call(torch.addbmm), _empty((3, 5), (2, 3, 4), (2, 4, 5)), 2 * 2 * 3 * 4 * 5),
    # 3 places in time of 3 sequences, 4 channels out of 3 taps of 8
    "conv_tbc": (Call(torch.conv_tbc), _empty((5, 3, 8), (3, 8, 4), (4,)), 2 * 3 * 3 * 4 * 3 * 8),
    "matrix x vector": (Call(torch.matmul), _empty((2, 3, 4), (4,)), 2 * 2 * 3 * 4),
    "vector x vector": (Call(torch.dot), _empty((4,), (4,)), 2 * 4),
    "grouped_mm": (
        Call(_grouped),
        (
            torch.empty((16, 32), dtype=BF16),
            torch.empty((2, 32, 64), dtype=BF16),
            torch.empty(2, dtype=torch.int32),
        ),
        2 * 16 * 32 * 64,
    ),
}
COUNTED = {
    "vector x matrix": (Call(torch.matmul), _empty((4,), (4, 3))),
    "gru": (nn.GRU(8, 16), _empty((5, 3, 8))),
    "rnn": (nn.RNN(8, 16), _empty((5, 3, 8))),
    "lstm cell": (nn.LSTMCell(8, 16), _empty((3, 8))),
    "linear of a vector": (nn.Linear(4, 5), _empty((4,))),
    "baddbmm": (Call(torch.baddbmm), _empty((2, 3, 5), (2, 3, 4), (2, 4, 5))),
    "einsum": (Call(lambda a, b: torch.einsum("ij,jk->ik", a, b)), _empty((3, 4), (4, 5))),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, groups=2), _empty((1, 4, 5, 5))),
    "attention": (nn.MultiheadAttention(16, 4), _empty(*[(5, 3, 16)] * 3)),
}


def _both(model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[int, int, dict[str, int]]:
    graph = capture(model.eval(), inputs)
    sourced = prepare(model, inputs, Options(), name="it", source="python")
    return graph.flops, count_by_torch(sourced), uncounted_by_torch(graph)


@pytest.mark.parametrize("name", UNCOUNTED)
def test_the_whole_difference_goes_by_the_name_of_what_torch_leaves_out(name: str) -> None:
    model, inputs, by_hand = UNCOUNTED[name]
    ours, counted, uncounted = _both(model, inputs)
    assert (ours, counted) == (by_hand, 0)
    assert uncounted == {name: by_hand}


def test_a_linear_whose_weight_is_a_vector_is_a_product_with_a_vector() -> None:
    ours, counted, uncounted = _both(Call(nn.functional.linear), _empty((2, 3, 4), (4,)))
    assert (ours, counted, uncounted) == (48, 0, {"matrix x vector": 48})


@pytest.mark.parametrize("name", COUNTED)
def test_what_torch_counts_is_equal_and_has_no_name(name: str) -> None:
    ours, counted, uncounted = _both(*COUNTED[name])
    assert ours == counted > 0
    assert uncounted == {}


def test_a_difference_that_does_not_add_up_is_unexplained() -> None:
    assert explain(0, {"lstm": 3}) == "unexplained"
    assert explain(3, {"lstm": 3}) == "no formula for lstm 3"
    assert explain(4, {"lstm": 3}) == explain(4, {}) == "unexplained"
    assert explain(0, {}) == ""
