"""ONNX Runtime's fusions on its CPU provider, as tables: one a level of its optimiser.

A group is a node of the optimised graph. Our ops are coarser than ONNX's nodes in places: `linear`
is MatMul and Add at once, and a norm, a softmax or a GELU written as one op is one node already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from fuseline.errors import InputError, did_you_mean
from fuseline.fusion.attention import find_attention
from fuseline.fusion.tables.matcher import Matcher, match_table
from fuseline.fusion.tables.rows import (
    CLIP,
    CONV,
    ENTRY,
    GEMM,
    MATMUL,
    PRODUCTS,
    ROOT,
    SCALE,
    Row,
    Step,
    Table,
    kinds,
    wants_bias,
    wants_equal_shapes,
    wants_held,
    wants_one_activation,
    wants_scale,
)
from fuseline.graph import Graph, Kind, Op
from fuseline.plan import Plan

_SUM = kinds(Kind.ADD)
_NORM = kinds(Kind.LAYERNORM)
_PLAIN_NORM = kinds(Kind.RMSNORM)  # ONNX Runtime: SimplifiedLayerNormalization
_GELU = kinds(Kind.GELU)
_SIGMOID = kinds(Kind.SIGMOID)
_PRODUCT = kinds(Kind.MUL)
_CONV_ACTIVATION = CLIP | kinds(
    Kind.RELU, Kind.LEAKY_RELU, Kind.SIGMOID, Kind.TANH, Kind.HARDSIGMOID
)
_GEMM_ACTIVATION = kinds(
    Kind.ELU,
    Kind.HARDSIGMOID,
    Kind.LEAKY_RELU,
    Kind.RELU,
    Kind.SELU,
    Kind.SIGMOID,
    Kind.SOFTPLUS,
    Kind.TANH,
)

# Where a rule is stated. `PAGE` is the documentation; the others are files of the repository
# microsoft/onnxruntime, each named after its fusion.
_PAGE = "onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html"
_CORE = "onnxruntime/core/optimizer"
_TOOL = "onnxruntime/python/tools/transformers"

_CONV = Step(CONV, beside=kinds(Kind.PAD))  # a border of zeros becomes the convolution's own
_FOLDED = Step(kinds(Kind.BATCHNORM), optional=True)
"""A norm in eval mode goes into the weights before it (Conv BatchNorm Fusion, a basic one)."""


def _wants_skip(graph: Graph, op: Op) -> str | None:
    """A sum of two activations of one shape: the tool leaves a learned position embedding out."""
    if wants_held(graph, op) is None:
        return "adds what the model holds"
    return wants_equal_shapes(graph, op)


# fmt: off
_EXTENDED: tuple[Row, ...] = (
    # weights:          Conv -> BatchNorm (-> activation)         -->  FusedConv
    Row("FusedConv", f"{_PAGE}, Conv Activation Fusion; {_CORE}/conv_activation_fusion.cc", (
        _CONV, _FOLDED, Step(_CONV_ACTIVATION),
    )),
    # Gemm (our linear): MatMul + bias -> activation              -->  FusedGemm
    Row("FusedGemm", f"{_PAGE}, GEMM Activation Fusion; {_CORE}/gemm_activation_fusion.cc", (
        Step(GEMM), Step(_GEMM_ACTIVATION),
    )),
    # layer norm:       x - mean -> squared -> mean -> + eps -> sqrt -> (x - mean) /  -->  one norm
    Row("LayerNormalization", f"{_PAGE}, Layer Normalization Fusion", (
        Step(kinds(Kind.MEAN)), Step(kinds(Kind.SUB), takes=(ENTRY,)),
        Step(kinds(Kind.POW, Kind.MUL)), Step(kinds(Kind.MEAN)), Step(_SUM), Step(ROOT),
        Step(SCALE, takes=(1,)), Step(_PRODUCT, optional=True, guard=wants_held),
        Step(_SUM, optional=True, guard=wants_held),
    )),
    # mean square:      pow -> mean -> + eps -> 1/sqrt -> x * -> * weight  -->  one norm
    Row("SimplifiedLayerNormalization", f"{_CORE}/layer_norm_fusion.cc", (
        Step(kinds(Kind.POW, Kind.MUL)), Step(kinds(Kind.MEAN)), Step(_SUM), Step(ROOT),
        Step(SCALE, takes=(ENTRY,)), Step(_PRODUCT, optional=True, guard=wants_held),
    )),
    # GELU written out: x / sqrt 2 -> erf -> + 1 -> * x -> / 2    -->  Gelu
    Row("Gelu", f"{_PAGE}, GELU Fusion", (
        Step(SCALE, guard=wants_scale), Step(kinds(Kind.ELEMENTWISE_UNARY)), Step(_SUM),
        Step(_PRODUCT, takes=(ENTRY,)), Step(SCALE, optional=True, guard=wants_scale),
    )),
    # by its tanh:      x ** 3 -> * c -> + x -> * c -> tanh -> + 1 -> * (x / 2)  -->  FastGelu
    Row("FastGelu", f"{_CORE}/fast_gelu_fusion.cc", (
        Step(kinds(Kind.POW)), Step(_PRODUCT), Step(_SUM, takes=(ENTRY,)), Step(_PRODUCT),
        Step(kinds(Kind.TANH)), Step(_SUM), Step(_PRODUCT, beside=SCALE),
    )),
    # x * sigmoid(c x): (* c ->) sigmoid -> * x                   -->  QuickGelu
    Row("QuickGelu", f"{_CORE}/quick_gelu_fusion.cc", (
        Step(SCALE, guard=wants_scale), Step(_SIGMOID), Step(_PRODUCT, takes=(ENTRY,)),
    )),
    Row("QuickGelu", f"{_CORE}/quick_gelu_fusion.cc", (
        Step(_SIGMOID), Step(_PRODUCT, takes=(ENTRY,)),
    )),
    # at its end:       + skip -> LayerNorm                       -->  SkipLayerNormalization
    Row("SkipLayerNormalization", f"{_PAGE}, Skip Layer Normalization Fusion", (
        Step(_SUM, guard=wants_equal_shapes), Step(_NORM),
    )),
    # mask:             scores + mask -> softmax                  -->  BiasSoftmax
    Row("BiasSoftmax", f"{_CORE}/bias_softmax_fusion.cc", (
        Step(_SUM), Step(kinds(Kind.SOFTMAX)),
    )),
    # scale:            (* c ->) MatMul (-> * c)                  -->  FusedMatMul
    Row("FusedMatMul", f"{_CORE}/matmul_scale_fusion.cc", (
        Step(MATMUL, beside=SCALE), Step(SCALE, guard=wants_scale),
    )),
    Row("FusedMatMul", f"{_CORE}/matmul_scale_fusion.cc", (
        Step(SCALE, guard=wants_scale), Step(MATMUL, beside=SCALE),
    )),
)

_BASIC: tuple[Row, ...] = (
    # weights:          (pad ->) Conv -> BatchNorm                -->  Conv
    Row("Conv", f"{_PAGE}, Conv BatchNorm Fusion; {_CORE}/conv_bn_fusion.cc", (
        _CONV, Step(kinds(Kind.BATCHNORM)),
    )),
    # weights:          Conv -> * held                            -->  Conv
    Row("Conv", f"{_PAGE}, Conv Mul Fusion", (
        _CONV, Step(_PRODUCT, guard=wants_held),
    )),
    # weights:          Conv -> + held                            -->  Conv
    Row("Conv", f"{_PAGE}, Conv Add Fusion", (
        _CONV, Step(_SUM, guard=wants_held),
    )),
    # border:           pad -> Conv                               -->  Conv
    Row("Conv", f"{_CORE}/pad_fusion.cc", (
        _CONV,
    )),
)

_LAYOUT: tuple[Row, ...] = (
    # residual:         Conv -> BatchNorm -> + skip (-> activation)  -->  Conv with a sum
    Row("Conv with sum", f"{_CORE}/nchwc_transformer.cc, {_CORE}/conv_add_act_fusion.cc", (
        _CONV, _FOLDED, Step(_SUM, guard=wants_equal_shapes),
        Step(_CONV_ACTIVATION, optional=True, guard=wants_one_activation),
    )),
    # hard swish:       Conv -> BatchNorm -> hard swish           -->  Conv with an activation
    Row("Conv with hard swish", f"{_CORE}/nchwc_transformer.cc; measured with 1.32", (
        _CONV, _FOLDED, Step(kinds(Kind.HARDSWISH)),
    )),
    # norm alone:       BatchNorm -> activation                   -->  depthwise Conv
    Row("BatchNorm as Conv", f"{_CORE}/nchwc_transformer.cc; measured with 1.32", (
        Step(kinds(Kind.BATCHNORM)), Step(_CONV_ACTIVATION),
    )),
)

_TRANSFORMERS: tuple[Row, ...] = (
    # attention:        Q K' -> scale, mask -> softmax -> V       -->  MultiHeadAttention
    Row("MultiHeadAttention", f"{_PAGE}, Attention Fusion; {_TOOL}/fusion_attention.py",
        find=find_attention, starts=PRODUCTS),
    # the sum goes on:  + skip -> LayerNorm                       -->  SkipLayerNormalization
    Row("SkipLayerNormalization", f"{_TOOL}/fusion_skiplayernorm.py", (
        Step(_SUM, leaves=True, guard=_wants_skip), Step(_NORM),
    )),
    Row("SkipSimplifiedLayerNormalization", f"{_TOOL}/fusion_skiplayernorm.py", (
        Step(_SUM, leaves=True, guard=_wants_skip), Step(_PLAIN_NORM),
    )),
    # the bias leaves:  linear -> GELU                            -->  MatMul | BiasGelu
    # (the runtime itself gives the bias to the Gemm, at its basic level, and GELU stays alone)
    Row("BiasGelu", f"{_PAGE}, Bias GELU Fusion; {_TOOL}/fusion_biasgelu.py", (
        Step(GEMM, outside=True, guard=wants_bias), Step(_GELU),
    )),
)
# fmt: on

LEVELS: dict[str, tuple[Row, ...]] = {
    "transformers": _TRANSFORMERS,
    "extended": _EXTENDED,
    "layout": _LAYOUT,
    "basic": _BASIC,
}
"""Rows by the part of ONNX Runtime that applies them, in the order in which they are tried: the
offline tool for transformers, then the levels of the session's optimiser, basic ones last here
because a longer row begins as they do. `ORT_ENABLE_EXTENDED` is basic and extended,
`ORT_ENABLE_ALL` these and layout."""


def onnxruntime(graph: Graph, levels: Collection[str] = tuple(LEVELS)) -> Plan:
    """The nodes that ONNX Runtime 1.32 makes of `graph` on its CPU provider.

    Raises `InputError` for an unknown level.

    >>> from fuseline.graph import Builder, Kind, Role
    >>> build = Builder()
    >>> x = build.tensor("x", (1, 4, 8, 8), role=Role.INPUT)
    >>> y = build.op("conv", Kind.CONV2D, inputs=[x], shape=(1, 4, 8, 8))
    >>> z = build.op("act", Kind.RELU, inputs=[y], shape=(1, 4, 8, 8))
    >>> [group.pattern for group in onnxruntime(build.finish([z])).groups]
    ['FusedConv']
    """
    return _match(graph, levels).plan("onnxruntime")


def count_nodes(graph: Graph, levels: Collection[str] = tuple(LEVELS)) -> Counter[str]:
    """How many nodes of each fused kind ONNX Runtime would make, by its name for them."""
    return _match(graph, levels).counts()


def _match(graph: Graph, levels: Collection[str]) -> Matcher:
    for level in levels:
        if level not in LEVELS:
            hint = did_you_mean(level, LEVELS) or f": one of {', '.join(LEVELS)}"
            raise InputError(f"unknown level '{level}'{hint}")
    rows = tuple(row for name, rows in LEVELS.items() if name in levels for row in rows)
    return match_table(graph, Table("ONNX Runtime", rows))
