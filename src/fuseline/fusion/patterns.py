"""Pattern chains: which two ops one kernel may hold in a row, as a table, and groups' names.

The table speaks the seed document's words: the class of a module, the name of a function. In a
recorded graph, where an op has only the name of an aten function, its kind gives it its word.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from fuseline.graph import Graph, Kind, Op, Origin
from fuseline.plan import METHOD_CALL, NO_LAUNCH, UNFUSED

_NAMED = 3  # a pattern's name spells out this many ops


@dataclass(frozen=True, slots=True)
class Row:
    """One kernel may hold any of `before`, then any of `after`.

    With `joins`, what comes after may have a second producer outside the chain.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    joins: bool = False


# fmt: off
_ROWS: tuple[Row, ...] = (
    # convolution:         Conv2d -> BatchNorm2d -> activation  -->  one kernel
    Row(("Conv2d",),          ("BatchNorm2d", "ReLU", "ReLU6", "SiLU", "Swish")),
    Row(("BatchNorm2d",),     ("ReLU", "ReLU6", "SiLU", "Swish", "Hardswish")),
    # linear:              Linear -> norm or activation         -->  epilogue
    Row(("Linear",),          ("BatchNorm1d", "ReLU", "GELU", "SiLU", "Dropout")),
    # residual:            add -> activation                    -->  one kernel
    Row(("add",),             ("ReLU", "ReLU6", "SiLU")),
    # squeeze-excitation:  pool -> Conv2d -> SiLU -> Conv2d -> Sigmoid -> mul  -->  one kernel
    Row(("AdaptiveAvgPool2d",), ("Conv2d",)),
    Row(("SiLU",),            ("Conv2d",)),
    Row(("Conv2d",),          ("Sigmoid",)),
    Row(("Sigmoid",),         ("mul",), joins=True),
    # elementwise:         activation -> Dropout                -->  one kernel
    Row(("ReLU", "GELU", "SiLU"), ("Dropout",)),
    # transformers:        LayerNorm -> attention, FFN, residual
    Row(("LayerNorm",),       ("MultiheadAttention", "Linear")),
    Row(("MultiheadAttention",), ("Dropout",)),
    Row(("Dropout",),         ("add",)),
    Row(("GELU",),            ("Linear",)),
    Row(("StochasticDepth", "stochastic_depth"), ("add",)),
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Table:
    """Rows, looked up by pair: (word of the producer, word of the consumer)."""

    pairs: frozenset[tuple[str, str]]
    joins: frozenset[tuple[str, str]]


def tabulate(rows: tuple[Row, ...]) -> Table:
    """The pairs that `rows` allow."""
    return Table(
        frozenset(pair for row in rows for pair in product(row.before, row.after)),
        frozenset(pair for row in rows if row.joins for pair in product(row.before, row.after)),
    )


SEED_ROWS = _ROWS
SEED = tabulate(_ROWS)

PAIRS = SEED.pairs
"""(word of the producer, word of the consumer) that one kernel may hold in a row."""

JOINS_ALLOWED = SEED.joins
"""Pairs whose consumer may have a second producer: the squeeze-excitation output."""

_WORDS: dict[Kind, str] = {
    Kind.CONV2D: "Conv2d",
    Kind.CONV2D_POINTWISE: "Conv2d",
    Kind.CONV2D_DEPTHWISE: "Conv2d",
    Kind.LINEAR: "Linear",
    Kind.ADDMM: "Linear",
    Kind.LAYERNORM: "LayerNorm",
    Kind.RMSNORM: "RMSNorm",
    Kind.ADAPTIVEAVGPOOL: "AdaptiveAvgPool2d",
    Kind.MULTIHEAD_ATTENTION: "MultiheadAttention",
    Kind.SHIFTED_WINDOW_ATTENTION: "MultiheadAttention",
    Kind.SCALED_DOT_PRODUCT_ATTENTION: "MultiheadAttention",
    Kind.RELU: "ReLU",
    Kind.RELU6: "ReLU6",
    Kind.SILU: "SiLU",
    Kind.SWISH: "Swish",
    Kind.GELU: "GELU",
    Kind.SIGMOID: "Sigmoid",
    Kind.HARDSWISH: "Hardswish",
    Kind.ADD: "add",
    Kind.MUL: "mul",
    Kind.DROPOUT: "Dropout",
    Kind.STOCHASTIC_DEPTH: "StochasticDepth",
}
"""The table's word for an op of a recorded graph; a kind without one is in no row."""


def word_of(graph: Graph, op: Op) -> str:
    """What the table calls `op`."""
    if op.origin is not Origin.ATEN:
        return op.target
    if op.kind is Kind.BATCHNORM:  # [N, C, ...]: a module class for each rank
        rank = len(graph.tensors[op.inputs[0]].shape) if op.inputs else 0
        return f"BatchNorm{max(rank - 2, 1)}d"
    return _WORDS.get(op.kind, "")


def name_chain(graph: Graph, ops: tuple[int, ...]) -> str:
    """The seed document's pattern name: three operators' targets, then how many more.

    A group of one operator is `Unfused`; one of none is a method call, or is not launched.
    """
    targets = [graph.ops[op].target for op in ops if graph.ops[op].is_operator]
    if not targets:
        return METHOD_CALL if graph.ops[ops[0]].origin is Origin.METHOD else NO_LAUNCH
    if len(targets) == 1:
        return UNFUSED
    more = len(targets) - _NAMED
    return "_".join(targets[:_NAMED]) + (f"_+{more}more" if more > 0 else "")
