"""How a batch lies in memory, and windows on such memory: by strides alone.

A storage that grows with the batch holds, in memory order, rounds of `batch` x `period` bytes: the
samples of a round one after the other. A window on it grows by the same factor if it covers the
same bytes of every sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from fuseline.costs.batch_rules import Digit
from fuseline.graph import ITEM_BYTES, Kind, Tensor


@dataclass(frozen=True, slots=True)
class Layout:
    """How the batch lies in a storage: sample b of each run of `batch` x `period` bytes."""

    period: int
    batch: int

    @property
    def run(self) -> int:
        """Bytes from one round of all samples to the next."""
        return self.period * self.batch


def digits_of(tensor: Tensor, layout: Layout) -> tuple[Digit, ...]:
    """Where the batch may be in a window on a storage that grows, likeliest first.

    >>> from fuseline.graph import Role
    >>> heads = Tensor(0, "q", (197, 12, 64), "float32", Role.ACTIVATION, 0, 0, (768, 64, 1))
    >>> digits_of(heads, Layout(768 * 4, 1))  # 197 x batch, or batch x 12: the same bytes
    (Digit(axis=0, post=1), Digit(axis=1, post=12))
    """
    period, batch = layout.period, layout.batch
    item = ITEM_BYTES[tensor.dtype]
    alone: list[Digit] = []
    merged: list[Digit] = []
    loose: list[Digit] = []  # a size of one, whose stride says nothing
    for axis, (size, stride) in enumerate(zip(tensor.shape, tensor.strides, strict=True)):
        step = stride * item
        if size == batch and step == period:
            alone.append(Digit(axis, 1))
        elif size == batch == 1:
            loose.append(Digit(axis, 1))
        elif step and period % step == 0 and size * step % layout.run == 0:
            merged.append(Digit(axis, period // step))
    if alone or merged:
        return (*alone, *merged)
    return tuple(loose) if len(loose) == 1 else ()


def widen(tensor: Tensor, layout: Layout, batch: int) -> Tensor | None:
    """The same window with `batch` samples in it; None where it is not one of whole samples."""
    found = digits_of(tensor, layout)
    item = ITEM_BYTES[tensor.dtype]
    if not found or layout.period % item:
        return None
    digit = found[0]
    round_, inside = divmod(tensor.offset * item, layout.run)
    reach = inside + item  # bytes of one sample that the window spans
    shape, strides = list(tensor.shape), list(tensor.strides)
    for axis, (size, stride) in enumerate(zip(tensor.shape, tensor.strides, strict=True)):
        step = stride * item
        if axis == digit.axis:
            shape[axis] = size * batch // layout.batch
            strides[axis] = stride if digit.post > 1 else layout.period // item
            reach += (digit.post - 1) * step
        elif step >= layout.run and step % layout.run == 0:
            strides[axis] = stride * batch // layout.batch
        elif size > 1:
            reach += (size - 1) * step
    if reach > layout.period:
        return None
    offset = (round_ * batch * layout.period + inside) // item
    return replace(tensor, shape=tuple(shape), strides=tuple(strides), offset=offset)


def loses(source: Tensor, result: Tensor, layout: Layout) -> bool:
    """With a batch of 1: whether the axis of the batch is what a selection has dropped."""
    first, then = digits_of(source, layout)[:1], digits_of(result, layout)[:1]
    dropped = len(result.shape) < len(source.shape)
    had = bool(first) and source.shape[first[0].axis] == layout.batch
    return dropped and had and not (then and result.shape[then[0].axis] == layout.batch)


def reorders(source: Tensor, result: Tensor, layout: Layout) -> bool:
    """Whether the batch of a reshaped view would not turn as slowly as that of its source."""

    def weights(tensor: Tensor) -> set[int]:
        digits = digits_of(tensor, layout)
        sure = [d for d in digits if tensor.shape[d.axis] == layout.batch and d.post == 1]
        return {d.post * prod(tensor.shape[d.axis + 1 :]) for d in sure or digits}

    return not weights(source) & weights(result)


COPIES: dict[Kind, Callable[[Tensor], tuple[int, ...]]] = {
    Kind.RESHAPE: lambda result: result.shape,
    Kind.CONTIGUOUS: lambda result: (result.numel,),
}
"""Ops that copy only where memory does not allow a view of this shape."""


def can_view(tensor: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether memory allows to see `tensor` in another shape without a copy.

    Axes that follow each other in memory make one run; every run is cut into sizes of its own.
    """
    runs: list[tuple[int, int]] = []  # (elements, stride), from the last axis
    for size, stride in zip(reversed(tensor.shape), reversed(tensor.strides), strict=True):
        if size == 1:
            continue
        if runs and stride == runs[-1][0] * runs[-1][1]:
            runs[-1] = (runs[-1][0] * size, runs[-1][1])
        else:
            runs.append((size, stride))
    sizes = [size for size in shape if size != 1]
    for elements, _ in runs:
        filled = 1
        while filled < elements and sizes:
            filled *= sizes.pop()
        if filled != elements:
            return False
    return True
