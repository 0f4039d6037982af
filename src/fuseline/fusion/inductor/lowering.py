"""What Inductor lowers each kind of op to: a library call, one loop nest, or several.

Operations are those of the loop body after Inductor's decompositions, loads apart; they decide
when an expression is too long to be computed twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fuseline.graph import Kind, Op, OpClass

LAYOUT_COPY = "layout copy"
"""Target of a copy that a library call asks for: what it copies is in memory."""


class Form(Enum):
    """The shape of what an op is lowered to."""

    EXTERN = "library call"  # reads and writes memory; never fused
    EACH = "pointwise"  # one element from the same element of every operand
    MOVE = "copy"  # the elements of one operand, in another order or shape
    CONCAT = "concatenation"  # every operand is written into its slice
    OPAQUE_READS = "pointwise over an index"  # windows, gathers, padding
    POOL = "pooling"  # likewise; its operand and its result are stored
    ROWS = "rows"  # reductions over rows, and loops over what they leave


class Step(Enum):
    """One loop nest of an op over rows."""

    REDUCE = "reduce"  # one number a row; always stored
    ROW = "row"  # what is made of that number, row by row
    KEPT_ROW = "stored row"  # likewise, and stored, because a later step reads it again
    KEPT = "stored elements"  # elements that several later steps read, stored
    SCALED = "scaled elements"  # elements, from a scale and a shift of every channel, both stored
    EACH = "elements"  # elements, from the row's numbers


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an op is lowered: its form, operations an element, and readers that its decomposition
    makes of its first operand. `transcendental`: what Inductor's CPU rule calls heavy.
    """

    form: Form
    operations: int = 1
    uses: int = 1
    transcendental: bool = False
    steps: tuple[Step, ...] = ()


_EXTERN = Recipe(Form.EXTERN)
_EACH = Recipe(Form.EACH)
_MOVE = Recipe(Form.MOVE, operations=0)
_INDEXED = Recipe(Form.OPAQUE_READS, operations=4)

_BY_CLASS: dict[OpClass, Recipe] = {
    OpClass.CONTRACTION: _EXTERN,
    OpClass.ATTENTION: _EXTERN,
    OpClass.OPAQUE: _EXTERN,
    OpClass.REDUCTION: _EXTERN,  # those without a row below: sorts, scans, FFTs
    OpClass.ELEMENTWISE: _EACH,
    OpClass.COPY: _MOVE,
    OpClass.WINDOW: _INDEXED,
    OpClass.GATHER: _INDEXED,
}

_REDUCE, _ROW, _EVERY = Step.REDUCE, Step.ROW, Step.EACH
_TWO_PASSES = (_REDUCE, Step.KEPT_ROW, _REDUCE)  # sum --> mean --> sum of squares about it

