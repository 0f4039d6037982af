"""What Inductor makes of a graph before it lowers it: channels last around convolutions.

    conv(x, w)       -->  conv(copy(x), copy(w))    where x comes so from outside, w has a window
    y = conv(x, w)   -->  y, and what is computed of y element by element, channels last
    reshape(y)       -->  a view where channels last allows it, else a copy
    return y         -->  return copy(y), as it was laid out before

With `layout_optimization` (its default) Inductor runs every two-dimensional convolution channels
last, on a GPU only where that is expected to pay. What one convolution leaves, the next takes as it
is. That is a graph of its own: plan and price what `with_layout_copies` returns. Ops keep their
names; copies have names of their own.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from fuseline.fusion.inductor.access import locate, locate_offset
from fuseline.fusion.inductor.channels_last import lays_out_anew
from fuseline.fusion.inductor.limits import CPU, Limits
from fuseline.fusion.inductor.lowering import LAYOUT_COPY, recipe_of
from fuseline.graph import (
    CLASS_OF,
    Graph,
    Kind,
    Op,
    OpClass,
    Origin,
    Role,
    Status,
    Storage,
    Tensor,
    Work,
)

CONVOLUTIONS_2D = frozenset(
    {Kind.CONV2D, Kind.CONV2D_POINTWISE, Kind.CONV2D_DEPTHWISE, Kind.CONV_TRANSPOSE2D}
)
_IMAGE = 4  # dimensions of a batch of images, and of a weight
_LAST = (0, 2, 3, 1)
"""Axes of an image, outermost in memory first: channels last."""
_A_COPY = Work(0, 0, Status.ZERO, "a copy into another layout")
_FOLLOWS = frozenset({OpClass.ELEMENTWISE, OpClass.WINDOW, OpClass.COPY, OpClass.REDUCTION})
"""Classes of ops whose result is laid out as what they read is."""


def with_layout_copies(graph: Graph, *, limits: Limits = CPU, channels_last: bool = True) -> Graph:
    """`graph` as Inductor lays it out, with the copies that this takes as ops of their own.

    >>> from fuseline.graph import Builder
    >>> build = Builder()
    >>> x = build.tensor("x", (1, 8, 6, 6), role=Role.INPUT)
    >>> w = build.tensor("w", (8, 8, 3, 3), role=Role.PARAMETER)
    >>> y = build.op("conv", Kind.CONV2D, inputs=[x], parameters=[w], shape=(1, 8, 4, 4))
    >>> laid_out = with_layout_copies(build.finish([y]))
    >>> [op.name for op in laid_out.ops]
    ['x_channels_last', 'w_channels_last', 'conv', 'conv_contiguous']
    >>> laid_out.tensors[y].strides
    (128, 1, 32, 8)
    """
    convolves = channels_last and lays_out_anew(graph, limits)
    last = CONVOLUTIONS_2D if convolves else frozenset[Kind]()
    layout = _Layout(graph, last, limits)
    for op in graph.ops:
        layout.add(op)
    outputs = tuple(map(layout.output, graph.outputs))
    return replace(
        graph,
        outputs=outputs,
        storages=tuple(layout.storages),
        tensors=tuple(layout.tensors),
        ops=tuple(layout.ops),
    )


class _Layout:
    """The graph so far: tensors keep their numbers, and get strides of their own."""

    def __init__(self, graph: Graph, last: frozenset[Kind], limits: Limits) -> None:
        self.graph = graph
        self.limits = limits
        self.last = last  # kinds of ops that run channels last
        self.storages = list(graph.storages)
        self.tensors = list(graph.tensors)
        self.ops: list[Op] = []
        self.copies = Counter[int]()  # of each tensor: every convolution has its own
        self.moved: dict[int, int] = {}  # op -> its place once copies stand before it
        self.leads = _leading(graph, last)
        self.frozen: set[int] = set()  # storages that lie channels last for good
        self.views, self.convolved, self.joins = _readers(graph, last)
        self.convolutions = frozenset(n for op in graph.ops if op.kind in last for n in op.outputs)
        self.fixed = frozenset(graph.tensors[t].storage for t in graph.outputs)

    def add(self, op: Op) -> None:
        """Add `op`, after the copies that it takes."""
        made: list[int] = []
        inputs, parameters = op.inputs, op.parameters
        if op.kind in self.last:
            copies = {
                n: self._copy(n, _LAST, LAYOUT_COPY)
                for n in (*inputs, *parameters)
                if self._is_copied(n)
            }
            made = [copy.id for copy in copies.values()]
            inputs += tuple(number for number in parameters if number in copies)
            inputs = tuple(copies[n].outputs[0] if n in copies else n for n in inputs)
            parameters = tuple(number for number in parameters if number not in copies)
            self.frozen.update(self.tensors[n].storage for n in (*op.inputs[:1], *op.outputs))
        elif op.kind is Kind.MATMUL:
            result = self.graph.tensors[op.outputs[0]] if op.outputs else None
            copies = {
                n: self._copy(n, range(len(self.tensors[n].shape)), "contiguous")
                for n in dict.fromkeys((*inputs, *parameters))
                if result is not None and not _merges(self.tensors[n], result)
            }
            made = [copy.id for copy in copies.values()]
            inputs += tuple(number for number in parameters if number in copies)
            inputs = tuple(copies[n].outputs[0] if n in copies else n for n in inputs)
            parameters = tuple(number for number in parameters if number not in copies)
        before = tuple(self.moved[earlier] for earlier in op.predecessors)
        self.moved[op.id] = len(self.ops)
        self.ops.append(
            replace(
                op,
                id=len(self.ops),
                inputs=inputs,
                parameters=parameters,
                predecessors=tuple(dict.fromkeys((*before, *made))),
            )
        )
        if op.op_class is OpClass.VIEW:
            self._look(op)
        elif op.is_compute:
            for number in op.outputs:
                self._lay_out(op, number)

    def output(self, number: int) -> int:
        """What the program returns as a tensor of its: laid out as it always was."""
        before, now = self.graph.tensors[number], self.tensors[number]
        if now.strides == before.strides:
            return number
        return self._copy(number, _order_of(before), LAYOUT_COPY).outputs[0]

    # --- results --------------------------------------------------------------------------------

    def _lay_out(self, op: Op, number: int) -> None:
        """Give the result of a compute op the strides that Inductor gives it."""
        tensor = self.tensors[number]
        storage = self.storages[tensor.storage]
        if storage.role is not Role.ACTIVATION or tensor.nbytes != storage.nbytes:
            return
        order = self._order(op, number)
        if order is None:
            return
        laid_out = replace(tensor, strides=_dense(tensor.shape, order), offset=0)
        # a result that is free to be laid out lies as those who look at it need it
        if (
            op.kind not in self.last
            and op.op_class is not OpClass.ATTENTION
            and not all(
                _through(tensor, laid_out, self.graph.tensors[view]) for view in self.views[number]
            )
        ):
            return
        self.tensors[number] = laid_out

    def _order(  # noqa: C901, PLR0911 - a rule a line
        self, op: Op, number: int
    ) -> Sequence[int] | None:
        """Axes of a result, outermost in memory first; None where they stay as they are."""
        tensor = self.tensors[number]
        if op.kind in self.last and self.limits.results_first:
            return None
        if op.kind in self.last:
            return _LAST if len(tensor.shape) == _IMAGE else None
        if self.limits.attends_as_asked and op.kind is Kind.SCALED_DOT_PRODUCT_ATTENTION:
            query = self.graph.tensors[op.inputs[0]]
            same = query.shape == tensor.shape
            return _order_of(query) if same and _order_of(query) != _order_of(tensor) else None
        if op.op_class not in _FOLLOWS or tensor.storage in self.fixed:
            return None
        if op.kind is Kind.CAT and not self._is_joined_last(op):
            return None
        if len(tensor.shape) == _IMAGE and self._wants_last(op, number):
            return _LAST
        if any(not self._is_joined_last(join) for join in self.joins[number]):
            return None
        for operand in op.inputs:
            now, before = self.tensors[operand], self.graph.tensors[operand]
            if now.strides == before.strides or len(now.shape) != len(tensor.shape):
                continue
            if now.shape == tensor.shape or op.op_class is OpClass.WINDOW or op.kind is Kind.CAT:
                return _order_of(now)
        return None

    def _wants_last(self, op: Op, number: int) -> bool:
        """Whether a result is asked for channels last: by a convolution that takes it, or since it
        reads too much to be computed by each of several readers, and a convolution comes of it.
        """
        if number in self.convolved:
            return True
        readers = [self.graph.ops[reader] for reader in self.graph.consumers[op.id]]
        reads = len(op.inputs) + len(op.parameters)
        is_stored = (
            reads > self.limits.reuse_reads
            and sum(recipe_of(reader).uses for reader in readers) > 1
        )
        return is_stored and op.id in self.leads

    def _is_joined_last(self, join: Op) -> bool:
        """Whether a concatenation is channels last: an operand lies so for good by then."""
        return any(
            self.graph.tensors[n].storage in self.frozen or n in self.convolutions
            for n in join.inputs
        )

    # --- views ----------------------------------------------------------------------------------

    def _look(self, op: Op) -> None:
        """Have the results of a view look at what its operand is now; or make it a copy."""
        for number in op.outputs:
            view = self.graph.tensors[number]
            source = next(
                (n for n in op.inputs if self.graph.tensors[n].storage == view.storage), None
            )
            if source is None or self.tensors[source] == self.graph.tensors[source]:
                continue
            found = _through(self.graph.tensors[source], self.tensors[source], view)
            if found is None:
                found = self._made(view, view.name)
                last = self.ops[-1]
                self.ops[-1] = replace(
                    last, kind=Kind.CONTIGUOUS, op_class=CLASS_OF[Kind.CONTIGUOUS], work=_A_COPY
                )
            self.tensors[number] = found

    def _made(self, like: Tensor, name: str) -> Tensor:
        """A tensor of its own storage, its elements in their order."""
        self.storages.append(Storage(len(self.storages), like.nbytes, Role.ACTIVATION))
        return replace(
            like,
            name=name,
            role=Role.ACTIVATION,
            storage=len(self.storages) - 1,
            offset=0,
            strides=_dense(like.shape, range(len(like.shape))),
        )

    # --- copies ---------------------------------------------------------------------------------

    def _is_copied(self, number: int) -> bool:
        """Whether a convolution takes it as an image or a window whose channels are not last."""
        tensor = self.tensors[number]
        if len(tensor.shape) != _IMAGE:
            return False
        return _is_in_order(tensor, range(_IMAGE)) and not _is_in_order(tensor, _LAST)

    def _copy(self, number: int, order: Sequence[int], target: str) -> Op:
        """Add the op that copies a tensor for one call, its axes in `order`."""
        source = self.tensors[number]
        again = f"_{self.copies[number]}" if self.copies[number] else ""
        self.copies[number] += 1
        made = self._made(
            source, f"{source.name}_{'channels_last' if order is _LAST else 'contiguous'}{again}"
        )
        made = replace(made, id=len(self.tensors), strides=_dense(source.shape, order))
        self.tensors.append(made)
        held = self.storages[source.storage].is_held
        maker = [self.moved[op.id] for op in self.graph.ops[: 0 if held else None]
                 if number in op.outputs and op.id in self.moved]  # fmt: skip
        self.ops.append(
            Op(
                id=len(self.ops),
                name=made.name,
                target=target,
                origin=Origin.ATEN,
                kind=Kind.CONTIGUOUS,
                op_class=CLASS_OF[Kind.CONTIGUOUS],
                inputs=() if held else (number,),
                parameters=(number,) if held else (),
                outputs=(made.id,),
                writes=(),
                predecessors=tuple(maker),
                module_path="",
                module_class="",
                work=_A_COPY,
            )
        )
        return self.ops[-1]


def _leading(graph: Graph, last: frozenset[Kind]) -> frozenset[int]:
    """The ops of whose results a convolution that runs channels last comes."""
    found: set[int] = set()
    for op in reversed(graph.ops):
        readers = graph.consumers[op.id]
        if op.kind in last or (op.kind is not Kind.MATMUL and not found.isdisjoint(readers)):
            found.add(op.id)
    return frozenset(found)


def _readers(
    graph: Graph, last: frozenset[Kind]
) -> tuple[list[list[int]], frozenset[int], list[list[Op]]]:
    """The views taken of each tensor, the tensors that a convolution takes as its image, and the
    concatenations that take each tensor.
    """
    views: list[list[int]] = [[] for _ in graph.tensors]
    joins: list[list[Op]] = [[] for _ in graph.tensors]
    convolved: set[int] = set()
    for op in graph.ops:
        if op.op_class is OpClass.VIEW:
            for number in op.inputs:
                storage = graph.tensors[number].storage
                views[number] += (t for t in op.outputs if graph.tensors[t].storage == storage)
        elif op.kind in last:
            convolved.update(op.inputs[:1])
        elif op.kind is Kind.CAT:
            for number in op.inputs:
                joins[number].append(op)
    return views, frozenset(convolved), joins


def _merges(operand: Tensor, result: Tensor) -> bool:
    """Whether the batches of a product's operand are one axis, so that it is taken as it is."""
    batches = len(result.shape) - 2
    if batches < 2 or len(operand.shape) < 3:  # noqa: PLR2004
        return True
    lead = len(result.shape) - len(operand.shape)
    if lead or operand.shape[:batches] != result.shape[:batches]:
        return True
    dims = [
        (operand.shape[axis], operand.strides[axis])
        for axis in range(batches)
        if operand.shape[axis] != 1
    ]
    return all(outer == inner * size for (_, outer), (size, inner) in itertools.pairwise(dims))


