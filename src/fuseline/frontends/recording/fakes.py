"""Stand-ins: fake CPU tensors in place of parameters, inputs and constants, with their aliasing."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from fuseline.errors import InputError
from fuseline.frontends.nested import tensors_in
from fuseline.frontends.storages import identity

_CPU = torch.device("cpu")
_MOST_COPIED = 2**15
"""Bytes up to which a buffer keeps its values: a scale, a table of frequencies."""

_MOST_PASSED = 2**20
"""Elements up to which an input of integers keeps its values."""


class Fakes:
    """One fake CPU tensor for every real or meta tensor; those that share a storage still do."""

    def __init__(self) -> None:
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._bases: dict[int, torch.UntypedStorage] = {}  # a storage -> its bytes on meta
        self._alive: list[torch.UntypedStorage] = []  # whose addresses are keys above
        self._twins: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._copied: dict[int, torch.UntypedStorage] = {}  # a storage -> its copy
        self._copies: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._overwritten: set[int] = set()

    def twin(self, tensor: torch.Tensor) -> torch.Tensor:
        """The fake tensor that stands for this one; a fake tensor stands for itself."""
        if type(tensor) is FakeTensor:
            return tensor
        known = self._twins.get(id(tensor))
        if known is not None and known[1].shape == tensor.shape:
            return known[1]
        storage = tensor.untyped_storage()
        key = identity(tensor)
        if key not in self._bases:
            base = torch.empty(storage.nbytes(), dtype=torch.uint8, device="meta")
            self._bases[key] = base.untyped_storage()
            self._alive.append(storage)
        meta = torch.empty(0, dtype=tensor.dtype, device="meta")
        with torch.no_grad():
            meta.set_(self._bases[key], int(tensor.storage_offset()), tensor.shape, tensor.stride())
            if tensor.is_conj():
                meta = meta.conj()
        fake = FakeTensor(self.mode, meta, _CPU)
        self._twins[id(tensor)] = (tensor, fake)
        return fake

    def overwrite(self, tensor: torch.Tensor) -> None:
        """From here on the values in this tensor's storage are not known."""
        if type(tensor) is not FakeTensor:
            self._overwritten.add(identity(tensor))

    def has_values(self, tensor: torch.Tensor) -> bool:
        """Whether what the tensor holds is known: it is real and nothing fake was written to it."""
        return (
            type(tensor) is not FakeTensor
            and not tensor.is_meta
            and identity(tensor) not in self._overwritten
        )

    def pass_on(self, tensor: torch.Tensor) -> torch.Tensor:
        """What to hand to the model for an input: a copy of real integers, as their values are read
        (lengths, sizes, positions); a twin of everything else.
        """
        counts = not (tensor.is_floating_point() or tensor.is_complex())
        if counts and self.has_values(tensor) and tensor.numel() <= _MOST_PASSED:
            return self._copy(tensor)
        return self.twin(tensor)

    @contextmanager
    def in_place_of(self, model: nn.Module) -> Generator[None]:
        """Swap every parameter and buffer of `model` for its stand-in; put them back after.

        What the model notes on itself meanwhile (a cache of stand-ins) goes too.
        """
        for path, module in model.named_modules():
            if isinstance(module, torch.jit.ScriptModule):
                where = f"'{path}' is" if path else "the model is"
                raise InputError(f"{where} TorchScript, whose ops are hidden: pass Python modules")
        with _unchanged(model):
            for module in model.modules():
                holders: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)  # noqa: SLF001
                for held in holders:
                    for name, tensor in held.items():
                        if tensor is not None:
                            held[name] = self._stand_in(tensor)
            yield

    def _stand_in(self, tensor: torch.Tensor) -> torch.Tensor:
        """A fake tensor; for a small real buffer a copy of it, as its values may be read."""
        nbytes = tensor.untyped_storage().nbytes()
        if isinstance(tensor, nn.Parameter) or tensor.is_meta or nbytes > _MOST_COPIED:
            return self.twin(tensor)
        return self._copy(tensor)

    def _copy(self, tensor: torch.Tensor) -> torch.Tensor:
        """A real tensor in the place of this one; copies of what shares a storage share one."""
        known = self._copies.get(id(tensor))
        if known is not None:
            return known[1]
        key = identity(tensor)
        if key not in self._copied:
            storage = tensor.untyped_storage()
            self._copied[key] = storage.clone()
            self._alive.append(storage)
        with torch.no_grad():
            made = torch.empty(0, dtype=tensor.dtype)
            place = (int(tensor.storage_offset()), tensor.shape, tensor.stride())
            made.set_(self._copied[key], *place)
        self._copies[id(tensor)] = (tensor, made)
        return made


