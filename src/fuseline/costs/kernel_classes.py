"""Which measured rate prices an op: its kernel class, from its kind and its shapes."""

from __future__ import annotations

from fuseline.graph import Graph, Kind, Op
from fuseline.hardware.rates import KernelClass

_CHANNELS_OF_A_VECTOR = 16
"""Input channels below which a dense convolution has no full vector of them (AVX-512, float32)."""

_MEMBERS: dict[KernelClass, tuple[Kind, ...]] = {
    KernelClass.CONVOLUTION: (Kind.CONV1D, Kind.CONV2D, Kind.CONV3D),
    KernelClass.POINTWISE_CONVOLUTION: (Kind.CONV2D_POINTWISE,),
    KernelClass.DEPTHWISE_CONVOLUTION: (
        Kind.CONV1D_DEPTHWISE,
        Kind.CONV2D_DEPTHWISE,
        Kind.CONV3D_DEPTHWISE,
    ),
    KernelClass.LINEAR: (Kind.LINEAR, Kind.ADDMM),
    KernelClass.MATMUL: (Kind.MATMUL, Kind.EINSUM),
    KernelClass.ATTENTION: (Kind.SCALED_DOT_PRODUCT_ATTENTION,),
    KernelClass.ARITHMETIC: (
        Kind.ADD,
        Kind.SUB,
        Kind.MUL,
        Kind.DIV,
        Kind.ELEMENTWISE_UNARY,
        Kind.ELEMENTWISE_BINARY,
        Kind.ELEMENTWISE_TERNARY,
        Kind.COMPARE,
        Kind.WHERE,
        Kind.FILL,
    ),
    KernelClass.ACTIVATION: (
        Kind.RELU,
        Kind.RELU6,
        Kind.LEAKY_RELU,
        Kind.PRELU,
        Kind.HARDTANH,
        Kind.CLAMP,
    ),
    KernelClass.HARDSWISH: (Kind.HARDSWISH, Kind.HARDSIGMOID),
    KernelClass.GELU: (Kind.GELU,),
    KernelClass.SIGMOID: (Kind.SIGMOID, Kind.SILU, Kind.SWISH, Kind.ELU, Kind.SELU, Kind.GLU),
    KernelClass.TANH: (Kind.TANH, Kind.SOFTPLUS, Kind.MISH),
    KernelClass.POWER: (Kind.POW,),
    KernelClass.BATCHNORM: (Kind.BATCHNORM,),
    KernelClass.LAYERNORM: (Kind.LAYERNORM, Kind.GROUPNORM, Kind.RMSNORM),
    KernelClass.SOFTMAX: (Kind.SOFTMAX,),
    KernelClass.REDUCTION: (
        Kind.SUM,
        Kind.MEAN,
        Kind.VARIANCE,
        Kind.NORM,
        Kind.EXTREMUM,
    ),
    KernelClass.MAXPOOL: (Kind.MAXPOOL,),
    KernelClass.AVGPOOL: (Kind.AVGPOOL,),
    KernelClass.ADAPTIVE_POOL: (Kind.ADAPTIVEAVGPOOL,),
    KernelClass.COPY: (
        Kind.RESHAPE,
        Kind.PERMUTE,
        Kind.EXPAND,
        Kind.CONTIGUOUS,
        Kind.CAST,
        Kind.PIXEL_SHUFFLE,
        Kind.SLICE,
        Kind.SPLIT,
    ),
    KernelClass.SHIFT: (Kind.PAD, Kind.ROLL),
    KernelClass.CONCATENATION: (Kind.CAT,),
    KernelClass.GATHER: (Kind.EMBEDDING, Kind.INDEX),
}

_CLASS_OF: dict[Kind, KernelClass] = {
    kind: kernel for kernel, kinds in _MEMBERS.items() for kind in kinds
}

_IN_PLACE: dict[KernelClass, KernelClass] = {
    # into a new tensor --> over its own input
    KernelClass.ARITHMETIC: KernelClass.ARITHMETIC_IN_PLACE,
    KernelClass.ACTIVATION: KernelClass.ACTIVATION_IN_PLACE,
}


def kernel_class(graph: Graph, op: Op) -> KernelClass | None:
    """The class whose rate prices `op`; None for a kind that has none.

    >>> from fuseline.graph import Builder, Role
    >>> build = Builder()
    >>> x = build.tensor("x", (1, 3, 8, 8), role=Role.INPUT)
    >>> w = build.tensor("w", (4, 3, 3, 3), role=Role.PARAMETER)
    >>> y = build.op("conv", Kind.CONV2D, inputs=[x], parameters=[w], shape=(1, 4, 6, 6))
    >>> graph = build.finish([y])
    >>> kernel_class(graph, graph.ops[0])  # of 3 channels
    <KernelClass.THIN_CONVOLUTION: 'thin_convolution'>
    """
    found = _CLASS_OF.get(op.kind)
    if found is KernelClass.CONVOLUTION or found is KernelClass.POINTWISE_CONVOLUTION:
        return _convolution_class(graph, op, found)
    if found is KernelClass.COPY and op.inputs:
        strides = graph.tensors[op.inputs[0]].strides
        return found if not strides or strides[-1] == 1 else KernelClass.TRANSPOSITION
    if op.writes:
        return _IN_PLACE.get(found, found) if found else None
    return found


def _convolution_class(graph: Graph, op: Op, usual: KernelClass) -> KernelClass:
    """A recorded convolution reads its image first and holds its weight [Co, Ci/groups, *taps]."""
    if not op.inputs or not op.parameters:
        return usual
    image = graph.tensors[op.inputs[0]].shape
    weight = graph.tensors[op.parameters[0]].shape
    channels = weight[1]
    if image[len(image) - len(weight) + 1] != channels:
        return KernelClass.GROUPED_CONVOLUTION
    is_thin = usual is KernelClass.CONVOLUTION and channels < _CHANNELS_OF_A_VECTOR
    return KernelClass.THIN_CONVOLUTION if is_thin else usual
