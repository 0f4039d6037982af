"""What an op is: its `Kind` (which formula prices it) and its `OpClass` (which rules speak of it).

Both are closed enums. `CLASS_OF` gives every kind its usual class; the class of a single op may
differ, because an op that turns out to alias its input is a VIEW whatever its kind (eval-mode
dropout, `contiguous()` of a contiguous tensor).
"""

from __future__ import annotations

from enum import Enum


class OpClass(Enum):
    """What fusion rules speak in."""

    VIEW = "view"  # aliases its input's storage and writes nothing: no bytes, no launch
    CONTROL = "control"  # host-side bookkeeping: sizes, getitem of a tuple, assertions
    ELEMENTWISE = "elementwise"
    COPY = "copy"  # moves data without arithmetic
    REDUCTION = "reduction"
    WINDOW = "window"  # pooling: each output reads a window of the input
    CONTRACTION = "contraction"
    ATTENTION = "attention"
    GATHER = "gather"  # reads rows that another tensor selects
    OPAQUE = "opaque"  # unknown, or leaves the device: never fuses


class Origin(Enum):
    """Which sort of node of the source graph an op was."""

    MODULE = "call_module"
    FUNCTION = "call_function"
    METHOD = "call_method"
    ATEN = "aten"  # an op of a recorded or exported graph


class Kind(Enum):
    """What an op computes. The values keep the seed document's operation names."""

    # contractions
    CONV1D = "conv1d"
    CONV1D_DEPTHWISE = "conv1d_depthwise"
    CONV2D = "conv2d"
    CONV2D_POINTWISE = "conv2d_pointwise"
    CONV2D_DEPTHWISE = "conv2d_depthwise"
    CONV3D = "conv3d"
    CONV3D_DEPTHWISE = "conv3d_depthwise"
    CONV_TRANSPOSE1D = "conv_transpose1d"
    CONV_TRANSPOSE2D = "conv_transpose2d"
    CONV_TRANSPOSE3D = "conv_transpose3d"
    LINEAR = "linear"
    BILINEAR = "bilinear"
    MATMUL = "matmul"
    ADDMM = "addmm"
    EINSUM = "einsum"
    GROUPED_MM = "grouped_mm"
    DEFORM_CONV2D = "deform_conv2d"
    RNN = "rnn"
    LSTM = "lstm"
    GRU = "gru"
    # attention
    MULTIHEAD_ATTENTION = "multihead_attention"
    SHIFTED_WINDOW_ATTENTION = "shifted_window_attention"
    SCALED_DOT_PRODUCT_ATTENTION = "scaled_dot_product_attention"
    # normalisation and softmax
    BATCHNORM = "batchnorm"
    LAYERNORM = "layernorm"
    GROUPNORM = "groupnorm"
    INSTANCENORM = "instancenorm"
    RMSNORM = "rmsnorm"
    LOCAL_RESPONSE_NORM = "local_response_norm"
    NORMALIZE = "normalize"
    SOFTMAX = "softmax"
    # reductions and pooling
    SUM = "sum"
    MEAN = "mean"
    VARIANCE = "variance"
    NORM = "norm"
    LOGSUMEXP = "logsumexp"
    EXTREMUM = "extremum"
    CUMULATIVE = "cumulative"
    DISTANCE = "distance"
    SORT = "sort"
    SEARCH = "search"
    FFT = "fft"
    HISTOGRAM = "histogram"
    SOLVE_TRIANGULAR = "solve_triangular"
    MAXPOOL = "maxpool"
    AVGPOOL = "avgpool"
    ADAPTIVEAVGPOOL = "adaptiveavgpool"
    ADAPTIVEMAXPOOL = "adaptivemaxpool"
    # activations
    RELU = "relu"
    RELU6 = "relu6"
    LEAKY_RELU = "leaky_relu"
    PRELU = "prelu"
    ELU = "elu"
    SELU = "selu"
    SILU = "silu"
    SWISH = "swish"
    MISH = "mish"
    GELU = "gelu"
    SIGMOID = "sigmoid"
    TANH = "tanh"
    SOFTPLUS = "softplus"
    HARDSWISH = "hardswish"
    HARDSIGMOID = "hardsigmoid"
    HARDTANH = "hardtanh"
    GLU = "glu"
    # arithmetic
    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    DIV = "div"
    POW = "pow"
    ELEMENTWISE_UNARY = "elementwise_unary"
    ELEMENTWISE_BINARY = "elementwise_binary"
    ELEMENTWISE_TERNARY = "elementwise_ternary"
    COMPARE = "compare"
    WHERE = "where"
    CLAMP = "clamp"
    FILL = "fill"
    RANDOM = "random"
    QUANTIZE = "quantize"
    DEQUANTIZE = "dequantize"
    # regularisation: no work in eval mode
    DROPOUT = "dropout"
    STOCHASTIC_DEPTH = "stochastic_depth"
    IDENTITY = "identity"
    # movement: a view where the layout allows, else a copy
    RESHAPE = "reshape"
    PERMUTE = "permute"
    EXPAND = "expand"
    SLICE = "slice"
    SPLIT = "split"
    CONTIGUOUS = "contiguous"
    CAST = "cast"
    CAT = "cat"
    PAD = "pad"
    ROLL = "roll"
    PIXEL_SHUFFLE = "pixel_shuffle"
    UPSAMPLE = "upsample"
    UNFOLD = "unfold"
    FOLD = "fold"
    # selection by index
    EMBEDDING = "embedding"
    EMBEDDING_BAG = "embedding_bag"
    INDEX = "index"
    RELATIVE_POSITION_BIAS = "relative_position_bias"
    SCATTER = "scatter"
    SCATTER_REDUCE = "scatter_reduce"
    GRID_SAMPLE = "grid_sample"
    ROI_POOL = "roi_pool"
    SELECT_IF = "select_if"
    SUPPRESS = "suppress"
    # host side, and what no table knows
    CONTROL = "control"
    HOST_READ = "host_read"
    CUSTOM = "custom"
    UNKNOWN = "unknown"


