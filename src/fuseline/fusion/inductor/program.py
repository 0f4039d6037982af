"""The program that Inductor is given: nothing folded ahead of time, convolutions channels last."""

from __future__ import annotations

from dataclasses import replace

from fuseline.fusion.inductor.layouts import with_layout_copies
from fuseline.fusion.inductor.limits import CPU, Limits
from fuseline.graph import Graph, Op, Role


def as_program(graph: Graph, *, limits: Limits = CPU, channels_last: bool = True) -> Graph:
    """`graph` as Inductor runs it on the target of `limits`.

    What follows from parameters and constants alone is computed in every run, and every tensor lies
    as `with_layout_copies` says; no convolution is run channels last with `channels_last` unset, as
    where Inductor's `layout_optimization` is off. Ops keep their names.

    >>> from fuseline.graph import Builder, Kind, Role
    >>> from fuseline.graph.fold import fold_constants
    >>> build = Builder()
    >>> w = build.tensor("w", (4,), role=Role.PARAMETER)
    >>> x = build.tensor("x", (4,), role=Role.INPUT)
    >>> scaled = build.op("scale", Kind.MUL, parameters=[w], shape=(4,))
    >>> total = build.op("add", Kind.ADD, inputs=[x, scaled], shape=(4,))
    >>> graph = fold_constants(build.finish([total]))
    >>> [op.name for op in graph.ops], [op.name for op in as_program(graph).ops]
    (['add'], ['scale', 'add'])
    """
    return with_layout_copies(_unfolded(graph), limits=limits, channels_last=channels_last)


def _unfolded(graph: Graph) -> Graph:
    """The folded ops that are needed, before all others, as ops of the program."""
    folded = _needed(graph)
    ahead = len(folded)
    if not ahead:
        return graph
    later = (
        replace(op, id=op.id + ahead, predecessors=tuple(n + ahead for n in op.predecessors))
        for op in graph.ops
    )
    made = {graph.tensors[t].storage for op in folded if op.is_compute for t in op.outputs}
    storages = tuple(
        replace(storage, role=Role.ACTIVATION) if storage.id in made else storage
        for storage in graph.storages
    )
    return replace(graph, storages=storages, ops=(*folded, *later), folded=())


def _needed(graph: Graph) -> tuple[Op, ...]:
    """The folded ops whose results the program reads, their ids dense."""
    read = {graph.tensors[t].storage for op in graph.ops for t in (*op.inputs, *op.parameters)}
    read.update(graph.tensors[t].storage for t in graph.outputs)
    kept: list[Op] = []
    for op in reversed(graph.folded):
        touched = {graph.tensors[t].storage for t in (*op.outputs, *op.writes)}
        if not read.isdisjoint(touched):
            read.update(graph.tensors[t].storage for t in (*op.inputs, *op.parameters))
            kept.append(op)
    kept.reverse()
    place = {op.id: number for number, op in enumerate(kept)}
    return tuple(
        replace(
            op,
            id=place[op.id],
            predecessors=tuple(place[n] for n in op.predecessors if n in place),
        )
        for op in kept
    )
