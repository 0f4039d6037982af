"""One table: module class, function or method name -> `Kind`.

Names are exact. A module class counts only where it is torch's own (a user's class of the same
name is traced into); a function only where it comes from Python's operators, torch or torchvision.
The in-place form of a function (`add_`, `iadd`) has the kind of the plain one.
"""

from __future__ import annotations

from math import prod

from fuseline.graph import Kind

_DIMENSIONS = (1, 2, 3)

MODULES: dict[str, Kind] = {
    "Linear": Kind.LINEAR,
    "NonDynamicallyQuantizableLinear": Kind.LINEAR,
    "Bilinear": Kind.BILINEAR,
    "RNN": Kind.RNN,
    "RNNCell": Kind.RNN,
    "LSTM": Kind.LSTM,
    "LSTMCell": Kind.LSTM,
    "GRU": Kind.GRU,
    "GRUCell": Kind.GRU,
    "MultiheadAttention": Kind.MULTIHEAD_ATTENTION,
    "LayerNorm": Kind.LAYERNORM,
    "GroupNorm": Kind.GROUPNORM,
    "RMSNorm": Kind.RMSNORM,
    "LocalResponseNorm": Kind.LOCAL_RESPONSE_NORM,
    "Softmax": Kind.SOFTMAX,
    "LogSoftmax": Kind.SOFTMAX,
    "Softmax2d": Kind.SOFTMAX,
    "ReLU": Kind.RELU,
    "ReLU6": Kind.RELU6,
    "LeakyReLU": Kind.LEAKY_RELU,
    "PReLU": Kind.PRELU,
    "ELU": Kind.ELU,
    "SELU": Kind.SELU,
    "SiLU": Kind.SILU,
    "Mish": Kind.MISH,
    "GELU": Kind.GELU,
    "Sigmoid": Kind.SIGMOID,
    "Tanh": Kind.TANH,
    "Softplus": Kind.SOFTPLUS,
    "Hardswish": Kind.HARDSWISH,
    "Hardsigmoid": Kind.HARDSIGMOID,
    "Hardtanh": Kind.HARDTANH,
    "GLU": Kind.GLU,
    "Identity": Kind.IDENTITY,
    "Flatten": Kind.RESHAPE,
    "Unflatten": Kind.RESHAPE,
    "PixelShuffle": Kind.PIXEL_SHUFFLE,
    "PixelUnshuffle": Kind.PIXEL_SHUFFLE,
    "ChannelShuffle": Kind.PIXEL_SHUFFLE,
    "Upsample": Kind.UPSAMPLE,
    "UpsamplingNearest2d": Kind.UPSAMPLE,
    "UpsamplingBilinear2d": Kind.UPSAMPLE,
    "Unfold": Kind.UNFOLD,
    "Embedding": Kind.EMBEDDING,
    "EmbeddingBag": Kind.EMBEDDING_BAG,
    "Dropout": Kind.DROPOUT,
    "AlphaDropout": Kind.DROPOUT,
    "FeatureAlphaDropout": Kind.DROPOUT,
    **{f"Conv{d}d": Kind(f"conv{d}d") for d in _DIMENSIONS},
    **{f"ConvTranspose{d}d": Kind(f"conv_transpose{d}d") for d in _DIMENSIONS},
    **{f"BatchNorm{d}d": Kind.BATCHNORM for d in _DIMENSIONS},
    "SyncBatchNorm": Kind.BATCHNORM,
    **{f"InstanceNorm{d}d": Kind.INSTANCENORM for d in _DIMENSIONS},
    **{f"MaxPool{d}d": Kind.MAXPOOL for d in _DIMENSIONS},
    **{f"AvgPool{d}d": Kind.AVGPOOL for d in _DIMENSIONS},
    **{f"AdaptiveAvgPool{d}d": Kind.ADAPTIVEAVGPOOL for d in _DIMENSIONS},
    **{f"AdaptiveMaxPool{d}d": Kind.ADAPTIVEMAXPOOL for d in _DIMENSIONS},
    **{f"Dropout{d}d": Kind.DROPOUT for d in _DIMENSIONS},
    **{
        f"{mode}Pad{d}d": Kind.PAD
        for mode in ("Constant", "Reflection", "Replication", "Zero", "Circular")
        for d in _DIMENSIONS
    },
}
"""Classes of `torch.nn` by name."""

