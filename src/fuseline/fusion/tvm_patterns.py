"""What TVM takes each op for: its operator patterns, by kind, class and shapes.

TVM reads an op's pattern off the loops it has generated: which indices a block stores to and which
it loads from. The table says what that gives for every kind; rows and refinements were measured
with TVM 0.27 (`AnnotateTIROpPattern` after its importer of exported torch programs).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from fuseline.graph import Graph, Kind, Op, OpClass, Tensor


class Pattern(IntEnum):
    """TVM's lattice: of two patterns in one place the larger counts.

    Relax hands the parts of a concatenation over as arguments, so that no node of its graph is a
    tuple, which TVM ranks between ANCHOR and OPAQUE.
    """

    ELEMENTWISE = 0  # element i of the result comes from element i of an operand
    BROADCAST = 1  # every operand is smaller than the result
    INJECTIVE = 2  # moves data: each element comes from one element
    REDUCTION = 3  # sums along whole axes
    ANCHOR = 4  # complex; takes elementwise ops after it (TVM: OutEWiseFusable)
    OPAQUE = 8  # TVM looks no further


# fmt: off
_ROWS: tuple[tuple[Pattern, tuple[Kind, ...]], ...] = (
    # anchors: multiply and add over a window or an axis
    (Pattern.ANCHOR, (
        Kind.CONV1D, Kind.CONV1D_DEPTHWISE, Kind.CONV2D, Kind.CONV2D_POINTWISE,
        Kind.CONV2D_DEPTHWISE, Kind.CONV3D, Kind.CONV3D_DEPTHWISE, Kind.CONV_TRANSPOSE1D,
        Kind.CONV_TRANSPOSE2D, Kind.CONV_TRANSPOSE3D, Kind.LINEAR, Kind.MATMUL, Kind.ADDMM,
        Kind.EINSUM, Kind.BILINEAR,
    )),
    # pools: the index of the window is mixed with that of the result
    (Pattern.ANCHOR, (Kind.MAXPOOL, Kind.AVGPOOL, Kind.ADAPTIVEAVGPOOL, Kind.LOCAL_RESPONSE_NORM)),
    # a reduction, then elementwise with its result, in one op
    (Pattern.ANCHOR, (
        Kind.LAYERNORM, Kind.GROUPNORM, Kind.INSTANCENORM, Kind.RMSNORM, Kind.NORMALIZE,
        Kind.SOFTMAX, Kind.MEAN, Kind.VARIANCE,
    )),
    # reductions: a norm is one after a square and before a root
    (Pattern.REDUCTION, (Kind.SUM, Kind.EXTREMUM, Kind.NORM)),
    # movement; a gated unit takes two halves apart
    (Pattern.INJECTIVE, (
        Kind.RESHAPE, Kind.PERMUTE, Kind.EXPAND, Kind.SLICE, Kind.SPLIT, Kind.CONTIGUOUS, Kind.CAT,
        Kind.PAD, Kind.PIXEL_SHUFFLE, Kind.UPSAMPLE, Kind.GLU, Kind.CONTROL,
    )),
    # elementwise, by shapes
    (Pattern.ELEMENTWISE, (
        Kind.BATCHNORM, Kind.RELU, Kind.RELU6, Kind.LEAKY_RELU, Kind.PRELU, Kind.ELU, Kind.SELU,
        Kind.SILU, Kind.SWISH, Kind.MISH, Kind.GELU, Kind.SIGMOID, Kind.TANH, Kind.SOFTPLUS,
        Kind.HARDSWISH, Kind.HARDSIGMOID, Kind.HARDTANH, Kind.ADD, Kind.SUB, Kind.MUL, Kind.DIV,
        Kind.POW, Kind.ELEMENTWISE_UNARY, Kind.ELEMENTWISE_BINARY, Kind.ELEMENTWISE_TERNARY,
        Kind.COMPARE, Kind.WHERE, Kind.CLAMP, Kind.FILL, Kind.QUANTIZE, Kind.DEQUANTIZE,
        Kind.DROPOUT, Kind.STOCHASTIC_DEPTH, Kind.IDENTITY, Kind.CAST,
    )),
    # reads where another tensor says, with a check of bounds; TVM rolls by such a read
    (Pattern.OPAQUE, (
        Kind.EMBEDDING, Kind.EMBEDDING_BAG, Kind.INDEX, Kind.RELATIVE_POSITION_BIAS, Kind.SCATTER,
        Kind.SCATTER_REDUCE, Kind.GRID_SAMPLE, Kind.ROLL,
    )),
    # library calls of TVM's own
    (Pattern.OPAQUE, (Kind.CUMULATIVE, Kind.SORT)),
    # one op here, many there: what is inside cannot be shown
    (Pattern.OPAQUE, (
        Kind.MULTIHEAD_ATTENTION, Kind.SHIFTED_WINDOW_ATTENTION,
        Kind.SCALED_DOT_PRODUCT_ATTENTION, Kind.RNN, Kind.LSTM, Kind.GRU,
    )),
    # the importer has no such op
    (Pattern.OPAQUE, (
        Kind.GROUPED_MM, Kind.DEFORM_CONV2D, Kind.LOGSUMEXP, Kind.DISTANCE, Kind.SEARCH, Kind.FFT,
        Kind.HISTOGRAM, Kind.SOLVE_TRIANGULAR, Kind.ADAPTIVEMAXPOOL, Kind.UNFOLD, Kind.FOLD,
        Kind.RANDOM, Kind.ROI_POOL, Kind.SELECT_IF, Kind.SUPPRESS,
    )),
    # to the host, or in no table
    (Pattern.OPAQUE, (Kind.HOST_READ, Kind.CUSTOM, Kind.UNKNOWN)),
)
# fmt: on

PATTERN_OF: dict[Kind, Pattern] = {kind: pattern for pattern, kinds in _ROWS for kind in kinds}
"""What TVM takes a kind for, where shapes do not say otherwise."""


def pattern_of(graph: Graph, op: Op) -> Pattern:
    """What TVM takes `op` for, its shapes seen.

    >>> from fuseline.graph import Builder, Role
    >>> build = Builder()
    >>> column = build.tensor("column", (3, 1), role=Role.INPUT)
    >>> row = build.tensor("row", (1, 4), role=Role.INPUT)
    >>> outer = build.op("outer", Kind.MUL, inputs=[column, row], shape=(3, 4))
    >>> scaled = build.op("scaled", Kind.MUL, inputs=[outer, column], shape=(3, 4))
    >>> graph = build.finish([scaled])
    >>> [pattern_of(graph, op).name for op in graph.ops]
    ['BROADCAST', 'ELEMENTWISE']
    """
    if op.op_class is OpClass.OPAQUE or _has_batch_statistics(op):
        return Pattern.OPAQUE
    if op.op_class is OpClass.VIEW:
        return _of_copy(graph, op)
    if op.op_class is OpClass.CONTROL:  # an element of a tuple
        return Pattern.INJECTIVE
    if op.kind in _REFINED:
        return _REFINED[op.kind](graph, op)
    return PATTERN_OF[op.kind]


def index_pattern(made: Tensor, read: Tensor) -> Pattern:
    """The pattern of looking at `made` as `read`, both of one storage.

    ELEMENTWISE where an index means the same element in both (a slice from 0 too), BROADCAST where
    axes of size 1 come, go or are repeated, else INJECTIVE.

    >>> from fuseline.graph import Role
    >>> def tensor(shape, strides):
    ...     return Tensor(0, "t", shape, "float32", Role.ACTIVATION, 0, 0, strides)
    >>> whole = tensor((3, 4), (4, 1))
    >>> index_pattern(whole, tensor((3, 2), (4, 1))).name
    'ELEMENTWISE'
    >>> index_pattern(whole, tensor((2, 3, 1, 4), (0, 4, 1, 1))).name
    'BROADCAST'
    >>> index_pattern(whole, tensor((4, 3), (1, 4))).name
    'INJECTIVE'
    """
    if made.offset == read.offset and made.dtype == read.dtype:
        if len(made.shape) == len(read.shape) and all(
            first == second or size == 1
            for first, second, size in zip(made.strides, read.strides, read.shape, strict=True)
        ):
            return Pattern.ELEMENTWISE
        if _long_axes(made) == _long_axes(read):
            return Pattern.BROADCAST
    return Pattern.INJECTIVE


def _long_axes(tensor: Tensor) -> list[tuple[int, int]]:
    """(size, stride) of the axes along which there is more than one element in memory."""
    axes = zip(tensor.shape, tensor.strides, strict=True)
    return [(size, stride) for size, stride in axes if size != 1 and stride]


def _has_batch_statistics(op: Op) -> bool:
    """Whether a norm trains: TVM's importer takes no such program."""
    return op.kind is Kind.BATCHNORM and op.op_class is OpClass.REDUCTION


