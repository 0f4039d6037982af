"""How values stream through a group: in which order they come, and what each op waits for.

A value is what one op leaves in one storage. It comes *position* after position: a pixel or a token
with all of its channels. What an op needs before its first result is a box of elements
(`needs.py`); where they lie in the order in which the value was written is a question of addresses,
so views between writer and reader need no rule of their own. The model is in `working_set.py`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from fuseline.costs.needs import (
    IMAGES,
    Need,
    Use,
    all_but,
    find_need,
    kept_inside,
    result_of,
    token_dims,
)
from fuseline.graph import ITEM_BYTES, OUTSIDE, Flow, Graph, Kind, Op, OpClass, Tensor


class _Stream:
    """A value as it comes: position after position along the dimensions `order` of `tensor`."""

    def __init__(self, tensor: Tensor, order: tuple[int, ...]) -> None:
        self.tensor = tensor
        self._order = order
        self.count = prod(tensor.shape[dim] for dim in order)
        by_stride = sorted(range(len(tensor.shape)), key=tensor.strides.__getitem__, reverse=True)
        self._dims = [dim for dim in by_stride if tensor.shape[dim] > 1]

    def place(self, address: int) -> int | None:
        """The position at which the element at `address` of the storage comes; None: never."""
        tensor, left = self.tensor, address - self.tensor.offset
        index = dict.fromkeys(range(len(tensor.shape)), 0)
        for dim in self._dims:
            index[dim], left = divmod(left, tensor.strides[dim] or 1)
            if not 0 <= index[dim] < tensor.shape[dim]:
                return None
        if left:
            return None
        place = 0
        for dim in self._order:
            place = place * tensor.shape[dim] + index[dim]
        return place

    def steps(self, read: Tensor) -> list[int] | None:
        """Positions from one element to the next along each dimension of `read`."""
        start = self.place(read.offset)
        if start is None or ITEM_BYTES[read.dtype] != ITEM_BYTES[self.tensor.dtype]:
            return None
        found = []
        for size, stride in zip(read.shape, read.strides, strict=True):
            there = self.place(read.offset + stride) if size > 1 else start
            if there is None:
                return None
            found.append(there - start)
        return found

    def window(self, read: Tensor, need: Need | None) -> _Window | None:
        """The positions of `read` that are needed first, and all that are read; None: unknown."""
        steps = self.steps(read)
        if need is None or steps is None or 0 in read.shape:
            return None
        box, inner = list(need.box), 0
        for n, dim in reversed(list(enumerate(need.order))):
            if read.shape[dim] > 1 and steps[dim] < inner:  # comes in another order than is read
                for other in need.order[n:]:
                    box[other] = read.shape[other]
            inner += steps[dim] * (read.shape[dim] - 1)
        first, last, end = (
            self.place(
                read.offset + sum((n - 1) * at for n, at in zip(sizes, read.strides, strict=True))
            )
            for sizes in ([1] * len(box), box, read.shape)
        )
        if first is None or last is None or end is None:
            return None
        return _Window(first, last, end, need.use, self.count)


class _Window(NamedTuple):
    """Positions needed before the first result, from `first` to `last`; `end` is the last
    read of `count`.
    """

    first: int
    last: int
    end: int
    use: Use
    count: int


class Read(NamedTuple):
    """One op's read of one value that is no parameter.

    `lag` of its `count` positions must be there before the op's first result; `hold` of them it
    needs at once.
    """

    value: int
    writer: int
    lag: int
    hold: int
    count: int


@dataclass(frozen=True, slots=True)
class Streams:
    """For each op what it reads and what it keeps inside [bytes]; for each value its size.

    `numels` are elements; 0 where a value is not read and written as one tensor.
    """

    reads: tuple[tuple[Read, ...], ...]
    kept: tuple[int, ...]
    nbytes: tuple[int, ...]
    numels: tuple[int, ...]


def find_streams(graph: Graph) -> Streams:
    """Follow every value from its writer to its readers, in program order."""
    return _Search(graph).run()


class _Search:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._streams: dict[tuple[int, int], _Stream] = {}  # by (storage, writer)
        self._value_of: dict[tuple[int, int], int] = {}
        self._nbytes: list[int] = []

    def run(self) -> Streams:
        reads, kept = [], []
        for op in self._graph.ops:
            found, inside = self._read(op) if op.is_compute else ([], 0)
            reads.append(tuple(found))
            kept.append(inside)
            self._write(op)
        numels = [
            self._streams[key].tensor.numel if key in self._streams else 0 for key in self._value_of
        ]
        return Streams(tuple(reads), tuple(kept), tuple(self._nbytes), tuple(numels))

    def _read(self, op: Op) -> tuple[list[Read], int]:
        by_value: dict[tuple[int, int], list[Flow]] = defaultdict(list)
        writers: dict[int, set[int]] = defaultdict(set)
        for flow in self._graph.flows.read_by[op.id]:
            if not self._graph.storages[flow.storage].is_held:
                by_value[flow.storage, flow.writer].append(flow)
                writers[flow.storage].add(flow.writer)
        reads, kept = [], kept_inside(self._graph, op)
        for key, flows in by_value.items():
            storage, writer = key
            whole = len(writers[storage]) > 1 or any(flow.limit is not None for flow in flows)
            windows = [] if whole else self._windows(op, key)
            lag, hold, count = _wait(windows)
            if windows and windows[0].use is Use.SUMMED:
                kept += self._sums(op, windows[0], count)
            value = self._value(
                key, self._graph.flows.nbytes([f._replace(limit=None) for f in flows])
            )
            reads.append(Read(value, writer, lag, hold, count))
        return reads, kept

    def _windows(self, op: Op, key: tuple[int, int]) -> list[_Window]:
        """What `op` needs of a value, by tensor; empty where that is all of it."""
        tensors, result = self._graph.tensors, result_of(self._graph, op)
        order = self._order(op, result) if result is not None else ()
        found = []
        for place, tensor in enumerate(op.inputs):
            read = tensors[tensor]
            if read.storage != key[0]:
                continue
            need = find_need(self._graph, op, read, place, order)
            if key[1] == OUTSIDE and key not in self._streams:  # comes as its first reader likes
                first = need.order if need is not None else all_but(read, -1)
                self._streams[key] = _Stream(read, first)
            window = self._streams[key].window(read, need) if key in self._streams else None
            if window is None:
                return []
            found.append(window)
        return found

    def _value(self, key: tuple[int, int], nbytes: int) -> int:
        """The number of a value, of at least `nbytes`."""
        if key not in self._value_of:
            self._value_of[key] = len(self._nbytes)
            self._nbytes.append(self._streams[key].tensor.nbytes if key in self._streams else 0)
        value = self._value_of[key]
        self._nbytes[value] = max(self._nbytes[value], nbytes)
        return value

    def _write(self, op: Op) -> None:
        """Note in which order the results of `op` come."""
        result = result_of(self._graph, op)
        if not op.is_compute or result is None:
            return
        order = self._order(op, result)
        for tensor in map(self._graph.tensors.__getitem__, (*op.outputs, *op.writes)):
            key, same = (tensor.storage, op.id), len(tensor.shape) == len(result.shape)
            self._streams.setdefault(key, _Stream(tensor, order if same else all_but(tensor, -1)))

    def _order(self, op: Op, result: Tensor) -> tuple[int, ...]:
        """Dimensions of the result along which its positions come."""
        rank = len(result.shape)
        if op.kind in IMAGES and rank > 2:  # noqa: PLR2004
            return all_but(result, 1)
        if op.kind is Kind.SCALED_DOT_PRODUCT_ATTENTION and rank > 2:  # noqa: PLR2004
            return token_dims(rank)
        if (
            op.op_class is OpClass.REDUCTION
            and op.axes is not None
            and rank == len(self._domain(op))
        ):
            return tuple(dim for dim in range(rank) if dim not in op.axes)
        if op.op_class in (OpClass.ELEMENTWISE, OpClass.COPY):
            order = self._inherited(op, result)
            return all_but(result, -1) if order is None else order
        return all_but(result, -1)

    def _domain(self, op: Op) -> tuple[int, ...]:
        return self._graph.tensors[(*op.inputs, *op.parameters)[0]].shape

    def _inherited(self, op: Op, result: Tensor) -> tuple[int, ...] | None:
        """The order of an operand as large as the result, or else of one of its rank."""
        operands = [self._graph.tensors[tensor] for tensor in op.inputs]
        writers = {flow.storage: flow.writer for flow in self._graph.flows.read_by[op.id]}
        operands.sort(key=lambda read: read.shape != result.shape)
        for read in operands:
            stream = self._streams.get((read.storage, writers.get(read.storage, OUTSIDE)))
            if stream is None or len(read.shape) != len(result.shape) or 0 in read.shape:
                continue
            if (steps := stream.steps(read)) is not None:
                moving = [dim for dim, step in enumerate(steps) if step]
                return tuple(sorted(moving, key=lambda dim, steps=steps: -steps[dim]))
        return None

    def _sums(self, op: Op, window: _Window, count: int) -> int:
        """Sums that run at once: the results of one window [bytes]."""
        made = sum(self._graph.tensors[tensor].nbytes for tensor in op.outputs)
        return -(-made * (window.last - window.first + 1) // count)


def _wait(windows: list[_Window]) -> tuple[int, int, int]:
    """(lag, hold, count) of a read, in positions; (1, 1, 1), all of it, without windows."""
    if not windows:
        return 1, 1, 1
    count = windows[0].count
    first, last = min(w.first for w in windows), max(w.last for w in windows)
    skipped = count - 1 - min(w.end - w.first for w in windows)  # read slower than it is made
    if first == last and all(w.use is Use.PASSING for w in windows):
        return last, skipped, count
    if len(windows) == 1 and windows[0].use is Use.SUMMED:
        return last + 1, skipped, count
    return last + 1, min(count, last - first + 1 + skipped), count