_UNARY = (
    "neg", "abs", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt",
    "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "erf", "erfc", "reciprocal",
    "sign", "floor", "ceil", "round", "trunc", "frac", "square", "logical_not", "bitwise_not",
    "invert", "isnan", "isinf", "isfinite", "logsigmoid", "softsign",
)  # fmt: skip
_BINARY = (
    "maximum", "minimum", "remainder", "fmod", "mod", "atan2", "logical_and", "logical_or",
    "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor", "and_", "or_", "xor", "floordiv",
    "floor_divide", "outer",
)  # fmt: skip

FUNCTIONS: dict[str, Kind] = {
    "linear": Kind.LINEAR,
    "bilinear": Kind.BILINEAR,
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "dot", "vdot", "inner"), Kind.MATMUL),
    **dict.fromkeys(("addmm", "baddbmm", "addbmm", "addmv"), Kind.ADDMM),
    "einsum": Kind.EINSUM,
    "scaled_dot_product_attention": Kind.SCALED_DOT_PRODUCT_ATTENTION,
    "shifted_window_attention": Kind.SHIFTED_WINDOW_ATTENTION,
    "_get_relative_position_bias": Kind.RELATIVE_POSITION_BIAS,
    "_patch_merging_pad": Kind.PAD,
    "batch_norm": Kind.BATCHNORM,
    "layer_norm": Kind.LAYERNORM,
    "group_norm": Kind.GROUPNORM,
    "instance_norm": Kind.INSTANCENORM,
    "rms_norm": Kind.RMSNORM,
    "local_response_norm": Kind.LOCAL_RESPONSE_NORM,
    "normalize": Kind.NORMALIZE,
    **dict.fromkeys(("softmax", "log_softmax", "softmin"), Kind.SOFTMAX),
    **dict.fromkeys(("sum", "prod", "any", "all"), Kind.SUM),
    "logsumexp": Kind.LOGSUMEXP,
    "mean": Kind.MEAN,
    **dict.fromkeys(("var", "std", "var_mean", "std_mean"), Kind.VARIANCE),
    "norm": Kind.NORM,
    "linalg_vector_norm": Kind.NORM,
    **dict.fromkeys(("max", "min", "amax", "amin", "argmax", "argmin"), Kind.EXTREMUM),
    **dict.fromkeys(("cumsum", "cumprod", "cummax", "cummin"), Kind.CUMULATIVE),
    "relu": Kind.RELU,
    "relu6": Kind.RELU6,
    "leaky_relu": Kind.LEAKY_RELU,
    "prelu": Kind.PRELU,
    "elu": Kind.ELU,
    "selu": Kind.SELU,
    "silu": Kind.SILU,
    "mish": Kind.MISH,
    "gelu": Kind.GELU,
    "sigmoid": Kind.SIGMOID,
    "tanh": Kind.TANH,
    "softplus": Kind.SOFTPLUS,
    "hardswish": Kind.HARDSWISH,
    "hardsigmoid": Kind.HARDSIGMOID,
    "hardtanh": Kind.HARDTANH,
    "glu": Kind.GLU,
    **dict.fromkeys(("add",), Kind.ADD),
    **dict.fromkeys(("sub", "rsub"), Kind.SUB),
    **dict.fromkeys(("mul", "multiply"), Kind.MUL),
    **dict.fromkeys(("truediv", "div", "divide"), Kind.DIV),
    "pow": Kind.POW,
    **dict.fromkeys(_UNARY, Kind.ELEMENTWISE_UNARY),
    **dict.fromkeys(_BINARY, Kind.ELEMENTWISE_BINARY),
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge"), Kind.COMPARE),
    **dict.fromkeys(("where", "masked_fill"), Kind.WHERE),
    **dict.fromkeys(("clamp", "clip"), Kind.CLAMP),
    **dict.fromkeys(
        ("zeros", "ones", "full", "arange", "linspace", "eye", "zeros_like", "ones_like",
         "full_like", "new_zeros", "new_ones", "new_full", "fill",
         "zero"),
        Kind.FILL,
    ),
    **dict.fromkeys(
        ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"), Kind.DROPOUT
    ),
    "stochastic_depth": Kind.STOCHASTIC_DEPTH,
    **dict.fromkeys(
        ("reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as",
         "reshape_as", "ravel", "as_strided", "view_as_complex", "view_as_real"),
        Kind.RESHAPE,
    ),
    **dict.fromkeys(
        ("permute", "transpose", "swapaxes", "swapdims", "movedim", "t", "T", "mT", "H", "mH",
         "flip"),
        Kind.PERMUTE,
    ),
    **dict.fromkeys(
        ("expand", "expand_as", "repeat", "tile", "repeat_interleave", "broadcast_to"),
        Kind.EXPAND,
    ),
    **dict.fromkeys(("narrow", "select", "diagonal"), Kind.SLICE),
    **dict.fromkeys(
        ("chunk", "split", "unbind", "tensor_split", "split_with_sizes"), Kind.SPLIT
    ),
    **dict.fromkeys(
        ("contiguous", "clone", "detach", "data", "requires_grad", "copy"), Kind.CONTIGUOUS
    ),
    **dict.fromkeys(
        ("to", "type", "type_as", "float", "half", "bfloat16", "double", "int", "long", "bool"),
        Kind.CAST,
    ),
    **dict.fromkeys(("cat", "concat", "concatenate", "stack", "hstack", "vstack"), Kind.CAT),
    "pad": Kind.PAD,
    "roll": Kind.ROLL,
    **dict.fromkeys(
        ("pixel_shuffle", "pixel_unshuffle", "channel_shuffle"), Kind.PIXEL_SHUFFLE
    ),
    **dict.fromkeys(("interpolate", "upsample"), Kind.UPSAMPLE),
    "unfold": Kind.UNFOLD,
    "embedding": Kind.EMBEDDING,
    "embedding_bag": Kind.EMBEDDING_BAG,
    **dict.fromkeys(("index_select", "gather", "take", "take_along_dim"), Kind.INDEX),
    **{f"conv{d}d": Kind(f"conv{d}d") for d in _DIMENSIONS},
    **{f"conv_transpose{d}d": Kind(f"conv_transpose{d}d") for d in _DIMENSIONS},
    **{f"max_pool{d}d": Kind.MAXPOOL for d in _DIMENSIONS},
    **{f"avg_pool{d}d": Kind.AVGPOOL for d in _DIMENSIONS},
    **{f"adaptive_avg_pool{d}d": Kind.ADAPTIVEAVGPOOL for d in _DIMENSIONS},
    **{f"adaptive_max_pool{d}d": Kind.ADAPTIVEMAXPOOL for d in _DIMENSIONS},
    **dict.fromkeys(
        ("_assert", "_assert_is_none", "size", "dim", "numel", "stride", "is_contiguous",
         "ndimension", "element_size", "get_device", "empty", "empty_like", "new_empty"),
        Kind.CONTROL,
    ),
}  # fmt: skip
"""Functions of Python's operators, torch and torchvision, and tensor methods, by name."""

