"""A model -> a `Graph`. torch is imported inside the calls that need it, not with this package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fuseline.errors import InputError, did_you_mean
from fuseline.graph import Graph

if TYPE_CHECKING:
    from torch import nn

    from fuseline.frontends.recording.script import Script
    from fuseline.frontends.sources.sourced import Options, Sourced

VIAS = ("record", "module", "export")
"""Frontends, by the name `--via` gives them."""

ATTENTIONS = ("fused", "decomposed")
"""How scaled dot-product attention is recorded: one op, or its five steps."""


def capture(
    model: str | nn.Module,
    inputs: object = None,
    via: str = "record",
    *,
    batch: int | None = None,
    dtype: str | None = None,
    input_shapes: tuple[tuple[int, ...], ...] = (),
    seq_len: int | None = None,
    decode: int | None = None,
    train: bool = False,
    attention: str = "fused",
) -> Graph:
    """Capture a model as a graph, without computing anything or holding a weight in memory.

    Args:
        model: a name (`vit_b_16`, `timm/NAME`, `hf/FAMILY`), `file.py:factory`, a transformers
            config file, a `.pt2` file, or an `nn.Module` (captured in the mode it is in: call
            `.eval()` for inference; it is not changed).
        inputs: what `forward` takes: a tensor, a tuple, a dict of keywords, or (tuple, dict).
            Shapes and dtypes are used, and the values of small integers, which models read; none
            is written to. Names have inputs of their own.
        via: the frontend: `record` (every aten op that one run dispatches), `module` (torch.fx
            symbolic trace, one op a `torch.nn` module), or `export` (torch.export).
        batch: first size of every input.
        dtype: floating-point dtype of parameters and inputs, by torch's name.
        input_shapes: shapes of the positional inputs, instead of `inputs`.
        seq_len: tokens of a sequence, for models that take sequences.
        decode: capture the step that makes one token after this many cached ones.
        train: the forward pass in train mode, for a model that comes by name.
        attention: `fused` (one op) or `decomposed` (scores, scale, mask, softmax, values).

    Raises:
        InputError: one line on what cannot be used: the name, the shapes, the trace.

    >>> from torch import nn
    >>> graph = capture(nn.Linear(8, 4), input_shapes=((2, 8),))
    >>> graph.flops  # 2 rows x 8 x 4 multiply-accumulates
    128
    """
    check_via(via)
    if attention not in ATTENTIONS:
        hint = did_you_mean(attention, ATTENTIONS) or f": one of {', '.join(ATTENTIONS)}"
        raise InputError(f"unknown attention '{attention}'{hint}")
    if attention == "decomposed" and via == "module":
        raise InputError("module level shows attention as one op: decompose it via record")
    if any(isinstance(shape, int) for shape in input_shapes):
        raise InputError("input_shapes is a tuple of shapes, one an input: ((1, 3, 224, 224),)")
    from fuseline.frontends.sources.sourced import Options

    options = Options(batch, dtype, input_shapes, seq_len, decode, train)
    if isinstance(model, str) and model.endswith(".pt2"):
        from fuseline.frontends.pt2 import capture_program_file

        fixed = inputs is not None or options != Options()
        if fixed and Path(model).is_file():
            raise InputError(f"'{model}' is an exported program: its inputs are fixed")
        if via == "module":
            raise InputError(f"'{model}' is an exported program: it has no modules to trace")
        return capture_program_file(model, decomposed=attention == "decomposed")
    return _capture_sourced(_source(model, inputs, options), via, attention)


def write_script(sourced: Sourced, via: str = "record", attention: str = "fused") -> Script:
    """Capture a sourced model as a graph together with the calls behind its ops.

    Raises what `capture` raises.
    """
    check_via(via)
    decomposed = attention == "decomposed"
    match via:
        case "module":
            from fuseline.frontends.module import script_module

            return script_module(sourced)
        case "export":
            from fuseline.frontends.export import script_export

            return script_export(sourced, decomposed=decomposed)
        case _:
            from fuseline.frontends.record import script_record

            return script_record(sourced, decomposed=decomposed)


def _source(model: str | nn.Module, inputs: object, options: Options) -> Sourced:
    from fuseline.frontends.sources.find import check_options, find_model, prepare

    if isinstance(model, str):
        if inputs is not None:
            raise InputError(f"'{model}' brings its own inputs: use input_shapes to change them")
        return find_model(model, options)
    if not callable(getattr(model, "parameters", None)):
        raise InputError(f"'{model}' is {type(model).__name__}, neither a name nor a model")
    check_options(options)
    if options.train or options.seq_len is not None or options.decode is not None:
        raise InputError("a model from Python comes in its own mode, with its own inputs")
    return prepare(model, inputs, options, name=type(model).__name__, source="python")


def _capture_sourced(sourced: Sourced, via: str, attention: str) -> Graph:
    decomposed = attention == "decomposed"
    match via:
        case "module":
            from fuseline.frontends.module import capture_module

            return capture_module(sourced)
        case "export":
            from fuseline.frontends.export import capture_export

            return capture_export(sourced, decomposed=decomposed)
        case _:
            from fuseline.frontends.record import capture_record

            return capture_record(sourced, decomposed=decomposed)


def check_via(via: str) -> None:
    """Refuse a frontend that is not there."""
    if via not in VIAS:
        hint = did_you_mean(via, VIAS) or f": one of {', '.join(VIAS)}"
        raise InputError(f"unknown frontend '{via}'{hint}")


def model_names(zoo: str = "torchvision") -> list[str]:
    """Names that `capture` takes from one zoo: `torchvision`, `timm` or `hf`, sorted.

    Raises `InputError` where the zoo is unknown, or its package not installed.
    """
    from fuseline.frontends.sources import zoos

    return zoos.names(zoo)
