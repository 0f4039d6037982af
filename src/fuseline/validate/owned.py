"""Kernels of a real compiler, each with the ops of ours that it computes, as a `Plan`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from fuseline.errors import InputError
from fuseline.fusion.patterns import name_chain
from fuseline.graph import Graph, OpClass
from fuseline.plan import Group, Plan


class Share(IntEnum):
    """What a piece of an op does for it; the greater shares tell whose kernel the op is."""

    MOVES = 0  # moves data and computes nothing
    COMPUTES = 1
    CONTRACTS = 2  # the contraction of a linear layer or a convolution, whose bias is a piece too


@dataclass(frozen=True, slots=True)
class Piece:
    """One function of a kernel: its name, and the op (by name) that it is a part of."""

    function: str
    op: str
    share: Share


Kernel = tuple[Piece, ...]


def plan_of_kernels(
    graph: Graph, strategy: str, kernels: Sequence[Kernel], removed: Iterable[str] = ()
) -> Plan:
    """The plan in which each kernel owns the ops that it computes, kernels in the order they run.

    A piece that only moves data owns its op where no other piece computes anything of it. The bias
    of a contraction that a kernel adds beside other ops' work does not make the contraction its
    own. An op in pieces of several kernels is in the group of each: then the plan is a cover.

    `removed` are ops of which the compiler computes nothing: each is in the group of what it takes,
    as views that no kernel has are.

    Raises `InputError` where a compute op is in no kernel.
    """
    groups = _owned(graph, kernels)
    last = {op: place for place, ops in enumerate(groups) for op in ops}
    gone = frozenset(removed)
    alone: list[list[int]] = []
    for op in graph.ops:
        if op.id in last:
            continue
        if op.is_compute and op.name not in gone:
            raise InputError(
                f"{strategy}: {op.name} of '{graph.source.name}' is in no kernel, and is no view"
            )
        home = max((last[taken] for taken in op.predecessors if taken in last), default=None)
        if home is None:
            alone.append([op.id])
            continue
        groups[home].append(op.id)
        last[op.id] = home
    ordered = [tuple(sorted(ops)) for ops in (*alone, *groups)]
    return Plan(
        strategy,
        tuple(Group(place, ops, name_chain(graph, ops)) for place, ops in enumerate(ordered)),
        refusals=(),
        is_cover=sum(map(len, ordered)) > len(graph.ops),
    )


def _owned(graph: Graph, kernels: Sequence[Kernel]) -> list[list[int]]:
    """The ops of each kernel that has any."""
    numbers = {op.name: op.id for op in graph.ops}
    most: dict[str, Share] = {}
    for kernel in kernels:
        for piece in kernel:
            most[piece.op] = max(piece.share, most.get(piece.op, Share.MOVES))
    found = []
    for kernel in kernels:
        share: dict[str, Share] = {}
        for piece in kernel:
            if piece.op in numbers:
                share[piece.op] = max(piece.share, share.get(piece.op, Share.MOVES))
        ops = [op for op, part in share.items() if part >= min(most[op], Share.COMPUTES)]
        main = [
            op
            for op in ops
            if share[op] == most[op] or graph.ops[numbers[op]].op_class is not OpClass.CONTRACTION
        ]
        if ops:
            found.append([numbers[op] for op in main or ops])
    return found
