"""What a set of compute ops costs, many times over: the same figures as `costs.group_traffic`.

Bytes that lie in storages are cut into *items*, so that an op that joins a set changes only the
items it touches. Most are one written value and its readers: a comparison of bitsets each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from fuseline.costs import group_traffic
from fuseline.fusion.compute import ComputeOps, bits
from fuseline.graph import OUTSIDE, Flow


@dataclass(frozen=True, slots=True)
class Value:
    """One version of a storage that is only touched whole: its writer (0: outside) and readers."""

    nbytes: int
    writer: int
    readers: int
    kept: bool

    def cost(self, group: int) -> int:
        """Bytes that `group` moves of it."""
        if self.writer & group:
            return self.nbytes if self.kept or self.readers & ~group else 0
        return self.nbytes if self.readers & group else 0


@dataclass(frozen=True, slots=True)
class Pieces:
    """A storage that is touched in parts, or by index: priced as `group_traffic` does.

    `members` are the compute ops of each place of the sets it is asked about; `known` are answers.
    """

    compute: ComputeOps
    members: Sequence[int]
    touching: int
    known: dict[int, int]
    storage: int

    def cost(self, group: int) -> int:
        """Bytes that `group` moves of it."""
        touching = self.touching & group
        found = self.known.get(touching)
        if found is None:
            ops = 0
            for place in bits(touching):
                ops |= self.members[place]
            found = self.known[touching] = _storage_traffic(self.compute, ops, self.storage)
        return found


def _storage_traffic(compute: ComputeOps, group: int, storage: int) -> int:
    graph = compute.graph
    flows = graph.flows
    inside = frozenset(compute.ids(group))
    read: list[Flow] = []
    wrote: dict[int, list[Flow]] = defaultdict(list)
    for op in inside:
        read += (
            flow
            for flow in flows.read_by[op]
            if flow.storage == storage and flow.writer not in inside
        )
        for flow in flows.written_by[op]:
            if flow.storage == storage and flow.reader not in inside:
                wrote[op].append(flow._replace(limit=None))
    total = flows.nbytes(read) if read else 0
    for op, found in wrote.items():
        nbytes = flows.nbytes(found)
        total += min(nbytes, flows.write_limits.get((storage, op), nbytes))
    return total


class Prices:
    """Bytes that any set moves: of compute ops, or of groups of them that are not taken apart.

    `members` are the compute ops of each place of a set (bitsets over `compute`).

    >>> from fuseline.graph import Builder, Kind, Role
    >>> build = Builder()
    >>> x = build.tensor("x", (4, 4), role=Role.INPUT)  # 64 bytes
    >>> y = build.op("first", Kind.RELU, inputs=[x], shape=(4, 4))
    >>> graph = build.finish([build.op("second", Kind.RELU, inputs=[y], shape=(4, 4))])
    >>> prices = Prices(ComputeOps(graph), [0b01, 0b10])
    >>> prices.nbytes(0b01), prices.nbytes(0b10), prices.nbytes(0b11)
    (128, 128, 128)
    """

    def __init__(self, compute: ComputeOps, members: Sequence[int]) -> None:
        self.items: list[Value | Pieces] = []
        self.touching: list[list[int]] = [[] for _ in members]
        self._compute = compute
        self._members = members
        self._home = {
            compute.ops[op]: 1 << place for place, ops in enumerate(members) for op in bits(ops)
        }
        self._home[OUTSIDE] = 0
        by_storage: dict[int, list[Flow]] = defaultdict(list)
        flows = compute.graph.flows
        for read in flows.read_by:
            for flow in read:
                by_storage[flow.storage].append(flow)
        for flow in flows.kept:
            by_storage[flow.storage].append(flow)
        for storage, found in by_storage.items():
            self._add(storage, found)

    def _add(self, storage: int, flows: list[Flow]) -> None:
        home, every = self._home, self._compute.graph.flows
        masks = {flow.mask for flow in flows}
        by_index = any(
            flow.limit is not None or (storage, flow.writer) in every.write_limits for flow in flows
        )
        if len(masks) > 1 or by_index:
            touching = 0
            for flow in flows:
                touching |= home[flow.writer] | home[flow.reader]
            self._place(Pieces(self._compute, self._members, touching, {}, storage), touching)
            return
        nbytes = masks.pop().bit_count() * every.cell_bytes[storage]
        readers: dict[int, int] = defaultdict(int)
        kept = {flow.writer for flow in flows if flow.reader == OUTSIDE}
        for flow in flows:
            readers[flow.writer] |= home[flow.reader]
        for writer, found in readers.items():
            value = Value(nbytes, home[writer], found, writer in kept)
            if found & ~value.writer or value.kept:  # else it never leaves its place
                self._place(value, value.writer | found)

    def _place(self, item: Value | Pieces, touching: int) -> None:
        for place in bits(touching):
            self.touching[place].append(len(self.items))
        self.items.append(item)

    def nbytes(self, group: int) -> int:
        """Bytes that `group` moves."""
        found = {item for op in bits(group) for item in self.touching[op]}
        return sum(self.items[item].cost(group) for item in found)

    def added(self, group: int, nbytes: int, more: int) -> int:
        """Bytes that `group` and `more` together move, where `group` alone moves `nbytes`."""
        both = group | more
        items = {item for op in bits(more) for item in self.touching[op]}
        for place in items:
            item = self.items[place]
            nbytes += item.cost(both) - item.cost(group)
        return nbytes


def traffic_of(compute: ComputeOps, group: int) -> int:
    """The same from first principles, for who wants to check."""
    return group_traffic(compute.graph, compute.ids(group)).nbytes
