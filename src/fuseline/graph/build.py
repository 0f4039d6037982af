"""Putting a graph together: dense ids, one storage an allocation, ops in program order."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from fuseline.graph.data import (
    ITEM_BYTES,
    Gather,
    Op,
    Role,
    Status,
    Storage,
    Tensor,
    Work,
)
from fuseline.graph.graph import Graph, Source
from fuseline.graph.kinds import CLASS_OF, Kind, OpClass, Origin

_NO_WORK = Work(0, 0, Status.ZERO, "built by hand without work")
_UNKNOWN = Work(0, 0, Status.UNKNOWN, "no formula for this op")


class Builder:
    """Collects storages, tensors and ops; `finish` makes the immutable graph.

    >>> build = Builder()
    >>> x = build.tensor("x", (4, 4), role=Role.INPUT)
    >>> y = build.op("relu", Kind.RELU, inputs=[x], shape=(4, 4))
    >>> graph = build.finish(outputs=[y])
    >>> graph.compulsory_bytes  # read 16 floats, write 16 floats
    128
    """

    def __init__(self) -> None:
        self.storages: list[Storage] = []
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []
        self.maker: dict[int, int] = {}  # tensor -> the op whose result it is

    def storage(self, nbytes: int, role: Role) -> int:
        """Allocate `nbytes`; returns the storage's id."""
        self.storages.append(Storage(len(self.storages), nbytes, role))
        return len(self.storages) - 1

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        *,
        dtype: str = "float32",
        role: Role = Role.ACTIVATION,
        storage: int | None = None,
        offset: int = 0,
        strides: tuple[int, ...] | None = None,
    ) -> int:
        """Add a tensor, dense in a storage of its own unless said otherwise; returns its id."""
        if storage is None:
            owner = Role.ACTIVATION if role is Role.OUTPUT else role
            storage = self.storage(prod(shape) * ITEM_BYTES[dtype], owner)
        if strides is None:
            strides = tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))
        number = len(self.tensors)
        self.tensors.append(Tensor(number, name, shape, dtype, role, storage, offset, strides))
        return number

    def op(
        self,
        name: str,
        kind: Kind,
        *,
        inputs: Iterable[int] = (),
        shape: tuple[int, ...] | None = None,
        outputs: Iterable[int] = (),
        parameters: Iterable[int] = (),
        writes: Iterable[int] = (),
        predecessors: Iterable[int] | None = None,
        target: str = "",
        origin: Origin = Origin.FUNCTION,
        op_class: OpClass | None = None,
        module_path: str = "",
        module_class: str = "",
        work: Work | None = None,
        gathers: tuple[Gather, ...] = (),
        scatters: tuple[Gather, ...] = (),
        hidden_bytes: int = 0,
        axes: tuple[int, ...] | None = None,
        row_numel: int | None = None,
    ) -> int:
        """Add an op. With `shape` it makes one new dense tensor, whose id is returned; else -1.

        `predecessors` defaults to the ops that made the inputs, `row_numel` to the product of the
        first operand's sizes along `axes`.

        >>> build = Builder()
        >>> x = build.tensor("x", (8, 5, 7), role=Role.INPUT)
        >>> y = build.op("mean", Kind.MEAN, inputs=[x], shape=(8,), axes=(1, 2))
        >>> build.ops[-1].row_numel
        35
        """
        inputs, outputs = tuple(inputs), tuple(outputs)
        made = self.tensor(name, shape) if shape is not None else -1
        if made >= 0:
            outputs = (*outputs, made)
        if predecessors is None:
            predecessors = [self.maker[tensor] for tensor in inputs if tensor in self.maker]
        parameters = tuple(parameters)
        if axes is not None and row_numel is None:
            source = self.tensors[(*inputs, *parameters)[0]].shape
            row_numel = prod(source[axis] for axis in axes)
        number = len(self.ops)
        self.ops.append(
            Op(
                id=number,
                name=name,
                target=target or kind.value,
                origin=origin,
                kind=kind,
                op_class=op_class or CLASS_OF[kind],
                inputs=inputs,
                parameters=parameters,
                outputs=outputs,
                writes=tuple(writes),
                predecessors=tuple(dict.fromkeys(predecessors)),
                module_path=module_path,
                module_class=module_class,
                work=work or (_UNKNOWN if kind is Kind.UNKNOWN else _NO_WORK),
                gathers=gathers,
                scatters=scatters,
                hidden_bytes=hidden_bytes,
                axes=axes,
                row_numel=row_numel,
            )
        )
        self.maker.update(dict.fromkeys(outputs, number))
        return made

    def finish(self, outputs: Iterable[int], source: Source | None = None) -> Graph:
        """The graph, with every activation in `outputs` marked as an output."""
        outputs = tuple(outputs)
        for number in outputs:
            tensor = self.tensors[number]
            if tensor.role is Role.ACTIVATION:
                self.tensors[number] = Tensor(
                    tensor.id,
                    tensor.name,
                    tensor.shape,
                    tensor.dtype,
                    Role.OUTPUT,
                    tensor.storage,
                    tensor.offset,
                    tensor.strides,
                )
        if source is None:
            source = Source(
                "hand-made", "build", "build", "eval", 1, "float32", (), len(self.ops), ""
            )
        return Graph(source, tuple(self.storages), tuple(self.tensors), tuple(self.ops), outputs)
