"""Bytes that groups move across their boundary, to or from device memory.

For a group g, with tensors taken by storage:

    reads(g)       what g reads and does not make, parameters apart
    parameters(g)  parameters, buffers and constants that g reads
    writes(g)      by storage version, what g writes that a compute op outside g reads, or that
                   outputs, mutated inputs or buffers hold

Each is a union of bytes, so nothing is counted twice inside a group; a tensor that two groups
read is read twice. This is the whole-tensor model: the least that one kernel can move. A real
tiled kernel may re-read operands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fuseline.graph import Flow, Graph


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes one group moves, by why it moves them."""

    reads: int
    parameters: int
    writes: int

    @property
    def nbytes(self) -> int:
        """All bytes that cross the group's boundary."""
        return self.reads + self.parameters + self.writes


def group_traffic(graph: Graph, ops: Iterable[int]) -> Traffic:
    """What one kernel made of `ops` (ids) moves [bytes]. Views and control ops move nothing."""
    flows = graph.flows
    inside = frozenset(ops)
    taken: dict[int, list[Flow]] = {}
    left: dict[tuple[int, int], list[Flow]] = {}
    for op in inside:
        for flow in flows.read_by[op]:
            if flow.writer not in inside:
                taken.setdefault(flow.storage, []).append(flow)
        for flow in flows.written_by[op]:
            if flow.reader not in inside:
                left.setdefault((flow.storage, op), []).append(_unlimited(flow))
    reads = parameters = writes = 0
    for storage, found in taken.items():
        if graph.storages[storage].is_held:
            parameters += flows.nbytes(found)
        else:
            reads += flows.nbytes(found)
    for written, found in left.items():
        nbytes = flows.nbytes(found)
        writes += min(nbytes, flows.write_limits.get(written, nbytes))
    return Traffic(reads, parameters, writes)


def _unlimited(flow: Flow) -> Flow:
    """A writer does not know which rows an index will select: it writes them all."""
    if flow.limit is None:
        return flow
    return Flow(flow.storage, flow.writer, flow.reader, flow.mask, flow.access)
