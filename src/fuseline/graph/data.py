"""The records a graph is made of: frozen data, no decisions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import prod

from fuseline.graph.kinds import Kind, OpClass, Origin

ITEM_BYTES: dict[str, int] = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "int64": 8,
    "uint64": 8,
    "float8_e4m3fn": 1,
    "float8_e4m3fnuz": 1,
    "float8_e5m2": 1,
    "float8_e5m2fnuz": 1,
    "float8_e8m0fnu": 1,
    "qint8": 1,
    "quint8": 1,
    "qint32": 4,
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
    "complex32": 4,
    "complex64": 8,
    "complex128": 16,
}
"""Bytes of one element of each dtype, by torch's name for it."""


class Role(Enum):
    """What a tensor, or the storage behind it, is to the model."""

    INPUT = "input"
    PARAMETER = "parameter"
    BUFFER = "buffer"
    CONSTANT = "constant"
    ACTIVATION = "activation"
    OUTPUT = "output"


_HELD = frozenset({Role.PARAMETER, Role.BUFFER, Role.CONSTANT})
"""Roles of what the model holds before it runs; `parameters` in reports."""


class Status(Enum):
    """How an op's FLOPs are known: the ledger behind promise 1."""

    COUNTED = "counted"
    ZERO = "zero by definition"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Storage:
    """One allocation: `nbytes` long, shared by every tensor that aliases it."""

    id: int
    nbytes: int
    role: Role

    @property
    def is_held(self) -> bool:
        """Whether the model holds it before it runs: a parameter, buffer or constant."""
        return self.role in _HELD


@dataclass(frozen=True, slots=True)
class Tensor:
    """A strided window onto a storage.

    `offset` and `strides` are in elements, as in torch. `role` says how the value appears in the
    graph; a view of a parameter is an activation whose *storage* is a parameter's.
    """

    id: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    role: Role
    storage: int
    offset: int
    strides: tuple[int, ...]

    @property
    def numel(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Elements times element size, as if the tensor were dense [bytes]."""
        return prod(self.shape) * ITEM_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class Work:
    """What an op computes: FLOPs of its contractions, other FLOPs, and how they are known.

    `masked_flops` is the part of `flops` whose results a causal mask throws away.
    """

    flops: int
    other_flops: int
    status: Status
    why: str = ""
    masked_flops: int = 0


@dataclass(frozen=True, slots=True)
class Gather:
    """A read (or, of a scatter, a write) that an index selects: at most `nbytes` of `tensor`."""

    tensor: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Op:
    """One node of the captured graph.

    `inputs` are the tensors among its arguments, `parameters` those its own module holds (in a
    recorded graph: those that the model holds), both in order. `writes` are existing tensors it
    overwrites in place. `predecessors` are the ops whose results it takes, tensors or not.
    `gathers` and `scatters` limit reads and writes that an index selects. `hidden_bytes` is traffic
    between the kernels a composite op (MultiheadAttention) must have inside and that this graph
    cannot show.

    A reduction takes every element of its result, or the statistics of every row, over the
    dimensions `axes` (sorted, counted from 0) of its first operand: of its first input, or of its
    first parameter where it has no input. `row_numel` elements share one statistic. That is the
    product of the sizes along `axes`, or less where a row is a block of them: a group of channels
    and all their pixels, in GroupNorm. Both are None where this is not known, and for other ops.
    """

    id: int
    name: str
    target: str
    origin: Origin
    kind: Kind
    op_class: OpClass
    inputs: tuple[int, ...]
    parameters: tuple[int, ...]
    outputs: tuple[int, ...]
    writes: tuple[int, ...]
    predecessors: tuple[int, ...]
    module_path: str
    module_class: str
    work: Work
    gathers: tuple[Gather, ...] = ()
    scatters: tuple[Gather, ...] = ()
    hidden_bytes: int = 0
    axes: tuple[int, ...] | None = None
    row_numel: int | None = None

    @property
    def is_operator(self) -> bool:
        """Whether it counts as an operator: at module level a `call_module` or `call_function`
        node, as the seed document counts; in a recorded graph a compute op.
        """
        if self.origin is Origin.ATEN:
            return self.is_compute
        return self.origin is not Origin.METHOD

    @property
    def is_compute(self) -> bool:
        """Whether it reads or writes device memory, so that it would be a kernel of its own."""
        return self.op_class is not OpClass.VIEW and self.op_class is not OpClass.CONTROL

    @property
    def is_unknown(self) -> bool:
        """Whether no formula knows its FLOPs."""
        return self.work.status is Status.UNKNOWN
