"""The tables of ONNX Runtime and TensorRT: each row's before and after, and whole models."""

from __future__ import annotations

from collections import Counter
from time import process_time

import pytest
from hypothesis import given

from fuseline import capture
from fuseline.costs import cost
from fuseline.errors import InputError
from fuseline.fusion.legality import check_connection, check_coverage, check_order
from fuseline.fusion.neighbours import neighbours
from fuseline.fusion.tables import LEVELS, count_nodes, onnxruntime, tensorrt
from fuseline.fusion.tables.tensorrt import TABLE as TENSORRT
from fuseline.graph import Builder, Graph, Kind, OpClass, Origin, Role
from fuseline.graph.fold import fold_constants
from fuseline.plan import Plan
from tests.fusion.test_extended import Net, heads
from tests.strategies import graphs

WIDE = (2, 4, 8)
SQUARE = (2, 4, 8, 8)


def names(graph: Graph, plan: Plan) -> list[list[str]]:
    return [[graph.ops[op].name for op in group.ops] for group in plan.groups if len(group.ops) > 1]


def net(*of: tuple[str, Kind, str], shape: tuple[int, ...] = SQUARE) -> Graph:
    """Ops as `(name, kind, "operand operand")`; a capital W among the operands is a weight."""
    made = Net(shape)
    for name, kind, operands in of:
        inputs = operands.split()
        held = (4,) if "W" in inputs else ()
        made.add(name, kind, *(operand for operand in inputs if operand != "W"), held=held)
    return made.finish(of[-1][0])


