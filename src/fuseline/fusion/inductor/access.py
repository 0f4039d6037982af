"""How a loop reads a tensor: index algebra on sizes and strides, without symbols.

A loop nest is a tuple of sizes. An access to a tensor from it is one stride a loop and an offset,
in elements. Where an index is no such sum (a window, a gather, `% n` over uneven sizes) the access
is opaque: it equals no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

Dims = tuple[tuple[int, int], ...]
"""(size, stride) of every loop, outermost first."""


class Access(NamedTuple):
    """A read or write of `buffer` by a loop nest: a stride a loop, or None where it is opaque."""

    buffer: int
    strides: tuple[int, ...] | None
    offset: int = 0
    serial: int = 0  # tells opaque accesses apart


class Dep(NamedTuple):
    """An access as Inductor compares it: loops of size one left out, neighbours merged, and the
    innermost loops left out that read the same element again and again.
    """

    buffer: int
    dims: Dims | None
    offset: int
    serial: int


def to_dep(access: Access, sizes: Sequence[int]) -> Dep:
    """The access of a loop nest over `sizes`, in the form in which two are compared.

    >>> to_dep(Access(7, (12, 4, 1)), (5, 3, 4)).dims  # 5 x 3 x 4 elements in their order
    ((60, 1),)
    >>> to_dep(Access(7, (0, 0, 1)), (5, 3, 4)).dims  # a row, read 15 times
    ((15, 0), (4, 1))
    >>> to_dep(Access(7, (1, 0, 0)), (5, 3, 4)).dims  # one number a row: 5 rows
    ((5, 1),)
    """
    if access.strides is None:
        return Dep(access.buffer, None, 0, access.serial)
    dims = merged(zip(sizes, access.strides, strict=True))
    while dims and dims[-1][1] == 0:
        dims = dims[:-1]
    return Dep(access.buffer, dims, access.offset, 0)


def merged(dims: Sequence[tuple[int, int]] | zip[tuple[int, int]]) -> Dims:
    """Loops that run on into each other made one."""
    found: list[tuple[int, int]] = []
    for size, stride in dims:
        if size == 1:
            continue
        if found and found[-1][1] == stride * size:
            found[-1] = (found[-1][0] * size, stride)
        else:
            found.append((size, stride))
    return tuple(found)


def touched(dep: Dep) -> int | None:
    """Elements that an access touches; None where it is opaque."""
    if dep.dims is None:
        return None
    return prod(size for size, stride in dep.dims if stride)


def place_of(dep: Dep) -> Dep | None:
    """The access with its loops in the order of memory; None where it is opaque, or touches an
    element more than once.
    """
    if dep.dims is None or any(not stride for _, stride in dep.dims):
        return None
    return dep._replace(dims=merged(sorted(dep.dims, key=lambda dim: -dim[1])))


def feeds(write: Dep, read: Dep, *, reordered: bool = False) -> bool:
    """Whether a loop that writes has just made what the same loop reads, or a loop inside it;
    `reordered`: or does so once its loops are in another order.
    """
    if reordered and (place := place_of(write)) is not None and place == place_of(read):
        return True
    if write.buffer != read.buffer or write.dims is None or read.dims is None:
        return False
    if write.offset != read.offset:
        return False
    outer = len(write.dims)
    return read.dims[:outer] == write.dims and all(not s for _, s in read.dims[outer:])


def merge_loops(sizes: Sequence[int], accesses: Sequence[Access]) -> tuple[int, ...]:
    """Sizes of the loops once neighbours are merged that every access runs through in order.

    An opaque access (a window, say) tells the loops apart, so that none are merged.

    >>> merge_loops((32, 112, 112), [Access(0, (12544, 112, 1)), Access(1, (1, 0, 0))])
    (32, 12544)
    """
    strides = [access.strides for access in accesses if access.strides is not None]
    if len(strides) < len(accesses):
        return tuple(size for size in sizes if size != 1)
    found: list[int] = []
    last = -1  # the innermost of the loops merged so far
    for loop, size in enumerate(sizes):
        if size == 1:
            continue
        if last >= 0 and all(along[last] == along[loop] * size for along in strides):
            found[-1] *= size
        else:
            found.append(size)
        last = loop
    return tuple(found)


def refine(first: Sequence[int], second: Sequence[int]) -> tuple[int, ...] | None:
    """Loop sizes that both `first` and `second` are made of, in order; None where none are.

    >>> refine((197, 768), (197, 12, 64)), refine((6, 4), (4, 6))
    ((197, 12, 64), None)
    """
    found: list[int] = []
    left = [size for size in reversed(first) if size != 1]
    right = [size for size in reversed(second) if size != 1]
    while left and right:
        one, other = left.pop(), right.pop()
        inner = _innermost(one, left, other, right)
        if inner is None:
            return None
        found.append(inner)
    return None if left or right else tuple(found)


def _innermost(one: int, left: list[int], other: int, right: list[int]) -> int | None:
    """The outermost common loop of two stacks whose tops were `one` and `other`."""
    if one == other:
        return one
    small, large, stack = (one, other, right) if one < other else (other, one, left)
    if large % small:
        return None
    stack.append(large // small)
    return small


def split(dims: Dims, sizes: Sequence[int]) -> tuple[int, ...] | None:
    """Strides over loops of `sizes`, a refinement of the loops of `dims`.

    >>> split(((197, 768), (768, 1)), (197, 12, 64))
    (768, 64, 1)
    """
    found: list[int] = []
    rest = list(reversed(sizes))
    for size, stride in dims:
        parts: list[int] = []
        left = size
        while left > 1:
            if not rest or left % rest[-1]:
                return None
            left //= rest[-1]
            parts.append(rest.pop())
        found += (stride * prod(parts[place + 1 :]) for place in range(len(parts)))
    return None if rest else tuple(found)


def locate(size: int, stride: int, dims: Dims) -> list[tuple[int, int, int]] | None:
    """A step of `stride` elements, `size` times, through a dense tensor of `dims`.

    As (size, loop of the tensor, steps along it), outermost first; None where it is no such thing.

    >>> locate(12, 64, ((197, 768), (768, 1)))  # heads of a row of 768
    [(12, 1, 64)]
    >>> locate(151296, 1, ((197, 768), (768, 1)))  # all of it
    [(197, 0, 1), (768, 1, 1)]
    >>> locate(768, 1, ((0, 768), (768, 1)))  # of nothing
    [(768, -1, 0)]
    """
    if stride == 0 or size == 1 or not all(length for length, _ in dims):
        return [(size, -1, 0)]
    for loop in sorted(range(len(dims)), key=lambda place: -dims[place][1]):
        length, along = dims[loop]
        if not 0 < along <= stride or stride % along or length == 1:
            continue
        steps = stride // along
        if steps * (size - 1) < length:
            return [(size, loop, steps)]
        if steps > 1 or size % length:
            return None
        outer = locate(size // length, stride * length, dims)
        return None if outer is None else [*outer, (length, loop, 1)]
    return None


def locate_offset(offset: int, dims: Dims) -> list[tuple[int, int]]:
    """Where an element lies in a dense tensor of `dims`: (loop, index)."""
    found = []
    for loop in sorted(range(len(dims)), key=lambda place: -dims[place][1]):
        stride = dims[loop][1]
        if stride and offset >= stride and dims[loop][0] > 1:
            found.append((loop, offset // stride))
            offset %= stride
    return found
