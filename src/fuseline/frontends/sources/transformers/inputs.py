"""Inputs for a transformers model, made from its configuration and the names `forward` takes.

Where several layouts are possible they are tried in order on fake tensors, and the first that runs
is taken.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import torch
from torch import nn

from fuseline.errors import InputError
from fuseline.frontends.recording.runner import needs_values
from fuseline.frontends.sources.sourced import Options
from fuseline.frontends.sources.transformers.complete import Config
from fuseline.frontends.sources.transformers.layouts import (
    IMAGE,
    image_layouts,
    sound_layouts,
    vision_config,
)
from fuseline.frontends.sources.transformers.probe import (
    attempt,
    parameter_count,
    run_fake,
    run_real,
)
from fuseline.frontends.sources.transformers.request import (
    MOST_REAL,
    Kwargs,
    Made,
    Request,
    first_int,
    fits_memory,
    image_size,
    request,
    text_config,
    token_count,
    try_call,
)

TEXT_ALONE = "text alone"


def make_inputs(
    model: nn.Module,
    config: Config,
    options: Options,
    dtype: torch.dtype,
    name: str,
) -> Made:
    """Inputs for one forward call without a cache.

    Raises `InputError` for a sequence longer than the model's table of positions.
    """
    ask = request(model, config, options, dtype, name)
    made = _first_that_runs(ask, _candidates(ask))
    if "use_cache" in ask.names:
        made.kwargs["use_cache"] = False
    return made


def _candidates(ask: Request) -> Iterator[Made]:
    """Every way to call the model, the likeliest first."""
    names = ask.names
    sees = names & {"pixel_values", "image_pixel_values", "flattened_patches", "image_patches"}
    hears = names & {"input_features", "input_values", "audio_input_features"}
    found: list[Iterator[Made]] = []
    if "input_ids" in names and not _is_speech_encoder(ask):
        if sees:
            found.append(_with_images(ask))
        if hears:
            found.append(_with_sound(ask))
        found.append(_text(ask, note=TEXT_ALONE if sees or hears else None))
    else:
        if sees:
            found.append(_images(ask))
        if hears:
            found.append(_sounds(ask))
        if "inputs" in names:
            found.append(_perceived(ask))
    if "state" in ask.required:
        found = [_robot(ask)]
    for each in found:
        yield from each


def _is_speech_encoder(ask: Request) -> bool:
    """Whether sound alone is the model's input, whatever else its signature has."""
    return getattr(ask.model, "main_input_name", "") in ("input_features", "input_values")


def _first_that_runs(ask: Request, candidates: Iterator[Made]) -> Made:
    """The first candidate that runs on fake tensors; a lone one is taken as it is.

    Those that stop only at a value (`.item()`) are tried again on real tensors before text alone
    is taken, if the model is small enough: only then can the caller run them too.
    """
    all_made = list(candidates)
    if not all_made:
        takes = ", ".join(sorted(ask.names))
        raise InputError(f"'{ask.name}': no rule makes its inputs; forward takes {takes}")
    if len(all_made) == 1:
        return all_made[0]
    stopped: list[Made] = []
    for made in all_made:
        if TEXT_ALONE in made.notes and (runs := _first_on_real(ask, stopped)):
            return runs
        outcome = try_call(ask, made.kwargs)
        if outcome is None:
            return made
        if outcome and TEXT_ALONE not in made.notes:
            stopped.append(made)
    return _first_on_real(ask, stopped) or (stopped or all_made)[0]


def _first_on_real(ask: Request, candidates: list[Made]) -> Made | None:
    """The first candidate that runs on real tensors, where those fit in memory."""
    for made in candidates if fits_memory(ask) else ():
        kwargs = made.kwargs
        outcome = attempt(
            lambda kwargs=kwargs: run_real(ask.model, lambda real: ask.model(**real(kwargs)))
        )
        if not isinstance(outcome, Exception):
            return made
    return None


def _text(ask: Request, note: str | None = None) -> Iterator[Made]:
    count, notes = token_count(ask)
    kwargs: Kwargs = {"input_ids": ask.ids(count)}
    if note:
        notes = (*notes, note)
    if "bbox" in ask.names:
        kwargs["bbox"] = ask.ids(count, 4)
    kwargs |= _decoder(ask, count) | _required(ask, kwargs, count)
    yield Made(kwargs, notes, batch=ask.batch)
    books = getattr(ask.config, "num_codebooks", None)
    if isinstance(books, int):  # music and speech: a token is one entry of each codebook
        for shape in (
            (books * ask.batch, count),
            (ask.batch, count, books),
            (ask.batch, books, count),
        ):
            codes = torch.empty(shape, dtype=torch.int64, device="meta")
            yield Made(kwargs | {"input_ids": codes}, notes, batch=ask.batch)
    if "attention_mask" in ask.names and note:
        masked = kwargs | {"attention_mask": ask.real([1] * count)}
        yield Made(masked, notes, batch=ask.batch)