CASES = [
    pytest.param(
        net(("c", Kind.CONV2D, "x W"), ("b", Kind.BATCHNORM, "c W"), ("r", Kind.RELU, "b")),
        "FusedConv", "Contraction and Activation", ["c b r"], ["c b r"],
        id="convolution, norm, activation",
    ),
    pytest.param(
        net(("c", Kind.CONV2D, "x W"), ("b", Kind.BATCHNORM, "c W"), ("g", Kind.GELU, "b")),
        "Conv", "Contraction and Activation", ["c b"], ["c b g"],
        id="an activation that FusedConv does not have",
    ),
    pytest.param(
        net(("t", Kind.TANH, "x"), ("c", Kind.CONV2D, "t W"), ("b", Kind.BATCHNORM, "c W"),
            ("s", Kind.ADD, "b t"), ("r", Kind.RELU, "s")),
        "Conv with sum", "Convolution and ElementWise", ["c b s r"], ["c b s r"],
        id="convolution, skip, activation",
    ),
    pytest.param(
        net(("p", Kind.PAD, "x"), ("c", Kind.CONV2D, "p W"), ("r", Kind.RELU, "c")),
        "FusedConv", "Contraction and Activation", ["p c r"], ["p c r"],
        id="border",
    ),
    pytest.param(
        net(("c", Kind.CONV2D, "x W"), ("m", Kind.MUL, "c W")),
        "Conv", "Contraction and Activation", ["c m"], ["c m"],
        id="scale folded into weights",
    ),
    pytest.param(
        net(("c", Kind.CONV2D, "x W"), ("h", Kind.HARDSWISH, "c")),
        "Conv with hard swish", "Contraction and Activation", ["c h"], ["c h"],
        id="hard swish",
    ),
    pytest.param(
        net(("b", Kind.BATCHNORM, "x W"), ("r", Kind.RELU, "b")),
        "BatchNorm as Conv", "PointWise", ["b r"], ["b r"],
        id="a norm alone",
    ),
    pytest.param(
        net(("f", Kind.LINEAR, "x W"), ("t", Kind.TANH, "f")),
        "FusedGemm", "Contraction and Activation", ["f t"], ["f t"],
        id="Gemm and activation",
    ),
    pytest.param(
        net(("f", Kind.LINEAR, "x W"), ("g", Kind.GELU, "f")),
        "BiasGelu", "Contraction and Activation", [], ["f g"],
        id="the bias goes with the GELU, the product stays apart",
    ),
    pytest.param(
        net(("t", Kind.TANH, "x"), ("s", Kind.ADD, "t x"), ("n", Kind.LAYERNORM, "s W")),
        "SkipLayerNormalization", "PointWise", ["s n"], ["t s"],
        id="skip and norm",
    ),
    pytest.param(
        net(("m", Kind.MEAN, "x"), ("d", Kind.SUB, "x m"), ("p", Kind.POW, "d"),
            ("v", Kind.MEAN, "p"), ("e", Kind.ADD, "v"), ("r", Kind.ELEMENTWISE_UNARY, "e"),
            ("q", Kind.DIV, "d r"), ("w", Kind.MUL, "q W"), ("b", Kind.ADD, "w W")),
        "LayerNormalization", "PointWise", ["m d p v e r q w b"], ["e r q w b"],
        id="a layer norm in steps",
    ),
    pytest.param(
        net(("p", Kind.POW, "x"), ("m", Kind.MEAN, "p"), ("e", Kind.ADD, "m"),
            ("r", Kind.ELEMENTWISE_UNARY, "e"), ("q", Kind.MUL, "x r"), ("w", Kind.MUL, "q W")),
        "SimplifiedLayerNormalization", "PointWise", ["p m e r q w"], ["e r q w"],
        id="an RMS norm in steps",
    ),
    pytest.param(
        net(("a", Kind.DIV, "x"), ("e", Kind.ELEMENTWISE_UNARY, "a"), ("o", Kind.ADD, "e"),
            ("m", Kind.MUL, "x o"), ("h", Kind.MUL, "m")),
        "Gelu", "PointWise", ["a e o m h"], ["a e o m h"],
        id="GELU by erf",
    ),
    pytest.param(
        net(("h", Kind.MUL, "x"), ("p", Kind.POW, "x"), ("c", Kind.MUL, "p"),
            ("s", Kind.ADD, "x c"), ("k", Kind.MUL, "s"), ("t", Kind.TANH, "k"),
            ("o", Kind.ADD, "t"), ("m", Kind.MUL, "h o")),
        "FastGelu", "PointWise", ["h p c s k t o m"], ["p c s k t o", "h m"],
        id="GELU by tanh",
    ),
    pytest.param(
        net(("k", Kind.MUL, "x"), ("g", Kind.SIGMOID, "k"), ("m", Kind.MUL, "x g")),
        "QuickGelu", "PointWise", ["k g m"], ["k g m"],
        id="x sigmoid(1.702 x)",
    ),
    pytest.param(
        net(("t", Kind.TANH, "x"), ("s", Kind.ADD, "x t"), ("w", Kind.SOFTMAX, "s"), shape=WIDE),
        "BiasSoftmax", "PointWise", ["s w"], ["t s"],
        id="mask and softmax",
    ),
    pytest.param(
        net(("k", Kind.MUL, "x"), ("p", Kind.MATMUL, "k x"), shape=WIDE),
        "FusedMatMul", "", ["k p"], [],
        id="scale and product",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("graph", "onnx", "nvidia", "onnx_groups", "nvidia_groups"), CASES)
def test_each_row(
    graph: Graph, onnx: str, nvidia: str, onnx_groups: list[str], nvidia_groups: list[str]
) -> None:
    assert onnx in count_nodes(graph)
    assert names(graph, onnxruntime(graph)) == [group.split() for group in onnx_groups]
    plan = tensorrt(graph)
    assert sorted(names(graph, plan)) == sorted(group.split() for group in nvidia_groups)
    assert not nvidia or nvidia in {group.pattern for group in plan.groups}


@pytest.mark.parametrize(
    ("row", "steps"),
    [
        ("Convolution and Generic Activation",
         [("c", Kind.CONV2D, "x W"), ("g", Kind.SIGMOID, "c"), ("m", Kind.MUL, "c g")]),
        ("SoftMax and Log", [("s", Kind.SOFTMAX, "x"), ("l", Kind.ELEMENTWISE_UNARY, "s")]),
        ("SoftMax and TopK", [("s", Kind.SOFTMAX, "x"), ("k", Kind.SORT, "s")]),
        ("Shuffle and Shuffle", [("a", Kind.PERMUTE, "x"), ("b", Kind.CONTIGUOUS, "a")]),
        ("Shuffle and Reduce", [("a", Kind.PERMUTE, "x"), ("s", Kind.SUM, "a")]),
        ("Reduction", [("p", Kind.POW, "x"), ("s", Kind.SUM, "p"), ("r", Kind.POW, "s")]),
    ],
)  # fmt: skip
def test_rows_that_tensorrt_alone_has(row: str, steps: list[tuple[str, Kind, str]]) -> None:
    graph = net(*steps)
    assert [group.pattern for group in tensorrt(graph).groups if len(group.ops) > 1] == [row]
    assert len(tensorrt(graph).groups) == 1


def test_every_row_of_tensorrt_is_tried() -> None:
    tried = {case.values[2] for case in CASES} | {"Fused attention"}
    marks = test_rows_that_tensorrt_alone_has.pytestmark  # pyrefly: ignore
    tried |= {row for row, _ in marks[0].args[1]}
    assert {row.name for row in TENSORRT.rows} <= tried


def test_every_row_of_onnxruntime_is_tried_and_has_a_source() -> None:
    rows = [row for rows in LEVELS.values() for row in rows]
    tried = {case.values[1] for case in CASES}
    assert {row.name for row in rows} - tried == {
        "MultiHeadAttention",
        "SkipSimplifiedLayerNormalization",
    }
    assert all(row.source for row in (*rows, *TENSORRT.rows))


def test_attention_in_steps_is_one_kernel_and_its_projections_are_not_in_it() -> None:
    graph = heads(Net(), mask=True).finish("values")
    steps = ["scores", "scale", "masked", "weights", "values"]
    assert count_nodes(graph)["MultiHeadAttention"] == 1
    assert names(graph, onnxruntime(graph))[-1] == steps
    assert names(graph, tensorrt(graph))[-1] == steps


def test_the_sum_before_a_norm_may_go_on_under_the_tool_alone() -> None:
    made = Net().add("t", Kind.TANH, "x").add("s", Kind.ADD, "t", "x")
    graph = (
        made.add("n", Kind.RMSNORM, "s", held=(8,)).add("next", Kind.ADD, "s", "n").finish("next")
    )
    assert names(graph, onnxruntime(graph)) == [["s", "n"]]
    assert count_nodes(graph) == {"SkipSimplifiedLayerNormalization": 1}
    assert names(graph, onnxruntime(graph, ("extended", "layout", "basic"))) == []


def test_a_learned_position_is_no_skip() -> None:
    graph = net(("s", Kind.ADD, "x W"), ("n", Kind.LAYERNORM, "s W"))
    assert count_nodes(graph, ("transformers",)) == {}


def test_an_unknown_level_says_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown level 'layouts': did you mean 'layout'"):
        onnxruntime(net(("r", Kind.RELU, "x")), ("layouts",))


@pytest.mark.parametrize(
    ("levels", "launches", "fused"),
    [
        # 53 convolutions with their norms, 16 sums, 49 rectifiers of which 16 follow a sum, two
        # pools, a linear: 174 ops. A rectifier after a norm goes into its convolution.
        (("extended", "basic"), 53 + 16 + 16 + 3, {"FusedConv": 33, "Conv": 20}),
        # sums and their rectifiers too, which leaves 4 projections of a skip by themselves
        (
            ("extended", "layout", "basic"),
            53 + 3,
            {"FusedConv": 33, "Conv with sum": 16, "Conv": 4},
        ),
    ],
)
@pytest.mark.parametrize("via", ["record", "module"])
def test_resnet50(via: str, levels: tuple[str, ...], launches: int, fused: dict[str, int]) -> None:
    graph = capture("resnet50", via=via)
    assert count_nodes(graph, levels) == Counter(fused)
    assert cost(graph, onnxruntime(graph, levels)).launches == launches


def test_resnet50_under_tensorrt() -> None:
    """Every norm, sum and rectifier is in a convolution: 53 of them, two pools, a linear."""
    graph = capture("resnet50")
    assert cost(graph, tensorrt(graph)).launches == 53 + 3


PLANS = {"onnxruntime": onnxruntime, "tensorrt": tensorrt}
RECORDED = graphs(recorded=True, most_ops=8)


@pytest.mark.parametrize("system", PLANS)
@pytest.mark.parametrize("recorded", ["recorded", "modules", "folded"])
def test_promises(system: str, recorded: str) -> None:
    source = {
        "recorded": RECORDED,
        "modules": graphs(),
        "folded": RECORDED.map(fold_constants),
    }[recorded]

    @given(graph=source)
    def hold(graph: Graph) -> None:
        plan = PLANS[system](graph)
        assert check_coverage(graph, plan) == ()
        assert check_order(graph, plan) == ()
        price = cost(graph, plan)
        assert graph.compulsory_bytes <= price.nbytes <= price.unfused_nbytes
        home = {op: group.id for group in plan.groups for op in group.ops}
        apart = [pair for pair in neighbours(graph) if home[pair[0]] != home[pair[1]]]
        assert [(told.producer, told.consumer) for told in plan.refusals] == apart
        for group in plan.groups:
            assert check_connection(graph, group) is None
            classes = {graph.ops[op].op_class for op in group.ops}
            computing = [op for op in group.ops if graph.ops[op].is_compute]
            assert len(computing) <= 1 or OpClass.OPAQUE not in classes

    hold()


@pytest.mark.slow
@pytest.mark.parametrize("system", PLANS)
def test_twenty_thousand_ops(system: str) -> None:
    kinds = (Kind.CONV2D, Kind.BATCHNORM, Kind.RELU, Kind.CONV2D, Kind.BATCHNORM, Kind.ADD)
    build = Builder()
    made = [build.tensor("x", SQUARE, role=Role.INPUT)]
    for number in range(20_000):
        kind = kinds[number % len(kinds)]
        inputs = [made[-1], made[-3]] if kind is Kind.ADD else [made[-1]]
        name = f"op{number}"
        made.append(build.op(name, kind, inputs=inputs, shape=SQUARE, origin=Origin.ATEN))
    graph = build.finish(made[-1:])
    assert graph.dependences
    before = process_time()
    PLANS[system](graph)
    assert process_time() - before <= 1.5
