"""The compute ops of a graph alone, as bitsets: what depends on what, views looked through.

A set of compute ops is a Python integer with one bit an op, in program order. The graph of groups
of compute ops is acyclic just where that of all ops is, with each view in the group of the op it
looks at or alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from fuseline.graph import Graph


def bits(mask: int) -> Iterator[int]:
    """The places of the bits set, lowest first.

    >>> list(bits(0b1101))
    [0, 2, 3]
    """
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


class ComputeOps:
    """The compute ops of `graph`, numbered from 0 in program order.

    `ops` are their ids in the graph, `number` is the inverse; `before` and `after` are the direct
    dependences of each, hazards and paths through views and control ops included.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.ops = tuple(op.id for op in graph.ops if op.is_compute)
        self.number = {op: place for place, op in enumerate(self.ops)}
        self.before: list[int] = []
        behind: list[int] = []  # of every op: the compute ops that it is, or looks through to
        for op in graph.ops:
            mask = 0
            for earlier in graph.dependences[op.id]:
                mask |= behind[earlier]
            if op.is_compute:
                self.before.append(mask)
                mask = 1 << self.number[op.id]
            behind.append(mask)
        self.after = transposed(self.before)

    def __len__(self) -> int:
        return len(self.ops)

    def mask_of(self, ops: Iterable[int]) -> int:
        """The set of those of `ops` (ids in the graph) that are compute ops."""
        mask = 0
        for op in ops:
            if op in self.number:
                mask |= 1 << self.number[op]
        return mask

    def ids(self, mask: int) -> tuple[int, ...]:
        """The ids in the graph of a set."""
        return tuple(self.ops[place] for place in bits(mask))

    @cached_property
    def ancestors(self) -> list[int]:
        """For each op all that must run before it."""
        return closure(self.before)


def transposed(before: list[int]) -> list[int]:
    """Edges the other way round."""
    after = [0] * len(before)
    for place, mask in enumerate(before):
        for earlier in bits(mask):
            after[earlier] |= 1 << place
    return after


def closure(before: list[int]) -> list[int]:
    """For each node of a graph in topological order all nodes with a path to it."""
    found: list[int] = []
    for mask in before:
        above = mask
        for earlier in bits(mask):
            above |= found[earlier]
        found.append(above)
    return found


def is_convex(ops: int, ancestors: list[int], before: list[int]) -> bool:
    """Whether no path leaves the set and comes back."""
    above = 0
    for place in bits(ops):
        above |= before[place]
    return all(not ancestors[outside] & ops for outside in bits(above & ~ops))
