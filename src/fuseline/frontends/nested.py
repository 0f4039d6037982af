"""Tensors inside the nested values that models pass around."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
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


def tensors_reachable(value: object) -> list[torch.Tensor]:
    """`tensors_in`, and those in sets, views of dicts and the attributes of plain objects, as a
    cache has them: whatever a model may return.
    """
    return _reach(value, set())


def _reach(value: object, seen: set[int]) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (str, bytes, torch.Size, torch.nn.Module, type)) or id(value) in seen:
        return []
    seen.add(id(value))
    items: Iterable[object] = ()
    if isinstance(value, Mapping):
        items = value.values()
    elif isinstance(value, (Sequence, AbstractSet, ValuesView)):
        items = value
    elif hasattr(value, "__dict__") and not callable(value):
        items = vars(value).values()
    elif is_dataclass(value):  # with slots
        items = [_field(value, field.name) for field in fields(value)]
    return [tensor for item in items for tensor in _reach(item, seen)]


def _field(value: object, name: str) -> object:
    """What a dataclass holds, without code of its own: a configuration may refuse to answer."""
    try:
        return object.__getattribute__(value, name)
    except AttributeError:
        return None
