"""transformers' models by family or configuration: no weights, no network.

`hf/FAMILY` is a `model_type` in its default configuration; a path to a `config.json` is that
configuration. What was chosen for the user (head class, sequence length) is in the notes.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fuseline.errors import InputError, did_you_mean, foreign_code
from fuseline.frontends.sources.building import build_without_memory
from fuseline.frontends.sources.sourced import Options, Sourced
from fuseline.frontends.sources.transformers.cache import decode_inputs
from fuseline.frontends.sources.transformers.complete import Config, complete
from fuseline.frontends.sources.transformers.heads import (
    NO_DOWNLOAD,
    families,
    head_name,
    import_transformers,
    model_types,
)
from fuseline.frontends.sources.transformers.inputs import make_inputs
from fuseline.frontends.sources.transformers.request import Made

__all__ = ["build", "build_config", "default_config", "families", "is_config_file", "model_names"]

PREFIX = "hf/"


_SEQUENCES = frozenset(
    {"input_ids", "decoder_input_ids", "inputs_embeds", "input_values", "input_features", "inputs",
     "audio_input_features"}
)  # fmt: skip
"""Inputs whose length a user may choose."""


def model_names() -> list[str]:
    """Every family as `hf/FAMILY`, sorted.

    Raises `InputError` where transformers is not installed.
    """
    return [PREFIX + model_type for model_type in model_types()]


def is_config_file(name: str) -> bool:
    """Whether `name` is a JSON file with a "model_type" at its top."""
    path = Path(name)
    if path.suffix != ".json" or not path.is_file():
        return False
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return path.name == "config.json"  # broken, and `build` will say so
    return isinstance(content, dict) and "model_type" in content


def build(name: str, options: Options) -> Sourced:
    """The model that `hf/FAMILY` or a path to a config.json means, and inputs for it.

    Its parameters are on meta. Token ids are `[batch, seq_len]`, images `[batch, channels, height,
    width]`, both on meta; an input whose values the model reads is a real tensor.

    Raises `InputError` for an unknown family, a name that needs a download, a configuration that
    cannot be read or built, or options that the model cannot take.
    """
    if name.startswith(PREFIX):
        return build_config(default_config(name), name, options)
    content = _read_config(name)
    quantised = content.pop("quantization_config", None)
    with foreign_code(f"'{name}' is no {content['model_type']} configuration"), _quiet():
        config = import_transformers().CONFIG_MAPPING[content["model_type"]].from_dict(content)
    made = build_config(config, name, options)
    if not quantised:
        return made
    note = f"its quantization_config is left out: weights are priced in {made.dtype}"
    return replace(made, notes=(*made.notes, note))


def build_config(
    config: Config,
    name: str,
    options: Options,
    task: str | None = None,
) -> Sourced:
    """The model of a ready configuration, with the head for `task` (a key of `families()`).

    Raises `InputError` as `build` does, and for a task that the family has no head for.
    """
    encodes = getattr(config, "is_encoder_decoder", False)  # then the length is the encoder's
    if options.decode is not None and options.seq_len is not None and not encodes:
        raise InputError("a decode step is one token: leave out the sequence length")
    transformers = import_transformers()
    config = copy.deepcopy(config)
    # a model that only generates, of several that each run: what takes in text and images
    if hasattr(config, "thinker_config"):
        config = config.thinker_config
    task, head = head_name(config, task)
    if task == "causal-lm" and getattr(config, "is_decoder", None) is False:
        config.is_decoder = True  # a causal head on an encoder family: what its class asks for
    _switch_cache(config, on=options.decode is not None)
    dtype = _dtype(config, options)
    with foreign_code(f"'{name}' needs what is not installed"):
        head_class = getattr(transformers, head)
    config = _part_for(head_class, config)
    assumed = complete(config)
    with _quiet():
        model = build_without_memory(lambda: _construct(head_class, config, dtype), name)
        if options.dtype is None and dtype is not torch.bfloat16 and _groups_experts(model):
            dtype = torch.bfloat16
            assumed = (
                *assumed,
                "dtype bfloat16: a grouped matmul of experts is traced in no other",
            )
            model = build_without_memory(lambda: _construct(head_class, config, dtype), name)
        model.train(options.train)
        if options.input_shapes:
            made = _shaped(model, options, dtype)
        elif options.decode is not None:
            made = decode_inputs(model, config, options, dtype, name)
        else:
            made = make_inputs(model, config, options, dtype, name)
    if options.seq_len is not None and not _SEQUENCES & made.kwargs.keys():
        raise InputError(f"'{name}' takes no sequence: its head is {head}")
    if dtype is not torch.bfloat16 and _groups_experts(model):
        assumed = (
            *assumed,
            f"{options.dtype} experts: PyTorch traces their grouped matmul in bfloat16 only",
        )
    return Sourced(
        model,
        (made.args, made.kwargs),
        name=name,
        source="transformers",
        batch=options.batch or made.batch,
        dtype=str(dtype).removeprefix("torch."),
        notes=(f"head class {head}", *made.notes, *assumed, _size(model, config)),
    )


def _size(model: nn.Module, config: Config) -> str:
    """Which of a family's sizes this is: parameters, shared ones once, and depth and width where
    the configuration names them.
    """
    found = [f"{sum(p.numel() for p in model.parameters()):,} parameters"]
    for name in ("num_hidden_layers", "hidden_size"):
        value = getattr(config, name, None)
        if isinstance(value, int):
            found.append(f"{name} {value:,}")
    return ", ".join(found)


def default_config(name: str) -> Config:
    """The default configuration of `hf/FAMILY` or `FAMILY`.

    Raises `InputError` for an unknown family, and for one without a default configuration.
    """
    transformers = import_transformers()
    family = name.removeprefix(PREFIX)
    known = model_types()
    if family not in known:
        hint = did_you_mean(family, known)
        if "/" in family or not hint:
            raise InputError(f"unknown family '{family}'; {NO_DOWNLOAD}")
        raise InputError(f"unknown family '{family}'{hint}")
    with foreign_code(f"'hf/{family}' has no default configuration"), _quiet():
        return transformers.CONFIG_MAPPING[family]()


def _read_config(name: str) -> dict[str, Any]:
    """What a config.json says, of a family that is known."""
    path = Path(name)
    if not path.is_file():
        raise InputError(f"'{name}' does not exist; {NO_DOWNLOAD}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"'{name}' is not readable JSON: {error}") from error
    model_type = content.get("model_type") if isinstance(content, dict) else None
    if not isinstance(model_type, str):
        raise InputError(f"'{name}' names no \"model_type\": it is no transformers configuration")
    known = model_types()
    if model_type not in known:
        if content.get("auto_map"):
            raise InputError(f"'{name}' needs code from the hub (auto_map), which is never run")
        raise InputError(
            f"'{name}' is of the unknown family '{model_type}'{did_you_mean(model_type, known)}"
        )
    return content


def _construct(head_class: type[Any], config: Config, dtype: torch.dtype) -> object:
    from transformers.initialization import no_init_weights

    with no_init_weights():
        model = head_class._from_config(config, dtype=dtype)  # noqa: SLF001 - its only way in
    model.tie_weights()  # which no_init_weights leaves out
    return model


def _part_for(head_class: type[Any], config: Config) -> Config:
    """The configuration itself, or the one inside it that the head class is built from."""
    wanted = getattr(head_class, "config_class", None)
    if wanted is None or isinstance(config, wanted):
        return config
    for value in vars(config).values():
        if isinstance(value, wanted):
            return value
    return config


def _switch_cache(config: Config, *, on: bool) -> None:
    """Set `use_cache` here and in every configuration inside."""
    if hasattr(config, "use_cache"):
        config.use_cache = on
    for value in vars(config).values():
        if hasattr(value, "model_type") and hasattr(value, "to_dict"):
            _switch_cache(value, on=on)


def _dtype(config: Config, options: Options) -> torch.dtype:
    wanted = options.dtype or getattr(config, "dtype", None) or torch.float32
    return getattr(torch, wanted.removeprefix("torch.")) if isinstance(wanted, str) else wanted


def _shaped(model: nn.Module, options: Options, dtype: torch.dtype) -> Made:
    """Shapes given by the user, as positional inputs: ids where the model's first input is ids."""
    args = []
    for shape in options.input_shapes:
        sizes = (options.batch, *shape[1:]) if options.batch is not None else shape
        ids = getattr(model, "main_input_name", "") == "input_ids" and len(sizes) == 2  # noqa: PLR2004
        args.append(torch.empty(sizes, dtype=torch.int64 if ids else dtype, device="meta"))
    return Made({}, args=tuple(args), batch=args[0].shape[0] if args[0].dim() else 1)


def _groups_experts(model: nn.Module) -> bool:
    """Whether some module computes its experts by grouped matmul: a decorator marks them."""
    return any(
        hasattr(module, "_is_expert_parallel")
        and getattr(module.config, "_experts_implementation", None) == "grouped_mm"
        for module in model.modules()
    )


@contextmanager
def _quiet() -> Generator[None]:
    """What transformers prints and warns about weights and defaults is no result of ours."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
