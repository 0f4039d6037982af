"""A name on the command line -> a model and example inputs.

`NAME` is a torchvision classifier, `FILE.py:FACTORY` a function that returns a model (this runs
the file). Inputs come from `--input-shape`, from the factory, or are images of 3 x 224 x 224.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import nn

from fuseline.errors import InputError, did_you_mean, foreign_code
from fuseline.frontends import torchvision
from fuseline.frontends.storages import dtype_name

_MOST_BATCH = 2**31
_MOST_ELEMENTS = 2**59  # torch counts a tensor's bytes in 63 bits
IMAGE = (3, 224, 224)
DTYPES = ("float32", "float16", "bfloat16", "float64")


@dataclass(frozen=True, slots=True)
class Options:
    """What capture is asked for: None leaves it to the model."""

    batch: int | None = None
    dtype: str | None = None
    input_shapes: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Sourced:
    """A model ready to trace: its inputs are (arguments, keywords)."""

    model: nn.Module
    inputs: tuple[tuple[object, ...], dict[str, object]]
    name: str
    source: str
    batch: int
    dtype: str


def find_model(name: str, options: Options) -> Sourced:
    """Build the model that `name` means.

    Raises `InputError` for a name, dtype, shape or factory that cannot be used.
    """
    check_options(options)
    if Path(name).suffix == ".py":
        raise InputError(f"'{name}' is a file: name its function too, as {name}:FACTORY")
    if Path(name).is_dir():
        raise InputError(f"'{name}' is a directory, not a model")
    if ".py:" in name:
        model, example = _from_factory(name)
        source = "factory"
    else:
        model, example, source = torchvision.build_model(name), None, "torchvision"
    return prepare(model, example, options, name=name, source=source)


def check_options(options: Options) -> None:
    """Refuse a dtype, batch or shape that no model could take."""
    if options.dtype is not None and options.dtype not in DTYPES:
        raise InputError(
            f"unknown dtype '{options.dtype}'"
            + (did_you_mean(options.dtype, DTYPES) or f": one of {', '.join(DTYPES)}")
        )
    if options.batch is not None and not 1 <= options.batch < _MOST_BATCH:
        raise InputError(f"batch {options.batch} is not a positive number below 2^31")
    for shape in options.input_shapes:
        if any(size < 1 for size in shape):
            raise InputError(f"input shape {shape} has a size that is not positive")
        if prod(shape) * (options.batch or 1) > _MOST_ELEMENTS:
            raise InputError(f"input shape {shape} is larger than any tensor can be")


def prepare(
    model: nn.Module, example: object, options: Options, *, name: str, source: str
) -> Sourced:
    """Cast the model, make or reshape its inputs, and say what batch and dtype that gives."""
    if options.dtype is not None:
        model = _cast(model, getattr(torch, options.dtype))
    dtype = options.dtype or _dtype_of(model)
    args, kwargs = _inputs(example, options, dtype, name, source)
    tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
    batch = tensors[0].shape[0] if tensors and tensors[0].dim() else 1
    return Sourced(model, (args, kwargs), name, source, batch, dtype)


def _inputs(
    example: object, options: Options, dtype: str, name: str, source: str
) -> tuple[tuple[object, ...], dict[str, object]]:
    if options.input_shapes:
        shapes = options.input_shapes
        if options.batch is not None:
            shapes = tuple((options.batch, *shape[1:]) for shape in shapes)
        return tuple(_empty(shape, dtype) for shape in shapes), {}
    if example is None:
        if source != "torchvision":
            raise InputError(
                f"'{name}' comes without example inputs: give its input shapes, or have a factory "
                "return (model, inputs)"
            )
        return (_empty((options.batch or 1, *IMAGE), dtype),), {}
    args, kwargs = split_inputs(example)
    args = tuple(_adapt(value, options) for value in args)
    return args, {key: _adapt(value, options) for key, value in kwargs.items()}


def split_inputs(example: object) -> tuple[tuple[object, ...], dict[str, object]]:
    """(arguments, keywords) from a tensor, a tuple, a dict, or a pair of tuple and dict.

    >>> split_inputs({"x": 1})
    ((), {'x': 1})
    >>> split_inputs(((1, 2), {"y": 3}))
    ((1, 2), {'y': 3})
    """
    match example:
        case (tuple() | list() as args, dict() as kwargs):
            return tuple(args), dict(kwargs)
        case dict():
            return (), dict(example)
        case tuple() | list():
            return tuple(example), {}
        case _:
            return (example,), {}


def _adapt(value: object, options: Options) -> object:
    """The example input with the batch and dtype asked for."""
    if not isinstance(value, torch.Tensor):
        return value
    dtype = value.dtype
    if options.dtype is not None and dtype.is_floating_point:
        dtype = getattr(torch, options.dtype)
    shape = tuple(value.shape)
    if options.batch is not None and shape:
        shape = (options.batch, *shape[1:])
    return torch.empty(shape, dtype=dtype, device="meta")


def _empty(shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    return torch.empty(shape, dtype=getattr(torch, dtype), device="meta")


def _cast(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The model in `dtype`; one in another dtype is copied to meta first, never changed."""
    wrong = [t for t in model.parameters() if t.is_floating_point() and t.dtype is not dtype]
    if not wrong:
        return model
    return meta_copy(model).to(dtype)