DIMENSIONS: dict[str, int] = {
    f"{name}{d}{tail}": d
    for names, tail in (
        (("MaxPool", "AvgPool"), "d"),
        (("max_pool", "avg_pool"), "d"),
    )
    for name in names
    for d in _DIMENSIONS
}
"""How many dimensions a pooling window has: its output may or may not have a batch."""

ARGUMENTS: dict[Kind, tuple[str, ...]] = {
    **dict.fromkeys(
        (Kind(f"conv{transpose}{d}d") for transpose in ("", "_transpose") for d in _DIMENSIONS),
        ("input", "weight", "bias"),
    ),
    Kind.LINEAR: ("input", "weight", "bias"),
    Kind.MATMUL: ("input",),
    Kind.ADDMM: ("input", "mat1", "mat2"),
    Kind.BILINEAR: ("input1", "input2", "weight", "bias"),
    Kind.EINSUM: ("equation",),
    Kind.SCALED_DOT_PRODUCT_ATTENTION: (
        "query", "key", "value", "attn_mask", "dropout_p", "is_causal",
    ),
    Kind.LAYERNORM: ("input", "normalized_shape", "weight", "bias"),
    Kind.RMSNORM: ("input", "normalized_shape", "weight"),
    Kind.GROUPNORM: ("input", "num_groups", "weight", "bias"),
    Kind.MAXPOOL: ("input", "kernel_size"),
    Kind.AVGPOOL: ("input", "kernel_size"),
    Kind.GELU: ("input",),
}  # fmt: skip
"""Leading argument names of functions that have no Python signature to ask, by kind."""

