from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest

from fuseline import capture
from fuseline.errors import InputError
from fuseline.fusion.tvm import tvm
from fuseline.validate.tvm_oracle import (
    EXPLANATIONS,
    MEASURED,
    TvmRow,
    kernels_of,
    measure,
    tvm_rows,
)

needs_tvm = pytest.mark.skipif(find_spec("tvm") is None, reason="TVM is not installed")
_SAME = sorted(set(MEASURED) - set(EXPLANATIONS))


@pytest.mark.parametrize("model", _SAME)
def test_every_kernel_is_one_of_tvm(model: str) -> None:
    graph = capture(model)
    assert kernels_of(graph, tvm(graph)).kernels == MEASURED[model].kernels


def test_a_row_counts_what_only_one_side_has() -> None:
    """ConvNeXt-T: TVM's 18 `add matmul` and 18 `gelu` are 18 `add gelu matmul` here."""
    graph = capture("convnext_tiny")
    ours, counted = kernels_of(graph, tvm(graph)).kernels, MEASURED["convnext_tiny"].kernels
    assert ours - counted == {("add", "gelu", "matmul"): 18}
    assert counted - ours == {("add", "matmul"): 18, ("gelu",): 18}
    assert tvm_rows(["convnext_tiny"]) == (
        TvmRow("convnext_tiny", 101, 119, 18, 36, EXPLANATIONS["convnext_tiny"]),
    )


@pytest.mark.parametrize(
    ("model", "more"),
    [
        # 12 gelu, 12 residual sums; 12 attentions are six kernels each, not one
        ("vit_b_16", 12 + 12 + 12 * 5),
        # 12 gelu; 24 sums, of which 3 are with a concatenation and 5 with another sum
        ("swin_t", 12 + 24 - 3 - 5),
    ],
)
def test_the_explanations_add_up(model: str, more: int) -> None:
    (row,) = tvm_rows([model])
    assert row.counted - row.ours == more
    assert row.explanation == EXPLANATIONS[model]


def test_a_model_that_was_not_measured_is_said_to_be_none() -> None:
    with pytest.raises(InputError, match="TVM was not measured on 'resnet81': did you mean"):
        tvm_rows(["resnet81"])


def test_without_tvm_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tvm.relax", None)  # what Python does with no such module
    monkeypatch.setitem(sys.modules, "tvm", None)
    with pytest.raises(
        InputError, match=r"^TVM is not installed: pip install 'fuseline\[oracles\]'$"
    ):
        measure("resnet18")


@needs_tvm
@pytest.mark.slow
def test_tvm_makes_the_kernels_that_are_noted() -> None:
    assert measure("resnet18") == MEASURED["resnet18"]
