"""Exactly which bytes of a storage its views touch, as sets that can be united and subtracted.

A storage is cut into equal *cells*, the largest for which every view of it is a union of whole
cells. A set of bytes is then a Python integer with one bit a cell: union is `|`, difference is
`& ~`, size is `bit_count()` times the cell's bytes. Slices, strided reads, expanded and
overlapping views all come out exact, and a storage that is only ever touched whole is one cell.

Where every view repeats with one outer period (the rows of a tensor whose columns are sliced), one
period is cut and a cell stands for its bytes in all of them: half of each head of a 128 MB tensor
takes two cells, not millions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import NamedTuple

from fuseline.graph.data import ITEM_BYTES, Tensor


class View(NamedTuple):  # a key of many look-ups: a tuple is hashed fastest
    """A tensor's bytes: a run of `run` bytes at `offset`, repeated along `dims` (count, stride).

    All figures in bytes. Dimensions that touch nothing new (size 1, stride 0) are dropped and
    contiguous ones merged, so tensors that touch the same bytes in the same way are equal.
    """

    offset: int
    run: int
    dims: tuple[tuple[int, int], ...]


def view_of(tensor: Tensor) -> View:
    """The bytes that `tensor` covers.

    >>> from fuseline.graph import Role
    >>> half = Tensor(0, "x", (4, 2), "float32", Role.ACTIVATION, 0, 2, (4, 1))
    >>> view_of(half)  # the right half of a 4 x 4 tensor
    View(offset=8, run=8, dims=((4, 16),))
    """
    item = ITEM_BYTES[tensor.dtype]
    if 0 in tensor.shape:
        return View(0, 0, ())
    run = item
    dims: list[tuple[int, int]] = []
    by_stride = sorted(zip(tensor.strides, tensor.shape, strict=True))
    for stride, size in by_stride:
        if size == 1 or stride == 0:
            continue
        step = stride * item
        if not dims and step == run:
            run *= size
        elif dims and step == dims[-1][0] * dims[-1][1]:
            dims[-1] = (dims[-1][0] * size, dims[-1][1])
        else:
            dims.append((size, step))
    return View(tensor.offset * item, run, tuple(dims))


@dataclass(frozen=True, slots=True)
class Cells:
    """How one storage is cut: the bytes that a cell stands for, all its repetitions together, and
    the cells of each view asked for.
    """

    nbytes: int
    masks: dict[View, int]


@lru_cache(maxsize=4096)
def cut(views: tuple[View, ...]) -> Cells:
    """Cut a storage into the largest cells of which every one of `views` is a union.

    >>> left, right, first = View(0, 8, ((4, 16),)), View(8, 8, ((4, 16),)), View(0, 16, ())
    >>> cells = cut((left, right))  # all four rows repeat: a cell is half of each
    >>> cells.nbytes, bin(cells.masks[left]), bin(cells.masks[right])
    (32, '0b1', '0b10')
    >>> cells = cut((left, right, first))  # the first row is touched alone
    >>> cells.nbytes, bin(cells.masks[left]), bin(cells.masks[first])
    (8, '0b1010101', '0b11')
    """
    touching = [view for view in views if view.run]
    if not touching:
        return Cells(1, dict.fromkeys(views, 0))
    base = min(view.offset for view in touching)
    if len(set(touching)) == 1 and (nbytes := _plain_size(touching[0])) is not None:
        return Cells(nbytes, {view: 1 if view.run else 0 for view in views})
    repeats, patterns = 1, dict(zip(touching, touching, strict=True))
    while (found := _one_period(set(patterns.values()), base)) is not None:
        count, inside = found
        repeats *= count
        patterns = {view: inside[pattern] for view, pattern in patterns.items()}
    cell = 0
    for pattern in patterns.values():
        strides = (stride for _, stride in pattern.dims)
        cell = gcd(cell, pattern.offset - base, pattern.run, *strides)
    masks = {view: _mask(pattern, base, cell) for view, pattern in patterns.items()}
    return Cells(cell * repeats, {view: masks.get(view, 0) for view in views})


def distinct_bytes(tensor: Tensor) -> int:
    """How many different bytes `tensor` covers: an expanded tensor covers its base only."""
    view = view_of(tensor)
    cells = cut((view,))
    return cells.masks[view].bit_count() * cells.nbytes


def _plain_size(view: View) -> int | None:
    """Bytes of a view whose repetitions do not overlap; None where they might."""
    size, extent = view.run, view.run
    for count, stride in view.dims:
        if stride < extent:
            return None
        size *= count
        extent += (count - 1) * stride
    return size


def _one_period(views: set[View], base: int) -> tuple[int, dict[View, View]] | None:
    """How often all of `views` repeat with one period, and each one's part in the first period.

    None where they share no period. Periods are counted from `base`, their lowest byte.
    """
    span = max(view.offset + _extent(view) for view in views) - base
    for count, period in {view.dims[-1] for view in views if view.dims}:
        if not (count - 1) * period < span <= count * period:
            continue
        inside: dict[View, View] = {}
        for view in views:
            part = _part(view, count, period)
            if part is None or part.offset - base + _extent(part) > period:
                break
            inside[view] = part
        else:
            return count, inside
    return None


def _part(view: View, count: int, period: int) -> View | None:
    """What of `view` lies in one of `count` periods, if it is the same in each.

    Either one long run, or repetitions of which whole numbers fill each period. The caller makes
    sure that the part does not reach into the next period.
    """
    if not view.dims:
        return View(view.offset, period, ()) if view.run == count * period else None
    times, stride = view.dims[-1]
    if times * stride != count * period or period % stride:
        return None
    here = period // stride
    outermost = ((here, stride),) if here > 1 else ()
    return View(view.offset, view.run, (*view.dims[:-1], *outermost))


def _extent(view: View) -> int:
    """Bytes from the view's first to the end of its last."""
    return view.run + sum((count - 1) * stride for count, stride in view.dims)


def _mask(view: View, base: int, cell: int) -> int:
    bits = (1 << (view.run // cell)) - 1
    for count, stride in view.dims:
        done = 1
        while done < count:
            step = min(done, count - done)
            bits |= bits << (stride // cell * step)
            done += step
    return bits << ((view.offset - base) // cell)
