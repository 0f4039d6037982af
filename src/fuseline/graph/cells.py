"""Exactly which bytes of a storage its views touch, as sets that can be united and subtracted.

A storage is cut into equal *cells*, the largest for which every view of it is a union of whole
cells. A set of bytes is then a Python integer with one bit a cell: union is `|`, difference is
`& ~`, size is `bit_count()` times the cell's bytes. Slices, strided reads, expanded and
overlapping views all come out exact, and a storage that is only ever touched whole is one cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import gcd

from fuseline.graph.data import ITEM_BYTES, Tensor


@dataclass(frozen=True, slots=True)
class View:
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
    """How one storage is cut: bytes a cell, and the cells of each view asked for."""

    nbytes: int
    masks: dict[View, int]


@lru_cache(maxsize=4096)
def cut(views: tuple[View, ...]) -> Cells:
    """Cut a storage into the largest cells of which every one of `views` is a union.

    >>> left, right = View(0, 8, ((4, 16),)), View(8, 8, ((4, 16),))
    >>> cells = cut((left, right))
    >>> cells.nbytes, bin(cells.masks[left]), bin(cells.masks[right])
    (8, '0b1010101', '0b10101010')
    """
    touching = [view for view in views if view.run]
    if not touching:
        return Cells(1, dict.fromkeys(views, 0))
    base = min(view.offset for view in touching)
    if len(set(touching)) == 1 and (nbytes := _plain_size(touching[0])) is not None:
        return Cells(nbytes, {view: 1 if view.run else 0 for view in views})
    cell = 0
    for view in touching:
        cell = gcd(cell, view.offset - base, view.run, *(stride for _, stride in view.dims))
    return Cells(cell, {view: _mask(view, base, cell) if view.run else 0 for view in views})


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


def _mask(view: View, base: int, cell: int) -> int:
    bits = (1 << (view.run // cell)) - 1
    for count, stride in view.dims:
        done = 1
        while done < count:
            step = min(done, count - done)
            bits |= bits << (stride // cell * step)
            done += step
    return bits << ((view.offset - base) // cell)
