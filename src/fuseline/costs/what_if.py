"""What if: one captured graph turned into another, without the model or torch.

Each function returns a new graph with the same ops, and says in `Source.notes` what was assumed.
They answer what sizes would do to the figures; what another dtype would do to the *program* (a
cast that a model makes, a kernel that is not there) only a capture shows. As in every graph, the
whole tensor is what an op moves: a lower bound.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil, prod

from fuseline.costs.batch import with_batch
from fuseline.errors import InputError, did_you_mean
from fuseline.graph import ITEM_BYTES, Gather, Graph, Kind, Op, Tensor

__all__ = ["WEIGHT_BITS", "with_batch", "with_dtype", "with_weight_only"]

_NUMBERS = (
    "float64", "float32", "bfloat16", "float16", "float8_e4m3fn", "float8_e4m3fnuz",
    "float8_e5m2", "float8_e5m2fnuz", "int8", "uint8",
)  # fmt: skip
"""Dtypes that activations and parameters can be held in."""

# --- dtype ----------------------------------------------------------------------------------


def with_dtype(graph: Graph, dtype: str) -> Graph:
    """The same ops on tensors of another number format.

    float32 [4 bytes an element] --> `dtype`, wherever the graph has the dtype it was captured in:
    activations, parameters, buffers, constants, inputs. Every other dtype stays (indices, masks,
    what the model keeps in a dtype of its own); so do shapes, ops and FLOPs. A cast between what
    are now equal dtypes stays too, and is priced as a copy.

    Raises `InputError` for an unknown dtype, a graph without tensors of its own dtype, and memory
    that is read in two dtypes, naming the op.

    >>> from fuseline.graph import Builder, Role
    >>> build = Builder()
    >>> x = build.tensor("x", (4, 4), role=Role.INPUT)  # 16 floats
    >>> graph = build.finish([build.op("act", Kind.RELU, inputs=[x], shape=(4, 4))])
    >>> graph.compulsory_bytes, with_dtype(graph, "bfloat16").compulsory_bytes
    (128, 64)
    """
    if dtype not in _NUMBERS:
        hint = did_you_mean(dtype, _NUMBERS) or f": one of {', '.join(_NUMBERS)}"
        raise InputError(f"unknown dtype '{dtype}'{hint}")
    own = graph.source.dtype
    if dtype == own:
        return graph
    changed = {tensor.storage for tensor in graph.tensors if tensor.dtype == own}
    if not changed:
        raise InputError(f"no tensor of the graph is {own}, the dtype it was captured in")
    for tensor in graph.tensors:
        if tensor.dtype != own and tensor.storage in changed:
            where = _first_user(graph, tensor.id)
            raise InputError(f"{where} reads {own} memory as {tensor.dtype}: capture with dtype")
    new, old = ITEM_BYTES[dtype], ITEM_BYTES[own]
    storages = tuple(
        replace(s, nbytes=_scaled(s.nbytes, new, old)) if s.id in changed else s
        for s in graph.storages
    )
    tensors = tuple(
        replace(tensor, dtype=dtype) if tensor.dtype == own else tensor for tensor in graph.tensors
    )
    sizes = dict.fromkeys(changed, (new, old))
    note = f"dtype {dtype} is a what-if on a capture in {own}: the same ops, casts as captured"
    return replace(
        graph,
        source=replace(graph.source, dtype=dtype, notes=(*graph.source.notes, note)),
        storages=storages,
        tensors=tensors,
        ops=_resized(graph, graph.ops, sizes),
        folded=_resized(graph, graph.folded, sizes),
    )


def _scaled(nbytes: int, new: int, old: int) -> int:
    """`nbytes` times new / old, rounded up."""
    return -(-nbytes * new // old)


def _first_user(graph: Graph, tensor: int) -> str:
    for op in (*graph.folded, *graph.ops):
        if tensor in (*op.inputs, *op.parameters, *op.outputs, *op.writes):
            return f"'{op.name}'"
    return f"'{graph.tensors[tensor].name}'"


def _resized(graph: Graph, ops: Iterable[Op], sizes: dict[int, tuple[int, int]]) -> tuple[Op, ...]:
    """The ops, with their byte limits scaled by (new, old) where a storage has changed size."""

    def limits(found: tuple[Gather, ...]) -> tuple[Gather, ...]:
        return tuple(
            replace(limit, nbytes=_scaled(limit.nbytes, *sizes[storage]))
            if (storage := graph.tensors[limit.tensor].storage) in sizes
            else limit
            for limit in found
        )

    def hidden(op: Op) -> int:
        """What a composite op hides is in the dtype of its first input."""
        first = graph.tensors[op.inputs[0]].storage if op.hidden_bytes and op.inputs else -1
        return _scaled(op.hidden_bytes, *sizes[first]) if first in sizes else op.hidden_bytes

    return tuple(
        replace(
            op, gathers=limits(op.gathers), scatters=limits(op.scatters), hidden_bytes=hidden(op)
        )
        if op.gathers or op.scatters or op.hidden_bytes
        else op
        for op in ops
    )


# --- weights of fewer bits ------------------------------------------------------------------

WEIGHT_BITS = (8, 4)
"""Sizes that weights can be packed to [bits]."""

_SCALE_NBYTES = ITEM_BYTES["float16"]

# kind --> axis of its weight that is the output channel: one row of packed weights each.
_CHANNEL_AXIS: dict[Kind, int] = {
    **dict.fromkeys((Kind.CONV1D, Kind.CONV1D_DEPTHWISE), 0),  # [Co, Ci / groups, taps]
    **dict.fromkeys((Kind.CONV2D, Kind.CONV2D_POINTWISE, Kind.CONV2D_DEPTHWISE), 0),
    **dict.fromkeys((Kind.CONV3D, Kind.CONV3D_DEPTHWISE), 0),
    Kind.CONV_TRANSPOSE1D: 1,  # [Ci, Co / groups, taps]
    Kind.CONV_TRANSPOSE2D: 1,
    Kind.CONV_TRANSPOSE3D: 1,
    Kind.LINEAR: 0,  # [N, K]
}

_PRODUCTS = frozenset({Kind.MATMUL, Kind.ADDMM, Kind.GROUPED_MM})
"""x [..., M, K] @ weight [..., K, N], or weight [..., M, K] @ x: each matrix has its own rows."""


@dataclass(frozen=True, slots=True)
class _Packed:
    """Packed weights: `rows` of `row_nbytes`, each with its scales."""

    rows: int
    row_nbytes: int


def with_weight_only(graph: Graph, bits: int, group_size: int = 128) -> Graph:
    """The same ops with the weights of their contractions packed.

    weight [N rows of K] --> N rows of K bytes + one float16 scale a row             (8 bits)
                         --> N rows of ceil(K / 2) bytes + ceil(K / group_size) float16 scales (4)

    A row is an output channel; scales are symmetric: no zero points. Weights are the operands of
    convolutions, linear and matrix products that the model holds, of two dimensions or more; they
    are widened on chip to the dtype of the activations, which compute in it as before. The work of
    widening is not counted. A weight that another op reads too (an embedding tied to the head), or
    in parts, stays as it is, and `Source.notes` says how many did.

    Packed weights are uint8 tensors of [rows, bytes of a row], so that traffic stays exact.

    Raises `InputError` for other sizes, and where the graph holds no such weight.
    """
    if bits not in WEIGHT_BITS:
        raise InputError(f"weights of {bits} bits: only 8 and 4 are known")
    if group_size < 1:
        raise InputError(f"a group of {group_size} weights: at least one")
    rows, kept = _weights(graph)
    packed: dict[int, _Packed] = {}
    for storage, count in rows.items():
        size = _numel(graph, storage) // count
        packed[storage] = _Packed(count, _row_nbytes(size, bits, group_size))
    if not packed:
        raise InputError("the graph holds no weight that only contractions read whole")
    sizes = {
        storage: (found.rows * found.row_nbytes, graph.storages[storage].nbytes)
        for storage, found in packed.items()
    }
    scales = f"a float16 scale {'a row' if bits == WEIGHT_BITS[0] else f'every {group_size}'}"
    note = f"{len(packed)} weights are a what-if: {bits} bits, {scales}; {kept} stay as they are"
    return replace(
        graph,
        source=replace(graph.source, notes=(*graph.source.notes, note)),
        storages=tuple(
            replace(s, nbytes=sizes[s.id][0]) if s.id in sizes else s for s in graph.storages
        ),
        tensors=tuple(
            _packed_tensor(tensor, packed[tensor.storage]) if tensor.storage in packed else tensor
            for tensor in graph.tensors
        ),
        ops=_resized(graph, graph.ops, sizes),
        folded=_resized(graph, graph.folded, sizes),
    )


def _row_nbytes(size: int, bits: int, group_size: int) -> int:
    """Bytes of `size` weights of one output channel, and of their scales."""
    scales = 1 if bits == WEIGHT_BITS[0] else ceil(size / group_size)
    return ceil(size * bits / 8) + scales * _SCALE_NBYTES


def _packed_tensor(tensor: Tensor, packed: _Packed) -> Tensor:
    shape = packed.rows, packed.row_nbytes
    return replace(tensor, shape=shape, dtype="uint8", offset=0, strides=(packed.row_nbytes, 1))


def _weights(graph: Graph) -> tuple[dict[int, int], int]:
    """Storage -> rows of every weight that can be packed, and how many weights cannot."""
    seen: dict[int, set[int]] = defaultdict(set)  # storage -> rows, as each of its readers sees it
    for op in (*graph.folded, *graph.ops):
        if op.is_compute:
            for tensor in (*op.inputs, *op.parameters, *op.writes):
                seen[graph.tensors[tensor].storage].add(_rows(graph, op, tensor))
    in_parts = {
        tensor.storage
        for tensor in graph.tensors
        if tensor.nbytes != graph.storages[tensor.storage].nbytes
    }
    given = {graph.tensors[tensor].storage for tensor in graph.outputs}
    weights = {
        graph.tensors[tensor].storage
        for op in graph.ops
        for tensor in op.parameters
        if _rows(graph, op, tensor)
    }
    found = {
        storage: next(iter(seen[storage]))
        for storage in sorted(weights - in_parts - given)
        if len(seen[storage]) == 1
    }
    return found, len(weights) - len(found)


def _rows(graph: Graph, op: Op, number: int) -> int:
    """Rows of the weight as `op` uses it; 0 where it is none to this op."""
    weight = graph.tensors[number]
    is_matrix = len(weight.shape) >= 2 and weight.numel > 0  # noqa: PLR2004 - a bias has one
    is_read = number in op.parameters and number not in op.writes
    if not is_matrix or not is_read or weight.dtype not in _NUMBERS:
        return 0
    if op.kind in _CHANNEL_AXIS:
        return weight.shape[_CHANNEL_AXIS[op.kind]]
    if op.kind not in _PRODUCTS or not op.inputs:
        return 0
    (*batch, rows, columns), other = weight.shape, graph.tensors[op.inputs[0]].shape
    if other[-1] == rows:
        return prod(batch) * columns
    return prod(batch) * rows if other[-2:-1] == (columns,) else 0


def _numel(graph: Graph, storage: int) -> int:
    """Elements of a storage whose tensors all cover it."""
    return next(tensor.numel for tensor in graph.tensors if tensor.storage == storage)
