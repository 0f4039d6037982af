"""Work outside contractions: elementwise, normalisation, reductions, pooling; and what has none."""

from __future__ import annotations

from math import prod

from fuseline.costs.flops import Call, Formula, MissingShapeError, formula, no_work, operand
from fuseline.graph import Kind

# --- elementwise: steps an output element ---------------------------------------------------

STEPS: dict[Kind, int] = {
    Kind.ADD: 1,
    Kind.SUB: 1,
    Kind.MUL: 1,
    Kind.DIV: 1,
    Kind.POW: 1,
    Kind.ELEMENTWISE_UNARY: 1,  # neg, exp, sqrt, ...: one function a element
    Kind.ELEMENTWISE_BINARY: 1,  # maximum, remainder, ...
    Kind.COMPARE: 1,
    Kind.WHERE: 1,
    Kind.CLAMP: 2,  # two comparisons
    Kind.RELU: 1,  # max(x, 0)
    Kind.RELU6: 2,  # min(max(x, 0), 6)
    Kind.HARDTANH: 2,
    Kind.LEAKY_RELU: 2,  # compare, multiply
    Kind.PRELU: 2,
    Kind.ELU: 4,  # compare, exp, subtract, multiply
    Kind.SELU: 5,
    Kind.SIGMOID: 4,  # 1 / (1 + exp(-x))
    Kind.SILU: 5,  # x * sigmoid(x)
    Kind.SWISH: 5,
    Kind.GLU: 5,  # a * sigmoid(b), an output element
    Kind.TANH: 1,
    Kind.SOFTPLUS: 3,  # log(1 + exp(x))
    Kind.MISH: 5,  # x * tanh(softplus(x))
    Kind.HARDSIGMOID: 4,  # clamp(x + 3) / 6
    Kind.HARDSWISH: 5,  # x * hardsigmoid(x)
}


def _elementwise(steps: int) -> Formula:
    return lambda call: (0, steps * call.out)


for _kind, _steps in STEPS.items():
    formula(_kind)(_elementwise(_steps))


@formula(Kind.GELU)
def gelu(call: Call) -> tuple[int, int]:
    """0.5 * x * (1 + erf(x / sqrt 2)): 5 steps; tanh(c * (x + d * x^3)) for erf: 9."""
    return 0, call.out * (9 if call.attributes.get("approximate") == "tanh" else 5)


@formula(Kind.DROPOUT, Kind.STOCHASTIC_DEPTH)
def dropout(call: Call) -> tuple[int, int]:
    """Train mode: multiply by the mask and by 1 / (1 - p). In eval mode the op is a view."""
    return 0, 2 * call.out


# --- normalisation --------------------------------------------------------------------------


def _affine(call: Call) -> int:
    return call.out * (("weight" in call.named) + ("bias" in call.named))


@formula(Kind.BATCHNORM, Kind.INSTANCENORM)
def batch_norm(call: Call) -> tuple[int, int]:
    """With running statistics a scale and a shift an element: 2. With its own, as layer norm."""
    if call.flag("use_statistics_of_input"):
        return 0, 5 * call.out + _affine(call)
    return 0, 2 * call.out


@formula(Kind.LAYERNORM, Kind.GROUPNORM)
def layer_norm(call: Call) -> tuple[int, int]:
    """Sum for the mean, centre, square, sum, scale: 5; then the weight and the bias."""
    return 0, 5 * call.out + _affine(call)


@formula(Kind.RMSNORM)
def rms_norm(call: Call) -> tuple[int, int]:
    """Square, sum, scale: 3; then the weight."""
    return 0, 3 * call.out + _affine(call)


@formula(Kind.NORMALIZE)
def normalize(call: Call) -> tuple[int, int]:
    """x / max(norm(x), eps): square, sum, divide."""
    return 0, 3 * call.out


@formula(Kind.LOCAL_RESPONSE_NORM)
def local_response_norm(call: Call) -> tuple[int, int]:
    """x / (k + alpha * mean of `size` squares)^beta: square, `size` additions, 4 more."""
    size = call.attributes.get("size")
    if not isinstance(size, int):
        raise MissingShapeError("its formula needs 'size'")
    return 0, call.out * (size + 5)