def _decoder(ask: Request, count: int) -> Kwargs:
    """Ids for the decoder of an encoder-decoder."""
    if "decoder_input_ids" not in ask.names:
        return {}
    channels = getattr(getattr(ask.config, "decoder_config", None), "num_channels", None)
    return {"decoder_input_ids": ask.ids(count, channels) if channels else ask.ids(count)}


def _required(ask: Request, have: Kwargs, count: int) -> Kwargs:
    """What else `forward` has no default for: ids of text, by name."""
    return {
        name: ask.ids(count)
        for name in ask.required
        if name not in have and name.endswith(("_ids", "_mask"))
    }


def _images(ask: Request) -> Iterator[Made]:
    """A model that sees only, or writes about what it sees."""
    if "flattened_patches" in ask.names:
        yield from _patches(ask)
        return
    for image in image_layouts(ask):
        kwargs = dict(image)
        count, notes = token_count(ask) if "decoder_input_ids" in ask.names else (0, ())
        kwargs |= _decoder(ask, count) if count else {}
        yield Made(kwargs, (*notes, _says_size(kwargs)), batch=ask.batch)


def _says_size(kwargs: Kwargs) -> str:
    for name in ("pixel_values", "image_pixel_values", "flattened_patches"):
        if name in kwargs:
            return f"{name} of shape {tuple(kwargs[name].shape)}"
    return "no image"


def _patches(ask: Request) -> Iterator[Made]:
    """Patches that carry their row and column in front (pix2struct, kosmos-2.5)."""
    vision = vision_config(ask.config)
    patch = first_int((vision, ask.config), ("patch_size",), 16)
    channels = first_int((vision, ask.config), ("num_channels",), 3)
    count, notes = token_count(ask)
    patches = first_int((vision,), ("max_num_patches", "seq_len"), 2048)
    kwargs: Kwargs = {
        "flattened_patches": ask.empty(min(patches, 2048), 2 + channels * patch * patch)
    }
    kwargs |= _decoder(ask, count)
    yield Made(kwargs, notes, batch=ask.batch)


def _with_images(ask: Request) -> Iterator[Made]:
    """Text with one image: a placeholder token for each token the image becomes."""
    for image in image_layouts(ask):
        features = _features(ask, "get_image_features", image)
        if features is None:
            continue
        yield from _interleaved(ask, image, features, ("image",))
        return
    if hasattr(ask.model, "get_image_features"):
        return
    for image in image_layouts(ask):
        yield from _interleaved(ask, image, 0, ("image",))


def _features(ask: Request, method: str, kwargs: Kwargs) -> int | None:
    """Tokens a batch entry's image or sound becomes, or None where the layout does not run."""
    function = getattr(ask.model, method, None)
    if function is None:
        return None
    takes = inspect.signature(function).parameters
    if "args" in takes:  # it only passes on what it is given
        function = getattr(getattr(ask.model, "model", None), method, function)
        takes = inspect.signature(function).parameters
    given = {key: value for key, value in kwargs.items() if key in takes}
    features = attempt(lambda: run_fake(ask.model, lambda fake: function(**fake(given))))
    if isinstance(features, Exception):
        if not needs_values(features) or parameter_count(ask.model) > MOST_REAL:
            return None
        features = attempt(
            lambda: run_real(ask.model, lambda real: function(**real(given)), decoder=False)
        )
        if isinstance(features, Exception):
            return None
    features = getattr(features, "pooler_output", features)
    width = first_int((text_config(ask.config),), ("hidden_size", "d_model", "n_embd"), 1)
    parts = features if isinstance(features, (list, tuple)) else [features]
    total = sum(part.numel() for part in parts if isinstance(part, torch.Tensor))
    return total // width // ask.batch


_PLACEHOLDERS = (
    "{}_token_id",
    "{}_token_index",
    "{}_placeholder_token_id",
    "media_placeholder_token_id",
)


def _placeholder(config: Config, kinds: tuple[str, ...]) -> int | None:
    for kind in kinds:
        for pattern in _PLACEHOLDERS:
            value = getattr(config, pattern.format(kind), None)
            if isinstance(value, int):
                return value
    return None


