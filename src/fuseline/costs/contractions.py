"""FLOPs of contractions: convolution, linear, matmul, einsum, recurrent layers."""

from __future__ import annotations

from math import prod

from fuseline.costs.einsum import einsum_macs
from fuseline.costs.flops import (
    Call,
    Formula,
    MissingShapeError,
    Shape,
    bias,
    formula,
    operand,
)
from fuseline.graph import Kind


@formula(
    Kind.CONV1D,
    Kind.CONV1D_DEPTHWISE,
    Kind.CONV2D,
    Kind.CONV2D_POINTWISE,
    Kind.CONV2D_DEPTHWISE,
    Kind.CONV3D,
    Kind.CONV3D_DEPTHWISE,
)
def convolution(call: Call) -> tuple[int, int]:
    """[N, Ci, *in] * [Co, Ci/groups, *k] -> [N, Co, *out]: 2 * Ci/groups * prod(k) an output."""
    _, *taps = operand(call, "weight")
    return 2 * call.out * prod(taps), bias(call, call.out)


@formula(Kind.CONV_TRANSPOSE1D, Kind.CONV_TRANSPOSE2D, Kind.CONV_TRANSPOSE3D)
def transposed_convolution(call: Call) -> tuple[int, int]:
    """[N, Ci, *in] * [Ci, Co/groups, *k]: 2 * Co/groups * prod(k) an input element."""
    _, *taps = operand(call, "weight")
    return 2 * prod(call.source) * prod(taps), bias(call, call.out)


@formula(Kind.LINEAR)
def linear(call: Call) -> tuple[int, int]:
    """[..., K] @ [N, K]^T -> [..., N]: 2 * K an output element."""
    return 2 * call.out * operand(call, "weight")[-1], bias(call, call.out)


@formula(Kind.BILINEAR)
def bilinear(call: Call) -> tuple[int, int]:
    """[..., I], [..., J], W [N, I, J] -> [..., N], as (x1 W) x2: 2 * (I*J + J) an output."""
    _, first, second = operand(call, "weight")
    return 2 * call.out * (first * second + second), bias(call, call.out)


@formula(Kind.MATMUL)
def matmul(call: Call) -> tuple[int, int]:
    """[..., M, K] @ [..., K, N] -> [..., M, N]: 2 * K an output element; vectors likewise."""
    return 2 * call.out * call.source[-1], 0


@formula(Kind.ADDMM)
def addmm(call: Call) -> tuple[int, int]:
    """bias + [..., M, K] @ [..., K, N]: 2 * M*K*N a batch element; the addition is other work.

    Holds for addmm, baddbmm, addbmm (whose batches are summed) and addmv (N = 1).
    """
    left = _named(call, ("mat1", "batch1", "mat"), 1)
    right = _named(call, ("mat2", "batch2", "vec"), 2)
    columns = right[-1] if len(right) > 1 else 1
    return 2 * prod(left) * columns, call.out


def _named(call: Call, names: tuple[str, ...], place: int) -> Shape:
    """The operand that goes by one of `names`, else the one in its usual place."""
    return next((call.named[name] for name in names if name in call.named), call.inputs[place])


@formula(Kind.GROUPED_MM)
def grouped_mm(call: Call) -> tuple[int, int]:
    """Every row, or column, meets the matrix of one group: 2*M*K*N.

    [M, K] @ [G, K, N] with M cut in groups, [M, K] @ [K, N] with K cut, [G, M, K] @ [K, N] with N
    cut; [G, M, K] @ [G, K, N] is a batched product: 2*G*M*K*N.
    """
    left, right = call.source, _named(call, ("mat2", "mat_b"), 1)
    groups = left[0] if len(left) > len(right) else 1
    return 2 * prod(left) // max(groups, 1) * right[-1], bias(call, call.out)


@formula(Kind.DEFORM_CONV2D)
def deformable_convolution(call: Call) -> tuple[int, int]:
    """A convolution, 2 * Ci/groups * prod(k) an output, of sampled taps.

    Other work: every tap of every input channel is a bilinear sample, 9 steps, and 1 for its mask.
    """
    _, *taps = operand(call, "weight")
    batch, channels, *_ = call.source
    samples = batch * channels * prod(taps[1:]) * prod(call.outputs[0][-2:])
    other = samples * (9 + ("mask" in call.named)) + bias(call, call.out)
    return 2 * call.out * prod(taps), other


@formula(Kind.EINSUM)
def einsum(call: Call) -> tuple[int, int]:
    """2 x the multiply-accumulates of the pairwise contractions, left to right."""
    equation = call.attributes.get("equation")
    if not isinstance(equation, str):
        raise MissingShapeError("its formula needs the equation as a string")
    macs, products = einsum_macs(equation, call.inputs)
    return 2 * macs, products


# Kind -> (gates, steps a state element): sigmoid 4, tanh 1, products and sums 1 each.
_CELLS = {
    Kind.RNN: (1, 1),  # tanh
    Kind.LSTM: (4, 18),  # 3 sigmoid; tanh of g and c; c = f*c + i*g; h = o*tanh(c)
    Kind.GRU: (3, 14),  # 2 sigmoid; r*h; tanh; h = (1 - z)*n + z*h
}


def _recurrent(gates: int, steps: int) -> Formula:
    def recurrent(call: Call) -> tuple[int, int]:
        """Every weight matrix [R, C] multiplies one vector a token and direction: 2 * R*C each.

        Other work a token: the sum of the input and hidden products and every bias, one step a
        row; then `steps` a state element.
        """
        matrices = [shape for name, shape in call.named.items() if name.startswith("weight_")]
        rows = sum(s[0] for name, s in call.named.items() if name.startswith("weight_hh"))
        biases = sum(s[0] for name, s in call.named.items() if name.startswith("bias_"))
        if not matrices:
            raise MissingShapeError("its formula needs the weight matrices")
        tokens = prod(call.source[:-1])
        other = tokens * (rows + biases + steps * (rows // gates))
        return 2 * tokens * sum(map(prod, matrices)), other

    return recurrent


for _kind, (_gates, _steps) in _CELLS.items():
    formula(_kind)(_recurrent(_gates, _steps))
