from __future__ import annotations

from collections import Counter

import pytest

from fuseline.errors import InputError
from fuseline.validate.onnxruntime_oracle import (
    MEASURED,
    OnnxRow,
    measure,
    onnxruntime_rows,
    published_rows,
    why_unavailable,
)


@pytest.fixture(name="rows", scope="module")
def _rows() -> tuple[OnnxRow, ...]:
    return onnxruntime_rows()


def test_every_kind_of_fused_node_is_counted_the_same(rows: tuple[OnnxRow, ...]) -> None:
    for row in rows:
        assert all(theirs == ours for _, theirs, ours in row.fused), row


def test_every_difference_in_nodes_is_explained(rows: tuple[OnnxRow, ...]) -> None:
    """-19 and -1: hard swishes that are two nodes there; 4: copies that are no node there."""
    differences = {
        (row.model, row.level): row.difference
        for row in rows
        if row.is_comparable and row.difference
    }
    assert differences == {
        ("mobilenet_v3_small", "extended"): -19,
        ("mobilenet_v3_small", "all"): -1,
        ("densenet121", "extended"): 4,
        ("densenet121", "all"): 4,
    }
    for row in rows:
        assert (row.why == "the same") == (row.is_comparable and not row.difference)


def test_what_the_design_names(rows: tuple[OnnxRow, ...]) -> None:
    found = {(row.model, row.level): row for row in rows}
    assert found["resnet50", "extended"].theirs == 89
    assert found["resnet50", "extended"].fused[0] == ("FusedConv", 33, 33)
    assert found["vit_b_16", "transformers"].fused == (
        ("BiasGelu", 12, 12),
        ("SkipLayerNormalization", 24, 24),
    )


def test_published_counts_are_shown_beside_ours() -> None:
    """Not tuned to: a table that fuses nothing, or everything, would show here."""
    rows = {(row.published.model, row.published.system): row for row in published_rows()}
    assert rows["vgg16", "tflite-gpu"].launches == rows["vgg16", "tflite-gpu"].published.kernels
    assert all(1 < row.launches <= row.ops for row in rows.values())
    assert rows["hf/bert", "tensorrt"].launches < rows["hf/bert", "tensorrt"].ops


def test_an_unknown_level_says_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown level 'extend': did you mean 'extended'"):
        measure("resnet18", "extend")


@pytest.mark.slow
@pytest.mark.skipif(why_unavailable() is not None, reason=str(why_unavailable()))
@pytest.mark.parametrize("measured", MEASURED, ids=lambda found: f"{found.model}, {found.level}")
def test_measured_again(measured: object) -> None:
    found = next(item for item in MEASURED if item == measured)
    assert measure(found.model, found.level) == Counter(found.nodes)


def test_where_onnxruntime_is_missing_the_oracle_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    with pytest.raises(
        InputError, match=r"^ONNX Runtime is not installed: pip install 'fuseline\[oracles\]'$"
    ):
        measure("resnet18", "all")
