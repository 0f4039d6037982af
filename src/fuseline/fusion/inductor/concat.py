"""Concatenations: every operand is written into its slice by whoever makes or copies it."""

from __future__ import annotations

from collections.abc import Sequence

from fuseline.fusion.inductor.access import Access
from fuseline.fusion.inductor.job import Job, order_of
from fuseline.fusion.inductor.lowered import Expression, unify
from fuseline.graph import ITEM_BYTES, Tensor


def concat(job: Job, along: int) -> None:
    """cat(a, b, ...)  -->  a into its slice, b into its slice, ... of one buffer."""
    kernels, op, result = job.kernels, job.op, job.results[0]
    buffer = kernels.allocate(result.nbytes, ITEM_BYTES[result.dtype], flexible=False)
    start = 0
    for operand in job.operands:
        offset = result.offset + start * result.strides[along]
        start += operand.shape[along]
        if _place(job, operand, buffer):
            continue
        order = order_of(operand, result.strides)
        dims = tuple((operand.shape[axis], result.strides[axis]) for axis in order)
        loops, accesses = unify(dims, [job.aligned(operand, operand, order)], op.id)
        write = Access(buffer, tuple(stride for _, stride in loops), offset)
        ops = {**kernels.operations(operand), op.id: 0}
        kernels.add(ops, (op.id,), loops, accesses, write=write)
    kernels.values[result.storage] = buffer
    kernels.skipped += 1  # the concatenation itself, which does nothing


def concat_axis(operands: Sequence[Tensor], result: Tensor) -> int | None:
    """The axis along which the operands make up the result; None where there is none."""
    if any(len(operand.shape) != len(result.shape) for operand in operands):
        return None
    for axis, size in enumerate(result.shape):
        sizes = [operand.shape[axis] for operand in operands]
        if sum(sizes) == size and any(part != size for part in sizes):
            return axis
    return None


def _place(job: Job, operand: Tensor, buffer: int) -> bool:
    """Have the node that makes `operand` write it into the concatenation, where its layout is
    free: not the result of a library call, and not promised to one.
    """
    kernels = job.kernels
    value = kernels.value(operand.storage)
    if operand.nbytes != kernels.graph.storages[operand.storage].nbytes:
        return False
    if isinstance(value, Expression):
        value = kernels.store(value, operand.storage)
    if value < 0 or not kernels.buffers[value].flexible:
        return False
    kernels.buffers[value].flexible = False
    node = kernels.nodes[kernels.writers(value)[-1]]
    node.ops[job.op.id] = None
    node.stores.add(job.op.id)
    kernels.buffers[buffer].writers.append(node.id)
    return True
