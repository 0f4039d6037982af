"""What if the batch were another: every storage that grows with it, rescaled exactly or refused.

A storage that grows holds, in memory order, `outer x batch x period` bytes. The batch starts at the
inputs, goes through views by their strides and through other ops by `fuseline.costs.batch_rules`.
Then every window on such a storage is widened to the new batch.

What cannot be proved is refused, with the first op that prevents it. One thing a graph of batch 1
does not show: whether an op with an axis of size 1 means the batch by it (a mean over samples of
one sample). The leading such axis is taken to be the batch. A capture with a batch of two or more
leaves no such doubt.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fuseline.costs.batch_layout import (
    COPIES,
    Layout,
    can_view,
    digits_of,
    loses,
    reorders,
    widen,
)
from fuseline.costs.batch_rules import (
    BROADCASTS,
    RULES,
    SHRINKING,
    Digit,
    Growing,
    Operands,
    size_at,
)
from fuseline.errors import InputError
from fuseline.graph import ITEM_BYTES, Gather, Graph, Kind, Op, Role, Tensor, distinct_bytes
from fuseline.graph.files import find_fault

_SELECTS = frozenset({Kind.SLICE, Kind.SPLIT})
_CAPTURE = "capture with a batch of two or more"


def with_batch(graph: Graph, batch: int) -> Graph:
    """The same model on `batch` samples, from a graph of another batch.

    [B, ..] --> [batch, ..] in every input, and in everything that follows from them: storages,
    windows, limits of gathers and scatters, FLOPs and other FLOPs. Parameters stay, and inputs
    that are one number. The ops stay the same.

    Raises `InputError` that names the first op (or input) that prevents an exact rescale.

    >>> from fuseline.graph import Builder
    >>> build = Builder()
    >>> x = build.tensor("x", (1, 4), role=Role.INPUT)  # 4 floats
    >>> graph = build.finish([build.op("act", Kind.RELU, inputs=[x], shape=(1, 4))])
    >>> graph.compulsory_bytes, with_batch(graph, 8).compulsory_bytes
    (32, 256)
    """
    if batch < 1:
        raise InputError(f"a batch of {batch}: at least one sample")
    if batch == graph.source.batch:
        return graph
    walk = _Walk(graph, batch)
    while walk.follow():  # again, where a constant turned out to have a row a sample
        pass
    return _checked(graph, walk.result(), walk)


class _Walk:
    """One pass over the ops, from the inputs on."""

    def __init__(self, graph: Graph, batch: int) -> None:
        self.graph = graph
        self.batch = batch
        self.now = graph.source.batch
        self.layouts: dict[int, Layout] = {}  # storages that grow
        self.demanded: dict[int, Layout] = {}  # constants that must have a row a sample
        self.expanded: dict[int, int] = {}  # tensor -> axis of stride 0 that is the batch
        self.grown: set[tuple[bool, int]] = set()  # (folded, op)
        self.doubtful: set[int] = set()  # tensors of batch 1 that may have a row a sample
        self.made: set[int] = set()  # storages that an op has made so far

    def follow(self) -> bool:
        """Walk; whether a constant was found to grow, so that the walk must begin again."""
        before = len(self.demanded)
        self.layouts = dict(self.demanded)
        self.expanded, self.grown, self.doubtful, self.made = {}, set(), set(), set()
        for tensor in self.graph.tensors:
            is_scalar = not tensor.shape  # one number for all samples: a position
            if tensor.role is Role.INPUT and not is_scalar and tensor.storage not in self.layouts:
                self.layouts[tensor.storage] = self._layout_of_input(tensor)
        for op in self.graph.folded:
            self._visit(op, is_folded=True)
        for op in self.graph.ops:
            self._visit(op, is_folded=False)
        return len(self.demanded) > before

    def prevented(self, name: str, why: str) -> InputError:
        """The one line that says why not."""
        return InputError(f"'{name}' prevents a batch of {self.batch}: {why}")

    def _layout_of_input(self, tensor: Tensor) -> Layout:
        nbytes = self.graph.storages[tensor.storage].nbytes
        if tensor.shape[0] != self.now:
            raise self.prevented(tensor.name, f"this input does not begin with {self.now} samples")
        if self.now == 1 and len(tensor.shape) == 1:
            raise self.prevented(tensor.name, f"its one element may not be a sample: {_CAPTURE}")
        layout = Layout(nbytes // self.now, self.now)
        whole = tensor.nbytes == nbytes == distinct_bytes(tensor)
        if not whole or digits_of(tensor, layout)[:1] != (Digit(0, 1),):
            raise self.prevented(tensor.name, "its samples do not lie one after the other")
        return layout

    # --- one op -----------------------------------------------------------------------------

    def _visit(self, op: Op, *, is_folded: bool) -> None:
        if not op.is_compute:
            self._look_through(op)
            return
        tensors = self.graph.tensors
        operands = [tensors[number] for number in dict.fromkeys((*op.inputs, *op.parameters))]
        growing = [tensor for tensor in operands if tensor.storage in self.layouts]
        fixed = [tensor for tensor in operands if tensor.storage not in self.layouts]
        results = [tensors[number] for number in op.outputs]
        fresh = [tensor for tensor in results if self._is_new(tensor)]
        self.made.update(tensor.storage for tensor in fresh)
        touched = {tensors[number].storage for number in (*op.writes, *op.outputs)}
        if growing:
            self._follow_samples(op, growing, fixed, fresh)
        elif any(tensor.storage in self.demanded for tensor in fresh):
            self._demand_operands(fixed, fresh[0])
        if growing or touched & self.layouts.keys():
            self.grown.add((is_folded, op.id))
            for tensor in results:
                self._widened(op, tensor)
        else:
            self._doubt(op, fixed)

    def _follow_samples(
        self, op: Op, growing: list[Tensor], fixed: list[Tensor], fresh: list[Tensor]
    ) -> None:
        """An op that reads samples: what it makes and what it overwrites."""
        for tensor in fresh:
            if tensor.storage not in self.layouts:
                self._grow(op, tensor, self._ruled(op, growing, fixed, tensor))
        for number in op.writes:
            self._write(op, growing, fixed, self.graph.tensors[number])
        if self.batch > 1 or op.kind not in COPIES or not fresh:
            return
        shape = COPIES[op.kind](self._widened(op, fresh[0]))
        if any(can_view(self._widened(op, source), shape) for source in growing):
            raise self.prevented(op.name, "with one sample it is a view")

    def _is_new(self, tensor: Tensor) -> bool:
        """Whether the storage is one that an op makes, met for the first time."""
        role = self.graph.storages[tensor.storage].role
        makes = role is Role.ACTIVATION or role is Role.CONSTANT
        return makes and tensor.storage not in self.made

    def _look_through(self, op: Op) -> None:
        """A view grows where its storage does, if it is a window of whole samples."""
        tensors = self.graph.tensors
        for number in op.outputs:
            tensor = tensors[number]
            layout = self.layouts.get(tensor.storage)
            if layout is None:
                continue
            self._widened(op, tensor)
            sources = [tensors[n] for n in op.inputs if tensors[n].storage == tensor.storage]
            if op.kind in _SELECTS and any(loses(s, tensor, layout) for s in sources):
                raise self.prevented(op.name, "it selects one sample")
            if op.kind is Kind.RESHAPE and any(reorders(s, tensor, layout) for s in sources):
                raise self.prevented(op.name, f"with more samples it is a copy: {_CAPTURE}")
        self._doubt(op, [tensors[n] for n in (*op.inputs, *op.parameters)])

    def _widened(self, op: Op, tensor: Tensor) -> Tensor:
        layout = self.layouts.get(tensor.storage)
        if layout is None:
            return tensor
        wider = widen(tensor, layout, self.batch)
        if wider is None:
            raise self.prevented(op.name, "it takes parts of samples apart, or some samples only")
        return wider

    def _ruled(self, op: Op, growing: list[Tensor], fixed: list[Tensor], made: Tensor) -> Digit:
        """The batch's place in what the op makes."""
        if op.kind not in RULES:
            raise self.prevented(op.name, f"how {op.kind.value} goes with the batch is not known")
        known = tuple(Growing(t.shape, self._digits(op, t)) for t in growing)
        digit = RULES[op.kind](Operands(known, tuple(fixed), self.now), made.shape)
        if isinstance(digit, str):
            raise self.prevented(op.name, digit)
        for tensor in fixed:
            self._settle(op, tensor, digit, len(made.shape))
        return digit

    def _digits(self, op: Op, tensor: Tensor) -> tuple[Digit, ...]:
        """Where the batch may be in an operand: not among what the op reduces, if it can be."""
        found = digits_of(tensor, self.layouts[tensor.storage])
        if op.axes is None or op.inputs[:1] != (tensor.id,):
            return found
        apart = tuple(digit for digit in found if digit.axis not in op.axes)
        return apart if apart or op.kind in SHRINKING else found

    def _grow(self, op: Op, tensor: Tensor, digit: Digit) -> None:
        """The storage of a result grows, as its strides say."""
        step = tensor.strides[digit.axis] * digit.post * ITEM_BYTES[tensor.dtype]
        nbytes = self.graph.storages[tensor.storage].nbytes
        if not step or nbytes % (step * self.now):
            raise self.prevented(op.name, "the samples of its result do not fill its memory")
        layout = Layout(step, self.now)
        if digit not in digits_of(tensor, layout):
            raise self.prevented(op.name, "the samples of its result lie apart in memory")
        self.layouts[tensor.storage] = layout

    def _write(self, op: Op, growing: list[Tensor], fixed: list[Tensor], target: Tensor) -> None:
        """What is written in place must have the batch where the operands have it."""
        if self.graph.storages[target.storage].is_held and op.kind is Kind.BATCHNORM:
            return  # running statistics
        layout = self.layouts.get(target.storage)
        if layout is None:
            raise self.prevented(op.name, "it writes samples into memory that does not grow")
        others = [tensor for tensor in fixed if tensor.id != target.id]
        digit = self._ruled(op, growing, others, target)
        if digit not in digits_of(target, layout):
            raise self.prevented(op.name, "it writes samples to where others lie")

    # --- what does not grow, or may ---------------------------------------------------------

    def _settle(self, op: Op, tensor: Tensor, digit: Digit, rank: int) -> None:
        """An operand that does not grow must be the same for every sample."""
        axis = digit.axis - (rank - len(tensor.shape))
        if op.kind not in BROADCASTS or axis < 0:
            return
        if self.now == 1:
            is_made = tensor.storage in self.made
            if tensor.shape[axis] == 1 and is_made and tensor.id in self.doubtful:
                why = f"its operand '{tensor.name}' may have a row a sample: {_CAPTURE}"
                raise self.prevented(op.name, why)
        elif size_at(tensor, digit, rank) == self.now:
            if tensor.strides[axis] == 0:
                self.expanded[tensor.id] = axis
            else:
                self._demand(op.name, tensor, axis)

    def _demand(self, name: str, tensor: Tensor, axis: int) -> None:
        """A constant with a row a sample has to grow, or the model would not run."""
        storage = self.graph.storages[tensor.storage]
        step = tensor.strides[axis] * ITEM_BYTES[tensor.dtype]
        whole = tensor.nbytes == storage.nbytes == distinct_bytes(tensor)
        if storage.id not in self.made or not whole or storage.nbytes % (step * self.now):
            raise self.prevented(name, f"its operand '{tensor.name}' has {self.now} rows")
        self.demanded[storage.id] = Layout(step, self.now)

    def _demand_operands(self, operands: Iterable[Tensor], result: Tensor) -> None:
        """What a constant with a row a sample was made from, where that has rows too."""
        axis = digits_of(result, self.layouts[result.storage])[0].axis
        for tensor in operands:
            if axis >= len(tensor.shape) or tensor.shape[axis] != self.now:
                continue
            if tensor.strides[axis] == 0:
                self.expanded[tensor.id] = axis
            elif tensor.storage in self.made:
                self._demand(tensor.name, tensor, axis)

    def _doubt(self, op: Op, operands: list[Tensor]) -> None:
        """With a batch of 1, what the program makes with an axis of 1 may be one row a sample."""
        begins = not operands or op.kind is Kind.EXPAND
        if begins or any(tensor.id in self.doubtful for tensor in operands):
            made = (self.graph.tensors[number] for number in op.outputs)
            self.doubtful.update(tensor.id for tensor in made if 1 in tensor.shape)

    # --- the answer -------------------------------------------------------------------------

    def result(self) -> Graph:
        """The rescaled graph."""
        graph, new, old = self.graph, self.batch, self.now
        source = graph.source
        shapes = tuple((new, *shape[1:]) if shape else () for shape in source.input_shapes)
        note = f"a batch of {new} is a what-if on a capture of {old}"
        return replace(
            graph,
            source=replace(source, batch=new, input_shapes=shapes, notes=(*source.notes, note)),
            storages=tuple(
                replace(s, nbytes=s.nbytes // old * new) if s.id in self.layouts else s
                for s in graph.storages
            ),
            tensors=tuple(map(self._tensor, graph.tensors)),
            ops=tuple(self._op(op, is_folded=False) for op in graph.ops),
            folded=tuple(self._op(op, is_folded=True) for op in graph.folded),
        )

    def _tensor(self, tensor: Tensor) -> Tensor:
        if tensor.storage in self.layouts:
            wider = widen(tensor, self.layouts[tensor.storage], self.batch)
            if wider is None:
                raise self.prevented(tensor.name, "it is no window of whole samples")
            return wider
        if (axis := self.expanded.get(tensor.id)) is not None:
            shape = (*tensor.shape[:axis], self.batch, *tensor.shape[axis + 1 :])
            return replace(tensor, shape=shape)
        return tensor

    def _op(self, op: Op, *, is_folded: bool) -> Op:
        if (is_folded, op.id) not in self.grown:
            return op

        def times(count: int) -> int:
            if count % self.now:
                raise self.prevented(op.name, "its work is not the same for every sample")
            return count // self.now * self.batch

        def limits(found: tuple[Gather, ...]) -> tuple[Gather, ...]:
            return tuple(replace(limit, nbytes=times(limit.nbytes)) for limit in found)

        row_numel = op.row_numel
        if row_numel and op.axes is not None and op.inputs:
            first = self.graph.tensors[op.inputs[0]]
            digits = self._digits(op, first) if first.storage in self.layouts else ()
            if digits and digits[0].axis in op.axes:  # statistics of a batch in training
                row_numel = times(row_numel)
        work = replace(
            op.work,
            flops=times(op.work.flops),
            other_flops=times(op.work.other_flops),
            masked_flops=times(op.work.masked_flops),
        )
        return replace(
            op,
            work=work,
            gathers=limits(op.gathers),
            scatters=limits(op.scatters),
            hidden_bytes=times(op.hidden_bytes),
            row_numel=row_numel,
        )


def _checked(graph: Graph, made: Graph, walk: _Walk) -> Graph:
    """`made`, if it holds together and every window grew by the very factor."""
    fault = find_fault(made)
    for old, new in zip(graph.tensors, made.tensors, strict=True):
        grows = old.storage in walk.layouts
        wanted = distinct_bytes(old) * (walk.batch if grows else walk.now)
        if distinct_bytes(new) * walk.now != wanted and not fault:
            fault = f"tensor '{old.name}' would not grow as its memory does"
    if fault:
        raise InputError(f"a batch of {walk.batch} cannot be derived: {fault}")
    return made