# fmt: off
_BY_KIND: dict[Kind, Recipe] = {
    # x  -->  (x - mean) * rsqrt(var + eps) * weight + bias
    Kind.BATCHNORM:     Recipe(Form.EACH, operations=12),
    # x  -->  x / (1 + exp(-x))
    Kind.SILU:          Recipe(Form.EACH, operations=5, uses=2, transcendental=True),
    Kind.SWISH:         Recipe(Form.EACH, operations=5, uses=2, transcendental=True),
    # x  -->  x * tanh(log1p(exp(x)))
    Kind.MISH:          Recipe(Form.EACH, operations=8, uses=2, transcendental=True),
    # x  -->  0.5 x (1 + erf(x / sqrt(2)))
    Kind.GELU:          Recipe(Form.EACH, operations=8, uses=2),
    Kind.SIGMOID:       Recipe(Form.EACH, operations=1, transcendental=True),
    Kind.TANH:          Recipe(Form.EACH, operations=1, transcendental=True),
    Kind.SOFTPLUS:      Recipe(Form.EACH, operations=6, uses=3, transcendental=True),
    # x  -->  x * clamp(x + 3, 0, 6) / 6
    Kind.HARDSWISH:     Recipe(Form.EACH, operations=8, uses=2),
    Kind.HARDSIGMOID:   Recipe(Form.EACH, operations=6),
    Kind.ELU:           Recipe(Form.EACH, operations=6, uses=3),
    Kind.SELU:          Recipe(Form.EACH, operations=6, uses=3),
    Kind.LEAKY_RELU:    Recipe(Form.EACH, operations=4, uses=3),
    Kind.PRELU:         Recipe(Form.EACH, operations=4, uses=3),
    # x  -->  one half times the sigmoid of the other
    Kind.GLU:           Recipe(Form.OPAQUE_READS, operations=4, uses=2, transcendental=True),

    # what stays where it is, in another order or shape
    Kind.CAT:           Recipe(Form.CONCAT),
    Kind.PAD:           _INDEXED,
    Kind.ROLL:          _INDEXED,
    Kind.EXPAND:        _INDEXED,
    # windows: the operand is read many times, and so is stored
    Kind.MAXPOOL:       Recipe(Form.POOL, operations=9),
    Kind.AVGPOOL:       Recipe(Form.POOL, operations=9),
    Kind.ADAPTIVEMAXPOOL: Recipe(Form.POOL, operations=9),
    Kind.ADAPTIVEAVGPOOL: Recipe(Form.POOL, operations=9),
    Kind.UPSAMPLE:      Recipe(Form.OPAQUE_READS, operations=12),
    Kind.LOCAL_RESPONSE_NORM: Recipe(Form.POOL, operations=9),
    # what an index scatters goes through memory; so does what leaves the device or has no size
    Kind.SCATTER:       _EXTERN,
    Kind.SCATTER_REDUCE: _EXTERN,
    Kind.EMBEDDING_BAG: _EXTERN,
    Kind.ROI_POOL:      _EXTERN,
    Kind.SELECT_IF:     _EXTERN,
    Kind.SUPPRESS:      _EXTERN,
    Kind.FOLD:          _EXTERN,

    # rows: reduction  -->  what is made of it
    Kind.SUM:           Recipe(Form.ROWS, steps=(_REDUCE,)),
    Kind.EXTREMUM:      Recipe(Form.ROWS, steps=(_REDUCE,)),
    Kind.SEARCH:        Recipe(Form.ROWS, steps=(_REDUCE,)),
    Kind.MEAN:          Recipe(Form.ROWS, operations=2, steps=(_REDUCE, _ROW)),
    Kind.NORM:          Recipe(Form.ROWS, operations=1, steps=(_REDUCE, _ROW)),
    Kind.LOGSUMEXP:     Recipe(Form.ROWS, operations=2, uses=2, transcendental=True,
                               steps=(_REDUCE, _REDUCE, _ROW)),
    Kind.VARIANCE:      Recipe(Form.ROWS, operations=2, uses=2, steps=(*_TWO_PASSES, _ROW)),
    # x  -->  e = exp(x - max), e / sum(e)
    Kind.SOFTMAX:       Recipe(Form.ROWS, operations=1, uses=2,
                               steps=(_REDUCE, Step.KEPT, _REDUCE, _EVERY)),
    Kind.RMSNORM:       Recipe(Form.ROWS, operations=7, uses=2, steps=(_REDUCE, _EVERY)),
    Kind.NORMALIZE:     Recipe(Form.ROWS, operations=4, uses=2, steps=(_REDUCE, _EVERY)),
    Kind.LAYERNORM:     Recipe(Form.ROWS, operations=8, uses=2, steps=(*_TWO_PASSES, _EVERY)),
    Kind.GROUPNORM:     Recipe(Form.ROWS, operations=8, uses=2, steps=(*_TWO_PASSES, _EVERY)),
    Kind.INSTANCENORM:  Recipe(Form.ROWS, operations=8, uses=2, steps=(*_TWO_PASSES, _EVERY)),
}
# fmt: on

_BATCH_STATISTICS = Recipe(Form.ROWS, operations=8, uses=2, steps=(*_TWO_PASSES, _EVERY))
_GLOBAL_AVERAGE = Recipe(Form.ROWS, operations=2, steps=(_REDUCE, _ROW))


def recipe_of(op: Op) -> Recipe:
    """How Inductor lowers `op`. A reduction whose rows the graph does not tell is a library call.

    >>> from fuseline.graph import Builder, Role
    >>> build = Builder()
    >>> x = build.tensor("x", (8, 4), role=Role.INPUT)
    >>> _ = build.op("s", Kind.SOFTMAX, inputs=[x], shape=(8, 4), axes=(1,))
    >>> _ = build.op("c", Kind.CUMULATIVE, inputs=[x], shape=(8, 4), axes=(1,))
    >>> [recipe_of(op).form.value for op in build.ops]
    ['rows', 'library call']
    """
    if op.op_class is OpClass.REDUCTION:
        if op.axes is None:
            return _EXTERN
        if op.kind is Kind.BATCHNORM:
            return _BATCH_STATISTICS
    return _BY_KIND.get(op.kind) or _BY_CLASS.get(op.op_class, _EXTERN)


def global_average() -> Recipe:
    """An adaptive average pool to one pixel, which Inductor makes a mean."""
    return _GLOBAL_AVERAGE


FIXES_LAYOUT = frozenset(
    {Kind.CONV1D, Kind.CONV1D_DEPTHWISE, Kind.CONV2D, Kind.CONV2D_POINTWISE,
     Kind.CONV2D_DEPTHWISE, Kind.CONV3D, Kind.CONV3D_DEPTHWISE, Kind.CONV_TRANSPOSE1D,
     Kind.CONV_TRANSPOSE2D, Kind.CONV_TRANSPOSE3D}
)  # fmt: skip
"""Kinds whose operand, if it has other users too, is stored as soon as it is defined.

A linear layer without bias (`mm`) is one of them too: see `needs_stored_operand`.
"""

_HINTED = frozenset({Kind.MATMUL, Kind.MAXPOOL, Kind.AVGPOOL, Kind.UPSAMPLE})


def fixes_layout(op: Op) -> bool:
    """Whether `op` has its operand stored where that is defined, if others use it too."""
    return op.kind in FIXES_LAYOUT or (op.kind is Kind.LINEAR and len(op.parameters) == 1)


def hints_storing(op: Op) -> bool:
    """Whether `op` has an operand of more than one read stored where that is defined."""
    return op.kind in _HINTED
