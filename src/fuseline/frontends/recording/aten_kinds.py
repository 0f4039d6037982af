"""The table from aten op names to kinds, where `kinds.FUNCTIONS` does not have them already.

Names are those of the schema (`aten::native_layer_norm`), without overload; the in-place form of an
op (`add_`) has the kind of the plain one. An op that has no row and no decomposition is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping

from fuseline.frontends.kinds import FUNCTIONS
from fuseline.graph import Kind

_DIMENSIONS = (1, 2, 3)

_UNARY = (
    "angle", "conj_physical", "digamma", "erfinv", "hardshrink", "i0", "lgamma", "log_sigmoid",
    "log_sigmoid_forward", "logit", "nan_to_num", "rad2deg", "deg2rad", "sgn", "sinc", "softshrink",
    "special_expit", "asinh", "acosh", "atanh", "polygamma", "isneginf", "isposinf", "signbit",
    "special_logit", "special_ndtri", "special_log_ndtr", "special_erfcx", "tril", "triu",
)  # fmt: skip
_BINARY = (
    "__and__", "__or__", "__xor__", "__lshift__", "__rshift__", "bitwise_left_shift",
    "bitwise_right_shift", "logaddexp", "logaddexp2", "hypot", "copysign", "xlogy", "fmax", "fmin",
    "heaviside", "ldexp", "nextafter", "gcd", "lcm", "polar", "addr", "ger", "kron",
    "float_power", "special_xlog1py", "isclose",
)  # fmt: skip

ATEN: dict[str, Kind] = {
    # contractions
    **dict.fromkeys(("convolution", "_convolution", "conv_tbc"), Kind.CONV2D),
    **dict.fromkeys(
        ("_int_mm", "_scaled_mm", "_weight_int8pack_mm", "_weight_int4pack_mm",
         "_weight_int4pack_mm_for_cpu", "_sparse_mm"),
        Kind.MATMUL,
    ),
    **dict.fromkeys(("_grouped_mm", "_scaled_grouped_mm"), Kind.GROUPED_MM),
    **dict.fromkeys(("rnn_tanh", "rnn_relu", "rnn_tanh_cell", "rnn_relu_cell"), Kind.RNN),
    **dict.fromkeys(("lstm", "lstm_cell"), Kind.LSTM),
    **dict.fromkeys(("gru", "gru_cell"), Kind.GRU),
    # attention, whatever backend dispatch would pick
    **dict.fromkeys(
        ("_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention",
         "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_cudnn_attention",
         "_scaled_dot_product_fused_attention_overrideable", "_scaled_dot_product_attention_math"),
        Kind.SCALED_DOT_PRODUCT_ATTENTION,
    ),
    # normalisation and softmax
    **dict.fromkeys(
        ("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
         "_native_batch_norm_legit_functional",
         "_batch_norm_with_update", "_batch_norm_no_update", "cudnn_batch_norm"),
        Kind.BATCHNORM,
    ),
    "native_layer_norm": Kind.LAYERNORM,
    "native_group_norm": Kind.GROUPNORM,
    "_fused_rms_norm": Kind.RMSNORM,
    **dict.fromkeys(("_weight_norm", "_weight_norm_interface"), Kind.NORMALIZE),
    **dict.fromkeys(("_softmax", "_log_softmax", "_safe_softmax", "special_softmax"), Kind.SOFTMAX),
    # reductions
    **dict.fromkeys(
        ("nansum", "count_nonzero", "trace", "_is_all_true", "_is_any_true"), Kind.SUM
    ),
    **dict.fromkeys(("histc", "bincount"), Kind.HISTOGRAM),
    "linalg_solve_triangular": Kind.SOLVE_TRIANGULAR,
    **dict.fromkeys(("aminmax", "_aminmax"), Kind.EXTREMUM),
    **dict.fromkeys(("logcumsumexp", "_cummax_helper", "_cummin_helper"), Kind.CUMULATIVE),
    "frobenius_norm": Kind.NORM,
    **dict.fromkeys(("_cdist_forward", "cdist", "_euclidean_dist"), Kind.DISTANCE),
    **dict.fromkeys(
        ("sort", "argsort", "msort", "topk", "kthvalue", "median", "nanmedian", "mode",
         "_unique2", "unique_dim", "unique_consecutive"),
        Kind.SORT,
    ),
    **dict.fromkeys(("searchsorted", "bucketize"), Kind.SEARCH),
    **dict.fromkeys(("_fft_r2c", "_fft_c2c", "_fft_c2r"), Kind.FFT),
    **{f"max_pool{d}d_with_indices": Kind.MAXPOOL for d in _DIMENSIONS},
    **{f"_adaptive_avg_pool{d}d": Kind.ADAPTIVEAVGPOOL for d in _DIMENSIONS},
    # elementwise
    **dict.fromkeys(_UNARY, Kind.ELEMENTWISE_UNARY),
    **dict.fromkeys(_BINARY, Kind.ELEMENTWISE_BINARY),
    **dict.fromkeys(("addcmul", "addcdiv", "lerp", "linalg_cross"), Kind.ELEMENTWISE_TERNARY),
    **dict.fromkeys(("true_divide",), Kind.DIV),
    **dict.fromkeys(("greater", "less", "greater_equal", "less_equal", "not_equal"), Kind.COMPARE),
    **dict.fromkeys(("clamp_min", "clamp_max"), Kind.ELEMENTWISE_BINARY),
    "threshold": Kind.RELU,
    "_prelu_kernel": Kind.PRELU,
    "celu": Kind.ELU,
    **dict.fromkeys(("rrelu", "rrelu_with_noise"), Kind.LEAKY_RELU),
    **dict.fromkeys(
        ("scalar_tensor", "full", "lift_fresh_copy", "tril_indices", "triu_indices", "logspace",
         "range", "hann_window", "hamming_window"),
        Kind.FILL,
    ),
    **dict.fromkeys(
        ("rand", "randn", "randint", "rand_like", "randn_like", "randint_like", "randperm",
         "normal", "uniform", "bernoulli", "multinomial", "exponential", "random", "log_normal",
         "cauchy", "geometric", "poisson", "_standard_gamma", "normal_functional", "trunc_normal"),
        Kind.RANDOM,
    ),
    **dict.fromkeys(
        ("native_dropout", "_fused_dropout", "feature_dropout", "feature_alpha_dropout"),
        Kind.DROPOUT,
    ),
    # movement
    **dict.fromkeys(
        ("_unsafe_view", "_reshape_alias", "_reshape_copy", "_conj", "_neg_view", "real", "imag",
         "alias", "resolve_conj", "resolve_neg"),
        Kind.RESHAPE,
    ),
    **dict.fromkeys(("numpy_T", "adjoint", "rot90"), Kind.PERMUTE),
    **dict.fromkeys(("slice", "diag", "unsafe_slice"), Kind.SLICE),
    **dict.fromkeys(("unsafe_split", "unsafe_split_with_sizes", "unsafe_chunk"), Kind.SPLIT),
    **dict.fromkeys(
        ("slice_scatter", "select_scatter", "diagonal_scatter", "as_strided_scatter",
         "lift_fresh", "positive", "lift", "complex",
         "_pack_padded_sequence", "_pad_packed_sequence"),
        Kind.CONTIGUOUS,
    ),
    "_to_copy": Kind.CAST,
    **dict.fromkeys(("constant_pad_nd", "diag_embed", "_pad_enum", "_pad_circular"), Kind.PAD),
    **{f"{mode}_pad{d}d": Kind.PAD for mode in ("reflection", "replication") for d in _DIMENSIONS},
    "native_channel_shuffle": Kind.PIXEL_SHUFFLE,
    "im2col": Kind.UNFOLD,
    "col2im": Kind.FOLD,
    **dict.fromkeys(
        ("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_linear1d",
         "_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d",
         "upsample_bilinear2d", "upsample_bicubic2d", "upsample_trilinear3d",
         "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa"),
        Kind.UPSAMPLE,
    ),
    # selection by index
    **dict.fromkeys(("_embedding_bag", "_embedding_bag_forward_only"), Kind.EMBEDDING_BAG),
    **dict.fromkeys(("index", "_unsafe_index"), Kind.INDEX),
    **dict.fromkeys(
        ("scatter", "index_put", "_index_put_impl", "_unsafe_index_put", "index_copy",
         "masked_scatter", "put", "index_fill", "fill_diagonal"),
        Kind.SCATTER,
    ),
    **dict.fromkeys(
        ("scatter_add", "scatter_reduce", "index_add", "index_reduce"), Kind.SCATTER_REDUCE
    ),
    **dict.fromkeys(("grid_sampler", "grid_sampler_2d", "grid_sampler_3d"), Kind.GRID_SAMPLE),
    **dict.fromkeys(("nonzero", "masked_select", "argwhere"), Kind.SELECT_IF),
    # to the host
    **dict.fromkeys(("_local_scalar_dense", "item", "equal", "is_nonzero"), Kind.HOST_READ),
    # quantisation by the backend's own ops
    **dict.fromkeys(
        ("quantize_per_tensor", "quantize_per_channel", "fake_quantize_per_tensor_affine",
         "fake_quantize_per_channel_affine", "quantize_per_tensor_dynamic"),
        Kind.QUANTIZE,
    ),
    "dequantize": Kind.DEQUANTIZE,
    # the host's own bookkeeping
    **dict.fromkeys(
        ("empty_strided", "new_empty_strided", "empty_permuted", "_assert_async",
         "_functional_assert_async", "_assert_tensor_metadata", "_assert_scalar",
         "sym_constrain_range", "sym_constrain_range_for_size", "_linalg_check_errors"),
        Kind.CONTROL,
    ),
}  # fmt: skip
"""aten ops by name."""

OTHERS: dict[str, Kind] = {
    "torchvision::nms": Kind.SUPPRESS,
    "torchvision::roi_align": Kind.ROI_POOL,
    "torchvision::deform_conv2d": Kind.DEFORM_CONV2D,
    **{
        f"quantized_decomposed::{name}": kind
        for names, kind in (
            (("quantize_per_tensor", "quantize_per_channel", "quantize_per_token"), Kind.QUANTIZE),
            (
                ("dequantize_per_tensor", "dequantize_per_channel", "dequantize_per_token"),
                Kind.DEQUANTIZE,
            ),
        )
        for name in names
    },
    **dict.fromkeys(("quantized::linear", "quantized::linear_relu",
                     "quantized::linear_dynamic"), Kind.LINEAR),
    **dict.fromkeys(("quantized::conv2d", "quantized::conv2d_relu"), Kind.CONV2D),
    **dict.fromkeys(("quantized::add", "quantized::add_relu"), Kind.ADD),
    "quantized::mul": Kind.MUL,
    "quantized::cat": Kind.CAT,
}  # fmt: skip
"""Ops of other namespaces that torch and torchvision define, by full name."""

TRAITS: Mapping[str, Mapping[str, object]] = {
    "_batch_norm_with_update": {"training": True},
    **{f"upsample_nearest{d}d": {"mode": "nearest"} for d in _DIMENSIONS},
    **{f"_upsample_nearest_exact{d}d": {"mode": "nearest-exact"} for d in _DIMENSIONS},
    "upsample_linear1d": {"mode": "linear"},
    "upsample_bilinear2d": {"mode": "bilinear"},
    "upsample_bicubic2d": {"mode": "bicubic"},
    "upsample_trilinear3d": {"mode": "trilinear"},
    "_upsample_bilinear2d_aa": {"mode": "bilinear", "antialias": True},
    "_upsample_bicubic2d_aa": {"mode": "bicubic", "antialias": True},
    **{
        f"{sort}_pool{d}d{tail}": {"dimensions": d}
        for sort, tail in (("max", ""), ("max", "_with_indices"), ("avg", ""))
        for d in _DIMENSIONS
    },
    "_native_batch_norm_legit_no_training": {"training": False},
    "msort": {"dim": 0},
    **{
        name: {"flattens": True}
        for name in ("_unique2", "unique_consecutive", "median", "nanmedian")
    },
}
"""What an op's name says that its arguments do not: `flattens` where no `dim` is given."""

SHAPE_ONLY = frozenset(
    {"zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like",
     "randint_like", "new_zeros", "new_ones", "new_full", "new_empty", "new_empty_strided", "fill",
     "lift_fresh_copy"}
)  # fmt: skip
"""Factories that take a shape from `self`, and no byte of it. `lift_fresh_copy` makes a literal of
the program, as `scalar_tensor` does: its value is in the code."""


def kind_of_aten(namespace: str, name: str) -> Kind:
    """Kind of the op `namespace::name`.

    >>> kind_of_aten("aten", "add_"), kind_of_aten("aten", "_softmax")
    (<Kind.ADD: 'add'>, <Kind.SOFTMAX: 'softmax'>)
    >>> kind_of_aten("mylib", "add")
    <Kind.UNKNOWN: 'unknown'>
    """
    if namespace not in ("aten", "prims"):
        return OTHERS.get(f"{namespace}::{name}", Kind.UNKNOWN)
    for spelling in (name, name.removesuffix("_")):
        if spelling in ATEN:
            return ATEN[spelling]
        if spelling in FUNCTIONS:
            return FUNCTIONS[spelling]
    return Kind.UNKNOWN
