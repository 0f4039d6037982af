"""The last-level cache as a second tier: which reads would find their bytes still on chip.

The model, simple enough to follow by hand:

* Groups run in the plan's order. Each touches what it reads, then its parameters, then what it
  writes; inside one of these, storages go by id.
* The cache keeps whole storages, least recently used out first. A storage weighs the distinct
  bytes of it that have been moved, so that a row of a table does not weigh as the table. One that
  alone is larger than the cache leaves it empty.
* A read hits where an earlier group moved those very bytes and the distinct bytes moved since,
  with those of the storage itself, fit in the cache. All reads of a group are judged before any of
  its own bytes move.
* Parameters, buffers and constants stream through: they take room and never hit.
* Every write goes to device memory: no cache knows that a tensor will not be read again.

Left out: associativity, sharing among cores, prefetching, and memory that an allocator hands out
again. So this is a figure beside the traffic to device memory and never in its place.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from fuseline.graph import Flow, Graph
from fuseline.plan import Plan


@dataclass(slots=True)  # the one state of the walk
class _Resident:
    """What the cache has of one storage: cells moved, and bytes that an index selected."""

    mask: int = 0
    selected_nbytes: int = 0


class _Cache:
    """Whole storages, from the least to the most recently used."""

    def __init__(self, graph: Graph, capacity_nbytes: int) -> None:
        self.graph = graph
        self.capacity_nbytes = capacity_nbytes
        self.residents: OrderedDict[int, _Resident] = OrderedDict()

    def weigh(self, storage: int) -> int:
        """Bytes that a resident takes."""
        resident = self.residents[storage]
        moved = resident.mask.bit_count() * self.graph.flows.cell_bytes[storage]
        return min(moved + resident.selected_nbytes, self.graph.storages[storage].nbytes)

    def missing(self, flows: list[Flow]) -> int:
        """Bytes of a read, of one storage, that are not there."""
        resident = self.residents.get(flows[0].storage)
        if resident is None:
            return self.graph.flows.nbytes(flows)
        left = [flow._replace(mask=flow.mask & ~resident.mask) for flow in flows]
        return self.graph.flows.nbytes(left)

    def touch(self, flows: Iterable[Flow]) -> None:
        """Move bytes through the cache; flows of one access are limited together."""
        seen: set[tuple[int, int]] = set()
        for flow in flows:
            resident = self.residents.setdefault(flow.storage, _Resident())
            self.residents.move_to_end(flow.storage)
            if flow.limit is None:
                resident.mask |= flow.mask
            elif (flow.storage, flow.access) not in seen:
                seen.add((flow.storage, flow.access))
                resident.selected_nbytes += flow.limit

    def evict(self) -> None:
        """Let go of the least recently used until the rest fits."""
        total = sum(map(self.weigh, self.residents))
        while total > self.capacity_nbytes:
            oldest = next(iter(self.residents))
            total -= self.weigh(oldest)
            del self.residents[oldest]


def cache_hits(graph: Graph, plan: Plan, capacity_nbytes: int) -> tuple[int, ...]:
    """Bytes of each group's reads that the cache would serve, in the plan's order [bytes].

    >>> from fuseline.graph import Builder, Kind, Role
    >>> from fuseline.plan import Group
    >>> build = Builder()
    >>> x = build.tensor("x", (4, 4), role=Role.INPUT)  # 64 bytes each
    >>> y = build.op("first", Kind.RELU, inputs=[x], shape=(4, 4))
    >>> graph = build.finish([build.op("second", Kind.RELU, inputs=[y], shape=(4, 4))])
    >>> apart = Plan("apart", (Group(0, (0,), "relu"), Group(1, (1,), "relu")), ())
    >>> cache_hits(graph, apart, 64), cache_hits(graph, apart, 63)
    ((0, 64), (0, 0))
    """
    cache = _Cache(graph, capacity_nbytes)
    hits: list[int] = []
    for group in plan.groups:
        reads, parameters, writes = _moved(graph, group.ops)
        by_storage: dict[int, list[Flow]] = defaultdict(list)
        for flow in reads:
            by_storage[flow.storage].append(flow)
        needed = sum(map(graph.flows.nbytes, by_storage.values()))
        hits.append(needed - sum(map(cache.missing, by_storage.values())))
        for flows in (reads, parameters, writes):
            cache.touch(sorted(flows, key=lambda flow: flow.storage))
        cache.evict()
    return tuple(hits)


def _moved(graph: Graph, ops: Iterable[int]) -> tuple[list[Flow], list[Flow], list[Flow]]:
    """What a group reads, takes of parameters, and writes across its boundary."""
    inside = frozenset(ops)
    reads: list[Flow] = []
    parameters: list[Flow] = []
    writes: list[Flow] = []
    for op in sorted(inside):
        for flow in graph.flows.read_by[op]:
            if flow.writer not in inside:
                held = graph.storages[flow.storage].is_held
                (parameters if held else reads).append(flow)
        for flow in graph.flows.written_by[op]:
            if flow.reader not in inside:  # a reader's limit is not the writer's
                limit = graph.flows.write_limits.get((flow.storage, op))
                writes.append(flow._replace(access=op, limit=limit))
    return reads, parameters, writes