BUILTIN_ARGUMENTS: dict[str, tuple[str, ...]] = {
    name: ("input", "weight", "bias", "running_mean", "running_var", flag)
    for name, flag in (("batch_norm", "training"), ("instance_norm", "use_input_stats"))
}
"""The same by name, for built-in functions whose Python namesakes order theirs differently."""

TABLES: dict[Kind, tuple[str, ...]] = {
    Kind.EMBEDDING: ("weight",),
    Kind.EMBEDDING_BAG: ("weight",),
    Kind.INDEX: ("input",),
    Kind.RELATIVE_POSITION_BIAS: ("relative_position_bias_table",),
}
"""What a gather's table is called among its arguments; else it is the first tensor."""

METADATA_ONLY = frozenset(
    {"unsqueeze_", "squeeze_", "t_", "transpose_", "swapaxes_", "swapdims_", "detach_",
     "requires_grad_"}
)  # fmt: skip
"""Methods that change a tensor's shape in place and none of its bytes."""

WRITE_ONLY = frozenset(
    {"zero_", "fill_", "copy_", "normal_", "uniform_", "random_", "exponential_", "bernoulli_",
     "log_normal_", "cauchy_", "geometric_"}
)  # fmt: skip
"""Methods that overwrite their tensor without reading it."""

_TRUSTED = frozenset({"torch", "torchvision", "_operator", "operator", "builtins", "math"})


def kind_of_module(qualified: str, name: str) -> Kind:
    """Kind of a module class; `qualified` is the Python module it is defined in.

    >>> kind_of_module("torch.nn.modules.conv", "Conv2d")
    <Kind.CONV2D: 'conv2d'>
    >>> kind_of_module("my_models", "Conv2d")
    <Kind.UNKNOWN: 'unknown'>
    """
    if qualified.partition(".")[0] in _TRUSTED:
        if name == "StochasticDepth":
            return Kind.STOCHASTIC_DEPTH
        return MODULES.get(name, Kind.UNKNOWN)
    return Kind.UNKNOWN


def kind_of_function(qualified: str, name: str) -> Kind:
    """Kind of a function `name` defined in the Python module `qualified`.

    >>> kind_of_function("_operator", "iadd")
    <Kind.ADD: 'add'>
    """
    if qualified.partition(".")[0] not in _TRUSTED:
        return Kind.UNKNOWN
    plain = name.removesuffix("_") if name not in FUNCTIONS else name
    if plain not in FUNCTIONS and qualified.endswith("operator") and plain.startswith("i"):
        plain = plain[1:]
        plain = f"{plain}_" if f"{plain}_" in FUNCTIONS else plain  # iand -> and_
    return FUNCTIONS.get(plain, Kind.UNKNOWN)


def refine_convolution(kind: Kind, weight: tuple[int, ...], source: tuple[int, ...]) -> Kind:
    """Depthwise where every group has one input channel; pointwise where every tap is one pixel.

    `weight` is [Co, Ci/groups, *k], `source` [N, Ci, *in] or, without a batch, [Ci, *in].

    >>> refine_convolution(Kind.CONV2D, (32, 1, 3, 3), (8, 32, 14, 14))
    <Kind.CONV2D_DEPTHWISE: 'conv2d_depthwise'>
    >>> refine_convolution(Kind.CONV2D, (32, 1, 3, 3), (1, 14, 14))
    <Kind.CONV2D: 'conv2d'>
    """
    if kind not in (Kind.CONV1D, Kind.CONV2D, Kind.CONV3D):
        return kind
    channels = source[len(source) - len(weight) + 1]
    if weight[1] == 1 and channels > 1:
        return Kind(f"{kind.value}_depthwise")
    if kind is Kind.CONV2D and weight[1] == channels and prod(weight[2:]) == 1:
        return Kind.CONV2D_POINTWISE
    return kind