def meta_copy(model: nn.Module) -> nn.Module:
    """A copy of the model whose parameters and buffers are on meta: no weight is copied."""
    import copy

    memo: dict[int, object] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = buffer.detach().to("meta")
    return copy.deepcopy(model, memo)


def _dtype_of(model: nn.Module) -> str:
    """The dtype of the first floating-point parameter; float32 where there is none."""
    floating = (p.dtype for p in model.parameters() if p.is_floating_point())
    return dtype_name(next(floating, torch.float32))


# --- file.py:factory ------------------------------------------------------------------------


def _from_factory(name: str) -> tuple[nn.Module, object]:
    """Run FILE.py and call its FACTORY: a model, or (model, example inputs)."""
    file, _, factory_name = name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise InputError(
            f"'{file}' does not exist" if not path.exists() else f"'{file}' is no file"
        )
    spec = importlib.util.spec_from_file_location(f"fuseline_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"'{file}' cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    with foreign_code(f"'{file}' cannot be imported"), _beside(path.parent):
        try:
            spec.loader.exec_module(module)
        except RuntimeError as error:
            if torchvision.MISMATCH not in str(error):
                raise
            torchvision.import_models()  # leaves stubs for what the file could not import
            spec.loader.exec_module(module)
    factory = getattr(module, factory_name, None)
    if factory is None:
        callables = [key for key, value in vars(module).items() if callable(value)]
        raise InputError(f"'{file}' has no '{factory_name}'{did_you_mean(factory_name, callables)}")
    if isinstance(factory, nn.Module):
        return factory, None
    if not callable(factory):
        raise InputError(f"'{name}' is {type(factory).__name__}, not a function that makes a model")
    if inspect.isfunction(factory) and _needs_arguments(factory):
        raise InputError(f"'{name}' takes arguments; a factory is called with none")
    with foreign_code(f"'{name}' failed"), _beside(path.parent), torch.device("meta"):
        made = factory()
    model, example = made if isinstance(made, tuple) and len(made) == 2 else (made, None)  # noqa: PLR2004
    if not isinstance(model, nn.Module):
        raise InputError(
            f"'{name}' returned {type(model).__name__}, not a torch.nn.Module "
            "or (module, example inputs)"
        )
    return model, example


@contextmanager
def _beside(folder: Path) -> Generator[None]:
    """Run a user's file as `python FILE` would find its neighbours; what it prints is no result."""
    sys.path.insert(0, str(folder.resolve()))
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.path.remove(str(folder.resolve()))


def _needs_arguments(factory: Callable[..., object]) -> bool:
    parameters = inspect.signature(factory).parameters.values()
    return any(
        p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters
    )
