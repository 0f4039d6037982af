"""Where the batch is in what an op makes, given where it is in what the op reads.

A batch index is a *digit* of one axis of a tensor: that axis counts `before x batch x post`, so
that the sample of index i is (i // post) % batch. Mostly the axis is the batch alone (post 1);
windows of images are an axis of batch x windows (post = windows).

A rule looks at shapes alone and returns the digit of the result, or a sentence on what prevents
it. It holds where every result scales exactly with the batch, and the work with it. Kinds without
a rule are refused: a sort or a search may mix samples, a group of experts counts them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from fuseline.graph import Kind, Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Digit:
    """The batch is in `axis`, and `post` consecutive indices of it belong to one sample."""

    axis: int
    post: int


@dataclass(frozen=True, slots=True)
class Growing:
    """A tensor that grows with the batch, and the places where its batch may be, likeliest first.

    With a batch of one several places may fit the same memory.
    """

    shape: Shape
    digits: tuple[Digit, ...]


@dataclass(frozen=True, slots=True)
class Operands:
    """What an op reads: what grows with the batch, in order, what does not, and the batch."""

    growing: tuple[Growing, ...]
    fixed: tuple[Tensor, ...]
    batch: int


Rule = Callable[[Operands, Shape], Digit | str]

_APART = "its operands do not carry the batch in one place"
_LOST = "its result does not keep the axis of the batch"
_SEVERAL = "more than one of its operands grows with the batch"


def pointwise(operands: Operands, out: Shape) -> Digit | str:
    """[.., B, ..] and what broadcasts against it --> [.., B, ..], aligned at the last axis."""
    return _aligned(operands, out, rank=len(out), broadcasts=True)


def attention(operands: Operands, out: Shape) -> Digit | str:
    """q [B, .., L, E], k [B, .., S, E], v [B, .., S, V] --> [B, .., L, V]."""
    return _aligned(operands, out, rank=len(out) - 2, broadcasts=True)


def concatenation(operands: Operands, out: Shape) -> Digit | str:
    """[.., B, ..] and [.., B, ..], along any other axis; stacked along a new one."""
    ranks = {len(x.shape) for x in (*operands.growing, *operands.fixed)}
    if ranks == {len(out)}:
        return _aligned(operands, out, rank=len(out), broadcasts=False)
    first, least = operands.growing[0], len(operands.growing)  # one may be stacked twice
    if operands.fixed or ranks != {len(out) - 1}:
        return _APART
    found = {
        Digit(digit.axis + (new <= digit.axis), digit.post)
        for new in range(len(out))
        if out[new] >= least and (*out[:new], *out[new + 1 :]) == first.shape
        for digit in first.digits[:1]
    }
    return next(iter(found)) if len(found) == 1 else _LOST


def _aligned(operands: Operands, out: Shape, *, rank: int, broadcasts: bool) -> Digit | str:
    """The first place among `rank` axes that all operands agree on."""
    options: list[Digit] | None = None
    for x in operands.growing:
        lead = len(out) - len(x.shape)
        here = [
            Digit(digit.axis + lead, digit.post)
            for digit in x.digits
            if 0 <= digit.axis + lead < rank and out[digit.axis + lead] == x.shape[digit.axis]
        ]
        options = [d for d in options if d in here] if options is not None else here
    for digit in options or ():
        if all(
            _may_be_fixed(t, digit, operands, out, broadcasts=broadcasts) for t in operands.fixed
        ):
            return digit
    return _APART


def _may_be_fixed(
    tensor: Tensor, digit: Digit, operands: Operands, out: Shape, *, broadcasts: bool
) -> bool:
    """Whether `tensor` is the same for all samples, or one row a sample of the batch alone."""
    size = size_at(tensor, digit, len(out))
    is_batch = size == operands.batch == out[digit.axis] and digit.post == 1
    return is_batch or (broadcasts and size == 1)


def size_at(tensor: Tensor, digit: Digit, rank: int) -> int:
    """Size of `tensor` at the axis of `digit`, aligned at the last of `rank` axes; 1 if absent."""
    axis = digit.axis - (rank - len(tensor.shape))
    return tensor.shape[axis] if axis >= 0 else 1


def leading(operands: Operands, out: Shape) -> Digit | str:
    """[.., B, rest] --> [.., B, whatever]: the axes up to that of the batch stay."""
    return _leading(operands, out, inner=0)


def rows(operands: Operands, out: Shape) -> Digit | str:
    """[.., B, .., K] @ weight --> [.., B, .., N]."""
    return _leading(operands, out, inner=1)


def _leading(operands: Operands, out: Shape, inner: int) -> Digit | str:
    if len(operands.growing) != 1:
        return _SEVERAL
    x = operands.growing[0]
    for digit in x.digits:
        kept = digit.axis + 1
        if kept <= len(x.shape) - inner and out[:kept] == x.shape[:kept]:
            return digit
    return _LOST


def samples(operands: Operands, out: Shape) -> Digit | str:
    """[B, C, ..] --> [B, whatever]."""
    digit = leading(operands, out)
    return digit if isinstance(digit, str) or digit.axis == 0 else _LOST


def convolution(operands: Operands, out: Shape) -> Digit | str:
    """[B, Ci, ..] * [Co, Ci, taps] --> [B, Co, ..]; without an axis for the batch refused."""
    rank = len(operands.growing[0].shape)
    if any(len(tensor.shape) not in {1, rank} for tensor in operands.fixed):
        return "its input has no axis for the batch"
    return samples(operands, out)


def product(operands: Operands, out: Shape) -> Digit | str:
    """[B, .., M, K] @ [B, .., K, N], or one of them without the batch, which is not K."""
    if len(operands.growing) > 1 or not operands.fixed:  # or a tensor by itself
        return _aligned(operands, out, rank=len(out) - 2, broadcasts=True)
    x = operands.growing[0]
    lead = len(out) - len(x.shape)
    if lead < 0 or len(x.shape) < 2:  # noqa: PLR2004 - a matrix
        return "it is a product with a vector"
    summed = len(x.shape) - (1 if x.shape[:-1] == out[lead:-1] else 2)
    for digit in x.digits:
        axis = digit.axis + lead
        in_batch = digit.axis < len(x.shape) - 2
        others = operands.fixed if in_batch else ()
        here = Digit(axis, digit.post)
        keeps = digit.axis != summed and out[axis] == x.shape[digit.axis]
        if keeps and all(_may_be_fixed(t, here, operands, out, broadcasts=True) for t in others):
            return here
    return "it sums over the batch"


def lookup(operands: Operands, out: Shape) -> Digit | str:
    """indices [.., B, ..] into a table --> [.., B, .., D]."""
    if len(operands.growing) != 1 or operands.growing[0].shape != out[:-1]:
        return "more than its indices grow with the batch"
    return next(iter(operands.growing[0].digits), _LOST)


def selection(operands: Operands, out: Shape) -> Digit | str:
    """x [.., B, rest] at (or to) places that are the same for all samples --> [.., B, whatever]."""
    digit = leading(operands, out)
    if isinstance(digit, str):
        return digit
    size = operands.growing[0].shape[digit.axis]
    if any(tensor.numel == size for tensor in operands.fixed):
        return "its indices may select samples"
    return digit


def reshaping(operands: Operands, out: Shape) -> Digit | str:
    """[.., B, ..] --> the same elements in the same order: the batch turns as slowly as before."""
    if len(operands.growing) != 1:
        return _SEVERAL
    x, batch = operands.growing[0], operands.batch
    merged = []
    for digit in x.digits:
        weight = digit.post * prod(x.shape[digit.axis + 1 :])  # elements of one sample
        for axis, size in enumerate(out):
            below = prod(out[axis + 1 :])
            if weight and size == batch and below == weight:
                return Digit(axis, 1)
            if below and weight and weight % below == 0 and size * below % (weight * batch) == 0:
                merged.append(Digit(axis, weight // below))
    return merged[0] if merged else _LOST


_RULES: tuple[tuple[Rule, tuple[Kind, ...]], ...] = (
    (pointwise, (  # [B, ..] op [B, ..] --> [B, ..]
        Kind.RELU, Kind.RELU6, Kind.LEAKY_RELU, Kind.PRELU, Kind.ELU, Kind.SELU, Kind.SILU,
        Kind.SWISH, Kind.MISH, Kind.GELU, Kind.SIGMOID, Kind.TANH, Kind.SOFTPLUS, Kind.HARDSWISH,
        Kind.HARDSIGMOID, Kind.HARDTANH, Kind.ADD, Kind.SUB, Kind.MUL, Kind.DIV, Kind.POW,
        Kind.ELEMENTWISE_UNARY, Kind.ELEMENTWISE_BINARY, Kind.ELEMENTWISE_TERNARY, Kind.COMPARE,
        Kind.WHERE, Kind.CLAMP, Kind.FILL, Kind.QUANTIZE, Kind.DEQUANTIZE, Kind.DROPOUT,
        Kind.IDENTITY, Kind.CAST, Kind.CONTIGUOUS, Kind.ROLL, Kind.CUMULATIVE,
        Kind.SOFTMAX, Kind.LAYERNORM, Kind.RMSNORM, Kind.NORMALIZE,
    )),
    (leading, (  # [B, S, C] --> [B, C]
        Kind.SUM, Kind.MEAN, Kind.VARIANCE, Kind.NORM, Kind.LOGSUMEXP, Kind.EXTREMUM, Kind.GLU,
        Kind.PAD,
    )),
    (samples, (  # [B, C, H, W] --> [B, C', H', W']
        Kind.BATCHNORM, Kind.GROUPNORM, Kind.INSTANCENORM, Kind.LOCAL_RESPONSE_NORM, Kind.MAXPOOL,
        Kind.AVGPOOL, Kind.ADAPTIVEAVGPOOL, Kind.ADAPTIVEMAXPOOL, Kind.UPSAMPLE, Kind.UNFOLD,
        Kind.FOLD, Kind.PIXEL_SHUFFLE, Kind.SHIFTED_WINDOW_ATTENTION,
    )),
    (convolution, (  # [B, Ci, H, W] --> [B, Co, H', W']
        Kind.CONV1D, Kind.CONV1D_DEPTHWISE, Kind.CONV2D, Kind.CONV2D_POINTWISE,
        Kind.CONV2D_DEPTHWISE, Kind.CONV3D, Kind.CONV3D_DEPTHWISE, Kind.CONV_TRANSPOSE1D,
        Kind.CONV_TRANSPOSE2D, Kind.CONV_TRANSPOSE3D,
    )),
    (rows, (Kind.LINEAR,)),  # [B, S, K] --> [B, S, N]
    (product, (Kind.MATMUL, Kind.ADDMM)),  # [B, M, K] @ [B, K, N] --> [B, M, N]
    (attention, (Kind.SCALED_DOT_PRODUCT_ATTENTION,)),  # [B, H, L, E] --> [B, H, L, V]
    (concatenation, (Kind.CAT,)),  # [B, 1, C], [B, S, C] --> [B, 1 + S, C]
    (lookup, (Kind.EMBEDDING,)),  # [B, S] --> [B, S, D]
    (selection, (Kind.INDEX, Kind.SCATTER)),  # [B, S, C] --> [B, T, C]
    (reshaping, (Kind.RESHAPE,)),  # [B, H, W, C] --> [B x H, W, C]
)  # fmt: skip

RULES: dict[Kind, Rule] = {kind: rule for rule, kinds in _RULES for kind in kinds}
"""Kind -> rule. What is not here is refused."""

BROADCASTS = frozenset(
    kind
    for rule, kinds in _RULES
    if rule in (pointwise, product, attention, concatenation)
    for kind in kinds
)
"""Kinds whose operands meet axis by axis, so that what does not grow must fit what does."""

SHRINKING = frozenset(
    {Kind.SUM, Kind.MEAN, Kind.VARIANCE, Kind.NORM, Kind.LOGSUMEXP, Kind.EXTREMUM}
)
"""Kinds that leave one element of what they reduce: never of the batch."""
