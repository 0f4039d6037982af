"""Running a model on stand-ins: activations fake, small constants real.

An op of real tensors alone is computed, where its result is small: an `arange`, a mask made of it,
a grid that an input gives. Code that reads such values takes the branch that it takes in truth.
Everything else runs on fake tensors.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
    unset_fake_temporarily,
)
from torch.utils._python_dispatch import TorchDispatchMode

from fuseline.frontends.nested import tensors_in
from fuseline.frontends.recording.attention import attention_result
from fuseline.frontends.recording.calls import Overload, bind
from fuseline.frontends.recording.fakes import Fakes, replace_tensors
from fuseline.graph import Kind

_MOST_CONSTANT = 2**20
"""Elements up to which a constant keeps its values."""

_NEEDS_VALUES = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
)
_NO_VALUES = (
    "unallocated storage",
    "data is not allocated yet",
    "Cannot copy out of meta tensor",
    "numpy() on a tensor subclass",
    "'QuantizedMeta' backend",
    "Could not run 'quantized::",
)
"""What torch says where a value is asked for outside the dispatcher (`tolist`, `numpy`), or where
it has no fake tensors (quantised ones)."""


def needs_values(error: BaseException) -> bool:
    """Whether the error says that code asked a fake tensor for a value, or for a kernel."""
    if isinstance(error, _NEEDS_VALUES):
        return True
    known = isinstance(error, (RuntimeError, NotImplementedError))
    return known and any(said in str(error) for said in _NO_VALUES)


_ALIASES = frozenset(
    {"aten::lift_fresh", "aten::detach", "aten::alias", "aten::resolve_conj", "aten::resolve_neg"}
)
"""Ops that return the very tensor they are given, unless it is lazily conjugated or negated."""

_QUESTIONS = frozenset(
    {"prim::device", "prim::layout", "aten::is_same_size", "aten::sym_size", "aten::sym_numel",
     "aten::sym_stride", "aten::sym_storage_offset", "aten::is_pinned", "aten::is_contiguous",
     "aten::is_strides_like_format", "aten::is_non_overlapping_and_dense"}
)  # fmt: skip
"""Questions about a tensor that reach the dispatcher and are no work on any device."""


class Runner(TorchDispatchMode):
    """Runs every op that is dispatched: with `fakes` on stand-ins, without them as it is."""

    def __init__(self, fakes: Fakes | None) -> None:
        super().__init__()
        self.fakes = fakes
        self._overloads: dict[torch._ops.OpOverload, Overload] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing here is compiled: without this, the first op imports all of torch's compiler."""
        return False

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Any,  # noqa: ANN401 - torch's own signature
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        del types
        kwargs = dict(kwargs or {})
        overload = self._overloads.get(func)
        if overload is None:
            overload = self._overloads[func] = Overload.of(func)
        if overload.full in _ALIASES and not (args[0].is_conj() or args[0].is_neg()):
            return another(args[0])
        if overload.full in _QUESTIONS:
            return func(*args, **kwargs)
        return self.dispatch(func, overload, args, kwargs)

    def dispatch(
        self,
        func: torch._ops.OpOverload,
        overload: Overload,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> object:
        """Run one op. What a subclass does about it besides goes here."""
        return self.run(func, overload, args, kwargs)

    def run(
        self,
        func: torch._ops.OpOverload,
        overload: Overload,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> object:
        """What the op returns, on stand-ins where there are any."""
        if self.fakes is not None:
            return self._run_on(self.fakes, func, overload, args, kwargs)
        result = func(*args, **kwargs)
        if overload.name == "scaled_dot_product_attention":  # laid out as every device would
            return attention_result(bind(overload, args, kwargs)).copy_(result)
        return result

    def _run_on(
        self,
        fakes: Fakes,
        func: torch._ops.OpOverload,
        overload: Overload,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> object:
        arguments = bind(overload, args, kwargs)
        if kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "meta":
            kwargs["device"] = torch.device("cpu")  # where a parameter that was on meta seems to be
        tensors = tensors_in(tuple(arguments.values()))
        if overload.kind is not Kind.RANDOM and all(map(fakes.has_values, tensors)):
            in_place = overload.name.endswith("_")
            return self._run_constant(func, args, kwargs, grows=not in_place)
        for name in overload.written:
            for tensor in tensors_in(arguments.get(name)):
                fakes.overwrite(tensor)
        if any(type(tensor) is not FakeTensor for tensor in tensors):
            if isinstance(arguments.get("indices"), list):
                args = self._masks_as_indices(args)
            args, kwargs = replace_tensors((args, kwargs), fakes.twin)
        if overload.name == "scaled_dot_product_attention":
            return attention_result(bind(overload, args, kwargs))
        if overload.kind is Kind.DROPOUT and not drops(arguments):
            return fakes.twin(tensors[0])  # as every backend does; torch's fakes clone it
        return func(*args, **kwargs)

    def _masks_as_indices(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Boolean masks of known values as the indices they select, whose number is known."""

        def indices(mask: object) -> list[object]:
            if not isinstance(mask, torch.Tensor) or mask.dtype is not torch.bool:
                return [mask]
            if self.fakes is None or not self.fakes.has_values(mask):
                return [mask]
            with unset_fake_temporarily():
                return list(torch.nonzero(mask, as_tuple=True))

        return tuple(
            [index for mask in arg for index in indices(mask)] if isinstance(arg, list) else arg
            for arg in args
        )

    def _run_constant(
        self,
        func: torch._ops.OpOverload,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        grows: bool,
    ) -> object:
        """Run an op of constants alone: with values, where its result is small."""
        if grows:
            try:
                shaped = func(*args, **kwargs)  # fake: sizes come before memory
            except _NEEDS_VALUES:
                shaped = None
            if sum(tensor.numel() for tensor in tensors_in(shaped)) > _MOST_CONSTANT:
                return shaped
        with unset_fake_temporarily():
            return func(*args, **kwargs)


def drops(arguments: dict[str, Any]) -> bool:
    """Whether a dropout drops anything: it returns its input in eval mode, and at rate 0."""
    return bool(arguments.get("train", True)) and arguments.get("p", 0.5) != 0


def apart(result: object, arguments: dict[str, Any]) -> object:
    """The result as an object of its own, where an op returns its argument (`contiguous`)."""
    if isinstance(result, torch.Tensor) and any(result is given for given in arguments.values()):
        return another(result)
    return result


def another(tensor: torch.Tensor) -> torch.Tensor:
    """A second object for the same tensor."""
    with nullcontext() if isinstance(tensor, FakeTensor) else unset_fake_temporarily():
        return torch.ops.aten.alias.default(tensor)


# --- what holds while a model runs ------------------------------------------------------------


@contextmanager
def casts_in_place() -> Generator[None]:
    """`module.to(dtype)` inside a forward, for modules whose parameters are stand-ins.

    torch would swap the insides of its parameters, which it refuses for tensors that others refer
    to.
    """

    def apply(
        self: nn.Module, fn: Callable[[torch.Tensor], torch.Tensor], **_: object
    ) -> nn.Module:
        for child in self.children():
            apply(child, fn)
        places: tuple[dict[str, Any], ...] = (self._parameters, self._buffers)
        for held in places:
            for name, tensor in held.items():
                if tensor is not None:
                    held[name] = fn(tensor)
        return self

    original = nn.Module._apply  # noqa: SLF001 - there is no public name for it
    nn.Module._apply = apply  # type: ignore[method-assign, assignment]  # noqa: SLF001
    try:
        yield
    finally:
        nn.Module._apply = original  # type: ignore[method-assign]  # noqa: SLF001


@contextmanager
def quiet_torch() -> Generator[None]:
    """No tracebacks in torch's log: what fails on fakes becomes one line, or a second try."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


@contextmanager
def no_fast_path() -> Generator[None]:
    """Attention and encoder layers as their own ops, not as one kernel that only a CPU has."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
