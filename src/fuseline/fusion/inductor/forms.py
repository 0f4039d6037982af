"""How each form of op becomes nodes and expressions: one function a `Form`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from fuseline.fusion.inductor.access import Access, refine, split
from fuseline.fusion.inductor.concat import concat, concat_axis, is_pointwise
from fuseline.fusion.inductor.job import Job, dims_of, order_of
from fuseline.fusion.inductor.kernels import Kernels
from fuseline.fusion.inductor.limits import Limits
from fuseline.fusion.inductor.lowered import Column, Expression, unify
from fuseline.fusion.inductor.lowering import (
    FIXES_LAYOUT,
    LAYOUT_COPY,
    Form,
    Recipe,
    global_average,
    recipe_of,
)
from fuseline.fusion.inductor.pools import is_call, is_global_average, is_identity, pass_on, pool
from fuseline.fusion.inductor.row_loops import Rows
from fuseline.fusion.inductor.rows import lower_rows
from fuseline.graph import ITEM_BYTES, Graph, Kind, Op, OpClass, Role, Tensor

_WRITES_PARTS = frozenset({Form.EACH, Form.MOVE})
"""Forms of ops that may write a part of a tensor in their loops."""

_ATTENTION_RESULTS = 2
"""The result of attention and its logarithms of sums: each has an entry in Inductor's list."""


def lower(graph: Graph, limits: Limits) -> Kernels:
    """Inductor's scheduler nodes for `graph`, before any of them are fused."""
    kernels = Kernels(graph, limits)
    for op in graph.ops:
        if op.is_compute:
            _lower_op(kernels, op)
    for tensor in graph.outputs:
        kernels.stored(graph.tensors[tensor])
    for storage, value in list(kernels.values.items()):
        if isinstance(value, Expression) and graph.storages[storage].role is not Role.ACTIVATION:
            kernels.store(value, storage)
    return kernels


def _lower_op(kernels: Kernels, op: Op) -> None:
    tensors = kernels.graph.tensors
    operands = tuple(tensors[tensor] for tensor in (*op.inputs, *op.parameters))
    results = tuple(tensors[tensor] for tensor in (op.outputs or op.writes))
    recipe = recipe_of(op)
    if (
        results
        and _is_partial(kernels.graph, op)
        and recipe.form in _WRITES_PARTS
        and _overwrite(kernels, op, recipe, operands)
    ):
        return
    if not results or _is_partial(kernels.graph, op):
        recipe = Recipe(Form.EXTERN)
    elif is_global_average(op, operands, results):
        recipe = global_average()
    FORMS[recipe.form](Job(kernels, op, recipe, operands, results))


def _is_partial(graph: Graph, op: Op) -> bool:
    """Whether it overwrites a part of a storage, beside what is there."""
    return any(
        graph.tensors[tensor].nbytes != graph.storages[graph.tensors[tensor].storage].nbytes
        for tensor in op.writes
    )


def _overwrite(kernels: Kernels, op: Op, recipe: Recipe, operands: tuple[Tensor, ...]) -> bool:
    """x[part] = f(operand, ...)  -->  all of x: f where the part is, what x was elsewhere; False
    where no tensor is all of x.
    """
    storages = {kernels.graph.tensors[t].storage for t in (*op.writes, *op.outputs)}
    result = kernels.whole.get(next(iter(storages)))
    if len(storages) != 1 or result is None:
        return False
    job = Job(kernels, op, recipe, (result, *operands), (result,))
    order = order_of(result)
    dims = dims_of(result, order)
    columns = [job.aligned(result, result, order)]
    columns += [(dims, kernels.load_opaquely(operand, op.id)) for operand in operands]
    job.define(result, dims, columns)
    return True


def _call(job: Job) -> None:
    """Everything it reads goes through memory, and so does what it makes."""
    kernels, op, graph = job.kernels, job.op, job.kernels.graph
    # attention and convolutions want a layout of their operand: a part is copied, the rest is not
    whole = op.op_class is not OpClass.ATTENTION and op.kind not in FIXES_LAYOUT
    read = [kernels.stored(operand, whole=whole) for operand in job.operands]
    partial = _is_partial(graph, op)
    item = ITEM_BYTES[job.results[0].dtype] if job.results else 1
    written: dict[int, int] = {}
    for tensor in (*op.outputs, *op.writes):
        storage = graph.tensors[tensor].storage
        if storage in written:
            continue
        before = kernels.values.get(storage)
        if partial and before is not None:  # what it leaves in place must be there
            value = kernels.store(before, storage) if isinstance(before, Expression) else before
            read.append(value)
        nbytes = graph.storages[storage].nbytes
        written[storage] = kernels.allocate(nbytes, item, flexible=False)
    kernels.add_call(op, read, tuple(written.values()))
    if op.op_class is OpClass.ATTENTION:
        kernels.skipped += _ATTENTION_RESULTS
    kernels.values.update(written)
    if (
        kernels.limits.splits_bias
        and op.kind in FIXES_LAYOUT
        and len(job.operands) > _WITH_BIAS - 1
    ):
        _add_bias(job, next(iter(written.values())))


