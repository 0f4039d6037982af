"""Groups compiled one by one with Inductor; groups of one code and shape are compiled once."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx, nn

from fuseline.errors import InputError, foreign_code

_Compiled = Callable[..., Sequence[torch.Tensor]]
_OPTIONS: dict[str, bool | int | str | Callable[..., object]] = {"fallback_random": True}
"""Random numbers as eager code draws them: Inductor's own are others under the same seed."""


class Compiler:
    """Compiles modules when they first run, on the tensors that they are given then."""

    def __init__(self) -> None:
        self._made: dict[tuple[object, ...], _Compiled] = {}

    def lazily(self, module: fx.GraphModule) -> _Compiled:
        """What `module` computes, compiled at its first call."""
        found: list[_Compiled] = []

        def run(*tensors: Any) -> Sequence[torch.Tensor]:  # noqa: ANN401 - tensors and sizes
            if found:
                return found[0](*tensors)
            found.append(self._find(module, tensors))
            with foreign_code("Inductor cannot compile a group"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's own deprecations
                return found[0](*tensors)

        return run

    def _find(self, module: fx.GraphModule, tensors: tuple[Any, ...]) -> _Compiled:
        if next(module.children(), None) is not None:  # its code does not say what they are
            return _compile(module)
        key = (module.code, *(_layout(tensor) for tensor in tensors), _aliasing(tensors))
        if key not in self._made:
            self._made[key] = _compile(module)
        return self._made[key]


def _layout(value: object) -> tuple[object, ...]:
    if not isinstance(value, torch.Tensor):
        return (value,)
    return (value.dtype, value.device, tuple(value.shape), value.stride(), value.data_ptr() % 64)


def _aliasing(tensors: tuple[Any, ...]) -> tuple[int, ...]:
    """For each tensor the first one that shares its storage."""
    first: dict[int, int] = {}
    return tuple(
        first.setdefault(tensor.untyped_storage().data_ptr(), place)
        for place, tensor in enumerate(tensors)
        if isinstance(tensor, torch.Tensor)
    )


def _compile(module: fx.GraphModule) -> _Compiled:
    return torch.compile(module, fullgraph=True, dynamic=False, options=_OPTIONS)


def compile_whole(model: nn.Module) -> Callable[..., object]:
    """The whole model by Inductor, compiled at the first call; its graph must not break."""
    return torch.compile(model, fullgraph=True, dynamic=False, options=_OPTIONS)


def check_compiler() -> None:
    """Refuse to compile for a CPU without a C++ compiler.

    Raises `InputError` that says so.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise InputError(
            "Inductor needs a C++ compiler to compile for this CPU, and finds none: install g++, "
            "name one in CXX, or leave out --compiled and add --no-whole-graph"
        ) from error