def _interleaved(
    ask: Request, kwargs: Kwargs, features: int, kinds: tuple[str, ...]
) -> Iterator[Made]:
    """`features` placeholders, then text: real ids, for their values say what goes where."""
    placeholder = _placeholder(ask.config, kinds)
    latent = getattr(ask.config, "latent_query_num", 0)
    taken = features if placeholder is not None else 0
    if "image_embeds_position_mask" in ask.names:
        taken, placeholder = latent, 4
    count, notes = token_count(ask, taken)
    special = {
        value
        for config in (ask.config, text_config(ask.config))
        for key, value in vars(config).items()
        if key.endswith(("_token_id", "_token_index")) and isinstance(value, int)
    }
    word = next(number for number in range(3, 1000) if number not in special)
    row = [placeholder] * taken + [word] * count if taken else []
    ids = ask.real(row) if taken else ask.ids(count)
    given = {"input_ids": ids} | kwargs
    for types in ("mm_token_type_ids", "token_type_ids"):
        if types in ask.names and taken:
            given[types] = ask.real([1] * taken + [0] * count)
    given |= _decoder(ask, count) | _required(ask, given, count)
    notes = (
        *notes,
        *(f"{key} of shape {tuple(value.shape)}" for key, value in kwargs.items() if value.is_meta),
    )
    if "image_embeds_position_mask" in ask.names:
        given["image_embeds_position_mask"] = ask.real([1] * taken + [0] * count)
    inner = getattr(ask.model, "model", ask.model)
    if taken and "position_ids" in ask.names and hasattr(inner, "get_rope_index"):
        # positions in time, height and width, which a processor works out beforehand
        shape = (3, ask.batch, taken + count)
        positioned = {"position_ids": torch.empty(shape, dtype=torch.int64, device="meta")}
        yield Made(given | positioned, notes, batch=ask.batch)
    yield Made(given, notes, batch=ask.batch)
    if "attention_mask" in ask.names:
        mask = {"attention_mask": ask.real([1] * (taken + count))}
        yield Made(given | mask, notes, batch=ask.batch)


def _sounds(ask: Request) -> Iterator[Made]:
    for kwargs in sound_layouts(ask):
        given = dict(kwargs)
        count, notes = token_count(ask) if "decoder_input_ids" in ask.names else (0, ())
        given |= _decoder(ask, count) if count else {}
        shapes = tuple(f"{k} of shape {tuple(v.shape)}" for k, v in kwargs.items() if v.is_meta)
        yield Made(given, (*notes, *shapes), batch=ask.batch)


def _with_sound(ask: Request) -> Iterator[Made]:
    """Text with one sound: a placeholder token for each token the sound becomes."""
    for kwargs in sound_layouts(ask):
        features = _features(ask, "get_audio_features", kwargs)
        if features is None:
            continue
        yield from _interleaved(ask, kwargs, features, ("audio",))
        return
    if not hasattr(ask.model, "get_audio_features"):
        for kwargs in sound_layouts(ask):
            yield from _interleaved(ask, kwargs, 0, ("audio",))


def _perceived(ask: Request) -> Iterator[Made]:
    """A model with one input called `inputs`: ids, images or sound (Perceiver)."""
    count, notes = token_count(ask)
    yield Made({"inputs": ask.ids(count)}, notes, batch=ask.batch)
    for image in image_layouts(ask):
        yield Made({"inputs": image["pixel_values"]}, batch=ask.batch)


def _robot(ask: Request) -> Iterator[Made]:
    """State, images and words of a robot policy."""
    config = ask.config
    vision = vision_config(getattr(config, "vlm_config", config))
    height, width = image_size(vision, config) or (IMAGE, IMAGE)
    state = first_int((config,), ("max_state_dim", "state_dim"), 32)
    action = first_int((config,), ("max_action_dim", "action_dim"), 32)
    steps = first_int((config,), ("chunk_size", "action_horizon"), 50)
    features = _features_of_one(ask, vision)
    placeholder = _placeholder(getattr(config, "vlm_config", config), ("image",)) or 3
    count, notes = token_count(ask, features)
    yield Made(
        {
            "state": ask.empty(state),
            "noise": ask.empty(steps, action),
            "timestep": ask.empty(),
            "input_ids": ask.real([placeholder] * features + [5] * count),
            "attention_mask": ask.real([1] * (features + count)),
            "pixel_values": ask.empty(1, 3, height, width),
            "pixel_attention_mask": ask.real([1]).bool(),
        },
        notes,
        batch=ask.batch,
    )


def _features_of_one(ask: Request, vision: Config) -> int:
    """Patches of one image."""
    height, width = image_size(vision, ask.config) or (IMAGE, IMAGE)
    patch = first_int((vision, ask.config), ("patch_size",), 14)
    return (height // patch) * (width // patch)
