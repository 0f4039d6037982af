"""What Inductor adds to a graph before it lowers it: channels last around convolutions.

    conv(x, w)  -->  conv(copy(x), copy(w))    where x comes from outside, w has a window

With `layout_optimization` (its default) Inductor runs every two-dimensional convolution channels
last. What one convolution leaves, the next takes as it is; inputs of the model and weights of more
than one tap are copied. That is a graph of its own: plan and price what this returns.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from fuseline.graph import CLASS_OF, Graph, Kind, Op, Origin, Role, Status, Storage, Tensor, Work

_CONVOLUTIONS = frozenset({Kind.CONV2D, Kind.CONV2D_POINTWISE, Kind.CONV2D_DEPTHWISE})
_IMAGE = 4  # dimensions of a batch of images, and of a weight
_A_COPY = Work(0, 0, Status.ZERO, "a copy into another layout")


def with_layout_copies(graph: Graph) -> Graph:
    """`graph` with the copies that channels-last convolutions ask for, as ops of their own.

    >>> from fuseline.graph import Builder
    >>> build = Builder()
    >>> x = build.tensor("x", (1, 8, 6, 6), role=Role.INPUT)
    >>> w = build.tensor("w", (8, 8, 3, 3), role=Role.PARAMETER)
    >>> y = build.op("conv", Kind.CONV2D, inputs=[x], parameters=[w], shape=(1, 8, 4, 4))
    >>> [op.name for op in with_layout_copies(build.finish([y])).ops]
    ['x_channels_last', 'w_channels_last', 'conv']
    """
    storages, tensors, ops = list(graph.storages), list(graph.tensors), list[Op]()
    copied: dict[int, tuple[int, int]] = {}  # tensor -> its copy, and the op that makes it
    moved: dict[int, int] = {}  # op -> its place once copies stand before it
    for op in graph.ops:
        made: list[int] = []
        if op.kind in _CONVOLUTIONS:
            for number in (*op.inputs, *op.parameters):
                if number not in copied and _is_copied(graph, number):
                    copied[number] = len(tensors), len(ops)
                    ops.append(_copy(tensors, storages, number, len(ops)))
                if number in copied:
                    made.append(copied[number][1])
        inputs, parameters = op.inputs, op.parameters
        if made:
            inputs += tuple(number for number in parameters if number in copied)
            inputs = tuple(copied[n][0] if n in copied else n for n in inputs)
            parameters = tuple(number for number in parameters if number not in copied)
        before = tuple(moved[earlier] for earlier in op.predecessors)
        moved[op.id] = len(ops)
        ops.append(
            replace(
                op,
                id=len(ops),
                inputs=inputs,
                parameters=parameters,
                predecessors=tuple(dict.fromkeys((*before, *made))),
            )
        )
    return replace(graph, storages=tuple(storages), tensors=tuple(tensors), ops=tuple(ops))


def _is_copied(graph: Graph, number: int) -> bool:
    """Whether it comes from outside as an image or a window, its channels not last already."""
    tensor = graph.tensors[number]
    outside = graph.storages[tensor.storage].role is not Role.ACTIVATION
    if not outside or len(tensor.shape) != _IMAGE:
        return False
    return tensor.shape[1] > 1 and prod(tensor.shape[2:]) > 1 and tensor.strides[1] != 1


def _copy(tensors: list[Tensor], storages: list[Storage], number: int, op: int) -> Op:
    """The op that copies a tensor, with its result and the storage of that."""
    source = tensors[number]
    n, c, h, w = source.shape
    storages.append(Storage(len(storages), source.nbytes, Role.ACTIVATION))
    name = f"{source.name}_channels_last"
    tensors.append(
        Tensor(
            id=len(tensors),
            name=name,
            shape=(n, c, h, w),
            dtype=source.dtype,
            role=Role.ACTIVATION,
            storage=len(storages) - 1,
            offset=0,
            strides=(h * w * c, 1, w * c, c),
        )
    )
    return Op(
        id=op,
        name=name,
        target="contiguous",
        origin=Origin.ATEN,
        kind=Kind.CONTIGUOUS,
        op_class=CLASS_OF[Kind.CONTIGUOUS],
        inputs=(number,) if source.role is Role.INPUT else (),
        parameters=() if source.role is Role.INPUT else (number,),
        outputs=(len(tensors) - 1,),
        writes=(),
        predecessors=(),
        module_path="",
        module_class="",
        work=_A_COPY,
    )
