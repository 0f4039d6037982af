from __future__ import annotations

import pytest

from fuseline import capture
from fuseline.errors import InputError
from fuseline.fusion import STRATEGIES
from fuseline.validate.published import (
    MODELS,
    PUBLISHED,
    PublishedRow,
    check_models,
    count_launches,
    count_ops,
    onnx_parts,
    published_rows,
)
from fuseline.validate.published_page import lines, page


def _onnx(model: str) -> int:
    return sum(nodes for _, _, nodes in onnx_parts(capture(model, attention="decomposed")))


def test_vgg16_by_hand() -> None:
    """13 convolutions, 15 ReLU, 5 + 1 poolings, 3 linear layers; flatten and dropouts are views.

    In ONNX a linear layer is a product and a sum: 13 + 15 + 6 + 3 x 2 + 1. With the biases of
    convolutions apart, and those of linear layers not: DNNFusion's 51. Kernels: 13 + 6 + 3.
    """
    graph = capture("vgg16")
    assert (graph.compute_ops, len(graph.ops)) == (13 + 15 + 6 + 3, 40)
    assert _onnx("vgg16") == 41
    assert 41 + 13 - 3 == 51 == next(row.ops for row in PUBLISHED if row.model == "vgg16")
    launches = count_launches(graph)
    assert [name for name, count in launches.items() if count == 13 + 6 + 3] == [
        "fusion", "extended", "onnxruntime", "tensorrt", "tvm", "optimal",
    ]  # fmt: skip
    assert launches["unfused"] == graph.compute_ops


@pytest.mark.slow
def test_the_readings_of_the_page_are_counts() -> None:
    """289 + softmax + 5 pads + 16 reshapes - flatten - sum = 309 is DNNFusion's EfficientNet-B0."""
    assert _onnx("efficientnet_b0") == 289
    assert 289 + 1 + 5 + 16 - 1 - 1 == 309
    assert _onnx("vit_b_16") == 725
    assert _onnx("hf/vit") == 629


@pytest.mark.slow
def test_core_aten_counts_no_elements_of_tuples() -> None:
    """13 convolutions, 15 ReLU, 6 poolings, 3 addmm, 3 transposes, 1 view, 2 clones (dropout)."""
    graph = capture("vgg16")
    counts = count_ops("vgg16", graph, graph)
    assert counts.core == 13 + 15 + 6 + 3 + 3 + 1 + 2
    assert counts.core_views == 3 + 1


def test_a_model_of_neither_paper_is_refused() -> None:
    with pytest.raises(
        InputError, match="'vgg19' is in neither paper's table: did you mean 'vgg16'"
    ):
        check_models(["vgg19"])


@pytest.fixture(name="rows", scope="module")
def _rows() -> tuple[PublishedRow, ...]:
    return tuple(published_rows())


@pytest.mark.slow
def test_language_models(rows: tuple[PublishedRow, ...]) -> None:
    """GPT-2's 48 `addmm` have a reshape before and after: 96 of its 158."""
    found = {row.published.model: row for row in rows}
    assert list(found) == list(MODELS)
    bert, gpt2 = found["hf/bert"].counts, found["hf/gpt2"]
    assert (bert.core, bert.core_views, bert.onnx) == (856, 493, 642)
    assert gpt2.counts.onnx == 686
    graph = capture("hf/gpt2", seq_len=128)
    around = {
        op.id
        for one in graph.ops
        if one.kind.value == "addmm"
        for op in graph.ops
        if op.kind.value == "reshape" and (op.id in one.predecessors or one.id in op.predecessors)
    }
    assert len(around) == 96


@pytest.mark.slow
def test_no_count_depends_on_the_sequence(rows: tuple[PublishedRow, ...]) -> None:
    found = {row.published.model: row.launches for row in rows}
    for model in ("hf/bert", "hf/gpt2"):
        assert count_launches(capture(model, seq_len=384)) == found[model]


@pytest.mark.slow
def test_the_page_has_every_line_of_the_papers(rows: tuple[PublishedRow, ...]) -> None:
    assert len(lines(rows)) == len(PUBLISHED) == 7
    text = page(rows, "2.13.0")
    for published in PUBLISHED:
        assert f"| {published.paper}: {published.model} |" in text
        assert f"**{published.paper}, {published.model}: {published.ops:,}.**" in text
    assert all(f" {name} |" in text for name in STRATEGIES)
