"""Concatenations: every operand is written into its slice by whoever makes or copies it."""

from __future__ import annotations

from collections.abc import Sequence

from fuseline.fusion.inductor.access import Access
from fuseline.fusion.inductor.job import Job, order_of
from fuseline.fusion.inductor.lowered import Expression, unify
from fuseline.graph import ITEM_BYTES, OUTSIDE, OpClass, Tensor

_LOOPS = frozenset({OpClass.ELEMENTWISE, OpClass.COPY})
"""Classes of ops that are one loop nest over their result."""


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
        kernels.add(ops, (op.id,), loops, accesses, write=write, shape=operand.shape)
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


def is_pointwise(job: Job) -> bool:
    """Whether it is made in the loops that read it: on a GPU, of few operands, where that keeps one
    of them out of memory or all would be copied, and none has other readers that compute.
    """
    kernels = job.kernels
    if not 1 < len(job.operands) <= kernels.limits.pointwise_cat:
        return False
    if any(len(operand.shape) != len(job.results[0].shape) for operand in job.operands):
        return False
    loose = [_is_loose(job, operand) for operand in job.operands]
    if any(kernels.users[t.id] > 1 and (_is_taken_by_loops(job, t) or _is_unstored(job, t))
           for t in job.operands):  # fmt: skip
        return False
    read_by_loops = all(
        flow.reader != OUTSIDE and kernels.graph.ops[flow.reader].op_class in _LOOPS
        for flow in kernels.graph.flows.written_by[job.op.id]
    )
    return all(loose) or (any(loose) and read_by_loops)


def _is_unstored(job: Job, operand: Tensor) -> bool:
    return isinstance(job.kernels.value(operand.storage), Expression)


def _is_loose(job: Job, operand: Tensor) -> bool:
    """Whether nobody writes it into its slice: computed by who reads it, or laid out for good."""
    value = job.kernels.value(operand.storage)
    return isinstance(value, Expression) or value < 0 or not job.kernels.buffers[value].flexible


def _is_taken_by_loops(job: Job, operand: Tensor) -> bool:
    """Whether loops besides the concatenation read an operand."""
    ops = job.kernels.graph.ops
    return any(
        operand.id in ops[reader].inputs and ops[reader].op_class in _LOOPS
        for reader in job.kernels.readers[operand.storage]
        if reader != job.op.id
    )


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
