"""A model -> a `Graph`. torch is imported inside the calls that need it, not with this package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fuseline.errors import InputError, did_you_mean
from fuseline.graph import Graph

if TYPE_CHECKING:
    from torch import nn

VIAS = ("module",)
"""Frontends, by the name `--via` gives them."""


def capture(
    model: str | nn.Module,
    inputs: object = None,
    via: str = "module",
    *,
    batch: int | None = None,
    dtype: str | None = None,
    input_shapes: tuple[tuple[int, ...], ...] = (),
) -> Graph:
    """Capture a model as a graph, without computing anything or holding a weight in memory.

    Args:
        model: a torchvision classifier's name, `file.py:factory`, or an `nn.Module` (captured in
            the mode it is in: call `.eval()` for inference; it is not changed).
        inputs: what `forward` takes: a tensor, a tuple, a dict of keywords, or (tuple, dict).
            Only shapes and dtypes are used. Names have inputs of their own.
        via: the frontend: `module` (torch.fx symbolic trace, one op a `torch.nn` module).
        batch: first size of every input.
        dtype: floating-point dtype of parameters and inputs, by torch's name.
        input_shapes: shapes of the positional inputs, instead of `inputs`.

    Raises:
        InputError: one line on what cannot be used: the name, the shapes, the trace.

    >>> from torch import nn
    >>> graph = capture(nn.Linear(8, 4), input_shapes=((2, 8),))
    >>> graph.flops  # 2 rows x 8 x 4 multiply-accumulates
    128
    """
    check_via(via)
    from fuseline.frontends.module import capture_module
    from fuseline.frontends.sources import Options, check_options, find_model, prepare

    if any(isinstance(shape, int) for shape in input_shapes):
        raise InputError("input_shapes is a tuple of shapes, one an input: ((1, 3, 224, 224),)")
    options = Options(batch, dtype, input_shapes)
    if isinstance(model, str):
        if inputs is not None:
            raise InputError(f"'{model}' brings its own inputs: use input_shapes to change them")
        sourced = find_model(model, options)
    else:
        if not callable(getattr(model, "parameters", None)):
            raise InputError(f"'{model}' is {type(model).__name__}, neither a name nor a model")
        check_options(options)
        name = type(model).__name__
        sourced = prepare(model, inputs, options, name=name, source="python")
    return capture_module(
        sourced.model,
        sourced.inputs,
        name=sourced.name,
        source=sourced.source,
        batch=sourced.batch,
        dtype=sourced.dtype,
    )


def check_via(via: str) -> None:
    """Refuse a frontend that is not there."""
    if via not in VIAS:
        hint = did_you_mean(via, VIAS) or f": one of {', '.join(VIAS)}"
        raise InputError(f"unknown frontend '{via}'{hint}")


def model_names() -> list[str]:
    """Names that `capture` takes besides `file.py:factory`: torchvision's classifiers.

    Raises `InputError` where torchvision is not installed.
    """
    from fuseline.frontends import torchvision

    return torchvision.model_names()
