"""FLOPs of attention, whole modules and the bare product, and what a module hides."""

from __future__ import annotations

from math import ceil, prod
from typing import Any

from fuseline.costs.flops import Call, MissingShapeError, bias, formula, operand
from fuseline.graph import Kind

_UNBATCHED = 2  # sizes of a query without a batch: [L, E]
SOFTMAX_STEPS = 5  # maximum, subtract, exp, sum, divide


@formula(Kind.MULTIHEAD_ATTENTION)
def multihead_attention(call: Call) -> tuple[int, int]:
    """Projections of q, k, v and the output, scores, values; cross-attention sizes allowed.

    q [N, L, E], k [N, S, Ek], v [N, S, Ev]: N*L*E*E + N*S*(Ek+Ev)*E projections in,
    2 * N*L*S'*E for scores and values (S' = S + bias_k + zero_attn), N*L*E*E out; x 2.
    """
    query, key = operand(call, "query"), operand(call, "key")
    value, width = operand(call, "value"), operand(call, "out_proj.weight")[0]
    batch = 1 if len(query) == _UNBATCHED else query[0 if call.flag("batch_first") else 1]
    queries, keys = prod(query[:-1]), prod(key[:-1])
    span = keys // batch + ("bias_k" in call.named) + call.flag("add_zero_attn")
    projections = width * (2 * queries * width + keys * (key[-1] + value[-1]))
    heads = call.attributes.get("num_heads")
    scores = queries * span * (heads if isinstance(heads, int) else 1)
    other = queries * width + SOFTMAX_STEPS * scores  # queries are scaled before the scores
    other += bias(call, (queries + 2 * keys) * width, "in_proj_bias")
    other += bias(call, queries * width, "out_proj.bias")
    other += scores * (("attn_mask" in call.named) + ("key_padding_mask" in call.named))
    return 2 * (projections + 2 * queries * span * width), other


@formula(Kind.SHIFTED_WINDOW_ATTENTION)
def shifted_window_attention(call: Call) -> tuple[int, int]:
    """[B, H, W, C] in windows of w tokens, H and W padded up to whole windows (P tokens):
    P*3*C*C for q, k, v, 2 * P*w*C for scores and values, P*C*C out; x 2. v1 and v2 alike.
    """
    batch, height, width, channels = operand(call, "input")
    window, shift = _pair(call, "window_size"), _pair(call, "shift_size")
    padded = _padded((height, width), window)
    tokens = batch * prod(padded)
    macs = tokens * channels * (4 * channels + 2 * prod(window))
    heads = call.attributes.get("num_heads")
    scores = tokens * prod(window) * (heads if isinstance(heads, int) else 1)
    shifted = any(s and w < p for s, w, p in zip(shift, window, padded, strict=True))
    other = tokens * channels + (SOFTMAX_STEPS + 1 + shifted) * scores  # scale, bias, mask
    if "logit_scale" in call.named:  # v2 normalises q and k: square, sum, divide
        other += 6 * tokens * channels
    other += bias(call, 3 * tokens * channels, "qkv_bias")
    return 2 * macs, other + bias(call, tokens * channels, "proj_bias")


@formula(Kind.SCALED_DOT_PRODUCT_ATTENTION)
def scaled_dot_product_attention(call: Call) -> tuple[int, int]:
    """q [..., L, E], k [..., S, E], v [..., S, V]: 2 * L*S*(E + V) a head, masked or not."""
    query, key = operand(call, "query"), operand(call, "key")
    value = operand(call, "value")
    scores = prod(call.outputs[0][:-1]) * key[-2]  # batches broadcast
    masked = ("attn_mask" in call.named) + call.flag("is_causal")
    return 2 * scores * (query[-1] + value[-1]), scores * (1 + SOFTMAX_STEPS + masked)


def attention_hidden_elements(kind: Kind, call: Call) -> int:
    """Elements that an attention module must write and read between its own kernels.

    With one kernel each for the projections in, the attention and the projection out: q, k, v and
    the attended values, each written once and read once.
    """
    if kind is Kind.MULTIHEAD_ATTENTION:
        query, key = operand(call, "query"), operand(call, "key")
        width = operand(call, "out_proj.weight")[0]
        return 2 * width * 2 * (prod(query[:-1]) + prod(key[:-1]))
    if kind is Kind.SHIFTED_WINDOW_ATTENTION:
        batch, height, width, channels = operand(call, "input")
        window = _pair(call, "window_size")
        return 2 * 4 * batch * prod(_padded((height, width), window)) * channels
    return 0


def _padded(sizes: tuple[int, int], window: tuple[int, int]) -> tuple[int, int]:
    """Height and width padded up to whole windows."""
    return ceil(sizes[0] / window[0]) * window[0], ceil(sizes[1] / window[1]) * window[1]


def _pair(call: Call, name: str) -> tuple[int, int]:
    given: Any = call.attributes.get(name)
    match given:
        case [int(rows), int(columns)]:
            return rows, columns
        case int(side):
            return side, side
        case _:
            raise MissingShapeError(f"its formula needs '{name}'")
