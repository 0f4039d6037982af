"""What an op must have of each operand before its first result: rows by kind, from shapes alone.

    x -> linear                -->  a row of x
    x -> convolution k x k     -->  k - 1 rows of pixels, and k pixels
    q, k, v -> attention       -->  a token of q, all of k and v
    x -> f(x)                  -->  an element

Kernel sizes come from weights and from counted work. Dilation, shifts and modes are not in the
graph: `docs/working-set.md` says what is assumed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import isqrt

from fuseline.graph import ITEM_BYTES, Graph, Kind, Op, OpClass, Tensor


class Use(Enum):
    """What becomes of the elements that an op needs before its first result."""

    TOGETHER = "held: needed together, or again"
    PASSING = "taken as they come, where they come in order"
    SUMMED = "taken as they come, into sums that are held instead"


@dataclass(frozen=True, slots=True)
class Need:
    """The first `box` elements along each dimension, walked along the dimensions `order`."""

    order: tuple[int, ...]
    box: tuple[int, ...]
    use: Use = Use.TOGETHER


_Rule = Callable[[Graph, Op, Tensor, int], Need | None]
"""What an op needs of the tensor it reads in this place; None: all of it."""


def _row(graph: Graph, op: Op, read: Tensor, place: int) -> Need | None:
    """Linear: the last dimension of the first operand, row after row."""
    result = result_of(graph, op)
    if place or not read.shape or result is None or read.shape[:-1] != result.shape[:-1]:
        return None
    return Need(all_but(read, -1), (*(1 for _ in read.shape[1:]), read.shape[-1]))


def _matmul(graph: Graph, op: Op, read: Tensor, place: int) -> Need | None:
    """A row of the first operand, a matrix of the second; whole where a batch is repeated."""
    result = result_of(graph, op)
    rank = len(read.shape)
    if result is None or min(rank, len(result.shape)) < 2 or read.shape[:-2] != result.shape[:-2]:  # noqa: PLR2004
        return None
    alone = len(op.inputs) == 1  # the other operand is a parameter, or the same tensor
    is_first = place == 0 and read.shape[-2] == result.shape[-2]
    if alone and (not op.parameters or read.shape[-1] == result.shape[-1]):
        is_first = False  # which operand it is cannot be told: a matrix is enough for either
    rows = 1 if is_first else read.shape[-2]
    return Need(all_but(read, -1), (*(1 for _ in read.shape[2:]), rows, read.shape[-1]))


def _convolution(graph: Graph, op: Op, read: Tensor, place: int) -> Need | None:
    """The kernel's window, from the weight ``[O, I/groups, *kernel]``; undilated."""
    rank = len(read.shape)
    weights = map(graph.tensors.__getitem__, (*op.parameters, *op.inputs[1:]))
    kernel = next((w.shape[2:] for w in weights if len(w.shape) == rank), ())
    return None if place or not kernel else _window(read, kernel)


def _pooling(graph: Graph, op: Op, read: Tensor, _place: int) -> Need | None:
    """The window, from the work counted: a step a tap, and in averages a division."""
    result = result_of(graph, op)
    if result is None or len(read.shape) < 4 or not result.numel:  # noqa: PLR2004
        return None
    taps = op.work.other_flops // result.numel - (op.kind is Kind.AVGPOOL)
    spatial = len(read.shape) - 2
    side = next((k for k in range(1, isqrt(taps) + 1) if k**spatial == taps), taps)
    return _window(read, (side,) * spatial) if taps > 0 else None


