"""What is asked of a source of models, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

Inputs = tuple[tuple[object, ...], dict[str, object]]
"""What `forward` takes: (arguments, keywords)."""


@dataclass(frozen=True, slots=True)
class Options:
    """What capture is asked for: None leaves it to the model.

    `seq_len` is the tokens (or audio frames) a sequence holds; `decode` asks for the step that
    makes one token after `decode` cached ones.
    """

    batch: int | None = None
    dtype: str | None = None
    input_shapes: tuple[tuple[int, ...], ...] = ()
    seq_len: int | None = None
    decode: int | None = None
    train: bool = False


@dataclass(frozen=True, slots=True)
class Sourced:
    """A model ready to capture; its parameters, and the tensors of its inputs, may be on meta.

    `notes` are sentences on what was chosen for the user: the head class, the sequence length.
    """

    model: nn.Module
    inputs: Inputs
    name: str
    source: str
    batch: int
    dtype: str
    notes: tuple[str, ...] = field(default=())


def empty(shape: tuple[int, ...], dtype: str = "float32") -> torch.Tensor:
    """A tensor on meta: a shape and a dtype, no memory."""
    return torch.empty(shape, dtype=getattr(torch, dtype), device="meta")
