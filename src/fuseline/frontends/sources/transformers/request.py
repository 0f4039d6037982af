"""What inputs are made for: a model, what its `forward` takes, what the user asked for."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from fuseline.errors import InputError
from fuseline.frontends.recording.runner import needs_values
from fuseline.frontends.sources.sourced import Options
from fuseline.frontends.sources.transformers.complete import Config
from fuseline.frontends.sources.transformers.probe import attempt, run_fake

Kwargs = dict[str, Any]

MOST_REAL = 1_000_000_000  # parameters that a probe, or a run on real tensors, may hold in memory
_TOKENS = 128


@dataclass(frozen=True, slots=True)
class Made:
    """Keywords (or positional arguments) for one call, and what was chosen for the user."""

    kwargs: Kwargs
    notes: tuple[str, ...] = ()
    args: tuple[object, ...] = ()
    batch: int = 1


@dataclass(frozen=True, slots=True)
class Request:
    """What inputs are made for."""

    model: nn.Module
    config: Config
    name: str
    batch: int
    seq_len: int | None
    dtype: torch.dtype
    names: frozenset[str] = field(default=frozenset())
    required: tuple[str, ...] = ()

    def empty(self, *shape: int) -> torch.Tensor:
        """A tensor on meta in the model's dtype, `[batch, *shape]`."""
        return torch.empty((self.batch, *shape), dtype=self.dtype, device="meta")

    def ids(self, *shape: int) -> torch.Tensor:
        """Integers on meta, `[batch, *shape]`."""
        return torch.empty((self.batch, *shape), dtype=torch.int64, device="meta")

    def real(self, row: object) -> torch.Tensor:
        """Integers whose values the model reads, `[batch, *row]`."""
        one = torch.tensor(row, dtype=torch.int64)
        return one.unsqueeze(0).expand(self.batch, *one.shape).contiguous()


def request(
    model: nn.Module,
    config: Config,
    options: Options,
    dtype: torch.dtype,
    name: str,
) -> Request:
    """`model`'s forward signature beside what the user asked for."""
    parameters = inspect.signature(model.forward).parameters.values()
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return Request(
        model,
        config,
        name,
        options.batch or 1,
        options.seq_len,
        dtype,
        frozenset(p.name for p in named),
        tuple(p.name for p in named if p.default is p.empty),
    )


def try_call(ask: Request, kwargs: Kwargs) -> bool | None:
    """None where the call runs; else whether it stopped only at a value that is not known."""
    outcome = attempt(lambda: run_fake(ask.model, lambda fake: ask.model(**fake(kwargs))))
    return needs_values(outcome) if isinstance(outcome, Exception) else None


def fits_memory(ask: Request) -> bool:
    """Whether the caller can run the model on real tensors, where values are read."""
    return sum(parameter.numel() for parameter in ask.model.parameters()) <= MOST_REAL


def text_config(config: Config) -> Config:
    """The part of the configuration that the text decoder is built from."""
    try:
        return config.get_text_config(decoder=True)
    except (AttributeError, ValueError):
        return config


def positions(ask: Request) -> int | None:
    """How many positions the configuration names, or None where it names none."""
    for config in (text_config(ask.config), ask.config):
        for name in ("max_position_embeddings", "n_positions", "max_target_positions", "n_ctx"):
            value = getattr(config, name, None)
            if isinstance(value, int) and value > 0:
                return value
    return None


def token_count(ask: Request, taken: int = 0) -> tuple[int, tuple[str, ...]]:
    """Tokens of text in a sequence, beside `taken` others, and a note that says so.

    Raises `InputError` where the model has a table of positions and it is shorter.
    """
    most = positions(ask)
    count = ask.seq_len or min(_TOKENS, max((most or _TOKENS) - taken, 1))
    beyond = token_limit(ask, count + taken)
    others = f", {taken} of them for images or sound" if taken else ""
    return count, (f"sequence length {count + taken}{others}{beyond}",)


def token_limit(ask: Request, count: int) -> str:
    """Refuse more tokens than a table of positions has rows; words on what is only unusual.

    Raises `InputError` with the number of positions there are.
    """
    most = positions(ask)
    if most is None or count <= most:
        return ""
    if _has_position_table(ask.model, most):
        raise InputError(f"'{ask.name}' has {most} positions: a sequence of {count} is too long")
    return f" (beyond the {most} that the configuration names)"


def _has_position_table(model: nn.Module, most: int) -> bool:
    """Whether an embedding or buffer holds one row for each of `most` positions.

    A few rows more are the offsets that some families keep for padding.
    """
    rows = range(most, most + 5)
    return any(
        isinstance(module, nn.Embedding) and module.num_embeddings in rows
        for path, module in model.named_modules()
        if "pos" in path or "wpe" in path
    )


def first_int(configs: Iterable[Config], names: Iterable[str], default: int) -> int:
    """The first positive number (or last of a list) under one of `names`."""
    for config in configs:
        for name in names:
            value = getattr(config, name, None)
            if isinstance(value, (list, tuple)) and value:
                value = value[-1]
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
    return default


def image_size(*configs: Config) -> tuple[int, int] | None:
    """Height and width in pixels, as the first configuration that names them does."""
    for config in configs:
        for name in ("image_size", "img_size", "input_size"):
            value = getattr(config, name, None)
            if isinstance(value, dict) and "height" in value:
                value = [value["height"], value.get("width")]
            if isinstance(value, int):
                value = [value, value]
            if isinstance(value, (list, tuple)) and len(value) > 1:
                height, width = value[-2], value[-1]
                if isinstance(height, int) and isinstance(width, int) and height > 0:
                    return height, width
    return None
