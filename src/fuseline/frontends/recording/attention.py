"""Scaled dot-product attention, as one op that no device has picked, or as its five steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional


def attention_result(arguments: Mapping[str, Any]) -> torch.Tensor:
    """What the op returns: q [..., H, L, E], v [..., S, V] -> [..., H, L, V].

    In memory the heads of a token lie side by side, as the fused kernels of every backend write
    them, so that merging the heads afterwards is a view.
    """
    query, key, value = (arguments[name] for name in ("query", "key", "value"))
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ValueError(
            f"query {tuple(query.shape)}, key {tuple(key.shape)} and value {tuple(value.shape)} "
            "do not fit"
        )
    if arguments.get("enable_gqa"):  # heads of q, over groups of which those of k and v repeat
        batch = torch.broadcast_shapes(*(t.shape[:-3] for t in (query, key, value)))
        heads = (*batch, query.shape[-3])
    else:
        heads = torch.broadcast_shapes(*(t.shape[:-2] for t in (query, key, value)))
    shape = (*heads, query.shape[-2], value.shape[-1])
    if len(heads) < 2:  # noqa: PLR2004 - no batch and heads to lay side by side
        return query.new_empty(shape)
    *batch, head_count, tokens, width = shape
    return query.new_empty((*batch, tokens, head_count, width)).transpose(-3, -2)


def decompose_attention(arguments: Mapping[str, Any]) -> torch.Tensor:
    """Scores, scale, mask, softmax, (dropout,) values, each an op.

    Grouped queries share their key and value heads through a broadcast: nothing is repeated.
    """
    query, key, value = (arguments[name] for name in ("query", "key", "value"))
    grouped = bool(arguments.get("enable_gqa")) and query.shape[-3] != key.shape[-3]
    heads = query.shape[-3] if query.dim() > 2 else 1  # noqa: PLR2004 - [L, E] has no heads
    if grouped:
        query = query.unflatten(-3, (key.shape[-3], heads // key.shape[-3]))
        key, value = key.unsqueeze(-3), value.unsqueeze(-3)
    scale = arguments.get("scale")
    scores = torch.matmul(query, key.transpose(-2, -1))
    scores = scores * (scale if scale is not None else query.shape[-1] ** -0.5)
    if (mask := _mask(arguments, scores)) is not None:
        if grouped and mask.dim() > 2 and mask.shape[-3] != 1:  # noqa: PLR2004 - a mask a head
            mask = mask.unflatten(-3, scores.shape[-4:-2])
        elif grouped and mask.dim() > 2:  # noqa: PLR2004
            mask = mask.unsqueeze(-3)
        if mask.dtype is torch.bool:
            scores = scores.masked_fill(torch.logical_not(mask), float("-inf"))
        else:
            scores = scores + mask
    weights = torch.softmax(scores, -1)
    if dropout := arguments.get("dropout_p"):
        weights = functional.dropout(weights, dropout)
    result = torch.matmul(weights, value)
    return result.flatten(-4, -3) if grouped else result


def _mask(arguments: Mapping[str, Any], scores: torch.Tensor) -> torch.Tensor | None:
    if arguments.get("is_causal"):
        ones = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device)
        return torch.tril(ones)
    mask: torch.Tensor | None = arguments.get("attn_mask")
    return mask
