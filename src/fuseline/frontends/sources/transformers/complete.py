"""What a default configuration leaves open and its model cannot be built or run without.

Each row of `_FILLS` looks at the attributes of one configuration and fills in what is None or
contradicts the rest. Whatever is a guess is said in a note.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt
from typing import Any

Config = Any  # a PreTrainedConfig: which attributes it has is known at run time only
Held = dict[str, Any]

# attribute -> what stands in where it is None; the figures are common among families that name them
_ASSUMED = {
    "n_routed_experts": 64,
    "num_experts": 64,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 1024,
    "top_k_experts": 8,
    "indexer_n_heads": 4,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 128,
    "indexer_budget": 2048,
    "indexer_compress_ratio": 4,
}
_ALIGNED = 8  # elements of two bytes to which a grouped matmul aligns its rows


def complete(config: Config) -> tuple[str, ...]:
    """Fill in what is missing, in place, in every configuration inside; a note for each guess."""
    notes: list[str] = []
    for value in list(vars(config).values()):
        if hasattr(value, "model_type") and hasattr(value, "to_dict"):
            notes += complete(value)
    for fill in _FILLS:
        notes += fill(config, vars(config))
    return tuple(notes)


def _assumed(config: Config, held: Held) -> list[str]:
    """None -> a common figure, for experts and indexers."""
    mixture = any(held.get(n) for n in ("moe_intermediate_size", "n_routed_experts", "num_experts"))
    if not mixture and not {"moe_intermediate_size", "num_experts"} <= held.keys():
        return []
    experts = held.get("n_routed_experts") or held.get("num_experts") or _ASSUMED["num_experts"]
    notes = []
    for name, figure in _ASSUMED.items():
        if name in held and held[name] is None:
            chosen = min(figure, experts // 2) if "per_tok" in name or "top_k" in name else figure
            if name == "indexer_head_dim":  # it shares the rotary table of the heads
                chosen = held.get("head_dim") or figure
            setattr(config, name, chosen)
            notes.append(f"{name} is not in the default configuration: {chosen} assumed")
    return notes


def _aligned_experts(config: Config, held: Held) -> list[str]:
    """A width that a grouped matmul cannot take -> the next that it can."""
    width = held.get("moe_intermediate_size")
    if not isinstance(width, int) or width % _ALIGNED == 0:
        return []
    config.moe_intermediate_size = -(-width // _ALIGNED) * _ALIGNED
    return [f"moe_intermediate_size {config.moe_intermediate_size}: {width} is not aligned"]


def _heads(config: Config, held: Held) -> list[str]:
    """Head size and key-value heads from the rest; a number of heads that divides the width."""
    heads, hidden = held.get("num_attention_heads"), held.get("hidden_size")
    if not isinstance(heads, int) or not isinstance(hidden, int) or not heads:
        return []
    notes = []
    if "head_dim" not in held and hidden % heads:
        while hidden % config.num_attention_heads:
            config.num_attention_heads -= 1
        notes.append(f"{config.num_attention_heads} heads: {heads} do not divide {hidden}")
    if held.get("head_dim", 0) is None:
        config.head_dim = hidden // heads
    if held.get("num_key_value_heads", 0) is None:
        config.num_key_value_heads = heads
    return notes


def _rotary(config: Config, held: Held) -> list[str]:
    """Rotary parameters by kind of layer, where there are kinds and no parameters."""
    if held.get("rope_parameters") == {} and held.get("layer_types"):
        plain = {"rope_type": "default", "rope_theta": 10_000.0}
        config.rope_parameters = {kind: dict(plain) for kind in set(config.layer_types)}
    return []


def _rotary_sections(_config: Config, held: Held) -> list[str]:
    """How a head's channels are shared by time, height and width, where only the code says it.

    The library's own figure is for one head size; this keeps its proportions, 2 : 3 : 3.
    """
    text, vision = held.get("text_config"), held.get("vision_config")
    rotary = getattr(text, "rope_parameters", None)
    if text is None or not hasattr(vision, "spatial_merge_size") or not isinstance(rotary, dict):
        return []
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    half = int(size * rotary.get("partial_rotary_factor", 1.0)) // 2
    if "rope_type" in rotary and "mrope_section" not in rotary:
        rotary["mrope_section"] = [half - 2 * (half * 3 // 8), half * 3 // 8, half * 3 // 8]
    return []


def _attention_config(_config: Config, held: Held) -> list[str]:
    """Attention whose base and clip the model reads from its own part (8 is the checkpoint's)."""
    attention = held.get("attn_config")
    rotary = held.get("rope_parameters")
    if attention is not None and rotary and not hasattr(attention, "rope_theta"):
        attention.rope_theta = rotary.get("rope_theta", 10_000.0)
        attention.clip_qkv = getattr(attention, "clip_qkv", None) or 8
    return []


def _layers(config: Config, held: Held) -> list[str]:
    """Kinds of layer, where the default names none."""
    count = held.get("num_hidden_layers")
    if not isinstance(count, int):
        return []
    notes = []
    if held.get("layer_types", 0) is None and "conv_L_cache" in held:
        # short convolutions, with attention now and then
        period = ("conv", "conv", "full_attention", "conv")
        config.layer_types = [period[i % len(period)] for i in range(count)]
        notes.append("every fourth layer is assumed to be attention, the others convolutions")
    if held.get("mlp_layer_types", 0) is None:
        config.mlp_layer_types = ["dense"] + ["sparse"] * (count - 1)
        notes.append("every layer but the first is assumed to have experts")
    return notes


def _vocabulary(config: Config, held: Held) -> list[str]:
    """Letters: the families without a vocabulary read proteins or write down sounds."""
    if held.get("vocab_size", 0) is not None:
        return []
    config.vocab_size, config.pad_token_id, config.mask_token_id = 33, 1, 32
    return ["a vocabulary of 33 is assumed"]


def _placeholders(config: Config, held: Held) -> list[str]:
    """The last words of the vocabulary stand for images and sound where the default names none."""
    words = getattr(held.get("text_config") or config, "vocab_size", None)
    for back, kind in enumerate(("image", "video", "audio"), start=1):
        for name in (f"{kind}_token_id", f"{kind}_token_index"):
            if isinstance(words, int) and held.get(name, 0) is None:
                setattr(config, name, words - back)
    if held.get("vocabulary_map", 0) is None:  # how the codes of an image tokenizer are spelled
        config.vocabulary_map = {"<image>": held.get("image_token_id") or 4}
    if held.get("deepstack_layer_map", 0) is None:
        config.deepstack_layer_map = []
    return []


def _language(config: Config, held: Held) -> list[str]:
    """A model with an adapter for each language runs in one of them."""
    if held.get("default_language", 0) is None and held.get("languages"):
        config.default_language = held["languages"][0]
    return []


def _joined_widths(_config: Config, held: Held) -> list[str]:
    """What an image becomes is as wide as the text it goes into."""
    vision, width = held.get("vision_config"), getattr(held.get("text_config"), "hidden_size", None)
    if vision is None or not isinstance(width, int):
        return []
    if isinstance(getattr(vision, "out_hidden_size", None), int):
        vision.out_hidden_size = width
    elif {"embed_dim", "hidden_size", "spatial_merge_size"} <= vars(vision).keys():
        vision.hidden_size = width  # here hidden_size is the width of the output
    return []


def _shuffled_width(config: Config, held: Held) -> list[str]:
    """The width that a pixel shuffle between vision and text implies."""
    ratio, inner = held.get("pixel_shuffle_ratio"), held.get("intermediate_size")
    if isinstance(ratio, float) and isinstance(inner, int) and held.get("projector_input_dim"):
        config.hidden_size = int(inner * ratio**2)
    return []


def _scales(config: Config, held: Held) -> list[str]:
    """One scale of features for the detector, where the default has none."""
    factors = held.get("projector_scale_factors")
    if isinstance(factors, (list, tuple)) and not factors:
        config.projector_scale_factors = [1.0]
        config.projector_in_channels = [config.d_model]
        config.num_feature_levels = 1
        return ["one scale of features is assumed"]
    return []


def _image_size(_config: Config, held: Held) -> list[str]:
    """An image as large as its number of tokens implies, where the default is smaller."""
    vision = held.get("vision_config")
    size, patch = getattr(vision, "image_size", None), getattr(vision, "patch_size", None)
    if vision is None or not isinstance(size, int) or not isinstance(patch, int):
        return []
    counts = list(held.get("projector_patch_to_query_dict") or {})
    side = isqrt(min(counts) if counts else held.get("mm_tokens_per_image") or 0)
    if side <= size // patch:
        return []
    vision.image_size = side * patch * (1 if counts else 4)  # tokens are pooled from 4 x 4 patches
    return [f"images of {vision.image_size} pixels, which the number of their tokens asks for"]


_FILLS: tuple[Callable[[Any, Held], list[str]], ...] = (
    _assumed,
    _aligned_experts,
    _heads,
    _rotary,
    _rotary_sections,
    _attention_config,
    _layers,
    _vocabulary,
    _placeholders,
    _language,
    _joined_widths,
    _shuffled_width,
    _scales,
    _image_size,
)
