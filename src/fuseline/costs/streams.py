"""How a value streams: in which order its positions come, and what a reader waits for.

A value is what one op leaves in one storage. It comes *position* after position: a pixel or a token
with all of its channels. What an op needs before its first result is a box of elements
(`needs.py`); where they lie in the order in which the value comes is a question of addresses, so
views between writer and reader need no rule of their own. `runs.py` has who makes which stream, and
`working_set.py` the model.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from fuseline.costs.needs import Need, Use
from fuseline.graph import ITEM_BYTES, Tensor


class Stream:
    """A value as it comes: position after position along the dimensions `order` of `tensor`."""

    def __init__(self, tensor: Tensor, order: tuple[int, ...]) -> None:
        self.tensor = tensor
        self.nbytes = tensor.nbytes
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

    def order_of(self, read: Tensor) -> tuple[int, ...] | None:
        """The dimensions of `read` along which positions come, the slowest first; None: unknown."""
        if 0 in read.shape or (steps := self.steps(read)) is None:
            return None
        moving = (dim for dim, step in enumerate(steps) if step)
        return tuple(sorted(moving, key=lambda dim: -steps[dim]))

    def window(self, read: Tensor, need: Need | None) -> Window | None:
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
        return Window(first, last, end, need.use, self.count)


class Window(NamedTuple):
    """Positions needed before the first result, from `first` to `last`; `end` is the last
    read of `count`.
    """

    first: int
    last: int
    end: int
    use: Use
    count: int


class Read(NamedTuple):
    """How an op reads a value: `lag` of its `count` positions must be there before the op's first
    result, and `hold` of them it needs at once.
    """

    lag: int
    hold: int
    count: int


WHOLE = Read(1, 1, 1)
"""All of a value, at once."""


def wait(window: Window | None) -> Read:
    """How a value is read of which a window is needed first; all of it without one."""
    if window is None:
        return WHOLE
    first, last, end, use, count = window
    skipped = count - 1 - (end - first)  # read slower than it is made
    if use is Use.PASSING and first == last:
        return Read(last, skipped, count)
    if use is Use.SUMMED:
        return Read(last + 1, skipped, count)
    return Read(last + 1, min(count, last - first + 1 + skipped), count)