@formula(Kind.SOFTMAX)
def softmax(call: Call) -> tuple[int, int]:
    """Maximum, subtract, exp, sum, divide: 5 an element."""
    return 0, 5 * call.out


# --- reductions and pooling -----------------------------------------------------------------


@formula(Kind.SUM, Kind.EXTREMUM, Kind.CUMULATIVE)
def fold(call: Call) -> tuple[int, int]:
    """One step an input element."""
    return 0, prod(call.source)


@formula(Kind.LOGSUMEXP)
def log_sum_exp(call: Call) -> tuple[int, int]:
    """Maximum, subtract, exp, sum an input element; log and addition an output element."""
    return 0, 4 * prod(call.source) + 2 * call.out


@formula(Kind.MEAN)
def mean(call: Call) -> tuple[int, int]:
    """One addition an input element, one division an output element."""
    return 0, prod(call.source) + call.out


@formula(Kind.VARIANCE)
def variance(call: Call) -> tuple[int, int]:
    """Sum for the mean, centre, square, sum: 4 an input element; a division an output."""
    return 0, 4 * prod(call.source) + call.out


@formula(Kind.NORM)
def norm(call: Call) -> tuple[int, int]:
    """Square and sum an input element, a root an output element."""
    return 0, 2 * prod(call.source) + call.out


def _taps(call: Call, spatial: int) -> int:
    match call.attributes.get("kernel_size"):
        case int(side):
            return side**spatial
        case [*sides]:
            return prod(int(side) for side in sides if isinstance(side, int))
        case _:
            raise MissingShapeError("its formula needs 'kernel_size'")


def _spatial(call: Call) -> int:
    dimensions = call.attributes.get("dimensions")
    return dimensions if isinstance(dimensions, int) else len(call.outputs[0]) - 2


@formula(Kind.MAXPOOL)
def max_pool(call: Call) -> tuple[int, int]:
    """A comparison a tap of the window."""
    return 0, call.out * _taps(call, _spatial(call))


@formula(Kind.AVGPOOL)
def average_pool(call: Call) -> tuple[int, int]:
    """An addition a tap of the window, then a division."""
    return 0, call.out * (_taps(call, _spatial(call)) + 1)


def _binned(call: Call) -> int:
    """Input elements that adaptive pooling visits; bins overlap where sizes do not divide."""
    source, target = call.source, call.outputs[0]
    visited = 1
    for size, bins in zip(source, target, strict=True):
        visited *= sum(-(-(b + 1) * size // bins) - b * size // bins for b in range(bins))
    return visited


@formula(Kind.ADAPTIVEAVGPOOL)
def adaptive_average_pool(call: Call) -> tuple[int, int]:
    """An addition an element of every bin, a division an output."""
    return 0, _binned(call) + call.out


@formula(Kind.ADAPTIVEMAXPOOL)
def adaptive_max_pool(call: Call) -> tuple[int, int]:
    """A comparison an element of every bin."""
    return 0, _binned(call)


@formula(Kind.UPSAMPLE)
def upsample(call: Call) -> tuple[int, int]:
    """Nearest copies. Linear in d dimensions: 2^d - 1 interpolations of 3 steps an output."""
    mode = call.attributes.get("mode", "nearest")
    dimensions = {"nearest": 0, "nearest-exact": 0, "linear": 1, "bilinear": 2, "trilinear": 3}
    if mode not in dimensions:
        raise MissingShapeError(f"no formula for mode '{mode}'")
    return 0, call.out * 3 * (2 ** dimensions[str(mode)] - 1)


@formula(Kind.EMBEDDING_BAG)
def embedding_bag(call: Call) -> tuple[int, int]:
    """An addition an element of every selected row."""
    return 0, prod(call.source) * operand(call, "weight")[-1]


# --- no work --------------------------------------------------------------------------------

no_work("returns its input", Kind.IDENTITY)
no_work(
    "moves data, computes nothing",
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
    Kind.UNFOLD,
    Kind.FILL,
)
no_work("changes the number format, computes nothing", Kind.CAST)
no_work("selects rows, computes nothing", Kind.EMBEDDING, Kind.INDEX, Kind.RELATIVE_POSITION_BIAS)
no_work("host-side bookkeeping", Kind.CONTROL)
