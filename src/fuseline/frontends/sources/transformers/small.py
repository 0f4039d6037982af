"""A small but faithful configuration of any transformers family.

Fewer layers, narrower ones, few experts; the structure stays: every kind of layer is there, heads
keep their number and grouping, windows and patterns their order. All widths of a model are divided
by one number, so that whatever was a multiple of something else still is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeGuard

from fuseline.errors import foreign_code
from fuseline.frontends.sources.transformers.complete import Config, complete

_WIDTH = 1024  # a hidden size is brought near this: small, and every head keeps a few channels
_VOCABULARY = 4096
_LEAST_DEPTH = 2
_MOST_DEPTH = 8
_EXPERTS = 4
_CHOSEN_EXPERTS = 2

# How the library's configurations spell a number of layers, a width, a number of experts.
_DEPTH = re.compile(
    r"((num|n|encoder|decoder|text|vision|predictor)_)?(num_|hidden_|encoder_|decoder_|prediction_|attention_|kv_predict_)*"
    r"(layers?|depth|hidden_layers|blocks)"
)
_DEPTH_LISTS = frozenset({"depths", "num_blocks", "layers", "encoder_num_layers", "stage_repeats"})
_WIDTH_NAME = re.compile(
    r"(.*_)?(hidden_size|d_model|n_embd|n_inner|d_ff|intermediate_size|embed_dim|embedding_size"
    r"|hidden_dim|hidden_size_per_layer_input|inner_size|ffn_dim|ffn_hidden_size|d_inner|d_ssm|lru_width"
    r"|projection_dim|model_dim|upsample_groups|out_dim|output_dim|dt_rank|patch_embed_hidden_size)"
    r"|dim|width|hidden_sizes|embed_dims|n_head|.*_heads|num_query_groups|heads"
)
_HEADS = re.compile(r"n_head|.*_heads|num_query_groups|heads")
_NOT_WIDTH = re.compile(r".*(mel|conv_kernel|positional|type|action|time|index).*")
_EXPERT_COUNT = re.compile(
    r"((moe_)?num(_local|_total)?|n_routed|num_routed|moe_num)_experts(_total)?"
)
_CHOSEN = re.compile(r"num_experts_per_tok(en)?|moe_topk|moe_k|top_?k(_experts)?|experts_per_token")
_EXPERT_GROUPS = ("n_group", "num_expert_group", "num_expert_groups", "n_groups")
# Every so many layers one is of another kind: that many are kept.
_PERIOD = re.compile(
    r".*(_interval|_period|_every_n_layers|_frequency|_step|_pattern|_freq|group_size)"
)
_FIRST_LAYERS = re.compile(
    r"first_k_dense_replace|num_dense_layers|num_hash_layers|.*_start_index|.*_shared_layers"
)


def small_config(model_type: str) -> Config:
    """A small configuration of `model_type`, its sub-configurations small as well.

    Raises `InputError` where the family has no default configuration.
    """
    from fuseline.frontends.sources.transformers import default_config

    config = default_config(model_type)
    with foreign_code(f"'hf/{model_type}' cannot be made small"):
        complete(config)
        parts = list(_parts(config))
        for part in parts:
            _shrink_depth(part)
            _shrink_experts(part)
        _shrink_widths(parts)
        _shrink_vocabularies(parts)
    return config


def _parts(config: Config) -> Iterator[Config]:
    """The configuration and every one inside it, each once."""
    seen: set[int] = set()
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        waiting += [
            value
            for value in vars(part).values()
            if hasattr(value, "model_type") and hasattr(value, "to_dict")
        ]


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


# --- depth ----------------------------------------------------------------------------------


def _shrink_depth(config: Config) -> None:
    for name, value in list(vars(config).items()):
        if (
            name in _DEPTH_LISTS
            and isinstance(value, (list, tuple))
            and all(map(_is_number, value))
        ):
            setattr(config, name, type(value)(min(each, _LEAST_DEPTH) for each in value))
        elif _DEPTH.fullmatch(name) and _is_number(value) and value > _LEAST_DEPTH:
            _cut(config, name, value, _needed_depth(config, value))


def _needed_depth(config: Config, depth: int) -> int:
    """The fewest layers that show every kind of layer there is, two at least."""
    need = _LEAST_DEPTH
    shared = 0
    for name, value in vars(config).items():
        if isinstance(value, (list, tuple)) and len(value) == depth:
            need = max(need, _shown([repr(item) for item in value]))
        if _PERIOD.fullmatch(name) and _is_number(value) and value <= _MOST_DEPTH:
            need = max(need, value)
        if name in {"_out_indices", "out_indices"} and value and max(value) < depth:
            need = max(need, max(value) + 1)
        if name.endswith("_shared_layers") and _is_number(value) and value:
            shared = 1
    # layers that share another's cache need one of each kind before them, and come after
    return min(need * (1 + shared), depth)


def _shown(kinds: list[str]) -> int:
    """The fewest layers with every kind: twice if not many, for layers may share weights."""
    once = max(kinds.index(kind) for kind in set(kinds)) + 1
    second = {
        kind: [i for i, each in enumerate(kinds) if each == kind][:2][-1] for kind in set(kinds)
    }
    twice = max(second.values()) + 1
    return next((count for count in (twice, once) if count <= _MOST_DEPTH), 0)


def _cut(config: Config, name: str, depth: int, new: int) -> None:
    """`depth` layers -> `new`, and every list that has an entry a layer with it."""
    for other, value in list(vars(config).items()):
        if isinstance(value, (list, tuple)) and len(value) == depth:
            setattr(config, other, value[:new])
        elif _FIRST_LAYERS.fullmatch(other) and _is_number(value) and value >= new:
            setattr(config, other, new // 2)
    setattr(config, name, new)


# --- experts --------------------------------------------------------------------------------


def _shrink_experts(config: Config) -> None:
    held = vars(config)
    groups = max(
        [held.get(name) or 1 for name in _EXPERT_GROUPS if _is_number(held.get(name))] or [1]
    )
    few = max(_EXPERTS, 2 * groups)
    counts = [
        name
        for name, value in held.items()
        if _EXPERT_COUNT.fullmatch(name) and _is_number(value) and value > few
    ]
    for name in counts:
        setattr(config, name, few)
    for name, value in list(held.items()) if counts else ():
        if _CHOSEN.fullmatch(name) and _is_number(value) and value > _CHOSEN_EXPERTS:
            setattr(config, name, _CHOSEN_EXPERTS)


# --- widths ---------------------------------------------------------------------------------


def _shrink_widths(parts: list[Config]) -> None:
    """Divide hidden sizes and numbers of heads by one power of two that divides them all.

    Head sizes stay, and with them whatever is stated in channels of a head: rotary sections, ranks.
    """
    found = [
        (part, name, value)
        for part in parts
        for name, value in vars(part).items()
        if _WIDTH_NAME.fullmatch(name) and not _NOT_WIDTH.fullmatch(name) and _widths(value)
    ]
    hidden = max(
        (w for _, n, v in found if n in {"hidden_size", "d_model", "n_embd"} for w in _widths(v)),
        default=0,
    )
    by = 1
    while hidden // (by * 2) >= _WIDTH and all(
        _divides(by * 2, w, name) for _, name, v in found for w in _widths(v)
    ):
        by *= 2
    for part, name, value in found if by > 1 else ():
        if isinstance(value, (list, tuple)):
            setattr(part, name, type(value)(_divided(w, by) for w in value))
        else:
            setattr(part, name, _divided(value, by))


def _divided(width: int, by: int) -> int:
    return width if width == 1 else width // by


def _divides(by: int, width: int, name: str) -> bool:
    """Whether `width` can be divided: what was aligned for a matmul stays aligned."""
    if width == 1 or _HEADS.fullmatch(name):
        return width == 1 or width % by == 0
    return width % by == 0 and (width // by % 8 == 0 or width % 8 != 0)


def _widths(value: object) -> list[int]:
    """The widths that an attribute holds: one, several, or none."""
    if _is_number(value):
        return [value] if value > 0 else []
    if isinstance(value, (list, tuple)) and value and all(map(_is_number, value)):
        return list(value)
    return []


# --- vocabulary -----------------------------------------------------------------------------


def _shrink_vocabularies(parts: list[Config]) -> None:
    """Vocabularies keep every token id that some part of the configuration names."""
    ids = [
        value
        for part in parts
        for name, value in vars(part).items()
        if name.endswith(("_token_id", "_token_index", "_id")) and _is_number(value)
    ]
    most = max([_VOCABULARY, *(value + 1 for value in ids)])
    for part in parts:
        for name, value in list(vars(part).items()):
            if name.endswith(("vocab_size", "_vocab")) and _is_number(value) and value > most:
                setattr(part, name, most)
