"""Pools: what a window reads, and when Inductor stores it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from math import prod

from fuseline.fusion.inductor.job import Job, dims_of, order_of
from fuseline.fusion.inductor.lowered import Column, Expression, with_op
from fuseline.graph import Kind, Op, Tensor

_ADAPTIVE = frozenset({Kind.ADAPTIVEAVGPOOL, Kind.ADAPTIVEMAXPOOL})
_STORED = frozenset({Kind.MAXPOOL, Kind.ADAPTIVEMAXPOOL})
"""Pools whose result goes to memory whoever reads it."""
_MOST_TAPS = 25
"""Elements of the largest window that Inductor makes a loop of; a larger one is a library call."""
_BOUND_CHECKS = 10
"""Operations for each element of a window that may reach over an edge: comparisons and a mask."""


def is_global_average(op: Op, operands: Sequence[Tensor], results: Sequence[Tensor]) -> bool:
    """Whether it is a pool to one pixel, which Inductor makes a mean."""
    if op.kind is not Kind.ADAPTIVEAVGPOOL or len(operands) != 1 or len(results) != 1:
        return False
    return set(results[0].shape[2:]) == {1} and prod(operands[0].shape[2:]) > 1


def is_identity(job: Job) -> bool:
    """Whether it is an adaptive pool to the size it has: a window of one element is the element."""
    if job.op.kind not in _ADAPTIVE or len(job.operands) != 1 or len(job.results) != 1:
        return False
    return job.operands[0].shape == job.results[0].shape


def is_call(job: Job) -> bool:
    """Whether its windows are too large for a loop, or not those of one operand."""
    return len(job.operands) != 1 or _taps(job.op, job.results[0]) > _MOST_TAPS


def pool(job: Job) -> None:
    """Windows of the operand, which is stored unless it is one load."""
    kernels, operand = job.kernels, job.operands[0]
    kernels.store_if_read_often(operand)
    taps = _taps(job.op, job.results[0])
    tiles = _tiles(operand, job.results[0], taps)
    operations = taps * (1 if tiles else _BOUND_CHECKS)
    job = replace(job, recipe=replace(job.recipe, operations=operations))
    for result in job.results:
        order = order_of(result)
        columns = _tiled(job, operand, result, order) if tiles else [_any(job, result, order, taps)]
        job.define(result, dims_of(result, order), columns)
        value = kernels.value(result.storage)
        if job.op.kind in _STORED and isinstance(value, Expression):
            kernels.store(value, result.storage)


def pass_on(job: Job) -> bool:
    """The result is the operand, where that is computed here; False where it comes from outside."""
    kernels, op, storage = job.kernels, job.op, job.results[0].storage
    value = kernels.value(job.operands[0].storage)
    if isinstance(value, Expression):
        kernels.values[storage] = with_op(value, op.id)
        return True
    if not (writers := kernels.writers(value)):
        return False
    node = kernels.nodes[writers[-1]]
    node.ops[op.id] = None
    node.stores.add(op.id)
    kernels.values[storage] = value
    return True


def _any(job: Job, result: Tensor, order: Sequence[int], taps: int) -> Column:
    """What windows that overlap or reach over an edge read."""
    found = job.kernels.load_opaquely(job.operands[0], job.op.id)
    accesses = tuple(access._replace(offset=tap) for access in found for tap in range(taps))
    return dims_of(result, order), accesses


def _tiled(job: Job, operand: Tensor, result: Tensor, order: Sequence[int]) -> list[Column]:
    """What windows that tile the operand read: elements a stride apart, one load a tap."""
    step = [size // out for size, out in zip(operand.shape, result.shape, strict=True)]
    strides = [operand.strides[axis] * step[axis] for axis in order]
    sizes = [result.shape[axis] for axis in order]
    columns = []
    for place in product(*map(range, step)):
        offset = sum(p * s for p, s in zip(place, operand.strides, strict=True))
        tap = replace(operand, offset=operand.offset + offset)
        columns.append(job.kernels.load(tap, strides, sizes, job.op.id))
    return columns


def _tiles(operand: Tensor, result: Tensor, taps: int) -> bool:
    """Whether windows of `taps` elements cover the operand once, without padding or overlap."""
    if len(operand.shape) != len(result.shape):
        return False
    sizes = tuple(zip(operand.shape, result.shape, strict=True))
    if any(out == 0 or size % out for size, out in sizes):
        return False
    return prod(size // out for size, out in sizes) == taps


def _taps(op: Op, result: Tensor) -> int:
    """Elements of a window, from the FLOPs of a pool: one a tap, and a division in an average."""
    steps = op.work.other_flops // max(result.numel, 1)
    return max(steps - (op.kind is Kind.AVGPOOL), 1)