_MEMBERS: dict[OpClass, tuple[Kind, ...]] = {
    OpClass.CONTRACTION: (
        Kind.CONV1D,
        Kind.CONV1D_DEPTHWISE,
        Kind.CONV2D,
        Kind.CONV2D_POINTWISE,
        Kind.CONV2D_DEPTHWISE,
        Kind.CONV3D,
        Kind.CONV3D_DEPTHWISE,
        Kind.CONV_TRANSPOSE1D,
        Kind.CONV_TRANSPOSE2D,
        Kind.CONV_TRANSPOSE3D,
        Kind.LINEAR,
        Kind.BILINEAR,
        Kind.MATMUL,
        Kind.ADDMM,
        Kind.EINSUM,
        Kind.GROUPED_MM,
        Kind.DEFORM_CONV2D,
        Kind.RNN,
        Kind.LSTM,
        Kind.GRU,
    ),
    OpClass.ATTENTION: (
        Kind.MULTIHEAD_ATTENTION,
        Kind.SHIFTED_WINDOW_ATTENTION,
        Kind.SCALED_DOT_PRODUCT_ATTENTION,
    ),
    OpClass.REDUCTION: (
        Kind.LAYERNORM,
        Kind.GROUPNORM,
        Kind.INSTANCENORM,
        Kind.RMSNORM,
        Kind.NORMALIZE,
        Kind.SOFTMAX,
        Kind.SUM,
        Kind.MEAN,
        Kind.VARIANCE,
        Kind.NORM,
        Kind.LOGSUMEXP,
        Kind.EXTREMUM,
        Kind.CUMULATIVE,
        Kind.DISTANCE,
        Kind.SORT,
        Kind.SEARCH,
        Kind.FFT,
        Kind.HISTOGRAM,
        Kind.SOLVE_TRIANGULAR,
    ),
    OpClass.WINDOW: (
        Kind.LOCAL_RESPONSE_NORM,
        Kind.MAXPOOL,
        Kind.AVGPOOL,
        Kind.ADAPTIVEAVGPOOL,
        Kind.ADAPTIVEMAXPOOL,
        Kind.UPSAMPLE,
        Kind.UNFOLD,
        Kind.FOLD,
    ),
    OpClass.ELEMENTWISE: (
        Kind.BATCHNORM,
        Kind.RELU,
        Kind.RELU6,
        Kind.LEAKY_RELU,
        Kind.PRELU,
        Kind.ELU,
        Kind.SELU,
        Kind.SILU,
        Kind.SWISH,
        Kind.MISH,
        Kind.GELU,
        Kind.SIGMOID,
        Kind.TANH,
        Kind.SOFTPLUS,
        Kind.HARDSWISH,
        Kind.HARDSIGMOID,
        Kind.HARDTANH,
        Kind.GLU,
        Kind.ADD,
        Kind.SUB,
        Kind.MUL,
        Kind.DIV,
        Kind.POW,
        Kind.ELEMENTWISE_UNARY,
        Kind.ELEMENTWISE_BINARY,
        Kind.ELEMENTWISE_TERNARY,
        Kind.COMPARE,
        Kind.WHERE,
        Kind.CLAMP,
        Kind.FILL,
        Kind.RANDOM,
        Kind.QUANTIZE,
        Kind.DEQUANTIZE,
        Kind.DROPOUT,
        Kind.STOCHASTIC_DEPTH,
        Kind.IDENTITY,
        Kind.CAST,
    ),
    OpClass.COPY: (
        Kind.RESHAPE,
        Kind.PERMUTE,
        Kind.EXPAND,
        Kind.SLICE,
        Kind.SPLIT,
        Kind.CONTIGUOUS,
        Kind.CAT,
        Kind.PAD,
        Kind.ROLL,
        Kind.PIXEL_SHUFFLE,
    ),
    OpClass.GATHER: (
        Kind.EMBEDDING,
        Kind.EMBEDDING_BAG,
        Kind.INDEX,
        Kind.RELATIVE_POSITION_BIAS,
        Kind.SCATTER,
        Kind.SCATTER_REDUCE,
        Kind.GRID_SAMPLE,
        Kind.ROI_POOL,
        Kind.SELECT_IF,
        Kind.SUPPRESS,
    ),
    OpClass.CONTROL: (Kind.CONTROL,),
    OpClass.OPAQUE: (Kind.UNKNOWN, Kind.CUSTOM, Kind.HOST_READ),
}

CLASS_OF: dict[Kind, OpClass] = {
    kind: op_class for op_class, kinds in _MEMBERS.items() for kind in kinds
}

ENGINES = frozenset({OpClass.CONTRACTION, OpClass.ATTENTION})
"""Classes that need a kernel's matrix units."""
