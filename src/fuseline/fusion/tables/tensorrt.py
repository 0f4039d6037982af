"""TensorRT's documented fusions, as a table.

TensorRT is closed: these are the fusions that its documentation states, and no more. What it does
beyond them, with transformers above all, it decides by timing kernels, and says only in its logs.
Nor are the conditions here on which it fuses (precisions, head sizes, devices).

Not read again for this file: the catalog's table itself. Its rows are given by their names there.
"""

from __future__ import annotations

from fuseline.fusion.attention import find_attention
from fuseline.fusion.tables.matcher import match_table
from fuseline.fusion.tables.rows import (
    CONV,
    DECONV,
    GEMM,
    MATMUL,
    PRODUCTS,
    Row,
    Step,
    Table,
    kinds,
    wants_equal_shapes,
    wants_one_activation,
)
from fuseline.graph import CLASS_OF, Graph, Kind, OpClass
from fuseline.plan import Plan

# docs.nvidia.com/deeplearning/tensorrt/latest: performance/fusion-catalog.html, whose names of
# fusions stand behind the colon, and inference-library/transformers-fused-attention.html.
_CATALOG = "TensorRT, Layer Fusion Catalog, Types of Fusions"
_ATTENTION = "TensorRT, Fused Attention, method 2"

_NO_POINTWISE = kinds(Kind.FILL, Kind.RANDOM, Kind.DROPOUT, Kind.STOCHASTIC_DEPTH, Kind.GLU)
_POINTWISE = (
    frozenset(kind for kind, found in CLASS_OF.items() if found is OpClass.ELEMENTWISE)
    - _NO_POINTWISE
)
_CONTRACTION = CONV | DECONV | GEMM | MATMUL
_SHUFFLE = kinds(Kind.RESHAPE, Kind.PERMUTE, Kind.CONTIGUOUS)
_REDUCE = kinds(Kind.SUM, Kind.MEAN, Kind.EXTREMUM)

_PAD = kinds(Kind.PAD)
_CONV = Step(CONV | DECONV, beside=_PAD)
_FOLDED = Step(kinds(Kind.BATCHNORM), optional=True)  # a Scale layer, folded into the weights
_GENERIC = Step(_POINTWISE, many=True, guard=wants_one_activation)

# fmt: off
ROWS: tuple[Row, ...] = (
    # attention:     Q K' -> scale, mask -> softmax -> V      -->  one kernel
    Row("Fused attention", _ATTENTION, find=find_attention, starts=PRODUCTS),
    # residual:      Conv -> Scale -> + skip -> activation    -->  Conv that adds
    Row("Convolution and ElementWise", f"{_CATALOG}: Convolution and ElementWise Operation", (
        _CONV, _FOLDED, Step(kinds(Kind.ADD), guard=wants_equal_shapes), _GENERIC,
    )),
    # x * sigmoid x: Conv -> Scale -> sigmoid -> * itself     -->  Conv with an activation
    Row("Convolution and Generic Activation", f"{_CATALOG}: Convolution and Generic Activation", (
        _CONV, _FOLDED, Step(kinds(Kind.SIGMOID, Kind.HARDSIGMOID)),
        Step(kinds(Kind.MUL), takes=(1,)),
    )),
    # activation:    (padding ->) Conv or MatMul -> Scale -> pointwise  -->  Conv or MatMul
    Row("Contraction and Activation", f"{_CATALOG}: Convolution and Scale; Convolution and ReLU "
        "Activation; Convolution and GELU Activation; Convolution and Generic Activation; "
        "Padding and Convolution/Deconvolution", (
        Step(_CONTRACTION, beside=_PAD), _FOLDED, _GENERIC,
    )),
    # log softmax:   softmax -> log                           -->  softmax
    Row("SoftMax and Log", f"{_CATALOG}: SoftMax and Log", (
        Step(kinds(Kind.SOFTMAX)), Step(kinds(Kind.ELEMENTWISE_UNARY)),
    )),
    # choice:        softmax -> top k                         -->  softmax
    Row("SoftMax and TopK", f"{_CATALOG}: SoftMax and TopK", (
        Step(kinds(Kind.SOFTMAX)), Step(kinds(Kind.SORT)),
    )),
    # layout:        shuffle -> shuffle                       -->  shuffle
    Row("Shuffle and Shuffle", f"{_CATALOG}: Shuffle and Shuffle", (
        Step(_SHUFFLE), Step(_SHUFFLE), Step(_SHUFFLE, many=True),
    )),
    # layout:        shuffle -> reduce                        -->  reduce
    Row("Shuffle and Reduce", f"{_CATALOG}: Shuffle and Reduce", (
        Step(_SHUFFLE), Step(_REDUCE),
    )),
    # norms:         x ** 2 or exp -> sum -> sqrt or log      -->  reduce (L2Norm, LogSumExp, ...)
    Row("Reduction", f"{_CATALOG}: Supported Reduction Operation Fusions", (
        Step(kinds(Kind.POW, Kind.ELEMENTWISE_UNARY)), Step(kinds(Kind.SUM)),
        Step(kinds(Kind.POW, Kind.ELEMENTWISE_UNARY), optional=True),
    )),
    # pointwise:     pointwise -> pointwise -> ...            -->  PointWise
    Row("PointWise", f"{_CATALOG}: PointWise Fusion", (
        Step(_POINTWISE, many=True),
    )),
)
# fmt: on

TABLE = Table("TensorRT", ROWS)


def tensorrt(graph: Graph) -> Plan:
    """The layers that TensorRT's documentation says it makes of `graph`.

    >>> from fuseline.graph import Builder, Kind, Role
    >>> build = Builder()
    >>> x = build.tensor("x", (4, 4), role=Role.INPUT)
    >>> y = build.op("fc", Kind.LINEAR, inputs=[x], shape=(4, 4))
    >>> z = build.op("act", Kind.GELU, inputs=[y], shape=(4, 4))
    >>> [group.pattern for group in tensorrt(build.finish([z])).groups]
    ['Contraction and Activation']
    """
    return match_table(graph, TABLE).plan("tensorrt")