_WITH_BIAS = 3  # operands of a convolution


def _add_bias(job: Job, buffer: int) -> None:
    """call(x, w), stored  -->  + bias, computed by who reads it."""
    result, bias = job.results[0], job.operands[_WITH_BIAS - 1]
    order = order_of(result)
    dims = dims_of(result, order)
    along = tuple(bias.strides[0] if axis == 1 else 0 for axis in order)
    column = job.kernels.load(bias, along, [size for size, _ in dims], job.op.id)
    own = (dims, (Access(buffer, tuple(stride for _, stride in dims), result.offset),))
    loops, accesses = unify(dims, [own, column], job.op.id)
    added = Expression(
        job.op.id, loops, result.offset, accesses, {}, transcendental=False, shape=result.shape
    )
    job.kernels.define(job.op, result.storage, added)


def _each(job: Job) -> None:
    """result[i] = f(operand[i], ...), with the operands broadcast."""
    for result in job.results:
        order = order_of(result)
        columns: list[Column] = []
        for operand in job.operands:
            if operand.numel < result.numel:
                job.kernels.store_if_repeated(operand)
            columns.append(job.aligned(operand, result, order))
        job.define(result, dims_of(result, order), columns)


def _move(job: Job) -> None:
    """The elements of one operand in their order, in another layout or shape."""
    same = len(job.operands) == len(job.results) == 1
    if not same or job.operands[0].numel != job.results[0].numel:
        _indexed(job)
        return
    source, result = job.operands[0], job.results[0]
    if job.op.target == LAYOUT_COPY:
        job.kernels.stored(source)
    if source.shape == result.shape:
        _each(job)
        return
    sizes = refine(source.shape, result.shape)
    read, written = (split(_in_order(t), sizes or ()) for t in (source, result))
    if sizes is None or read is None or written is None:
        _indexed(job)
        return
    column = job.kernels.load(source, read, sizes, job.op.id)
    job.define(result, tuple(zip(sizes, written, strict=True)), [column])


def _in_order(tensor: Tensor) -> tuple[tuple[int, int], ...]:
    """The loops over a tensor in the order of its axes."""
    return dims_of(tensor, [axis for axis, size in enumerate(tensor.shape) if size != 1])


def _indexed(job: Job) -> None:
    """Every element is read through an index that is no sum of strides."""
    for result in job.results:
        order = order_of(result)
        dims = dims_of(result, order)
        columns = [
            _row_index(job, operand, result, order)
            if job.op.kind is Kind.EMBEDDING and operand.shape == result.shape[:-1]
            else (dims, job.kernels.load_opaquely(operand, job.op.id))
            for operand in job.operands
        ]
        job.define(result, dims, columns)


def _row_index(job: Job, index: Tensor, result: Tensor, order: Sequence[int]) -> Column:
    """What a lookup of whole rows reads of its index: one element a row."""
    strides = [*index.strides, 0]
    sizes = [result.shape[axis] for axis in order]
    return job.kernels.load(index, [strides[axis] for axis in order], sizes, job.op.id)


def _pool(job: Job) -> None:
    """Windows of the operand, or a library call where they are large."""
    if is_identity(job) and pass_on(job):
        return
    if is_call(job):
        _call(job)
    else:
        pool(job)


def _concat(job: Job) -> None:
    """Every operand into its slice; of one operand it is a copy."""
    if len(job.operands) == 1:
        _move(job)
    elif is_pointwise(job):
        _join(job)
    elif (along := concat_axis(job.operands, job.results[0])) is None:
        _call(job)
    else:
        concat(job, along)


def _join(job: Job) -> None:
    """A concatenation in one loop nest: every operand is read where its slice is."""
    result = job.results[0]
    order = order_of(result)
    sizes = [result.shape[axis] for axis in order]
    columns = [
        job.kernels.load(
            operand,
            [operand.strides[axis] if operand.shape[axis] != 1 else 0 for axis in order],
            sizes,
            job.op.id,
        )
        for operand in job.operands
    ]
    job.define(result, dims_of(result, order), columns)


def _over_rows(job: Job) -> None:
    """Reductions over rows, and loops over what they leave."""
    axes, length, source = job.op.axes, job.op.row_numel, job.operands[0]
    if job.op.kind is Kind.ADAPTIVEAVGPOOL:  # to one pixel
        axes = tuple(range(2, len(source.shape)))
        length = prod(source.shape[2:])
    rows = Rows.of(axes, length, source, job.results[0])
    if rows is None:
        _call(job)
        return
    lower_rows(job, rows)
    for result in job.results[1:]:  # its indices, or its mean beside its variance
        job.kernels.values[result.storage] = job.kernels.value(job.results[0].storage)


Lower = Callable[[Job], None]

FORMS: dict[Form, Lower] = {
    Form.EXTERN: _call,
    Form.EACH: _each,
    Form.MOVE: _move,
    Form.CONCAT: _concat,
    Form.OPAQUE_READS: _indexed,
    Form.POOL: _pool,
    Form.ROWS: _over_rows,
}
"""Form -> how it is lowered."""
