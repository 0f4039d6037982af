"""Running a model on fake tensors, to learn shapes that only its code knows.

How many tokens an image becomes, what a cache layer holds: a configuration does not say, a run
without memory does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    unset_fake_temporarily,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from fuseline.errors import InputError, foreign_code

_NO_VALUES = ("unallocated storage", "data is not allocated yet")  # torch's words for the same


def needs_values(error: Exception) -> bool:
    """Whether a run on fake tensors stopped only because some value is not known."""
    known = isinstance(error, (DataDependentOutputException, DynamicOutputShapeException))
    return known or any(words in str(error) for words in _NO_VALUES)


_aten = torch.ops.aten
_FACTORIES = frozenset(
    {_aten.arange.default, _aten.arange.start, _aten.arange.start_step, _aten.zeros.default}
    | {_aten.ones.default, _aten.full.default, _aten.scalar_tensor.default}
)
_MOST_VALUES = 2**16


class RealStaysReal(TorchDispatchMode):
    """An op on real tensors alone is computed, and a small factory of integers makes a real one.

    So grids, lengths and positions keep their values, and code that reads them runs on.
    """

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - what an op returns
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if tensors and not any(isinstance(tensor, FakeTensor) for tensor in tensors):
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        if not tensors and func in _FACTORIES:
            made = func(*args, **kwargs)
            whole = not made.is_floating_point() and not made.is_complex()
            if whole and made.numel() <= _MOST_VALUES and made.device.type == "cpu":
                with unset_fake_temporarily():
                    return func(*args, **kwargs)
            return made
        if func is torch.ops.aten.index.Tensor:
            args = (args[0], [_as_indices(index) for index in args[1]])
        return func(*args, **kwargs)


def _as_indices(index: torch.Tensor | None) -> torch.Tensor | None:
    """A real mask -> the indices it selects, whose number is then known."""
    if (
        index is None
        or isinstance(index, FakeTensor)
        or index.dtype is not torch.bool
        or index.dim() != 1
    ):
        return index
    with unset_fake_temporarily():
        return index.nonzero().squeeze(1)


def attempt(call: Callable[[], Any]) -> Any:  # noqa: ANN401 - a value or an exception
    """What `call` gives, or what it raised: a layout that does not fit may raise anything."""
    try:
        with foreign_code("a trial run failed"):
            return call()
    except InputError as error:
        cause = error.__cause__
        return cause if isinstance(cause, Exception) else error


def run_fake(model: nn.Module, call: Callable[[Callable[[Any], Any]], Any]) -> Any:  # noqa: ANN401
    """`call(fake)` with the model's tensors fake; `fake` maps nested meta tensors to fake ones.

    The model is as it was afterwards. Raises what the model raises.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode, _swapped(model, _fake), torch.inference_mode(), RealStaysReal():
        return call(lambda value: tree_map(_fake, value))


def run_real(
    model: nn.Module, call: Callable[[Callable[[Any], Any]], Any], *, decoder: bool = True
) -> Any:  # noqa: ANN401
    """`run_fake` with values: small random floats, integers 0.

    Without `decoder` the text decoder stays on meta, for a call that does not reach it.
    """
    apart = set() if decoder else set(_decoder(model))
    with _swapped(model, _with_values, apart), torch.inference_mode():
        return call(lambda value: tree_map(_with_values, value))


def parameter_count(model: nn.Module) -> int:
    """How many numbers the parameters hold, the text decoder's apart."""
    apart = set(_decoder(model))
    held = {
        id(p): p for m in model.modules() if m not in apart for p in m.parameters(recurse=False)
    }
    return sum(parameter.numel() for parameter in held.values())


def _decoder(model: nn.Module) -> list[nn.Module]:
    """The modules of the text decoder, where it is a part of the model."""
    decoder = getattr(model, "get_decoder", lambda: None)()
    if not isinstance(decoder, nn.Module) or decoder is model:
        return []
    return list(decoder.modules())


def to_meta(value: Any) -> Any:  # noqa: ANN401 - any nested value
    """Fake tensors inside lists, tuples and dicts -> meta tensors of the same layout."""
    return tree_map(
        lambda leaf: _laid_out_as(leaf, "meta") if isinstance(leaf, FakeTensor) else leaf, value
    )


def _fake(leaf: Any) -> Any:  # noqa: ANN401 - any value
    return _laid_out_as(leaf, "cpu") if isinstance(leaf, torch.Tensor) and leaf.is_meta else leaf


def _with_values(leaf: Any) -> Any:  # noqa: ANN401 - any value
    if not isinstance(leaf, torch.Tensor) or not leaf.is_meta:
        return leaf
    made = torch.zeros(leaf.shape, dtype=leaf.dtype)
    return made.normal_(std=0.02) if made.is_floating_point() else made


def _laid_out_as(tensor: torch.Tensor, device: str) -> torch.Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)


@contextmanager
def _swapped(
    model: nn.Module, make: Callable[[Any], Any], apart: Collection[nn.Module] = ()
) -> Generator[None]:
    """Every parameter and buffer on meta is what `make` makes of it; shared ones stay shared."""
    kept: list[tuple[dict[str, Any], dict[str, Any]]] = []
    made: dict[int, Any] = {}
    try:
        for module in model.modules():
            if module in apart:
                continue
            held: dict[str, Any]
            for held in (module._parameters, module._buffers):  # noqa: SLF001 - to swap them
                kept.append((held, dict(held)))
                for name, tensor in held.items():
                    if tensor is None or not tensor.is_meta:
                        continue
                    if id(tensor) not in made:
                        fake = make(tensor.detach())
                        if isinstance(tensor, nn.Parameter):
                            fake = nn.Parameter(fake, requires_grad=False)
                        made[id(tensor)] = fake
                    held[name] = made[id(tensor)]
        yield
    finally:
        for held, before in kept:
            held.update(before)
