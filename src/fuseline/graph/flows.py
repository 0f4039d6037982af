"""Who reads what whom wrote: the movement of bytes between ops, by storage version.

Ops are walked in program order. Every write starts a new version of the bytes it covers; every
read takes each byte from its last writer. In-place code, writes through views and partial writes
need no special case: a write to a view is a write to the cells of its base.

A write of which an index selects the place (a scatter) may leave any of the bytes it covers as
they were: what was written before stays beside it.

Only compute ops read and write memory. Views and control ops pass through.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from fuseline.graph.cells import Cells, View, cut, view_of
from fuseline.graph.data import Op, Role, Storage, Tensor

OUTSIDE = -1
"""Writer of bytes that exist before the graph runs (inputs, parameters); reader of bytes that
outlive it (outputs, mutated inputs, buffers)."""


class Flow(NamedTuple):  # there are tens of thousands: a tuple is made and hashed fastest
    """Cells of one storage that `writer` leaves and `reader` takes.

    `limit` caps the bytes where an index selects them (a gather); None reads all of `mask`.
    Flows of one read (from several writers) share its number, `access`, and so its limit.
    """

    storage: int
    writer: int
    reader: int
    mask: int
    access: int
    limit: int | None = None

    def limited(self, end: int, limit: int) -> Flow:
        """The same, at most `limit` bytes of it: flows of one writer share a number after `end`."""
        return self._replace(access=end + 1 + self.writer, limit=limit)


@dataclass(frozen=True, slots=True)
class Flows:
    """All flows of a graph, by the op that reads and by the op that writes, and its hazards.

    `orders` are pairs (earlier op, later op) that share memory and must keep their order: read
    after write, write after read, write after write. `write_limits` are the most bytes that an op
    leaves in a storage, by (storage, op), where an index selects them.
    """

    cell_bytes: dict[int, int]
    read_by: tuple[tuple[Flow, ...], ...]
    written_by: tuple[tuple[Flow, ...], ...]
    kept: tuple[Flow, ...]
    orders: frozenset[tuple[int, int]]
    write_limits: dict[tuple[int, int], int] = field(default_factory=dict)

    def nbytes(self, flows: list[Flow]) -> int:
        """Distinct bytes of `flows`, all of one storage; gathered bytes up to their limits.

        An index may select any rows: gathers cost the most distinct bytes that they could touch
        together, each at most its limit.
        """
        first = flows[0]
        cell = self.cell_bytes[first.storage]
        if len(flows) == 1 and first.limit is None:  # nearly all reads and writes
            return first.mask.bit_count() * cell
        whole = 0
        gathers: dict[int, tuple[int, int]] = {}  # access -> (cells it may touch, limit)
        for flow in flows:
            if flow.limit is None:
                whole |= flow.mask
            else:
                mask, limit = gathers.get(flow.access, (0, flow.limit))
                gathers[flow.access] = (mask | flow.mask, limit)
        if not gathers:
            return whole.bit_count() * cell
        limits: dict[int, int] = defaultdict(int)  # by mask: the same rows, selected again
        for mask, limit in gathers.values():
            limits[mask & ~whole] += limit
        return whole.bit_count() * cell + _most_gathered(limits, cell)


def _most_gathered(limits: dict[int, int], cell: int) -> int:
    """The most distinct bytes that gathers can touch, each of its mask at most its limit.

    A maximum flow from gathers to cells, cells that the same gathers may touch taken as one. By
    duality it is the cheapest split into gathers read whole and gathers read up to their limits,
    so that no way of grouping the gathers costs less than all of them together.
    """
    parts: list[int] = []  # disjoint sets of cells that no mask cuts
    for mask in limits:
        pieces = [piece for part in parts for piece in (part & mask, part & ~mask)]
        parts = [piece for piece in (*pieces, mask & ~sum(parts)) if piece]
    room = [part.bit_count() * cell for part in parts]
    reach = [[n for n, part in enumerate(parts) if part & mask] for mask in limits]
    sent: list[dict[int, int]] = [defaultdict(int) for _ in limits]  # gather -> part -> bytes

    def send(gather: int, wanted: int, seen: set[int]) -> int:
        """Push up to `wanted` more bytes out of `gather`, moving other gathers' where needed."""
        pushed = 0
        for part in reach[gather]:
            if part in seen or pushed == wanted:
                continue
            free = min(room[part], wanted - pushed)
            room[part] -= free
            sent[gather][part] += free
            pushed += free
            if pushed == wanted:
                break
            seen.add(part)
            for other, shares in enumerate(sent):
                if other != gather and shares[part] and pushed < wanted:
                    moved = send(other, min(shares[part], wanted - pushed), seen)
                    shares[part] -= moved
                    sent[gather][part] += moved
                    pushed += moved
        return pushed

    total = 0
    for gather, limit in enumerate(limits.values()):
        left = limit
        while left and (pushed := send(gather, left, set())):
            left -= pushed
            total += pushed
    return total


class _Access(NamedTuple):
    """One op's use of one tensor; op OUTSIDE reads what outlives the graph."""

    op: int
    view: View
    writes: bool
    limit: int | None = None


