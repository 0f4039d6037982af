"""Running a model on stand-ins: activations fake, small constants real.

An op of real tensors alone is computed, where its result is small: an `arange`, a mask made of it,
a grid that an input gives. Code that reads such values takes the branch that it takes in truth.
Everything else runs on fake tensors.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
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
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from fuseline.frontends.nested import tensors_in
from fuseline.frontends.recording.attention import attention_result
from fuseline.frontends.recording.calls import Overload, bind
from fuseline.frontends.recording.fakes import Fakes, replace_tensors
from fuseline.graph import Kind

_MOST_CONSTANT = 2**20
"""Elements up to which a constant keeps its values."""


class UnknownValueError(Exception):
    """Code reads a tensor whose values are not known."""


_NEEDS_VALUES = (
    UnknownValueError,
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


@dataclass(frozen=True, slots=True)
class Invocation:
    """An op about to run; `arguments` are `args` and `kwargs` by the names of its schema."""

    function: torch._ops.OpOverload
    overload: Overload
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    arguments: dict[str, Any]

    def call(self) -> Any:  # noqa: ANN401 - what an op returns
        """Run the op as it is."""
        return self.function(*self.args, **self.kwargs)


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
        return self.dispatch(Invocation(func, overload, args, kwargs, bind(overload, args, kwargs)))

    def dispatch(self, op: Invocation) -> object:
        """Run one op. What a subclass does about it besides goes here."""
        return self.run(op)

    def run(self, op: Invocation) -> object:
        """What the op returns, on stand-ins where there are any."""
        if self.fakes is not None:
            return self._run_on(self.fakes, op)
        result = op.call()
        if op.overload.name == "scaled_dot_product_attention":  # laid out as every device would
            return attention_result(op.arguments).copy_(result)
        return result

    def _run_on(self, fakes: Fakes, op: Invocation) -> object:
        device = op.kwargs.get("device")
        if device is not None and torch.device(device).type == "meta":
            op.kwargs["device"] = torch.device("cpu")  # where what was on meta seems to be
        tensors = tensors_in(tuple(op.arguments.values()))
        if op.overload.kind is not Kind.RANDOM and all(map(fakes.has_values, tensors)):
            return _run_constant(op)
        for name in op.overload.written:
            for tensor in tensors_in(op.arguments.get(name)):
                fakes.overwrite(tensor)
        if any(type(tensor) is not FakeTensor for tensor in tensors):
            op = self._on_stand_ins(fakes, op)
        if op.overload.name == "scaled_dot_product_attention":
            return attention_result(op.arguments)
        returns_pair = op.overload.name == "native_dropout"
        if op.overload.kind is Kind.DROPOUT and not drops(op.arguments) and not returns_pair:
            return fakes.twin(tensors[0])  # as every backend does; torch's fakes clone it
        return op.call()

    def _on_stand_ins(self, fakes: Fakes, op: Invocation) -> Invocation:
        """The same op, everything real in it replaced.

        Boolean masks of known values become the indices they select, whose number is known.
        """

        def indices(mask: Any) -> list[object]:  # noqa: ANN401 - None, a mask or indices
            is_mask = isinstance(mask, torch.Tensor) and mask.dtype is torch.bool
            if not is_mask or not fakes.has_values(mask):
                return [mask]
            with unset_fake_temporarily():
                return list(torch.nonzero(mask, as_tuple=True))

        args = op.args
        if isinstance(op.arguments.get("indices"), list):
            args = tuple(
                [index for mask in arg for index in indices(mask)] if isinstance(arg, list) else arg
                for arg in args
            )
        args, kwargs = replace_tensors((args, op.kwargs), fakes.twin)
        return replace(op, args=args, kwargs=kwargs, arguments=bind(op.overload, args, kwargs))


def _run_constant(op: Invocation) -> object:
    """Run an op of constants alone: with values, where its result is small."""
    if not op.overload.in_place:
        try:
            shaped = op.call()  # fake: sizes come before memory
        except _NEEDS_VALUES:
            shaped = None
        if sum(tensor.numel() for tensor in tensors_in(shaped)) > _MOST_CONSTANT:
            return shaped
    with unset_fake_temporarily():
        return op.call()


def drops(arguments: dict[str, Any]) -> bool:
    """Whether a dropout drops anything: it returns its input in eval mode, and at rate 0."""
    return arguments.get("train") is not False and arguments.get("p", 0.5) != 0


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
def reads_known_values(fakes: Fakes) -> Generator[None]:
    """`tolist` and `numpy` give what a tensor holds, or say that it is not known.

    They read memory without asking the dispatcher, also where what is there has been overwritten
    by values that nobody computed.
    """

    def checked(name: str) -> Callable[..., object]:
        read = getattr(torch.Tensor, name)

        def known(self: torch.Tensor, *args: object, **kwargs: object) -> object:
            if not fakes.has_values(self):
                raise UnknownValueError(f"{name} of a tensor whose values are not known")
            with _disable_current_modes():
                return read(self, *args, **kwargs)

        return known

    patched = {name: checked(name) for name in ("tolist", "numpy")}
    try:
        for name, function in patched.items():
            setattr(torch.Tensor, name, function)
        yield
    finally:
        for name in patched:
            delattr(torch.Tensor, name)  # what torch defines is on its base class


@contextmanager
def nothing_compiled(model: nn.Module) -> Generator[None]:
    """Modules wrapped by `torch.compile` run as the Python they were made from."""
    if any(type(module).__name__ == "OptimizedModule" for module in model.modules()):
        with torch.compiler.set_stance("force_eager"):
            yield
    else:
        yield


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
