"""Tensors inside the nested values that models pass around."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass

import torch


def tensors_in(value: object) -> list[torch.Tensor]:
    """Tensors anywhere in nested tuples, lists, dicts, dataclasses and slices, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, Mapping):
        return [tensor for item in value.values() for tensor in tensors_in(item)]
    if isinstance(value, slice):
        return tensors_in((value.start, value.stop, value.step))
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, torch.Size)):
        return [tensor for item in value for tensor in tensors_in(item)]
    if is_dataclass(value) and not isinstance(value, type):
        held = (_field(value, field.name) for field in fields(value))
        return [tensor for item in held for tensor in tensors_in(item)]
    return []


def _field(value: object, name: str) -> object:
    """What a dataclass holds, without code of its own: a configuration may refuse to answer."""
    try:
        return object.__getattribute__(value, name)
    except AttributeError:
        return None