@contextmanager
def _unchanged(model: nn.Module) -> Generator[None]:
    """Put back every parameter and buffer, and whatever of a module holds a stand-in by then.

    Other changes stay: a module may note once and for all that it has set itself up.
    """
    modules = list(model.modules())
    held = [held for m in modules for held in (m._parameters, m._buffers)]  # noqa: SLF001
    places: list[dict[str, Any]] = [*held, *(vars(module) for module in modules)]
    places += [v for module in modules for v in vars(module).values() if type(v) is dict]
    lists = [v for module in modules for v in vars(module).values() if type(v) is list]
    before = [place.copy() for place in places]
    before_lists = [kept.copy() for kept in lists]
    try:
        yield
    finally:
        for place, kept in zip(places[: len(held)], before, strict=False):
            place.clear()
            place.update(kept)
        for place, kept in zip(places, before, strict=True):
            _restore_stand_ins(place, kept)
        for changed, original in zip(lists, before_lists, strict=True):
            if _holds_stand_in(changed):
                changed[:] = original


def _restore_stand_ins(place: dict[str, Any], before: dict[str, Any]) -> None:
    for name in [name for name, value in place.items() if _holds_stand_in(value)]:
        del place[name]
        if name in before:
            place[name] = before[name]


def _holds_stand_in(value: object) -> bool:
    return any(isinstance(tensor, FakeTensor) for tensor in tensors_in(value))


def replace_tensors(value: Any, replace: Callable[[torch.Tensor], Any]) -> Any:  # noqa: ANN401
    """A copy of a nested value with every tensor replaced.

    Looks into tuples, lists, dicts, dataclasses and plain objects that hold tensors, as a cache
    of keys and values does; what holds none is passed on as it is.
    """
    return replace_leaves(value, torch.Tensor, replace)


def replace_leaves(value: Any, leaf: type, replace: Callable[[Any], Any]) -> Any:  # noqa: ANN401
    """`replace_tensors` for every instance of `leaf` in place of tensors."""
    return _replace(value, leaf, replace, {})


def _replace(
    value: Any,  # noqa: ANN401
    leaf: type,
    replace: Callable[[Any], Any],
    seen: dict[int, Any],
) -> Any:  # noqa: ANN401
    if isinstance(value, leaf):
        if id(value) not in seen:  # what is passed twice is one object to the model too
            seen[id(value)] = replace(value)
        return seen[id(value)]
    match value:
        case Mapping():
            items = {key: _replace(item, leaf, replace, seen) for key, item in value.items()}
            if type(value) is dict:
                return items
            made = copy.copy(value)
            if isinstance(made, MutableMapping):
                for key, item in items.items():
                    made[key] = item
            return made
        case tuple() | list() if not isinstance(value, torch.Size):
            items = [_replace(item, leaf, replace, seen) for item in value]
            named = isinstance(value, tuple) and hasattr(value, "_fields")
            return type(value)(*items) if named else type(value)(items)
        case _ if hasattr(value, "__dict__") and not (callable(value) or isinstance(value, type)):
            return _replace_attributes(value, leaf, replace, seen)
        case _:
            return value


def _replace_attributes(
    value: Any,  # noqa: ANN401
    leaf: type,
    replace: Callable[[Any], Any],
    seen: dict[int, Any],
) -> Any:  # noqa: ANN401
    """A shallow copy whose attributes are replaced; an object met twice is copied once."""
    if id(value) not in seen:
        seen[id(value)] = made = copy.copy(value)
        for name, item in vars(value).items():
            object.__setattr__(made, name, _replace(item, leaf, replace, seen))
    return seen[id(value)]
