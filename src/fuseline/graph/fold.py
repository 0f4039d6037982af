"""Constant folding: what needs no input runs once, ahead of time, and leaves a constant.

    weight -> standardise -> conv(x, .)   -->   conv(x, constant)
    arange -> compare -> mask             -->   mask, a constant

An op is folded where everything it reads is constant and nothing it does can be seen: it draws no
random number, and writes no storage that the model keeps or that an op which stays writes too.
Folded ops are listed in `Graph.folded`, with their work.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fuseline.graph.data import Op, Role
from fuseline.graph.graph import Graph
from fuseline.graph.kinds import Kind, OpClass

_NEVER = frozenset({Kind.RANDOM, Kind.UNKNOWN, Kind.CUSTOM, Kind.DROPOUT, Kind.STOCHASTIC_DEPTH})


def fold_constants(graph: Graph, *, parameters: bool = True) -> Graph:
    """`graph` with its constant ops in `folded`; ids dense again.

    With `parameters` false (a model that trains) parameters and buffers change between runs, and
    only what depends on neither is folded.
    """
    stays = _ops_that_stay(graph, parameters=parameters)
    folded = [op for op in graph.ops if op.id not in stays]
    if not folded:
        return graph
    made = {
        graph.tensors[tensor].storage for op in folded if op.is_compute for tensor in op.outputs
    }
    storages = tuple(
        replace(storage, role=Role.CONSTANT)
        if storage.id in made and storage.role is Role.ACTIVATION
        else storage
        for storage in graph.storages
    )
    tensors = tuple(
        replace(tensor, role=Role.CONSTANT)
        if tensor.storage in made and tensor.role is Role.ACTIVATION
        else tensor
        for tensor in graph.tensors
    )
    held = {storage.id for storage in storages if storage.is_held}
    kept = [_held_as_parameters(graph, op, held) for op in graph.ops if op.id in stays]
    return replace(
        graph,
        storages=storages,
        tensors=tensors,
        ops=_renumbered(kept),
        folded=_renumbered(folded),
    )


def _ops_that_stay(graph: Graph, *, parameters: bool) -> set[int]:
    """Ids of ops that depend on an input, or do what can be seen."""
    changing = {Role.INPUT} if parameters else {Role.INPUT, Role.PARAMETER, Role.BUFFER}
    lasting = {s.id for s in graph.storages if s.role is not Role.ACTIVATION}
    varying = {s.id for s in graph.storages if s.role in changing}
    stays: set[int] = set()
    while True:  # a storage may be written by an op that stays after one that seemed constant
        before = len(varying)
        stays = set()
        for op in graph.ops:
            touched = _storages(graph, (*op.inputs, *op.parameters, *op.writes, *op.outputs))
            written = _storages(graph, op.writes)
            if touched & varying or written & lasting or _can_be_seen(op):
                stays.add(op.id)
                varying |= written | _storages(graph, op.outputs)
        if len(varying) == before:
            return stays


def _can_be_seen(op: Op) -> bool:
    return op.op_class is not OpClass.VIEW and op.kind in _NEVER


def _storages(graph: Graph, tensors: Iterable[int]) -> set[int]:
    return {graph.tensors[tensor].storage for tensor in tensors}


def _held_as_parameters(graph: Graph, op: Op, held: set[int]) -> Op:
    """The op with its folded inputs among what the model holds."""
    now_held = tuple(t for t in op.inputs if graph.tensors[t].storage in held)
    if not now_held:
        return op
    if op.inputs[0] in now_held:  # `axes` speak of the first operand, and that moves
        op = replace(op, axes=None, row_numel=None)
    return replace(
        op,
        inputs=tuple(t for t in op.inputs if t not in now_held),
        parameters=tuple(dict.fromkeys((*op.parameters, *now_held))),
    )


def _renumbered(ops: list[Op]) -> tuple[Op, ...]:
    """The ops with dense ids; predecessors outside the list are dropped."""
    number = {op.id: place for place, op in enumerate(ops)}
    return tuple(
        replace(
            op,
            id=place,
            predecessors=tuple(number[p] for p in op.predecessors if p in number),
        )
        for place, op in enumerate(ops)
    )
