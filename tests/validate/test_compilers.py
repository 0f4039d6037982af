"""Counts beside compilers' and papers': hand counts, and the committed page against a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuseline.validate.compilers import (
    PrototypeRow,
    agreeing,
    element_rows,
    flash,
    orojenesis,
    prototype_rows,
)
from fuseline.validate.compilers_page import why
from fuseline.validate.tvm_oracle import tvm_rows

PAGE = Path(__file__).parents[2] / "docs" / "validation" / "compilers.md"


def _section(title: str) -> str:
    return PAGE.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def _rows(title: str) -> list[list[str]]:
    lines = [line for line in _section(title).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_orojenesis_block_by_hand() -> None:
    found = orojenesis()
    activation = 16 * 2048 * 4096
    scores = 16 * 32 * 2048 * 2048
    weights = 12 * 4096 * 4096
    # q, k, v: read x, write one each (6); scores: read 2, write S; values: read S and 1, write 1;
    # the result of heads 2; a layer up 5, with its result 4 wide, and down 5
    assert found.contractions == (6 + 2 + 2 + 2 + 5 + 5) * activation + 2 * scores + weights
    assert round(found.contractions / 1e9, 3) == 7.449
    assert found.copy == 2 * activation
    assert found.optimum == found.contractions
    # k and v: read x, write one (4); the rest: x, k, v, and the result (4)
    assert found.chain == 8 * activation + weights
    assert round(found.chain / 1e9, 3) == 1.275
    assert round(found.contractions / found.chain, 2) == 5.84
    assert found.compulsory == 2 * activation + weights


def test_flash_attention_by_hand() -> None:
    found = flash()
    scores = 64 * 16 * 1024 * 1024 * 2
    operands = 4 * (64 * 16 * 1024 * 64 * 2)
    mask = 1024 * 1024
    assert found.unfused == 8 * scores + operands + mask
    assert found.optima == {
        "A": 4 * scores + operands + mask,
        "B": 2 * scores + operands + mask,
        "T": operands + mask,
    }


def test_inductors_own_tests_of_exact_traffic() -> None:
    rows = element_rows()
    assert [(row.op, row.theirs, row.ours) for row in rows] == [
        ("softmax", 200, 200),
        ("layer_norm", 220, 220),
    ]


@pytest.fixture(scope="module")
def prototype() -> tuple[PrototypeRow, ...]:
    return prototype_rows()


def test_what_differs_from_the_prototype_is_said(prototype: tuple[PrototypeRow, ...]) -> None:
    assert agreeing(prototype) == 23  # vit 6, swin 4, efficientnet 6, resnet 5, BERT 2
    for row in prototype:
        assert row.agrees or why(row), row
        assert bool(row.adjustment) <= bool(why(row)), row
    for row in prototype:
        if row.graph.startswith(("vit", "efficientnet")):
            assert row.agrees, row


def test_the_adjustments_by_hand(prototype: tuple[PrototypeRow, ...]) -> None:
    found = {(row.graph, row.figure): row.adjustment for row in prototype}
    assert found["vit_b_16, module level", "unfused"] == 196 * 768 * 4  # tokens that nobody reads
    # a table of 169 places and 49 x 49 results a head, by blocks and heads of Swin-T's four stages
    heads = 2 * 3 + 2 * 6 + 6 * 12 + 2 * 24
    written = 49 * 49 * heads * 4
    read = 169 * heads * 4 + 12 * 49 * 49 * 8  # and the places themselves, int64
    assert found["swin_t, module level", "unfused"] == -(written + read)
    assert found["swin_t, module level", "compulsory"] == written - read
    table = (30_522 - 128) * 768 * 4
    pooler = (768 * 768 + 768 + 768 + 768) * 4
    assert found["BERT, attention in steps", "optimal A"] == table + pooler + 2 * 128 * 768 * 4


def test_a_figure_agrees_to_the_digit_that_is_stated() -> None:
    row = PrototypeRow("g", "optimal A", 1.2, 1_160_000, 0, (3, 3))
    assert row.agrees
    assert not PrototypeRow("g", "optimal A", 1.2, 1_160_000, 0, (3, 4)).agrees
    assert PrototypeRow("g", "optimal A", 1.2, 1_160_000, 0, (3, 4), -1).agrees
    assert not PrototypeRow("g", "unfused", 1.2, 1_260_000, 0).agrees
    assert PrototypeRow("g", "unfused", 1.2, 1_260_000, -60_000).agrees


def test_the_page_has_the_reference_counts_of_tvm() -> None:
    counts = {row[0]: (int(row[2]), int(row[3])) for row in _rows("TVM")}
    for model, kernels in (
        ("resnet18", 23), ("resnet50", 56), ("mobilenet_v2", 54), ("densenet121", 188),
        ("efficientnet_b0", 99),
    ):  # fmt: skip
        assert counts[model] == (kernels, kernels)


def test_the_page_is_what_a_run_gives(prototype: tuple[PrototypeRow, ...]) -> None:
    (run,) = tvm_rows(("resnet18",))
    (row,) = (row for row in _rows("TVM") if row[0] == "resnet18")
    assert row[2:] == [str(run.ours), str(run.counted), str(run.only_ours), str(run.only_counted)]
    shown = [(row[0], row[1], row[6]) for row in _rows("The prototype's optima")]
    assert shown == [(row.graph, row.figure, "yes" if row.agrees else "no") for row in prototype]


def test_the_page_has_inductors_figures() -> None:
    rows = {row[0]: row[1:] for row in _rows("Inductor")}
    assert rows["resnet50"] == ["the same", "104", "104", "292,126,272", "292,126,272"]
    assert rows["resnet18"] == ["the same", "39", "39", "90,859,072", "90,859,072"]


def test_crossvit_needs_no_cut_and_coat_does() -> None:
    for model, _, rules, _, _, cuts, proven in _rows("Cycles"):
        assert proven == "yes"
        assert (int(cuts) > 0) == (model == "timm/coat_tiny" and rules in "BT")