def _of_elementwise(graph: Graph, op: Op) -> Pattern:
    """One operand of the result's shape is enough: the others are broadcast along with it."""
    made = (*op.outputs, *op.writes)
    operands = (*op.inputs, *op.parameters)
    if not made or not operands:
        return Pattern.ELEMENTWISE
    shape = graph.tensors[made[0]].shape
    same = any(graph.tensors[operand].shape == shape for operand in operands)
    return Pattern.ELEMENTWISE if same else Pattern.BROADCAST


def _of_copy(graph: Graph, op: Op) -> Pattern:
    """How the only operand is looked at; several are put side by side.

    What keeps every element in its place (one tensor concatenated, no rows of padding) is
    elementwise.
    """
    if len(op.inputs) != 1 or len(op.outputs) != 1:
        return Pattern.INJECTIVE
    read, made = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    if op.op_class is OpClass.VIEW:
        return index_pattern(read, made)
    same = read.shape == made.shape and read.strides == made.strides
    return Pattern.ELEMENTWISE if same else Pattern.INJECTIVE


def _of_adaptive_pool(graph: Graph, op: Op) -> Pattern:
    """Windows of one size are a pool's; of several sizes, their bounds are computed."""
    read, made = (graph.tensors[tensors[0]].shape for tensors in (op.inputs, op.outputs))
    if len(read) == len(made) and all(
        size and before % size == 0 for before, size in zip(read, made, strict=True)
    ):
        return Pattern.ANCHOR
    return Pattern.OPAQUE


def _of_extremum(graph: Graph, op: Op) -> Pattern:
    """Along whole axes a reduction; with its place an op that sorts, its place alone an anchor."""
    if len(op.outputs) != 1:
        return Pattern.OPAQUE
    same = graph.tensors[op.inputs[0]].dtype == graph.tensors[op.outputs[0]].dtype
    return Pattern.REDUCTION if same else Pattern.ANCHOR


_COPIES = (
    Kind.RESHAPE,
    Kind.PERMUTE,
    Kind.EXPAND,
    Kind.SLICE,
    Kind.CONTIGUOUS,
    Kind.CAT,
    Kind.PAD,
)

_REFINED: dict[Kind, Callable[[Graph, Op], Pattern]] = {
    **{kind: _of_elementwise for kind, row in PATTERN_OF.items() if row is Pattern.ELEMENTWISE},
    **dict.fromkeys(_COPIES, _of_copy),
    Kind.ADAPTIVEAVGPOOL: _of_adaptive_pool,
    Kind.EXTREMUM: _of_extremum,
}
"""Kinds whose pattern the shapes decide."""
