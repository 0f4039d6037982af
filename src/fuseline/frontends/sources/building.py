"""Building a model without its weights: parameters have shapes and no memory."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.utils.weak import WeakIdKeyDictionary

from fuseline.errors import InputError, foreign_code


def build_without_memory(construct: Callable[[], object], name: str) -> nn.Module:
    """Call `construct` with initialisation switched off; every parameter is on meta.

    Raises `InputError` where the constructor fails on the CPU too, or makes no module.
    """
    model = construct_without_memory(construct, f"'{name}' cannot be built")
    if not isinstance(model, nn.Module):
        raise InputError(f"'{name}' is {type(model).__name__}, not a torch.nn.Module")
    remember(model, construct)
    return model


_CONSTRUCTED: WeakKeyDictionary[nn.Module, Callable[[], object]] = WeakKeyDictionary()
"""How each model that was built without memory is built."""


def remember(model: nn.Module, construct: Callable[[], object]) -> None:
    """Note how `model` is built, for `rebuild_with_values`."""
    _CONSTRUCTED[model] = construct


def rebuild_with_values(model: nn.Module) -> nn.Module:
    """The same model with memory and initial values, where it was built here without: in the same
    mode and dtype. Of another model a copy, which a run may write to.
    """
    if model not in _CONSTRUCTED:
        return copy.deepcopy(model)
    with warnings.catch_warnings(), torch.random.fork_rng([]):
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        made = _CONSTRUCTED[model]()
    if not isinstance(made, nn.Module):
        raise TypeError(f"a constructor made {type(made).__name__}")
    floating = {p.dtype for p in model.parameters() if p.is_floating_point()}
    if len(floating) == 1:
        made = made.to(floating.pop())
    return made.train(model.training)


def construct_without_memory(construct: Callable[[], object], failure: str) -> object:
    """What `construct` makes, with initialisation switched off and every parameter on meta.

    First with meta as the default device. A constructor that reads values it has just made
    (`linspace(...).tolist()`) fails there; it is called again on the CPU, where a parameter goes
    to meta as it is registered and everything else keeps its value.

    Raises `InputError`, which begins with `failure`, where that fails too.
    """
    with warnings.catch_warnings(), _no_init():
        warnings.simplefilter("ignore")  # advice on initial weights, which have no values here
        try:
            with torch.device("meta"):
                return construct()
        except InputError:
            raise
        except (Exception, SystemExit):  # noqa: BLE001, S110 - whatever it trips over on meta
            pass
        with foreign_code(failure), _parameters_on_meta():
            return construct()


@contextmanager
def _parameters_on_meta() -> Generator[None]:
    """Every parameter goes to meta as a module registers it: at most one has memory at a time."""
    register = nn.Module.register_parameter
    twins = WeakIdKeyDictionary()  # a parameter registered twice is tied: it has one twin

    def register_on_meta(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        register(self, name, param)
        held = self._parameters.get(name)
        if held is not None and not held.is_meta:
            if held not in twins:
                twins[held] = nn.Parameter(held.detach().to("meta"), held.requires_grad)
            self._parameters[name] = twins[held]

    nn.Module.register_parameter = register_on_meta  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


@contextmanager
def _no_init() -> Generator[None]:
    """Leave parameters as allocated: pages that nobody writes take no memory."""
    names = [name for name in dir(nn.init) if name.endswith("_") and not name.startswith("_")]
    kept: dict[str, Any] = {name: getattr(nn.init, name) for name in names}

    def skip(tensor: torch.Tensor, *_args: object, **_kwargs: object) -> torch.Tensor:
        return tensor

    try:
        for name in names:
            setattr(nn.init, name, skip)
        yield
    finally:
        for name, function in kept.items():
            setattr(nn.init, name, function)
