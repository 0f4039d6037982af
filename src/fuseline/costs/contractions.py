"""FLOPs of contractions: convolution, linear, matmul, einsum, recurrent layers."""

from __future__ import annotations

from math import prod

from fuseline.costs.einsum import einsum_macs
from fuseline.costs.flops import Call, MissingShapeError, bias, formula, operand
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
    return 2 * prod(call.inputs[0]) * prod(taps), bias(call, call.out)


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
    return 2 * call.out * call.inputs[0][-1], 0


@formula(Kind.ADDMM)
def addmm(call: Call) -> tuple[int, int]:
    """bias + [..., M, K] @ [..., K, N]: 2 * M*K*N a batch element; the addition is other work.

    Holds for addmm, baddbmm, addbmm (whose batches are summed) and addmv (N = 1).
    """
    _, left, right = call.inputs
    columns = right[-1] if len(right) > 1 else 1
    return 2 * prod(left) * columns, call.out


@formula(Kind.EINSUM)
def einsum(call: Call) -> tuple[int, int]:
    """2 x the multiply-accumulates of the pairwise contractions, left to right."""
    equation = call.attributes.get("equation")
    if not isinstance(equation, str):
        raise MissingShapeError("its formula needs the equation as a string")
    macs, products = einsum_macs(equation, call.inputs)
    return 2 * macs, products


@formula(Kind.RNN, Kind.LSTM, Kind.GRU)
def recurrent(call: Call) -> tuple[int, int]:
    """Every weight matrix [R, C] multiplies one vector a token and direction: 2 * R*C each.

    Other work: two biases and their sum an output row of the input and hidden products, then an
    activation a gate (4 steps) and about 4 a state element.
    """
    matrices = [shape for name, shape in call.named.items() if name.startswith("weight_")]
    rows = sum(shape[0] for name, shape in call.named.items() if name.startswith("weight_ih"))
    if not matrices:
        raise MissingShapeError("its formula needs the weight matrices")
    tokens = prod(call.inputs[0][:-1])
    return 2 * tokens * sum(map(prod, matrices)), tokens * 8 * rows
