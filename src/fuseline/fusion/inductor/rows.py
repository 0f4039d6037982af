"""Ops over rows: reductions, and the loops that read what they leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

from fuseline.fusion.inductor.access import Access, Dims, merged
from fuseline.fusion.inductor.job import Job
from fuseline.fusion.inductor.kernels import Kernels
from fuseline.fusion.inductor.lowered import Column, Expression, Node, opaque, unify
from fuseline.fusion.inductor.lowering import Recipe, Step
from fuseline.fusion.inductor.row_loops import Loop, Rows
from fuseline.fusion.inductor.splits import splits_of
from fuseline.graph import ITEM_BYTES, Kind, Op, Tensor

_CHANNEL = 1
_PER_CHANNEL = frozenset({Kind.BATCHNORM, Kind.GROUPNORM, Kind.INSTANCENORM})


@dataclass(slots=True)
class _Walk:
    """The steps of one op so far: where its elements are, and what is known of every row."""

    kernels: Kernels
    op: Op
    recipe: Recipe
    operands: tuple[Tensor, ...]
    result: Tensor
    rows: Rows
    ops: dict[int, int]  # what computing an element computes
    elements: dict[Loop, int] | None = None  # strides in `buffer`, once elements are kept there
    buffer: int = -1
    numbers: int | None = None  # the buffer of one number a row
    means: int | None = None  # that of every row's mean, where `numbers` is its variance

    def element(self, loops: Sequence[Loop]) -> Column:
        """What reading an element reads, over `loops`."""
        sizes = [loop.size for loop in loops]
        if self.elements is None:
            strides = [loop.source for loop in loops]
            return self.kernels.load(self.operands[0], strides, sizes, self.op.id)
        strides = [self.elements[loop] for loop in loops]
        dims = tuple(zip(sizes, strides, strict=True))
        return dims, (Access(self.buffer, tuple(strides)),)

    def number(self, loops: Sequence[Loop]) -> list[Column]:
        """What reading the number of a row reads, over `loops`."""
        return [] if self.numbers is None else [self._row(self.numbers, loops)]

    def mean(self, loops: Sequence[Loop]) -> list[Column]:
        """What reading the mean of a row, beside its variance, reads over `loops`."""
        return [] if self.means is None else [self._row(self.means, loops)]

    def _row(self, buffer: int, loops: Sequence[Loop]) -> Column:
        strides = tuple(loop.row for loop in loops)
        return tuple((loop.size, loop.row) for loop in loops), (Access(buffer, strides),)


def lower_rows(job: Job, rows: Rows) -> None:
    """Run the steps of a recipe: reductions are nodes, what is made of them an expression."""
    kernels, op, recipe = job.kernels, job.op, job.recipe
    ops = {**kernels.operations(job.operands[0]), op.id: recipe.operations}
    walk = _Walk(kernels, op, recipe, job.operands, job.results[0], rows, ops)
    steps = recipe.steps
    if rows.length < kernels.limits.unrolled_row and rows.numel > 1:
        _write_out(walk)
        return
    at_once = Step.KEPT_ROW in steps and not _takes_two_passes(walk)
    if at_once:
        steps = steps[2:]
    if op.kind is Kind.GROUPNORM and kernels.limits.scales_channels and len(job.operands) > 1:
        steps = (*steps[:-1], Step.SCALED)
    if not kernels.limits.stores_transcendental:
        steps = tuple(step for step in steps if step is not Step.KEPT)
    for place, step in enumerate(steps):
        if step is Step.REDUCE:
            node = _reduce(walk, is_result=place == len(steps) - 1)
            if at_once:
                _keep_mean(walk, node)
        else:
            _AFTER[step](walk)


def _takes_two_passes(walk: _Walk) -> bool:
    return walk.rows.numel > 1 and walk.rows.length <= walk.kernels.limits.two_pass_row


def _write_out(walk: _Walk) -> None:
    """x[0] + x[1] + ... of short rows  -->  the result, which loads all elements of its row."""
    rows = walk.rows
    if Step.KEPT in walk.recipe.steps and walk.kernels.limits.stores_transcendental:
        order = sorted(rows.loops, key=lambda loop: -loop.source)
        _keep_elements(walk, _whole_rows(walk, order))
    order = sorted(rows.loops, key=lambda loop: -loop.result)
    if not rows.keeps_elements:
        order = [loop for loop in order if not loop.reduced]
    columns = _whole_rows(walk, order)
    if rows.keeps_elements:
        columns.insert(0, walk.element(order))
        columns += [_parameter(walk, operand, order) for operand in walk.operands[1:]]
    ops = {**walk.ops, walk.op.id: walk.recipe.operations * rows.length}
    _define(walk, tuple((loop.size, loop.result) for loop in order), columns, ops)


def _whole_rows(walk: _Walk, order: Sequence[Loop]) -> list[Column]:
    """What reading every element of a row reads, over loops `order`."""
    source, kept = walk.operands[0], walk.elements
    sizes = [loop.size for loop in order]
    along = {loop: loop.source if kept is None else kept[loop] for loop in walk.rows.loops}
    strides = tuple(0 if loop.reduced else along[loop] for loop in order)
    inner = [loop for loop in walk.rows.loops if loop.reduced]
    columns: list[Column] = []
    for place in product(*(range(loop.size) for loop in inner)):
        skipped = sum(index * along[loop] for index, loop in zip(place, inner, strict=True))
        if kept is None:
            tap = replace(source, offset=source.offset + skipped)
            columns.append(walk.kernels.load(tap, strides, sizes, walk.op.id))
        else:
            access = Access(walk.buffer, strides, skipped)
            columns.append((tuple(zip(sizes, strides, strict=True)), (access,)))
    return columns


def _keep_mean(walk: _Walk, node: Node) -> None:
    """A variance that is taken in one pass leaves the mean too."""
    walk.means = _rows_buffer(walk)
    node.writes += (node.writes[0]._replace(buffer=walk.means),)
    walk.kernels.buffers[walk.means].writers.append(node.id)


def _reduce(walk: _Walk, *, is_result: bool) -> Node:
    """elements (and a number a row)  -->  one number a row."""
    kernels, rows, result = walk.kernels, walk.rows, walk.result
    buffer, offset = _rows_buffer(walk), 0
    written = tuple((loop.size, loop.row) for loop in rows.loops)
    if is_result:
        buffer, offset = kernels.allocate(result.nbytes, ITEM_BYTES[result.dtype]), result.offset
        written = tuple((p.size, 0 if p.reduced else p.result) for p in rows.loops)
    loops, accesses = unify(
        written, [walk.element(rows.loops), *walk.number(rows.loops)], walk.op.id
    )
    if (parts := _parts_of_row(walk, loops, accesses)) > 1:
        loops, accesses = _reduce_parts(walk, loops, accesses, parts)
    write = Access(buffer, tuple(stride for _, stride in loops), offset)
    stores = (walk.op.id,) if is_result else ()
    reduced = 1 if parts > 1 else _reduced(rows, loops)
    node = kernels.add(walk.ops, stores, loops, accesses, write=write, reduced=reduced)
    walk.numbers = buffer
    if is_result:
        kernels.values[result.storage] = buffer
    return node


def _parts_of_row(walk: _Walk, loops: Dims, accesses: Sequence[Access]) -> int:
    """Into how many parts every row is cut: 1 where it is reduced at once."""
    processors = walk.kernels.limits.processors
    if not processors or not loops:
        return 1
    first = len(loops) - _reduced(walk.rows, loops)
    full = [
        access.strides for access in accesses if access.strides is not None and all(access.strides)
    ]
    if not full:
        return 1
    across = sum(all(stride > 1 for stride in strides[first:]) for strides in full)
    along = across < len(full) - across
    return splits_of(walk.rows.numel, walk.rows.length, processors, along=along)


def _reduce_parts(
    walk: _Walk, loops: Dims, accesses: Sequence[Access], parts: int
) -> tuple[Dims, tuple[Access, ...]]:
    """rows  -->  a number for every part of each, stored; and what reading those reads."""
    kernels, first = walk.kernels, len(loops) - _reduced(walk.rows, loops)
    kept, length = loops[:first], walk.rows.length
    block = -(-length // parts)
    cut: list[Access] = []
    for access in accesses:
        inner = access.strides[first:] if access.strides is not None else ()
        dims = merged(zip((size for size, _ in loops[first:]), inner, strict=False))
        if access.strides is None or len(dims) != 1 or parts * block != length:
            cut.append(opaque(access, walk.op.id))
            continue
        ((_, step),) = dims
        cut.append(access._replace(strides=(*access.strides[:first], step * block, step)))
    sizes = [size for size, _ in kept]
    item = ITEM_BYTES[walk.operands[0].dtype]
    buffer = kernels.allocate(prod(sizes) * parts * item, item)
    strides = [parts * prod(sizes[place + 1 :]) for place in range(len(sizes))]
    write = Access(buffer, (*strides, 1, 0))
    over = (*((size, 0) for size in sizes), (parts, 0), (block, 0))
    kernels.add(walk.ops, (), over, cut, write=write, reduced=1)
    read = Access(buffer, (*strides, 1))
    return (*kept, (parts, 0)), (read,)


def _keep_row(walk: _Walk) -> None:
    """number a row  -->  another one, stored."""
    kept = [loop for loop in walk.rows.loops if not loop.reduced]
    columns = walk.number(kept)
    buffer = _rows_buffer(walk)
    loops, accesses = unify(tuple((loop.size, loop.row) for loop in kept), columns, walk.op.id)
    walk.kernels.add(
        walk.ops, (), loops, accesses, write=Access(buffer, tuple(stride for _, stride in loops))
    )
    walk.numbers = walk.means = buffer


def _keep_elements(walk: _Walk, rows: Sequence[Column] | None = None) -> None:
    """elements, number a row (or `rows`: all of its elements)  -->  elements, stored."""
    order = sorted(walk.rows.loops, key=lambda loop: -loop.source)
    item = ITEM_BYTES[walk.result.dtype]
    buffer = walk.kernels.allocate(prod(loop.size for loop in order) * item, item)
    strides: dict[Loop, int] = {}
    numel = 1
    for loop in reversed(order):
        strides[loop] = numel
        numel *= loop.size
    dims = tuple((loop.size, strides[loop]) for loop in order)
    loops, accesses = unify(dims, [walk.element(order), *(rows or walk.number(order))], walk.op.id)
    walk.kernels.add(
        walk.ops, (), loops, accesses, write=Access(buffer, tuple(stride for _, stride in loops))
    )
    walk.elements, walk.buffer, walk.numbers = strides, buffer, None
    walk.ops = {walk.op.id: walk.recipe.operations}


def _make_row(walk: _Walk) -> None:
    """number a row  -->  the result, one element a row."""
    kept = sorted((p for p in walk.rows.loops if not p.reduced), key=lambda p: -p.result)
    dims = tuple((loop.size, loop.result) for loop in kept)
    _define(walk, dims, walk.number(kept), {walk.op.id: walk.recipe.operations})


def _make_elements(walk: _Walk) -> None:
    """elements, number a row, parameters  -->  the result."""
    order = sorted(walk.rows.loops, key=lambda loop: -loop.result)
    columns = [walk.element(order), *walk.number(order), *walk.mean(order)]
    columns += [_parameter(walk, operand, order) for operand in walk.operands[1:]]
    _define(walk, tuple((loop.size, loop.result) for loop in order), columns, walk.ops)


def _scale_elements(walk: _Walk) -> None:
    """number a row, weight, bias  -->  scale and shift of every channel, stored  -->  elements."""
    channels = [loop for loop in walk.rows.loops if loop.axis <= _CHANNEL]
    sizes = tuple(loop.size for loop in channels)
    strides = tuple(prod(sizes[place + 1 :]) for place in range(len(sizes)))
    dims = tuple(zip(sizes, strides, strict=True))
    item = ITEM_BYTES[walk.operands[0].dtype]
    found: list[Access] = []
    for parameter in (*walk.operands[1:], None)[:2]:
        columns = walk.mean(channels) if found else walk.number(channels)
        if parameter is not None:
            columns.append(_parameter(walk, parameter, channels))
        columns += [(dims, (access,)) for access in found]  # the shift takes the scale
        loops, accesses = unify(dims, columns, walk.op.id)
        buffer = walk.kernels.allocate(prod(sizes) * item, item)
        write = Access(buffer, tuple(stride for _, stride in loops))
        walk.kernels.add(walk.ops, (), loops, accesses, write=write)
        found.append(Access(buffer, strides))
    order = sorted(walk.rows.loops, key=lambda loop: -loop.result)
    along = dict(zip(channels, strides, strict=True))
    over = tuple(along.get(loop, 0) for loop in order)
    columns = [walk.element(order)]
    for access in found:
        elements = tuple((loop.size, step) for loop, step in zip(order, over, strict=True))
        columns.append((elements, (access._replace(strides=over),)))
    _define(walk, tuple((loop.size, loop.result) for loop in order), columns, walk.ops)


_AFTER = {
    Step.SCALED: _scale_elements,
    Step.KEPT_ROW: _keep_row,
    Step.KEPT: _keep_elements,
    Step.ROW: _make_row,
    Step.EACH: _make_elements,
}


def _define(walk: _Walk, dims: Dims, columns: Sequence[Column], ops: dict[int, int]) -> None:
    loops, accesses = unify(dims, columns, walk.op.id)
    kernels = walk.kernels
    heavy = walk.recipe.transcendental or (
        walk.elements is None and walk.op.id in ops and kernels.is_transcendental(walk.operands[0])
    )
    offset = walk.result.offset
    expression = Expression(walk.op.id, loops, offset, accesses, ops, heavy, walk.result.shape)
    kernels.define(walk.op, walk.result.storage, expression)


def _parameter(walk: _Walk, operand: Tensor, loops: Sequence[Loop]) -> Column:
    """What a weight or bias reads: along the channels, or along the last axes."""
    rank = len(walk.operands[0].shape)
    lead = rank - len(operand.shape)
    if walk.op.kind in _PER_CHANNEL and len(operand.shape) == 1:
        lead = _CHANNEL
    sizes = [loop.size for loop in loops]
    strides = []
    for loop in loops:
        place = loop.axis - lead
        inside = 0 <= place < len(operand.shape) and operand.shape[place] != 1
        strides.append(operand.strides[place] * loop.inside if inside else 0)
    return walk.kernels.load(operand, strides, sizes, walk.op.id)


def _rows_buffer(walk: _Walk) -> int:
    item = ITEM_BYTES[walk.operands[0].dtype]
    return walk.kernels.allocate(walk.rows.numel * item, item)


def _reduced(rows: Rows, loops: Dims) -> int:
    """How many of the innermost `loops` are inside a row, after some were split or made one."""
    left = prod(loop.size for loop in rows.loops if loop.reduced)
    count = 0
    while left > 1 and count < len(loops):
        count += 1
        left //= loops[-count][0]
    return count
