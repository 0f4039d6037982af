"""Work outside contractions: elementwise, normalisation, reductions, pooling; and what has none."""

from __future__ import annotations

from math import ceil, log2, prod

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
    Kind.ELEMENTWISE_TERNARY: 3,  # addcmul, addcdiv, lerp, cross: two products or so and a sum
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
    Kind.QUANTIZE: 5,  # multiply, round, add the zero point, clamp (2)
    Kind.DEQUANTIZE: 2,  # subtract the zero point, multiply
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


@formula(Kind.DISTANCE)
def distance(call: Call) -> tuple[int, int]:
    """[..., P, M], [..., R, M] -> [..., P, R]: subtract, power, add: 3*M an output; and a root."""
    return 0, call.out * (3 * call.source[-1] + 1)


def _row(call: Call, shape: tuple[int, ...]) -> int:
    """Elements that are put in order together: along `dim`, else the last dimension, or all."""
    if call.flag("flattens") and "dim" not in call.attributes:
        return prod(shape)
    axis = call.attributes.get("dim", -1)
    return shape[axis if isinstance(axis, int) else -1] if shape else 1


@formula(Kind.SORT)
def sort(call: Call) -> tuple[int, int]:
    """Rows of n: n * ceil(log2 n) comparisons each, as merging sorts do; top-k likewise."""
    row = _row(call, call.source)
    return 0, prod(call.source) * (ceil(log2(row)) if row > 1 else 0)


@formula(Kind.SEARCH)
def search(call: Call) -> tuple[int, int]:
    """Bisection of n sorted boundaries: ceil(log2(n + 1)) comparisons an output element."""
    table = next((call.named[n] for n in ("sorted_sequence", "boundaries") if n in call.named), ())
    if not table:
        raise MissingShapeError("its formula needs the shape of its boundaries")
    return 0, call.out * ceil(log2(table[-1] + 1))


@formula(Kind.FFT)
def fourier(call: Call) -> tuple[int, int]:
    """5 * N * log2 n steps over N complex numbers, along each dimension of n: the usual nominal
    count. Between real and complex along the last dimension: half of that.
    """
    dims = call.attributes.get("dim")
    if not isinstance(dims, (list, tuple)):
        raise MissingShapeError("its formula needs 'dim'")
    real = max(call.source, call.outputs[0], key=prod)  # the full side of a real transform
    half = call.source != call.outputs[0]
    steps = sum(5 * log2(real[dim]) for dim in dims if isinstance(dim, int) and real[dim] > 1)
    return 0, round(prod(real) * steps / (2 if half else 1))


def _taps(call: Call, spatial: int) -> int:
    match call.attributes.get("kernel_size"):
        case int(side):
            return side**spatial
        case [int(side)]:  # one size for every dimension
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


INTERPOLATION: dict[str, int] = {
    "nearest": 0,
    "nearest-exact": 0,
    "linear": 3,  # subtract, multiply, add
    "bilinear": 9,  # three linear ones
    "trilinear": 21,  # seven
    "bicubic": 35,  # five cubic ones of 4 multiplications and 3 additions
}
"""Steps to interpolate one element, by mode; weights are computed once a point, not counted."""


@formula(Kind.UPSAMPLE)
def upsample(call: Call) -> tuple[int, int]:
    """Nearest copies; the others interpolate every output element.

    With antialiasing a row or column of an output takes every tap under its filter: a
    multiplication and an addition each, columns first.
    """
    mode = str(call.attributes.get("mode", "nearest"))
    if mode not in INTERPOLATION:
        raise MissingShapeError(f"no formula for mode '{mode}'")
    if not call.flag("antialias"):
        return 0, call.out * INTERPOLATION[mode]
    (rows, columns), (high, wide) = call.source[-2:], call.outputs[0][-2:]
    radius = 2 if mode == "bicubic" else 1
    across = 2 * ceil(radius * max(1.0, columns / wide)) + 1
    down = 2 * ceil(radius * max(1.0, rows / high)) + 1
    return 0, 2 * (call.out // max(high, 1)) * (rows * across + high * down)


@formula(Kind.GRID_SAMPLE)
def grid_sample(call: Call) -> tuple[int, int]:
    """Interpolates every output element at the point that the grid gives."""
    spatial = len(call.outputs[0]) - 2
    linear = {2: "bilinear", 3: "trilinear"}.get(spatial, "linear")
    modes = {0: linear, 1: "nearest", 2: "bicubic"}
    mode = call.attributes.get("interpolation_mode", call.attributes.get("mode", 0))
    name = modes.get(mode, "") if isinstance(mode, int) else str(mode)
    if name not in INTERPOLATION:
        raise MissingShapeError(f"no formula for mode '{mode}'")
    return 0, call.out * INTERPOLATION[name]


@formula(Kind.ROI_POOL)
def roi_align(call: Call) -> tuple[int, int]:
    """Every output averages r x r bilinear samples, r the sampling ratio: 10 steps each."""
    ratio = call.attributes.get("sampling_ratio")
    if not isinstance(ratio, int) or ratio < 1:
        raise MissingShapeError("its samples depend on the size of each region")
    return 0, call.out * ratio * ratio * (INTERPOLATION["bilinear"] + 1)


@formula(Kind.SUPPRESS)
def suppress(call: Call) -> tuple[int, int]:
    """Overlap of every pair of n boxes: 4 comparisons, 4 subtractions, 2 clamps, a product, a sum,
    a difference and a division: 14 steps each of n*(n-1)/2.
    """
    boxes = call.inputs[0][0]
    return 0, 14 * (boxes * (boxes - 1) // 2)


@formula(Kind.FOLD, Kind.SELECT_IF, Kind.HISTOGRAM)
def visit(call: Call) -> tuple[int, int]:
    """One step an input element: an addition (fold, histogram), a test (nonzero, masked select)."""
    return 0, prod(call.source)


@formula(Kind.SOLVE_TRIANGULAR)
def solve_triangular(call: Call) -> tuple[int, int]:
    """A [..., n, n], B [..., n, k]: n*(n-1)/2 products and sums, n divisions a column: n*n*k."""
    return 0, call.out * call.source[-1]


@formula(Kind.SCATTER_REDUCE)
def scatter_reduce(call: Call) -> tuple[int, int]:
    """One step an element that is scattered."""
    names = ("src", "source", "values")
    scattered = next((call.named[name] for name in names if name in call.named), None)
    if scattered is None:
        raise MissingShapeError("its formula needs the shape of what is scattered")
    return 0, prod(scattered)


@formula(Kind.EMBEDDING_BAG)
def embedding_bag(call: Call) -> tuple[int, int]:
    """An addition an element of every selected row."""
    indices = call.named.get("indices", call.source)
    return 0, prod(indices) * operand(call, "weight")[-1]


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
no_work(
    "selects rows, computes nothing",
    Kind.EMBEDDING,
    Kind.INDEX,
    Kind.RELATIVE_POSITION_BIAS,
    Kind.SCATTER,
)
no_work("draws random numbers: a generator's steps are not counted", Kind.RANDOM)
no_work("takes a value to the host, computes nothing", Kind.HOST_READ)
no_work("host-side bookkeeping", Kind.CONTROL)