def _adaptive(graph: Graph, op: Op, read: Tensor, _place: int) -> Need | None:
    """One bin; sums run where bins do not overlap."""
    result = result_of(graph, op)
    rank = len(read.shape)
    if result is None or rank < 3 or len(result.shape) != rank:  # noqa: PLR2004
        return None
    sizes = list(zip(read.shape[2:], result.shape[2:], strict=True))
    apart = all(size % bins == 0 for size, bins in sizes)
    need = _window(read, tuple(-(-size // bins) + (not apart) for size, bins in sizes))
    return Need(need.order, need.box, Use.SUMMED if apart else Use.TOGETHER)


def _resize(graph: Graph, op: Op, read: Tensor, _place: int) -> Need | None:
    """Up to four rows around a point (bicubic), and those that a smaller result leaves out."""
    result = result_of(graph, op)
    rank = len(read.shape)
    if result is None or rank < 4 or len(result.shape) != rank:  # noqa: PLR2004
        return None
    rows = 3 - -read.shape[2] // max(result.shape[2], 1)
    return _window(read, (rows, *read.shape[3:]))


def _window(read: Tensor, kernel: tuple[int, ...]) -> Need:
    """``[N, C, *spatial]``: `kernel` positions, all channels of each.

    >>> from fuseline.graph import Builder
    >>> build = Builder()
    >>> x = build.tensor("x", (1, 8, 56, 56))
    >>> _window(build.tensors[x], (3, 3)).box
    (1, 8, 3, 3)
    """
    channel = len(read.shape) - len(kernel) - 1
    sizes = read.shape[channel + 1 :]
    box = tuple(min(taps, size) for taps, size in zip(kernel, sizes, strict=True))
    return Need(
        all_but(read, channel), (*(1 for _ in read.shape[:channel]), read.shape[channel], *box)
    )


def _attention(_graph: Graph, op: Op, read: Tensor, place: int) -> Need | None:
    """``[..., heads, tokens, d]``: a token of the query and the mask, all of keys and values."""
    rank = len(read.shape)
    if len(op.inputs) < 3 or rank < 3:  # noqa: PLR2004 - one tensor is query, key and value
        return None
    tokens = read.shape[-2] if place in (1, 2) else 1
    return Need(
        token_dims(rank), (*(1 for _ in read.shape[3:]), *read.shape[-3:-2], tokens, read.shape[-1])
    )


def _window_attention(graph: Graph, op: Op, read: Tensor, place: int) -> Need | None:
    """``[B, H, W, C]``: the rows of one window; what a shift brings round is masked."""
    area = _window_area(graph, op)
    if place or area is None or len(read.shape) != 4:  # noqa: PLR2004
        return None
    _, height, *rest = read.shape
    return Need((0, 1, 2), (1, min(isqrt(area), height), *rest))


def _window_area(graph: Graph, op: Op) -> int | None:
    """Tokens of a window, from the position bias ``[1, heads, area, area]``."""
    shapes = (graph.tensors[tensor].shape for tensor in op.inputs[1:])
    areas = (shape[-1] for shape in shapes if len(shape) > 2 and shape[-1] == shape[-2])  # noqa: PLR2004
    return next(areas, None)


def _reduction(graph: Graph, op: Op, read: Tensor, place: int) -> Need | None:
    """All along the axes. A result as large as the operand reads it again after its statistics."""
    result = result_of(graph, op)
    if place or op.axes is None or result is None:
        return None
    order = tuple(dim for dim in range(len(read.shape)) if dim not in op.axes)
    box = tuple(size if dim in op.axes else 1 for dim, size in enumerate(read.shape))
    again = result.numel >= read.numel
    return Need(order, box, Use.TOGETHER if again else Use.SUMMED)


_RULES: dict[Kind, _Rule] = {
    **dict.fromkeys((Kind.LINEAR, Kind.ADDMM), _row),
    Kind.MATMUL: _matmul,
    **dict.fromkeys(
        (Kind.CONV1D, Kind.CONV1D_DEPTHWISE, Kind.CONV2D, Kind.CONV2D_POINTWISE,
         Kind.CONV2D_DEPTHWISE, Kind.CONV3D, Kind.CONV3D_DEPTHWISE, Kind.CONV_TRANSPOSE1D,
         Kind.CONV_TRANSPOSE2D, Kind.CONV_TRANSPOSE3D),
        _convolution,
    ),
    **dict.fromkeys((Kind.MAXPOOL, Kind.AVGPOOL), _pooling),
    **dict.fromkeys((Kind.ADAPTIVEAVGPOOL, Kind.ADAPTIVEMAXPOOL), _adaptive),
    Kind.UPSAMPLE: _resize,
    Kind.SCALED_DOT_PRODUCT_ATTENTION: _attention,
    Kind.SHIFTED_WINDOW_ATTENTION: _window_attention,
}  # fmt: skip
"""Needs by kind; then by class: elementwise and copies element by element, reductions by axes.
Every other op needs all of what it reads."""

IMAGES = frozenset(
    kind for kind, rule in _RULES.items() if rule in (_convolution, _pooling, _adaptive, _resize)
)
"""Kinds whose results are ``[N, C, *spatial]``, all channels of a position at once."""


def find_need(
    graph: Graph, op: Op, read: Tensor, place: int, order: tuple[int, ...]
) -> Need | None:
    """What `op` needs of `read`, its input number `place`; None: all of it.

    `order` are the dimensions of its result along which positions come.
    """
    if (rule := _RULES.get(op.kind)) is not None:
        return rule(graph, op, read, place)
    if op.op_class is OpClass.REDUCTION:
        return _reduction(graph, op, read, place)
    result = result_of(graph, op)
    if result is None or op.kind is Kind.ROLL:
        return None
    if op.op_class is OpClass.COPY and op.kind is not Kind.EXPAND:
        as_it_is = op.kind in _EDGED or read.shape == result.shape
        if not as_it_is or len(read.shape) != len(result.shape):
            return _reshaped(read, result)
    elif op.op_class not in (OpClass.ELEMENTWISE, OpClass.COPY):
        return None
    return _aligned(op, read, result, order)


_EDGED = frozenset({Kind.CAT, Kind.PAD})
"""Copies that keep each element's place along the dimensions whose size stays."""


def _aligned(op: Op, read: Tensor, result: Tensor, order: tuple[int, ...]) -> Need | None:
    """Elementwise and copies: the result's position, along its `order`; None: all of it."""
    if len(read.shape) > len(result.shape):
        return None
    ahead = len(result.shape) - len(read.shape)
    box = list(read.shape)
    repeated = False
    for place in order:
        dim, wanted = place - ahead, result.shape[place]
        if repeated or dim < 0:  # what lies inside a repeated dimension comes again and again
            repeated = True
        elif read.shape[dim] == wanted and (read.strides[dim] or wanted == 1):
            box[dim] = 1
        elif read.shape[dim] == 1 or not read.strides[dim]:
            repeated, box[dim] = True, 1
        elif op.kind is Kind.PAD:  # `size` taken into fewer, or with an edge around it
            size = read.shape[dim]
            box[dim] = min(size, -(-size // wanted) if size > wanted else 1 + wanted - size)
        else:
            return None
    inner = tuple(place - ahead for place in order if place >= ahead)
    passing = not repeated and op.kind is not Kind.PAD
    return Need(inner, tuple(box), Use.PASSING if passing else Use.TOGETHER)


def _reshaped(read: Tensor, result: Tensor) -> Need | None:
    """A copy into another shape, row-major to row-major: as many elements as a result's row has."""
    if read.numel != result.numel or not result.numel:
        return None
    left, box = result.shape[-1] if result.shape else 1, [1] * len(read.shape)
    for dim in reversed(range(len(read.shape))):
        box[dim] = min(left, read.shape[dim])
        left = -(-left // box[dim])
    return Need(tuple(range(len(read.shape))), tuple(box))


def all_but(tensor: Tensor, dim: int) -> tuple[int, ...]:
    """The dimensions of `tensor`, `dim` apart."""
    rank = len(tensor.shape)
    return tuple(n for n in range(rank) if n != dim % rank)


def token_dims(rank: int) -> tuple[int, ...]:
    """Dimensions of ``[..., heads, tokens, d]`` along which tokens come, heads side by side."""
    return (*range(rank - 3), rank - 2)


def result_of(graph: Graph, op: Op) -> Tensor | None:
    """The first tensor that `op` makes, or else the first it overwrites."""
    made = op.outputs or op.writes
    return graph.tensors[made[0]] if made else None


def kept_inside(graph: Graph, op: Op) -> int:
    """Keys and values of one head or window that a composite attention makes itself [bytes]."""
    keys = [graph.tensors[tensor] for tensor in op.inputs[:2]]
    if not keys or op.kind not in (Kind.MULTIHEAD_ATTENTION, Kind.SHIFTED_WINDOW_ATTENTION):
        return 0
    if op.kind is Kind.MULTIHEAD_ATTENTION:
        held = graph.storages[keys[-1].storage].is_held
        return 2 * keys[0 if held else -1].nbytes
    area = _window_area(graph, op)
    row = keys[0].shape[-1] * ITEM_BYTES[keys[0].dtype]
    return 2 * (keys[0].nbytes if area is None else area * row)
