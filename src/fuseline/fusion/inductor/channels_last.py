"""Whether Inductor lays a program out channels last: on a CPU always, on a GPU where it pays."""

from __future__ import annotations

from fuseline.fusion.inductor.limits import Limits
from fuseline.graph import Graph, Kind, Op, OpClass

_CONVOLUTIONS = frozenset(
    {Kind.CONV1D, Kind.CONV1D_DEPTHWISE, Kind.CONV2D, Kind.CONV2D_POINTWISE, Kind.CONV2D_DEPTHWISE,
     Kind.CONV3D, Kind.CONV3D_DEPTHWISE, Kind.CONV_TRANSPOSE1D, Kind.CONV_TRANSPOSE2D,
     Kind.CONV_TRANSPOSE3D}
)  # fmt: skip

_MOST_NODES = 300
"""Nodes for each convolution from which on convolutions are too few to matter."""

_SMALL = 64  # channels
_SPEEDUPS = (
    # time channels last by time channels first, as Inductor's authors measured it
    ("grouped", 1.358),
    ("small", 0.783),
    ("narrowing", 0.725),
    ("other", 0.823),
)

_NODES: dict[Kind, int] = {
    # nodes of the program after Inductor's decompositions
    Kind.BATCHNORM: 16,
    Kind.LAYERNORM: 7,
    Kind.GROUPNORM: 12,
    Kind.RMSNORM: 6,
    Kind.GELU: 6,
    Kind.SOFTMAX: 5,
    Kind.SILU: 4,
    Kind.HARDSWISH: 5,
    Kind.LINEAR: 4,
    Kind.MATMUL: 5,
    Kind.ROLL: 5,
}


def lays_out_anew(graph: Graph, limits: Limits) -> bool:
    """Whether `graph` is laid out channels last on the target of `limits`.

    On a GPU the FLOPs of its convolutions decide, weighted by what channels last does for each, and
    only where there is a convolution for every 300 nodes.

    >>> from fuseline.fusion.inductor.limits import CPU
    >>> from fuseline.graph import Builder
    >>> lays_out_anew(Builder().finish(()), CPU)
    False
    """
    convolutions = [op for op in graph.ops if op.kind in _CONVOLUTIONS]
    if not convolutions:
        return False
    if not limits.weighs_layouts:
        return True
    nodes = sum(_NODES.get(op.kind, 1) for op in graph.ops if op.op_class is not OpClass.CONTROL)
    if nodes >= _MOST_NODES * len(convolutions):
        return False
    weights = dict(_SPEEDUPS)
    flops = sum(op.work.flops for op in convolutions)
    return sum(op.work.flops * weights[_sort_of(graph, op)] for op in convolutions) <= flops


def _sort_of(graph: Graph, op: Op) -> str:
    """Which row of `_SPEEDUPS` a convolution is of, by its weight [out, in of a group, ...]."""
    operands = [graph.tensors[number] for number in (*op.inputs, *op.parameters)]
    if len(operands) < 2:  # noqa: PLR2004 - an image, and a weight
        return "other"
    image, weight = operands[:2]
    out, within = weight.shape[:2]
    if image.shape[1] != within > 1:
        return "grouped"
    if max(out, within) <= _SMALL:
        return "small"
    return "narrowing" if out * 2 <= within and weight.shape[2] > 1 else "other"
