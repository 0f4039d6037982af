"""How the images and sounds of a batch may be laid out, the likeliest layout first.

A configuration leaves it open whether an image is one or a list of tiles, and whether frames come
before or after mel bins. What is made here is tried in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isqrt

import torch

from fuseline.frontends.sources.transformers.complete import Config
from fuseline.frontends.sources.transformers.request import (
    Kwargs,
    Request,
    first_int,
    image_size,
    token_count,
)

IMAGE = 224
_DETECTION_IMAGE = 640
_SAMPLES = 16_000  # a second of sound at the rate all these models take
_FRAMES = 400  # mel frames: four seconds at 10 ms


def vision_config(config: Config) -> Config:
    """The part of the configuration that images go through, or the whole."""
    for name in ("vision_config", "image_config", "vit_config", "encoder", "backbone_config"):
        value = getattr(config, name, None)
        if hasattr(value, "to_dict"):
            return value
    return config


def image_layouts(ask: Request) -> Iterator[Kwargs]:
    """Layouts of one image a batch entry: `pixel_values` and what goes with them.

    `[batch, channels, height, width]`, the same with a number of images or tiles after the batch,
    or patches as rows, `[rows, values]` over the whole batch or `[batch, rows, values]`.
    """
    config, vision = ask.config, vision_config(ask.config)
    channels = first_int((vision, config), ("num_channels", "in_channels", "in_chans"), 3)
    patch = first_int((vision, config), ("patch_size", "spatial_patch_size"), 14)
    key = "image_pixel_values" if "image_pixel_values" in ask.names else "pixel_values"
    if "image_grid_thw" in ask.names or "image_grid_hw" in ask.names:
        yield from _grids(ask, key, channels, patch)
        return
    if "image_position_ids" in ask.names:
        yield from _positioned(ask, key, channels, patch)
    if "spatial_shapes" in ask.names:
        side = max(isqrt(first_int((vision, config), ("num_patches",), 256)), 1)
        yield {
            key: ask.empty(side * side, channels * patch * patch),
            "spatial_shapes": ask.real([side, side]),
            "pixel_attention_mask": ask.real([1] * (side * side)),
        }
    yield from _pictures(ask, key, channels, patch)


def _grids(ask: Request, key: str, channels: int, patch: int) -> Iterator[Kwargs]:
    """Patches of all images in one list, and each image's grid, which the model reads."""
    both = (vision_config(ask.config), ask.config)
    merge = first_int(both, ("spatial_merge_size", "merge_size"), 2)
    frames = first_int(both, ("temporal_patch_size",), 1)
    side = max(IMAGE // patch // merge, 1) * merge
    rows = ask.batch * side * side
    companions = {
        "image_grid_thw": ask.real([1, side, side]),
        "image_grid_hw": ask.real([side, side]),
        "image_merge_sizes": torch.tensor([merge] * ask.batch),
    }
    for values in (
        (channels * frames * patch * patch,),
        (channels * patch * patch,),
        (channels, patch, patch),
        (channels, frames, patch, patch),
    ):
        pixels = torch.empty((rows, *values), dtype=ask.dtype, device="meta")
        yield {key: pixels} | {k: v for k, v in companions.items() if k in ask.names}


def _positioned(ask: Request, key: str, channels: int, patch: int) -> Iterator[Kwargs]:
    """Patches, or blocks of patches, with the column and row of each."""
    side = 12
    across = torch.arange(side)
    where = torch.stack(torch.meshgrid(across, across, indexing="xy"), dim=-1).reshape(-1, 2)
    for scale in (1, 2, 3, 4):
        yield {
            key: ask.empty(side * side, channels * (patch * scale) ** 2),
            "image_position_ids": ask.real(where.tolist()),
        }


def _pictures(ask: Request, key: str, channels: int, patch: int) -> Iterator[Kwargs]:
    """Images with height and width: one, a list of one, tiles; patches of one at the end."""
    config, vision = ask.config, vision_config(ask.config)
    detects = "Detection" in type(ask.model).__name__
    side = _DETECTION_IMAGE if detects else IMAGE
    height, width = image_size(vision, config) or (side, side)
    if hasattr(vision, "rope_parameters") and "image_sizes" in ask.names:
        height, width = min(height, side), min(width, side)  # rotary patches: any size will do
    # windows and pixel shuffles take whole blocks of patches
    group = first_int((config, vision), ("num_windows", "scale_factor", "pixel_shuffle_factor"), 1)
    block = group * first_int((vision, config), ("patch_size",), 1)
    height, width = max(height // block, 1) * block, max(width // block, 1) * block
    tiles = first_int((vision, config), ("max_num_tiles", "max_num_images", "num_frames"), 2)
    companions = _companions(ask, channels, tiles)
    for shape in dict.fromkeys(
        (
            (channels, height, width),
            (1, channels, height, width),
            (tiles, channels, height, width),
            (2, channels, height, width),
            (5, channels, height, width),  # a whole and four quarters
            (1, tiles, channels, height, width),
            ((height // patch) * (width // patch), channels * patch * patch),
        )
    ):
        yield {key: ask.empty(*shape)} | companions
        if "image_sizes" in ask.names:
            sizes = {"image_sizes": ask.real([height, width])}
            yield {key: ask.empty(*shape)} | companions | sizes


def _companions(ask: Request, channels: int, tiles: int) -> Kwargs:
    """What goes with an image, by the name it has in `forward`."""
    fine = image_size(getattr(ask.config, "high_res_vision_config", None)) or (1024, 1024)
    rules: dict[str, Callable[[], torch.Tensor]] = {
        "qformer_input_ids": lambda: ask.ids(16),
        "high_res_pixel_values": lambda: ask.empty(channels, *fine),
        "aspect_ratio_ids": lambda: ask.real([1]),
        "aspect_ratio_mask": lambda: ask.real([[1] * tiles]),
        "image_attention_mask": lambda: ask.real([[1]] * token_count(ask)[0]),
        "bbox": lambda: ask.ids(token_count(ask)[0], 4),
    }
    return {name: make() for name, make in rules.items() if name in ask.names}


def _audio_config(config: Config) -> Config:
    for name in (
        "audio_config",
        "encoder_config",
        "audio_encoder_config",
        "speech_config",
        "encoder",
    ):
        value = getattr(config, name, None)
        if hasattr(value, "to_dict"):
            return value
    return config


def sound_layouts(ask: Request) -> Iterator[Kwargs]:
    """Layouts of one sound a batch entry: frames of features, or a waveform."""
    audio = _audio_config(ask.config)
    both = (audio, ask.config)
    bins = first_int(
        both,
        (
            "num_mel_bins",
            "mel_bins",
            "n_mels",
            "feature_projection_input_dim",
            "input_feat_per_channel",
            "feature_size",
            "input_dim",
            "input_size",
            "num_mel_channels",
            "input_feat_size",
        ),
        80,
    )
    frames = ask.seq_len or _FRAMES
    window = first_int(both, ("max_source_positions",), 0)
    fixed = first_int(both, ("max_length",), 0) if hasattr(ask.config, "num_mel_bins") else 0
    for key in ("input_features", "audio_input_features"):
        if key in ask.names:
            shapes = ((bins, 2 * window), (bins, frames), (frames, bins))
            stacked = (frames, 4 * bins)  # four frames in one
            for shape in (shape for shape in (*shapes, stacked) if 0 not in shape):
                yield {key: ask.empty(*shape)} | _feature_mask(ask, max(shape))
    if "input_values" in ask.names:
        ratio = first_int(both, ("inputs_to_logits_ratio",), 320)
        samples = ask.seq_len * ratio + ratio if ask.seq_len else _SAMPLES
        if fixed:
            yield {"input_values": ask.empty(fixed, bins)}
        yield {"input_values": ask.empty(samples)}
        yield {"input_values": ask.empty(1, samples)}


def _feature_mask(ask: Request, frames: int) -> Kwargs:
    """Masks that say how long each sound is, where there is one of the names they go by."""
    return {
        name: ask.real([1] * frames)
        for name in ("input_features_mask", "feature_attention_mask")
        if name in ask.names
    }
