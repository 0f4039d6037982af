"""Running a model on fake tensors, to learn shapes that only its code knows.

How many tokens an image becomes, what a cache layer holds: a configuration does not say, a run
without memory does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_map

from fuseline.errors import InputError, foreign_code
from fuseline.frontends.recording.fakes import Fakes
from fuseline.frontends.recording.runner import Runner, casts_in_place, quiet_torch


def _is_tensor(leaf: object) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.is_meta


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
    fakes = Fakes()

    def fake(value: Any) -> Any:  # noqa: ANN401 - any nested value
        with _disable_current_modes():  # stand-ins are made as they are, not recorded
            return tree_map(lambda leaf: fakes.pass_on(leaf) if _is_tensor(leaf) else leaf, value)

    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(quiet_torch())
        stack.enter_context(fakes.in_place_of(model))
        stack.enter_context(casts_in_place())
        stack.enter_context(fakes.mode)
        stack.enter_context(Runner(fakes))
        return call(fake)


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
    find: Any = getattr(model, "get_decoder", lambda: None)
    decoder = find()
    if not isinstance(decoder, nn.Module) or decoder is model:
        return []
    return list(decoder.modules())


def to_meta(value: Any) -> Any:  # noqa: ANN401 - any nested value
    """Fake tensors, and floats of any sort, inside lists, tuples and dicts -> meta tensors of the
    same layout. Real integers keep their values.
    """

    def to_meta_leaf(leaf: Any) -> Any:  # noqa: ANN401 - any value
        if not isinstance(leaf, torch.Tensor):
            return leaf
        moves = isinstance(leaf, FakeTensor) or leaf.is_floating_point()
        return _laid_out_as(leaf, "meta") if moves else leaf

    return tree_map(to_meta_leaf, value)


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