def trace_flows(
    storages: tuple[Storage, ...],
    tensors: tuple[Tensor, ...],
    ops: tuple[Op, ...],
    outputs: tuple[int, ...],
) -> Flows:
    """Follow every byte from its writers to its readers, in one pass over the ops."""
    by_storage = _accesses(storages, tensors, ops)
    for tensor in outputs:
        storage = tensors[tensor].storage
        by_storage[storage].append(_Access(OUTSIDE, view_of(tensors[tensor]), writes=False))
    cell_bytes: dict[int, int] = {}
    read_by: list[list[Flow]] = [[] for _ in ops]
    written_by: list[list[Flow]] = [[] for _ in ops]
    kept: list[Flow] = []
    orders: set[tuple[int, int]] = set()
    limits: dict[tuple[int, int], int] = {}
    scattered = {tensors[scatter.tensor].storage for op in ops for scatter in op.scatters}
    for storage, accesses in by_storage.items():
        cells = cut(tuple({access.view: None for access in accesses}))
        cell_bytes[storage] = cells.nbytes
        lasting = storages[storage].role is not Role.ACTIVATION
        if storage in scattered:
            limits |= _write_limits(storage, accesses)
        for found in _walk(storage, accesses, cells, orders, lasting=lasting):
            flow = found
            if found.reader == OUTSIDE:
                if (limit := limits.get((storage, found.writer))) is not None:
                    flow = found.limited(len(accesses), limit)
                kept.append(flow)
            else:
                read_by[flow.reader].append(flow)
            if flow.writer != OUTSIDE:
                written_by[flow.writer].append(flow)
    return Flows(
        cell_bytes,
        tuple(tuple(flows) for flows in read_by),
        tuple(tuple(flows) for flows in written_by),
        tuple(kept),
        frozenset(orders),
        limits,
    )


def _accesses(
    storages: tuple[Storage, ...], tensors: tuple[Tensor, ...], ops: tuple[Op, ...]
) -> dict[int, list[_Access]]:
    by_storage: dict[int, list[_Access]] = defaultdict(list)
    views: dict[int, View] = {}

    def view(index: int) -> View:
        if index not in views:
            views[index] = view_of(tensors[index])
        return views[index]

    known = {storage.id for storage in storages if storage.role is not Role.ACTIVATION}
    for op in ops:
        fresh = [index for index in op.outputs if tensors[index].storage not in known]
        known.update(tensors[index].storage for index in fresh)
        if not op.is_compute:
            continue
        scatters = {scatter.tensor: scatter.nbytes for scatter in op.scatters}
        limits = scatters | {gather.tensor: gather.nbytes for gather in op.gathers}
        for index in dict.fromkeys((*op.inputs, *op.parameters)):
            access = _Access(op.id, view(index), writes=False, limit=limits.get(index))
            by_storage[tensors[index].storage].append(access)
        for index in dict.fromkeys((*op.writes, *fresh)):
            access = _Access(op.id, view(index), writes=True, limit=scatters.get(index))
            by_storage[tensors[index].storage].append(access)
    return by_storage


def _write_limits(storage: int, accesses: list[_Access]) -> dict[tuple[int, int], int]:
    """The most bytes that ops leave in `storage`; none for one that also writes there at large."""
    limits: dict[tuple[int, int], int] = {}
    for access in accesses:
        if access.writes and access.limit is not None:
            key = (storage, access.op)
            limits[key] = limits.get(key, 0) + access.limit
    for access in accesses if limits else ():
        if access.writes and access.limit is None:
            limits.pop((storage, access.op), None)
    return limits


def _walk(
    storage: int,
    accesses: list[_Access],
    cells: Cells,
    orders: set[tuple[int, int]],
    *,
    lasting: bool,
) -> list[Flow]:
    """Flows of one storage; adds its hazards to `orders`."""
    flows: list[Flow] = []
    live: list[_Version] = []
    readers: list[tuple[int, int]] = []  # (reader, cells read and not overwritten since)
    for number, access in enumerate(accesses):
        mask = cells.masks[access.view]
        if not access.writes:
            for writer, taken in _writers(live, mask):
                if writer == access.op:  # what is there before the graph and left there
                    continue
                flows.append(Flow(storage, writer, access.op, taken, number, access.limit))
                if OUTSIDE not in (writer, access.op):
                    orders.add((writer, access.op))
            readers.append((access.op, mask))
            continue
        earlier = (*readers, *((version.writer, version.mask) for version in live))
        for op, touched in earlier:
            if touched & mask and op != access.op:
                orders.add((op, access.op))
        readers = [(reader, left) for reader, read in readers if (left := read & ~mask)]
        if access.limit is None:
            live = [
                version._replace(mask=left) for version in live if (left := version.mask & ~mask)
            ]
        live.append(_Version(access.op, mask, access.limit is None))
    if lasting:
        end = len(accesses)
        flows.extend(Flow(storage, writer, OUTSIDE, mask, end) for writer, mask, _ in live)
    return flows


class _Version(NamedTuple):
    """Cells that `writer` wrote last: all of them, or with `whole` unset any part of them."""

    writer: int
    mask: int
    whole: bool


def _writers(live: list[_Version], mask: int) -> list[tuple[int, int]]:
    """(writer, cells) for every writer that may have left some of `mask`."""
    found, rest = [], mask
    for writer, written, whole in live:
        if taken := written & mask:
            found.append((writer, taken))
            if whole:
                rest &= ~written
    if rest:
        found.append((OUTSIDE, rest))
    return found
