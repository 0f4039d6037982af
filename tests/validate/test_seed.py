"""The seed document: its eight rows exactly, its four criteria, and its page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fuseline import capture, partition
from fuseline.cli import cli, run
from fuseline.validate.document import MODELS, STATED
from fuseline.validate.seed import ModelFigures, validate_model
from fuseline.validate.seed_page import encode, page

# FX nodes, operators, groups, efficiency, single-op, fused MB, unfused MB, reduction, AI, bands
ROWS = {
    "vit_b_16": (236, 216, 156, "1.38", 120, "507.24", "587.13", "13.6", "0.48", (155, 0, 0, 1)),
    "vit_b_32": (236, 216, 156, "1.38", 120, "394.65", "414.93", "4.9", "0.22", (155, 0, 1, 0)),
    "vit_l_16": (440, 408, 288, "1.42", 216, "1634.88", "1847.90", "11.5", "0.30", (287, 0, 0, 1)),
    "swin_t": (247, 173, 122, "1.42", 95, "267.97", "327.28", "18.1", "0.19", (121, 0, 1, 0)),
    "swin_s": (475, 329, 230, "1.43", 179, "442.83", "538.26", "17.7", "0.13", (229, 0, 1, 0)),
    "swin_b": (475, 329, 230, "1.43", 179, "676.66", "803.91", "15.8", "0.14", (229, 0, 1, 0)),
    "efficientnet_b0": (251, 249, 71, "3.51", 22, "77.27", "144.11", "46.4", "11.01",
                        (38, 2, 30, 1)),
    "resnet50": (177, 175, 73, "2.40", 4, "260.02", "342.91", "24.2", "41.42", (20, 0, 32, 21)),
}  # fmt: skip
BANDS = ("bandwidth-bound", "memory-bound", "balanced", "compute-bound")

PATTERNS = {
    "vit_b_16": {
        "LayerNorm_MultiheadAttention": (12, "5.7"),
        "LayerNorm_Linear_GELU_+1more": (12, "30.4"),
        "Linear_Dropout": (12, "4.6"),
        "Unfused": (120, "0.0"),
    },
    "swin_t": {
        "LayerNorm_Linear_GELU_+1more": (12, "43.2"),
        "Linear_Dropout": (12, "9.0"),
        "LayerNorm_Linear": (3, "21.4"),
        "Unfused": (95, "0.0"),
    },
    "resnet50": {
        "Conv2d_BatchNorm2d_ReLU": (33, None),
        "Conv2d_BatchNorm2d": (20, None),
        "add_ReLU": (16, None),
        "Unfused": (4, None),
    },
    "efficientnet_b0": {
        "Conv2d_BatchNorm2d_SiLU_+3more": (16, None),
        "AdaptiveAvgPool2d_Conv2d_SiLU_+3more": (16, None),
        "Conv2d_BatchNorm2d": (16, None),
        "Conv2d_BatchNorm2d_SiLU": (1, None),
        "Unfused": (22, None),
    },
}


@pytest.fixture(scope="module")
def results() -> dict[str, ModelFigures]:
    return {model: validate_model(model) for model in MODELS}


@pytest.mark.parametrize("model", ROWS)
def test_the_row_comes_out_exactly(model: str, results: dict[str, ModelFigures]) -> None:
    seed = results[model].seed
    assert (
        seed.nodes,
        seed.operators,
        len(seed.groups),
        f"{seed.efficiency:.2f}",
        seed.single_op,
        f"{seed.traffic / 1e6:.2f}",
        f"{seed.unfused / 1e6:.2f}",
        f"{seed.reduction_percent:.1f}",
        f"{seed.average_intensity:.2f}",
        tuple(seed.bands.get(band, 0) for band in BANDS),
    ) == ROWS[model]


@pytest.mark.parametrize("model", PATTERNS)
def test_pattern_counts_and_memory_saved(model: str, results: dict[str, ModelFigures]) -> None:
    found = {pattern.name: pattern for pattern in results[model].seed.patterns}
    assert {name: found[name].count for name in found} == {
        name: count for name, (count, _) in PATTERNS[model].items()
    }
    for name, (_, saved) in PATTERNS[model].items():
        if saved is not None:
            assert f"{found[name].saved_percent:.1f}" == saved, name


def test_the_documents_share_of_traffic(results: dict[str, ModelFigures]) -> None:
    figures = {figure.name: figure for figure in results["vit_b_16"].figures}
    share = figures["traffic share attention / FFN / rest"]
    assert share.reproduced == "23.8% / 59.0% / 17.2%"


def test_every_stated_figure_is_among_the_rows(results: dict[str, ModelFigures]) -> None:
    for model, stated in STATED.items():
        assert set(stated) <= {figure.name for figure in results[model].figures}, model


def test_a_right_figure_that_differs_says_why(results: dict[str, ModelFigures]) -> None:
    for result in results.values():
        for figure in result.figures:
            if figure.reproduced != figure.right:
                assert figure.why, f"{result.model}: {figure.name}"


def test_the_committed_page_is_what_the_command_writes(results: dict[str, ModelFigures]) -> None:
    committed = Path(__file__).parents[2] / "docs" / "validation" / "seed.md"
    assert committed.read_text() == page(tuple(results.values()))


def test_the_json_has_unrounded_totals(results: dict[str, ModelFigures]) -> None:
    document = json.loads(encode((results["vit_b_16"],)))
    assert document["schema"] == "fuseline.seed-validation/1"
    (model,) = document["models"]
    assert f"{model['seed']['traffic_bytes'] / 1e6:.2f}" == "507.24"
    assert model["right"]["flops"] == 35_127_656_448


def test_the_command_writes_page_and_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "seed.md"
    words = ["validate", "seed", "--model", "resnet50", "-o", str(target), "--json", "-"]
    assert run(cli, words) == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["seed"]["groups"] == 73
    assert "41.42" in target.read_text()


# --- the document's four criteria -----------------------------------------------------------


def _groups(model: str) -> list[tuple[str, ...]]:
    graph = capture(model, via="module")
    return [tuple(graph.ops[op].target for op in group.ops) for group in partition(graph).groups]


ATTENTION = ("LayerNorm", "MultiheadAttention")
FFN = ("LayerNorm", "Linear", "GELU", "Dropout")


def test_criterion_1_attention_fuses() -> None:
    assert _groups("vit_b_16").count(ATTENTION) == 12


@pytest.mark.parametrize("model", ["vit_b_16", "swin_t"])
def test_criteria_2_and_3_ffn_fuses_in_both_architectures(model: str) -> None:
    groups = _groups(model)
    assert groups.count(FFN) == 12
    assert groups.count(("Linear", "Dropout")) == 12


@pytest.mark.parametrize("model", ["vit_b_16", "swin_t"])
def test_criterion_4_no_false_fusion(model: str) -> None:
    fused = [op for group in _groups(model) if len(group) > 1 for op in group]
    for alone in ("add", "getitem", "reshape", "permute", "eq", "_assert", "getattr",
                  "shifted_window_attention"):  # fmt: skip
        assert alone not in fused
