"""Which dtype an op computes in: its rate depends on it."""

from __future__ import annotations

from itertools import chain

from fuseline.graph import Graph, Op

INTEGERS = frozenset({"bool", "int16", "uint16", "int32", "uint32", "int64", "uint64", "qint32"})
"""Contractions of these run on no matrix unit: they are priced at the vector rate."""

_NOT_FLOATS = INTEGERS | {"uint8", "int8", "qint8", "quint8"}


def contracted_dtype(graph: Graph, op: Op) -> str:
    """The dtype that a contraction computes in: that of its first operand, an activation where it
    has one. Weights of fewer bits are widened to it.
    """
    operands = chain(op.inputs, op.parameters, op.outputs)
    return next((graph.tensors[tensor].dtype for tensor in operands), graph.source.dtype)


def computed_dtype(graph: Graph, op: Op) -> str:
    """The dtype of other work: the first float among inputs, outputs, parameters, else the first
    dtype at all (a comparison of floats makes bools, an embedding reads integers).
    """
    operands = [graph.tensors[t].dtype for t in chain(op.inputs, op.outputs, op.parameters)]
    floats = (dtype for dtype in operands if dtype not in _NOT_FLOATS)
    return next(floats, operands[0] if operands else graph.source.dtype)
