"""What lowering makes: expressions that are not stored yet, buffers, and scheduler nodes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cmp_to_key

from fuseline.fusion.inductor.access import Access, Dep, Dims, locate, locate_offset, refine, split
from fuseline.graph import Tensor


@dataclass(frozen=True, slots=True)
class Expression:
    """What a consumer may compute for itself: loops over the result, and what they read.

    `dims` are its loops with the strides of the result in its storage, which begins at `offset`;
    `operations` those of each op in it, by op, loads apart; `shape` is that of the result.
    """

    op: int
    dims: Dims
    offset: int
    accesses: tuple[Access, ...]
    operations: dict[int, int]
    transcendental: bool
    shape: tuple[int, ...] = ()

    @property
    def length(self) -> int:
        """Operations an element, loads included."""
        return sum(self.operations.values()) + len(self.accesses)

    @property
    def reads(self) -> int:
        """Loads an element."""
        return len(self.accesses)

    @property
    def wide_reads(self) -> int:
        """Loads that are not of one and the same element."""
        return sum(access.strides is None or any(access.strides) for access in self.accesses)


@dataclass(slots=True)
class Buffer:
    """Memory that nodes write and others read.

    `flexible` until a library call or a slice of a concatenation has fixed its layout.
    """

    nbytes: int
    item: int
    writers: list[int]
    flexible: bool


@dataclass(slots=True)
class Node:
    """One scheduler node: a loop nest or a library call, at place `order` of Inductor's list.

    `ops` are the ops it computes, `stores` those of them whose result (or a piece of it) it leaves
    in memory. `outer` and `inner` are its loops, those that reduce apart; `shape` is what they were
    before any were merged, in the order of the axes.
    """

    id: int
    order: int
    ops: dict[int, None]
    stores: set[int]
    reads: tuple[Dep, ...]
    writes: tuple[Dep, ...]
    outer: tuple[int, ...]
    inner: tuple[int, ...]
    is_extern: bool
    is_reduction: bool
    shape: tuple[int, ...] = ()
    named: int = -1  # the op that it is a part of, where it computes none
    needs: set[int] = field(default_factory=set)


Column = tuple[Dims, tuple[Access, ...]]
"""Loops (size and the stride in an operand), and what reading that operand reads over them."""


def through(expression: Expression, dims: Dims, offset: int, serial: int) -> Column:
    """The loads of `expression` by loops that walk its result with the strides of `dims`.

    >>> x = Expression(0, ((6, 4), (4, 1)), 0, (Access(3, (4, 1)),), {0: 1}, False)
    >>> through(x, ((4, 1), (6, 4)), 0, 1)[1]  # transposed
    (Access(buffer=3, strides=(1, 4), offset=0, serial=0),)
    >>> nothing = Expression(0, ((0, 4), (4, 1)), 0, (Access(3, (4, 1)),), {0: 1}, False)
    >>> through(nothing, ((4, 1), (0, 4)), 0, 1)[0]
    ((4, 1), (0, 0))
    """
    if dims == expression.dims and offset == expression.offset:
        return dims, expression.accesses
    steps: list[tuple[int, int, int]] = []
    strides: list[int] = []
    for size, stride in dims:
        found = locate(size, stride, expression.dims)
        if found is None:
            return dims, tuple(opaque(access, serial) for access in expression.accesses)
        steps += found
        left = size
        for part, _, _ in found:
            left = left // part if part else 0  # of nothing, where a size is 0
            strides.append(stride * left)
    start = locate_offset(offset - expression.offset, expression.dims)
    refined = tuple((step[0], stride) for step, stride in zip(steps, strides, strict=True))
    return refined, tuple(replace_strides(access, steps, start) for access in expression.accesses)


def replace_strides(
    access: Access, steps: Sequence[tuple[int, int, int]], start: Sequence[tuple[int, int]]
) -> Access:
    """The access with every loop a number of steps along one of its own."""
    if access.strides is None:
        return access
    strides = tuple(access.strides[loop] * count if loop >= 0 else 0 for _, loop, count in steps)
    offset = access.offset + sum(access.strides[loop] * index for loop, index in start)
    return Access(access.buffer, strides, offset)


def opaque(access: Access, serial: int) -> Access:
    """The access through an index that is no sum of strides."""
    return Access(access.buffer, None, 0, serial)


def unify(result: Dims, columns: Sequence[Column], serial: int) -> tuple[Dims, tuple[Access, ...]]:
    """One loop nest for all operands: loops that some of them see in parts are split for all.

    An operand that has no loops in common with the others is read through an opaque index.
    """
    sizes: tuple[int, ...] = tuple(size for size, _ in result)
    common = sizes
    for dims, _ in columns:
        own = tuple(size for size, _ in dims)
        if own != common:
            common = refine(common, own) or common
    accesses: dict[Access, None] = {}
    for dims, found in columns:
        own = tuple(size for size, _ in dims)
        for access in found:
            accesses[access if own == common else _over(access, own, common, serial)] = None
    if common != sizes:
        strides = split(result, common)
        result = tuple(zip(common, strides or (), strict=True))
    return result, tuple(accesses)


def in_order(
    loops: Dims, accesses: tuple[Access, ...], result: Tensor
) -> tuple[Dims, tuple[Access, ...]]:
    """The loops in the order in which most accesses run through memory; where as many run one way
    as the other, in that of the axes of `result`.
    """
    known = [access.strides for access in accesses if access.strides is not None]
    known.append(tuple(stride for _, stride in loops))
    if all(_descends(strides) for strides in known):
        return loops, accesses
    axes = {
        stride: axis
        for axis, (size, stride) in enumerate(zip(result.shape, result.strides, strict=True))
        if size != 1
    }
    if any(stride not in axes for _, stride in loops):
        return loops, accesses  # an axis is several loops

    def compare(one: int, other: int) -> int:
        inside = sum(not s[other] or s[one] < s[other] for s in known)
        outside = sum(not s[one] or s[other] < s[one] for s in known)
        return (inside > outside) - (inside < outside) or (
            axes[loops[one][1]] - axes[loops[other][1]]
        )

    order = sorted(range(len(loops)), key=cmp_to_key(compare))
    return tuple(loops[place] for place in order), tuple(
        access
        if access.strides is None
        else access._replace(strides=tuple(access.strides[place] for place in order))
        for access in accesses
    )


def _descends(strides: Sequence[int]) -> bool:
    moving = [stride for stride in strides if stride]
    return all(outer >= inner for outer, inner in itertools.pairwise(moving))


def _over(access: Access, own: tuple[int, ...], common: tuple[int, ...], serial: int) -> Access:
    if access.strides is None:
        return access
    strides = split(tuple(zip(own, access.strides, strict=True)), common)
    if strides is None:
        return opaque(access, serial)
    return Access(access.buffer, strides, access.offset)


def with_op(expression: Expression, op: int) -> Expression:
    """The same values, as the result of `op` that only passes them on."""
    return replace(expression, op=op, operations={**expression.operations, op: 0})