def _order_of(tensor: Tensor) -> list[int]:
    """Its axes, outermost in memory first; those of one element where they stand."""
    axes = iter(
        sorted(
            (axis for axis, size in enumerate(tensor.shape) if size != 1),
            key=lambda axis: (-tensor.strides[axis], axis),
        )
    )
    return [axis if size == 1 else next(axes) for axis, size in enumerate(tensor.shape)]


def _dense(shape: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    """Strides of a dense tensor whose axes lie in memory in `order`.

    >>> _dense((1, 8, 4, 4), (0, 2, 3, 1))
    (128, 1, 32, 8)
    """
    strides = [1] * len(shape)
    numel = 1
    for axis in reversed(order):
        strides[axis] = numel
        numel *= shape[axis]
    return tuple(strides)


def _is_in_order(tensor: Tensor, order: Sequence[int]) -> bool:
    """Whether its axes of more than one element lie in memory in `order`."""
    strides = [tensor.strides[axis] for axis in order if tensor.shape[axis] != 1]
    return all(outer >= inner for outer, inner in itertools.pairwise(strides))


def _through(before: Tensor, now: Tensor, view: Tensor) -> Tensor | None:
    """`view`, which was taken of a tensor as it lay `before`, of the tensor as it lies `now`; None
    where no strides say it.
    """
    dims = tuple(zip(before.shape, before.strides, strict=True))
    strides: list[int] = []
    for size, stride in zip(view.shape, view.strides, strict=True):
        steps = locate(size, stride, dims)
        if steps is None:
            return None
        along = [
            (count, now.strides[axis] * step if axis >= 0 else 0)
            for count, axis, step in steps
            if count != 1
        ] or [(1, stride)]
        inner = along[-1][1]
        numel = 1
        for count, step in reversed(along):
            if step != inner * numel:
                return None
            numel *= count
        strides.append(inner)
    start = locate_offset(view.offset - before.offset, dims)
    offset = now.offset + sum(now.strides[axis] * index for axis, index in start)
    return replace(view, storage=now.storage, strides=tuple(strides), offset=offset)
