"""One op to lower, and what every form of lowering asks of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fuseline.fusion.inductor.access import Dims
from fuseline.fusion.inductor.kernels import Kernels
from fuseline.fusion.inductor.lowered import Column, Expression, in_order, unify
from fuseline.fusion.inductor.lowering import Recipe
from fuseline.graph import Kind, Op, Tensor

_CHANNEL = 1
_PER_CHANNEL = frozenset({Kind.BATCHNORM, Kind.PRELU})
"""Kinds whose parameters run along the channels, whatever follows them."""


@dataclass(frozen=True, slots=True)
class Job:
    """An op, how it is lowered, the tensors it reads, and those it makes (or overwrites)."""

    kernels: Kernels
    op: Op
    recipe: Recipe
    operands: tuple[Tensor, ...]
    results: tuple[Tensor, ...]

    def aligned(self, operand: Tensor, result: Tensor, order: Sequence[int]) -> Column:
        """What `operand`, broadcast to `result`, reads over loops along the axes `order`."""
        lead = len(result.shape) - len(operand.shape)
        if self.op.kind in _PER_CHANNEL and len(operand.shape) == 1:
            lead = _CHANNEL
        sizes = [result.shape[axis] for axis in order]
        strides = []
        for axis in order:
            place = axis - lead
            inside = 0 <= place < len(operand.shape) and operand.shape[place] != 1
            if inside and operand.shape[place] != result.shape[axis]:
                dims = tuple((size, 0) for size in sizes)
                return dims, self.kernels.load_opaquely(operand, self.op.id)
            strides.append(operand.strides[place] if inside else 0)
        return self.kernels.load(operand, strides, sizes, self.op.id)

    def define(self, result: Tensor, dims: Dims, columns: Sequence[Column]) -> None:
        """Make the expression that reads `columns` over `dims` the value of `result`."""
        kernels, recipe = self.kernels, self.recipe
        loops, accesses = in_order(*unify(dims, columns, self.op.id), result)
        operations: dict[int, int] = {}
        for operand in self.operands:
            operations.update(kernels.operations(operand))
        operations[self.op.id] = recipe.operations
        heavy = recipe.transcendental or any(map(kernels.is_transcendental, self.operands))
        expression = Expression(
            self.op.id, loops, result.offset, accesses, operations, heavy, result.shape
        )
        kernels.define(self.op, result.storage, expression)


def order_of(tensor: Tensor, strides: Sequence[int] | None = None) -> list[int]:
    """Axes of more than one element, by stride: the loops over a result, outermost first."""
    by = tensor.strides if strides is None else strides
    axes = [axis for axis, size in enumerate(tensor.shape) if size != 1]
    return sorted(axes, key=lambda axis: -by[axis])


def dims_of(tensor: Tensor, order: Sequence[int]) -> Dims:
    """The loops over `tensor` along the axes `order`."""
    return tuple((tensor.shape[axis], tensor.strides[axis]) for axis in order)
