"""Attention in a graph that shows its steps: scores, softmax and values; projections side by side.

Found by kind and shape of graph alone, so that every model's own way of writing it takes part.
"""

from __future__ import annotations

from collections import defaultdict

from fuseline.fusion.neighbours import Neighbours
from fuseline.graph import OUTSIDE, Graph, Kind, Op, OpClass

_PRODUCTS = frozenset({Kind.MATMUL, Kind.ADDMM, Kind.EINSUM})
_LINEARS = frozenset({Kind.LINEAR, Kind.ADDMM, Kind.MATMUL})
_SCALES = frozenset({Kind.MUL, Kind.DIV})
_STEPS = (  # after the scores, kinds of op and whether there is just one of them
    (frozenset({*_SCALES, Kind.ADD, Kind.SUB, Kind.WHERE, Kind.CAST}), False),  # scale, mask
    (frozenset({Kind.SOFTMAX}), True),
    (frozenset({Kind.CAST, Kind.DROPOUT}), False),
    (_PRODUCTS, True),  # values
)
_NORMS = frozenset({Kind.LAYERNORM, Kind.RMSNORM})
_MATRIX = 2  # sizes of a weight: [out, in]


def find_attention(near: Neighbours, scores: Op) -> tuple[int, ...] | None:
    """The ops of the attention whose scores are `scores`, values last; None where it is none.

    ``matmul -> scale, mask ... -> softmax -> cast, dropout ... -> matmul``: each result on the
    way has one consumer and leaves the kernel nowhere else. Scales of query or key come with it
    where nothing else takes them. Masks, biases and values may come from anywhere.
    """
    graph = near.graph
    if scores.kind not in _PRODUCTS or is_linear(graph, scores):
        return None
    found = [scores]
    for kinds, once in _STEPS:
        before = len(found)
        while (op := _passes_to(near, found[-1])) is not None and op.kind in kinds:
            found.append(op)
            if once:
                break
        if once and len(found) == before:
            return None
    values = found[-1]
    if is_linear(graph, values):
        return None
    scales = [
        op.id
        for op in near.producers[scores.id]
        if is_scale(graph, op) and _passes_to(near, op) is scores
    ]
    return (*scales, *(op.id for op in found))


def find_siblings(graph: Graph) -> list[list[int]]:
    """Linear ops that read the same activation, where there are several.

    Counted up to the next attention or product of activations: projections of one attention stand
    together, those that many layers make of one encoding do not.
    """
    found: dict[tuple[object, ...], list[int]] = defaultdict(list)
    products = 0
    for op in graph.ops:
        if is_linear(graph, op):
            if (read := _reads(graph, op)) is not None:
                found[products, *read].append(op.id)
        elif op.kind in _PRODUCTS or op.op_class is OpClass.ATTENTION:
            products += 1
    return [ops for ops in found.values() if len(ops) > 1]


def find_norm_before(near: Neighbours, siblings: list[int]) -> int | None:
    """The norm whose result `siblings` take, and nothing else does."""
    producers = near.before[siblings[0]]
    norm = near.graph.ops[producers[0]] if len(producers) == 1 else None
    if norm is None or norm.kind not in _NORMS or _is_kept(near.graph, norm):
        return None
    return norm.id if set(near.after[norm.id]) == set(siblings) else None


def is_linear(graph: Graph, op: Op) -> bool:
    """Whether `op` multiplies an activation with a weight that the model holds."""
    if op.kind not in _LINEARS:
        return False
    return any(
        is_held(graph, tensor) and len(graph.tensors[tensor].shape) == _MATRIX
        for tensor in (*op.parameters, *op.inputs)
    )


def is_scale(graph: Graph, op: Op) -> bool:
    """Whether `op` multiplies or divides one tensor by a number."""
    if op.kind not in _SCALES:
        return False
    sized = [tensor for tensor in (*op.inputs, *op.parameters) if graph.tensors[tensor].numel > 1]
    return len(sized) == 1


def is_held(graph: Graph, tensor: int) -> bool:
    """Whether the model holds the tensor's bytes before it runs."""
    return graph.storages[graph.tensors[tensor].storage].is_held


def _reads(graph: Graph, op: Op) -> tuple[object, ...] | None:
    """The one activation that `op` reads, by where its bytes lie; None where it reads several."""
    read = [graph.tensors[tensor] for tensor in op.inputs if not is_held(graph, tensor)]
    if len(read) != 1:
        return None
    return read[0].storage, read[0].offset, read[0].shape, read[0].strides


def _passes_to(near: Neighbours, op: Op) -> Op | None:
    """The only consumer of `op`, unless what `op` makes also outlives the graph."""
    return None if _is_kept(near.graph, op) else near.only_consumer(op.id)


def _is_kept(graph: Graph, op: Op) -> bool:
    return any(flow.reader == OUTSIDE for flow in graph.flows.written_by[op.id])
