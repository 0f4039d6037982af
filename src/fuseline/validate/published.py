"""Published tables of fused operator counts, and ours beside them, at several granularities.

DNNFusion (PLDI 2021, Table 5) and PluS (Table 1) count the operators of a model before fusion and
the kernels after. What an operator is differs: so every model is counted here as it is recorded,
with attention in steps, as torch's core ATen program, and in the steps of ONNX.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from fuseline.costs import cost
from fuseline.errors import InputError, did_you_mean, foreign_code
from fuseline.frontends import capture
from fuseline.frontends.record import with_values
from fuseline.frontends.sources.find import find_model
from fuseline.frontends.sources.sourced import Options
from fuseline.fusion import STRATEGIES, partition
from fuseline.graph import Graph, Kind, Op, OpClass
from fuseline.validate.quiet import quiet

SEQ_LEN = 128  # tokens of the language models; no count depends on it


@dataclass(frozen=True, slots=True)
class Published:
    """One line of a paper's table: operators before fusion, and kernels after, by system."""

    paper: str
    model: str
    ops: int
    kernels: tuple[tuple[str, int], ...]


_DNNFUSION = "DNNFusion"
_PLUS = "PluS"

PUBLISHED = (
    Published(_DNNFUSION, "efficientnet_b0", 309, (
        ("MNN", 199), ("TVM", 195), ("TFLite", 201), ("PyTorch", 210), ("DNNFusion", 97),
    )),
    Published(_DNNFUSION, "vgg16", 51, (
        ("MNN", 22), ("TVM", 22), ("TFLite", 22), ("PyTorch", 22), ("DNNFusion", 17),
    )),
    Published(_DNNFUSION, "hf/bert", 976, (("TVM", 760), ("TFLite", 873), ("DNNFusion", 216))),
    Published(_DNNFUSION, "hf/gpt2", 2533, (("TVM", 2047), ("TFLite", 2223), ("DNNFusion", 254))),
    Published(_PLUS, "hf/bert", 635, (
        ("Inductor", 195), ("TensorRT", 107), ("AITemplate", 88), ("PluS", 87),
    )),
    Published(_PLUS, "vit_b_16", 655, (
        ("Inductor", 201), ("TensorRT", 105), ("AITemplate", 90), ("PluS", 87),
    )),
    Published(_PLUS, "hf/gpt2", 630, (
        ("Inductor", 171), ("TensorRT", 126), ("AITemplate", 89), ("PluS", 87),
    )),
)  # fmt: skip

MODELS = tuple(dict.fromkeys(published.model for published in PUBLISHED))

# What an op is in ONNX, where a graph has no op for the whole of it: kind --> nodes.
_STEPS: dict[Kind, int] = {
    Kind.SILU: 2,  # sigmoid, multiply
    Kind.GELU: 5,  # divide, erf, add, multiply, multiply
    Kind.LAYERNORM: 9,  # mean, subtract, square, mean, add, root, divide, scale, shift
    Kind.DROPOUT: 0,  # does nothing when a model serves
    Kind.CONTIGUOUS: 0,  # a matter of torch's strides
}
_MATMUL_AND_SUM = 2  # a linear layer with a bias
_WITH_BIAS = 2  # parameters: a weight, a bias

_VIEWS = frozenset(
    {"alias", "expand", "permute", "select", "slice", "split_with_sizes", "squeeze", "unsqueeze",
     "view"}
)  # fmt: skip
"""Core ATen ops whose result aliases what they take."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Operators of one model by five measures.

    `compute` are the recorded compute ops, `in_steps` the same with attention in steps, `recorded`
    those and views; `core` the ops of torch's core ATen program, `core_views` the views among
    them; `onnx` the recorded ops written in the steps of ONNX. `batchnorms` are in all of them.
    """

    compute: int
    in_steps: int
    recorded: int
    core: int
    core_views: int
    onnx: int
    batchnorms: int


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One model: a paper's counts, ours, and launches by strategy, attention whole and in steps.

    `parts` says what `counts.onnx` is made of: (kind, ops, ONNX nodes of all of them).
    """

    published: Published
    counts: Counts
    launches: dict[str, int]
    launches_in_steps: dict[str, int]
    parts: tuple[tuple[str, int, int], ...]


def check_models(models: Iterable[str]) -> None:
    """Raises `InputError` for a model that is in neither table."""
    for model in models:
        if model not in MODELS:
            hint = did_you_mean(model, MODELS) or f": one of {', '.join(MODELS)}"
            raise InputError(f"'{model}' is in neither paper's table{hint}")


def published_rows(models: Iterable[str] = MODELS) -> Iterator[PublishedRow]:
    """Every published line of some models beside ours, model by model.

    Raises `InputError` for a model that is in neither table.
    """
    models = tuple(models)
    check_models(models)
    for model in models:
        whole, steps = _capture(model, "fused"), _capture(model, "decomposed")
        counts = count_ops(model, whole, steps)
        launches = count_launches(whole)
        in_steps = launches if whole.ops == steps.ops else count_launches(steps)
        for published in PUBLISHED:
            if published.model == model:
                yield PublishedRow(published, counts, launches, in_steps, onnx_parts(steps))


def count_ops(model: str, whole: Graph, steps: Graph) -> Counts:
    """A model's operators by every measure; `steps` is `whole` with attention in steps."""
    core = core_aten_ops(model)
    return Counts(
        compute=whole.compute_ops,
        in_steps=steps.compute_ops,
        recorded=len(steps.ops),
        core=core.total(),
        core_views=sum(count for name, count in core.items() if name in _VIEWS),
        onnx=sum(nodes for _, _, nodes in onnx_parts(steps)),
        batchnorms=sum(op.kind is Kind.BATCHNORM for op in whole.ops),
    )


def count_launches(graph: Graph) -> dict[str, int]:
    """Groups that hold a compute op, under every strategy with its default settings."""
    return {name: cost(graph, partition(graph, name)).launches for name in STRATEGIES}


def onnx_parts(graph: Graph) -> tuple[tuple[str, int, int], ...]:
    """The ops of a graph by kind, and as how many ONNX nodes they are written; most nodes first."""
    ops: Counter[str] = Counter(op.kind.value for op in graph.ops)
    nodes: Counter[str] = Counter()
    for op in graph.ops:
        nodes[op.kind.value] += _onnx_nodes(op)
    return tuple((kind, ops[kind], count) for kind, count in nodes.most_common())


def _onnx_nodes(op: Op) -> int:
    if op.op_class is OpClass.CONTROL:
        return 0
    if op.kind is Kind.LINEAR and len(op.parameters) == _WITH_BIAS:
        return _MATMUL_AND_SUM
    return _STEPS.get(op.kind, 1)


def core_aten_ops(model: str) -> Counter[str]:
    """The ops of a model's exported program, decomposed to core ATen, by name.

    Taking an element of a tuple is none. Raises `InputError` where torch cannot export the model.
    """
    sourced = with_values(find_model(model, _options(model)))
    with foreign_code(f"torch.export of '{model}'"), quiet(), torch.no_grad():
        program = torch.export.export(sourced.model, *sourced.inputs).run_decompositions()
    return Counter(
        node.target.overloadpacket.__name__
        for node in program.graph.nodes
        if isinstance(node.target, torch._ops.OpOverload)  # noqa: SLF001 - its one name
    )


def _options(model: str) -> Options:
    return Options(seq_len=SEQ_LEN) if model.startswith("hf/") else Options()


def _capture(model: str, attention: str) -> Graph:
    if model.startswith("hf/"):
        return capture(model, attention=attention, seq_len=SEQ_LEN)
    return capture(model, attention=attention)
