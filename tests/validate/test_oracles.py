from __future__ import annotations

from importlib.util import find_spec

import pytest

from fuseline import capture
from fuseline.costs import cost
from fuseline.errors import InputError
from fuseline.frontends.sources.find import find_model
from fuseline.frontends.sources.sourced import Options
from fuseline.validate.onnxruntime_oracle import why_unavailable
from fuseline.validate.onnxruntime_plan import Node, kernels_of, onnxruntime_plan, varying
from fuseline.validate.oracles import ORACLES, OracleRow, compare, find_oracle, oracle_rows
from fuseline.validate.oracles_page import lines, page, summary
from fuseline.validate.pairs import PairAgreement
from fuseline.validate.tvm_plan import base_name, tvm_plan

needs_tvm = pytest.mark.skipif(find_spec("tvm") is None, reason="TVM is not installed")
needs_onnxruntime = pytest.mark.skipif(why_unavailable() is not None, reason=str(why_unavailable()))


# --- which nodes a node computes ----------------------------------------------------------------


def _ops(before: list[Node], after: list[Node]) -> list[list[str]]:
    return [sorted({piece.op for piece in kernel}) for kernel in kernels_of(before, after)]


def test_a_fused_node_owns_what_lies_between_its_values() -> None:
    before = [
        Node("Conv", ("x", "w"), ("a",), "conv"),
        Node("Add", ("a", "x"), ("b",), "add"),
        Node("Relu", ("b",), ("c",), "relu"),
        Node("Conv", ("c", "v"), ("d",), "conv_1"),
    ]
    after = [Node("FusedConv", ("x", "w", "x"), ("c",)), Node("Conv", ("c", "v"), ("d",))]
    assert _ops(before, after) == [["add", "conv", "relu"], ["conv_1"]]


def test_a_node_with_two_results_owns_both() -> None:
    """SkipLayerNormalization hands the sum on."""
    before = [
        Node("Add", ("x", "y"), ("sum",), "add"),
        Node("LayerNormalization", ("sum",), ("norm",), "layer_norm"),
        Node("Mul", ("sum", "norm"), ("z",), "mul"),
    ]
    after = [
        Node("SkipLayerNormalization", ("x", "y"), ("norm", "sum")),
        Node("Mul", ("sum", "norm"), ("z",)),
    ]
    assert _ops(before, after) == [["add", "layer_norm"], ["mul"]]


def test_nodes_that_only_new_values_join_own_the_nodes_of_their_kind() -> None:
    """A transpose is moved behind a product and a sum, which then have new results."""
    before = [
        Node("Mul", ("x", "s"), ("m",), "mul"),
        Node("Transpose", ("m",), ("t",), "permute"),
        Node("Add", ("t", "y"), ("z",), "add"),
    ]
    after = [
        Node("Mul", ("x", "s"), ("new",)),
        Node("Add", ("new", "y"), ("new_1",)),
        Node("Transpose", ("new_1",), ("z",)),
    ]
    assert _ops(before, after) == [["mul"], ["add", "permute"], []]


def test_constants_and_shapes_belong_to_nobody() -> None:
    scale = Node("Constant", (), ("s",), "mul")
    root = Node("Sqrt", ("s",), ("r",), "mul")
    mul = Node("Mul", ("x", "r"), ("y",), "mul_1")
    assert varying([scale, root, mul, Node("Shape", ("y",), ("n",), "view")], ["x"]) == [mul]


def test_names_of_functions_lose_their_numbers() -> None:
    assert [base_name(name) for name in ("conv2d17", "conv2d", "add3")] == [
        "conv2d",
        "conv2d",
        "add",
    ]


def test_a_level_without_a_plan_is_refused() -> None:
    with pytest.raises(InputError, match="no plan can be read at level 'all': one of extended, tr"):
        onnxruntime_plan("resnet18", capture("resnet18"), level="all")


def test_an_unknown_oracle_says_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown oracle 'TVN': did you mean 'TVM'"):
        find_oracle("TVN")


@pytest.mark.skipif(find_spec("tvm") is not None, reason="TVM is installed")
def test_without_the_extra_the_cure_is_named() -> None:
    cure = r"^TVM is not installed: pip install 'fuseline\[oracles\]'$"
    with pytest.raises(InputError, match=cure):
        tvm_plan("resnet18", capture("resnet18"))
    with pytest.raises(InputError, match=cure):
        next(oracle_rows(["resnet18"]))


# --- the page -----------------------------------------------------------------------------------

_ROWS = (
    OracleRow("net", "TVM", 4, 5, is_cover=True, agreement=PairAgreement(10, 8, 8),
              only_ours=(("linear + gelu", 2),)),
    OracleRow("net", "TVM, whole ops", 4, failure="TVM on 'net': no"),
)  # fmt: skip


def test_the_page_counts_who_agrees() -> None:
    """8 of 10 is under 0.9, 8 of 8 over it."""
    assert summary(_ROWS)[:2] == [
        ("TVM", "1", "0", "0", "1"),
        ("TVM, whole ops", "1", "1", "0", "0"),
    ]
    assert lines(_ROWS) == [
        ("net", "TVM", "cover", "4", "5", "0.800 of 10", "1.000 of 8"),
        ("net", "TVM, whole ops", "TVM on 'net': no", "4", "-", "-", "-"),
    ]
    text = page(_ROWS, {"torch": "2.13.0"})
    assert "| net | TVM | 2 linear + gelu |  |" in text


# --- with the compilers -------------------------------------------------------------------------


def _row(model: str, oracle: str) -> OracleRow:
    return compare(model, find_model(model, Options()), capture(model), find_oracle(oracle))


@needs_tvm
@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "launches"),
    [("resnet18", 23), ("resnet50", 56), ("mobilenet_v2", 54), ("densenet121", 188),
     ("efficientnet_b0", 99)],
)  # fmt: skip
def test_kernels_of_tvm(model: str, launches: int) -> None:
    row = _row(model, "TVM")
    assert (row.ours, row.real, row.only_ours, row.only_real) == (launches, launches, (), ())


@needs_tvm
@pytest.mark.slow
def test_tvm_on_whole_ops_fuses_what_our_model_of_it_fuses() -> None:
    row = _row("vit_b_16", "TVM, whole ops")
    assert (row.ours, row.real, row.agreement) == (112, 112, PairAgreement(25, 25, 25))


@needs_onnxruntime
@pytest.mark.slow
def test_nodes_of_onnxruntime() -> None:
    """ResNet-50: 89 nodes, of which one is a reshape. ViT-B/16: 24 sums go into norms."""
    row = _row("resnet50", "ONNX Runtime, extended")
    assert (row.ours, row.real, row.agreement) == (88, 88, PairAgreement(119, 119, 119))
    assert _row("vit_b_16", "ONNX Runtime's tool").agreement == PairAgreement(24, 24, 24)


@needs_tvm
@needs_onnxruntime
@pytest.mark.slow
def test_every_compute_op_is_in_a_kernel_and_none_is_priced_twice_in_a_partition() -> None:
    graph = capture("mobilenet_v3_small")
    sourced = find_model("mobilenet_v3_small", Options())
    for oracle in ORACLES:
        plan = oracle.real(sourced, graph)
        assert {op for group in plan.groups for op in group.ops} == {op.id for op in graph.ops}
        assert plan.is_cover or cost(graph, plan).flops == graph.flops
