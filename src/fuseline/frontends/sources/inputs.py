"""From a model and what was asked for to a `Sourced`: mode, dtype and inputs.

Example inputs are a tensor, a tuple, a dict of keywords, or a tuple and a dict. Tensors may be
nested in tuples, lists and dicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch
from torch import nn

from fuseline.errors import InputError, did_you_mean
from fuseline.frontends.nested import tensors_in
from fuseline.frontends.sources.sourced import Inputs, Options, Sourced, empty
from fuseline.frontends.storages import dtype_name

DTYPES = ("float32", "float16", "bfloat16", "float64")
PYTHON = "python"
"""Source of a model that the caller made and keeps: it is never changed."""
_MOST = 2**31
_MOST_ELEMENTS = 2**59  # torch counts a tensor's bytes in 63 bits


def check_options(options: Options) -> None:
    """Refuse a dtype, batch, length or shape that no model could take."""
    if options.dtype is not None and options.dtype not in DTYPES:
        raise InputError(
            f"unknown dtype '{options.dtype}'"
            + (did_you_mean(options.dtype, DTYPES) or f": one of {', '.join(DTYPES)}")
        )
    if options.batch is not None and not 1 <= options.batch < _MOST:
        raise InputError(f"batch {options.batch} is not a positive number below 2^31")
    for name, tokens in (("seq_len", options.seq_len), ("decode", options.decode)):
        if tokens is not None and not 1 <= tokens < _MOST:
            raise InputError(f"{name} {tokens} is not a positive number below 2^31")
    for shape in options.input_shapes:
        if any(size < 1 for size in shape):
            raise InputError(f"input shape {shape} has a size that is not positive")
        if prod(shape) * (options.batch or 1) > _MOST_ELEMENTS:
            raise InputError(f"input shape {shape} is larger than any tensor can be")


def refuse_sequences(name: str, options: Options) -> None:
    """Refuse a sequence length for a model whose inputs are not sequences of tokens."""
    for option, tokens in (("seq_len", options.seq_len), ("decode", options.decode)):
        if tokens is not None:
            raise InputError(
                f"'{name}' takes no {option}: only models of transformers (hf/FAMILY, or a "
                "config.json) have sequences; other inputs take --input-shape"
            )


def prepare(
    model: nn.Module,
    example: object,
    options: Options,
    *,
    name: str,
    source: str,
    notes: tuple[str, ...] = (),
) -> Sourced:
    """Cast the model, make or reshape its inputs, and say what batch and dtype that gives.

    `train` puts the model in train mode; otherwise it stays in the mode it is in. The caller's own
    model (source "python") is copied to meta before its dtype changes.

    Raises `InputError` where there are neither shapes nor example inputs.
    """
    refuse_sequences(name, options)
    model = _adapt_model(model, options, keep=source == PYTHON)
    dtype = options.dtype or _dtype_of(model)
    args, kwargs = _inputs(example, options, dtype, name)
    return Sourced(model, (args, kwargs), name, source, _batch_of(args, kwargs), dtype, notes)


def split_inputs(example: object) -> Inputs:
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


def _inputs(example: object, options: Options, dtype: str, name: str) -> Inputs:
    if options.input_shapes:
        shapes = options.input_shapes
        if options.batch is not None:
            shapes = tuple((options.batch, *shape[1:]) for shape in shapes)
        return tuple(empty(shape, dtype) for shape in shapes), {}
    if example is None:
        raise InputError(
            f"'{name}' comes without example inputs: give its input shapes, or have a factory "
            "return (model, inputs)"
        )
    args, kwargs = split_inputs(example)
    args = tuple(_adapt(value, options) for value in args)
    return args, {key: _adapt(value, options) for key, value in kwargs.items()}


def _adapt(value: object, options: Options) -> object:
    """The example input with the batch and dtype asked for; a tensor that has them is kept."""
    if isinstance(value, torch.Tensor):
        return _adapt_tensor(value, options)
    if type(value) is dict:
        return {key: _adapt(item, options) for key, item in value.items()}
    if type(value) is list:
        return [_adapt(item, options) for item in value]
    if type(value) is tuple:
        return tuple(_adapt(item, options) for item in value)
    return value


def _adapt_tensor(value: torch.Tensor, options: Options) -> torch.Tensor:
    dtype, shape = value.dtype, tuple(value.shape)
    if options.dtype is not None and dtype.is_floating_point:
        dtype = getattr(torch, options.dtype)
    if options.batch is not None and shape:
        shape = (options.batch, *shape[1:])
    if (dtype, shape) == (value.dtype, tuple(value.shape)):
        return value  # a model that depends on data reads its values
    return torch.empty(shape, dtype=dtype, device="meta")


def _batch_of(args: tuple[object, ...], kwargs: Mapping[str, object]) -> int:
    """First size of the first tensor; of a list of tensors (images, say), its length."""
    first = next(iter((*args, *kwargs.values())), None)
    if isinstance(first, list) and first and all(isinstance(v, torch.Tensor) for v in first):
        return len(first)
    tensors = tensors_in([*args, *kwargs.values()])
    return tensors[0].shape[0] if tensors and tensors[0].dim() else 1


def _adapt_model(model: nn.Module, options: Options, *, keep: bool) -> nn.Module:
    """The model in the dtype and mode asked for; with `keep`, a copy where that changes it."""
    dtype = getattr(torch, options.dtype) if options.dtype is not None else None
    held = list(model.parameters())
    wrong = dtype is not None and any(
        tensor.is_floating_point() and tensor.dtype is not dtype for tensor in held
    )
    if wrong:
        whole = not keep and all(tensor.is_meta for tensor in held)
        model = (model if whole else meta_copy(model)).to(dtype)
    return model.train() if options.train else model


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
