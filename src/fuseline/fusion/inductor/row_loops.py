"""The loops of an op over rows: over the rows, then inside one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from fuseline.graph import Tensor


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop over the reduced operand: its stride there, in the result, in the numbers of the
    rows, and in a parameter that runs along the axes of the operand.
    """

    size: int
    source: int
    result: int
    row: int
    axis: int
    inside: int  # elements of the axis that one step of it skips: more than 1 where it is split
    reduced: bool


@dataclass(frozen=True, slots=True)
class Rows:
    """The loops of an op over rows: over the rows in the order of the operand, then inside one."""

    loops: tuple[Loop, ...]
    reduced: int
    keeps_elements: bool

    @classmethod
    def of(
        cls, axes: tuple[int, ...] | None, row_numel: int | None, source: Tensor, result: Tensor
    ) -> Rows | None:
        """Rows of `row_numel` elements along `axes`; None where the tensors have no such rows."""
        if axes is None or not row_numel or any(axis >= len(source.shape) for axis in axes):
            return None
        length = prod(source.shape[axis] for axis in axes)
        blocks = length // row_numel
        if blocks * row_numel != length:
            return None
        keeps = result.shape == source.shape
        parts = _parts(source, axes, blocks)
        if parts is None:
            return None
        kept = sorted((p for p in parts if not p[3]), key=lambda p: -source.strides[p[0]])
        inner = sorted((p for p in parts if p[3]), key=lambda p: -source.strides[p[0]])
        numbers = _row_strides(kept)
        strides = _result_strides(result, source, axes) if not keeps else result.strides
        if strides is None:
            return None
        loops = tuple(
            Loop(
                size=size,
                source=source.strides[axis] * inside,
                result=strides[axis] * inside,
                row=numbers.get((axis, inside), 0),
                axis=axis,
                inside=inside,
                reduced=reduced,
            )
            for axis, size, inside, reduced in (*kept, *inner)
        )
        return cls(loops, len(inner), keeps)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the loops."""
        return tuple(loop.size for loop in self.loops)

    @property
    def length(self) -> int:
        """Elements of one row."""
        return prod(loop.size for loop in self.loops if loop.reduced)

    @property
    def numel(self) -> int:
        """Number of rows."""
        return prod(loop.size for loop in self.loops if not loop.reduced)


_Part = tuple[int, int, int, bool]
"""(axis, size, elements of the axis a step skips, whether it is inside a row)."""


def _parts(source: Tensor, axes: tuple[int, ...], blocks: int) -> list[_Part] | None:
    """The axes of the operand, the first reduced one split where a row is a block of it."""
    parts: list[_Part] = []
    for axis, size in enumerate(source.shape):
        if axis in axes and blocks > 1:
            if size % blocks:
                return None
            parts.append((axis, blocks, size // blocks, False))
            parts.append((axis, size // blocks, 1, True))
            blocks = 1
        else:
            parts.append((axis, size, 1, axis in axes))
    return [part for part in parts if part[1] != 1]


def _row_strides(kept: Sequence[_Part]) -> dict[tuple[int, int], int]:
    """Strides of one number a row, dense in the order of the loops."""
    strides: dict[tuple[int, int], int] = {}
    numel = 1
    for axis, size, inside, _ in reversed(kept):
        strides[axis, inside] = numel
        numel *= size
    return strides


def _result_strides(
    result: Tensor, source: Tensor, axes: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Strides of a result of one element a row, by axis of the operand."""
    if len(result.shape) == len(source.shape):
        return result.strides
    left = iter(result.strides)
    if len(result.shape) != len(source.shape) - len(axes):
        return None
    return tuple(0 if axis in axes else next(left) for axis in range(len(source.shape)))
