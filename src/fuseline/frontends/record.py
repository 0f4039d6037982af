"""Recorded capture: run the model once on stand-ins and note every aten op that is dispatched.

The default frontend. Nothing is computed on activations: parameters and inputs are fake tensors,
which have shapes, strides, storages and no data.

A model whose control flow depends on activations cannot run on fake tensors. It is run on small
real ones instead, and the graph says so.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from fuseline.errors import InputError, foreign_code
from fuseline.frontends.recording.fakes import Fakes, replace_tensors
from fuseline.frontends.recording.recorder import Recorder, Recording, Scope
from fuseline.frontends.recording.runner import (
    casts_in_place,
    needs_values,
    no_fast_path,
    nothing_compiled,
    quiet_torch,
    reads_known_values,
)
from fuseline.frontends.recording.script import Lines, Scribe, Script, make_script
from fuseline.frontends.sources.building import rebuild_with_values
from fuseline.frontends.sources.sourced import Sourced
from fuseline.graph import Graph, Role, Source

_MOST_REAL_BYTES = 4 * 2**30
"""Parameters up to which a data-dependent model is run for real [bytes]."""


def capture_record(sourced: Sourced, *, decomposed: bool = False) -> Graph:
    """Run the model once, on fake tensors where it lets us, and return its graph.

    Raises `InputError` where the model refuses the inputs, or needs values and is too large to
    have any.
    """
    return _record_somehow(sourced, decomposed=decomposed, lines=None).graph


def script_record(sourced: Sourced, *, decomposed: bool = False) -> Script:
    """The same run with every call written down, to be run again on the model's own tensors.

    Raises what `capture_record` raises.
    """
    return _record_somehow(sourced, decomposed=decomposed, lines=Lines())


def _record_somehow(sourced: Sourced, *, decomposed: bool, lines: Lines | None) -> Script:
    try:
        return _record(sourced, Fakes(), decomposed=decomposed, lines=lines)
    except Exception as error:
        if not needs_values(error):
            raise
        what = f"'{sourced.name}' needs values that only a run has ({_sentence(error)})"
    nbytes = sum(parameter.nbytes for parameter in sourced.model.parameters())
    if nbytes > _MOST_REAL_BYTES:
        raise InputError(
            f"{what}, and its {nbytes / 1e9:.1f} GB of parameters are too many to run it for real"
        )
    note = f"{what}: recorded on small real tensors, and true of these inputs only"
    again = None if lines is None else Lines()
    return _record(with_values(sourced, note), None, decomposed=decomposed, lines=again)


def _sentence(error: BaseException) -> str:
    func = getattr(error, "func", None)
    return str(func) if func is not None else str(error).splitlines()[0].partition(". ")[0]


def _record(
    sourced: Sourced, fakes: Fakes | None, *, decomposed: bool, lines: Lines | None
) -> Script:
    """The graph, and with `lines` the steps that made it."""
    recording = Recording()
    model = sourced.model
    recorder = (
        Recorder(recording, fakes, decomposed=decomposed)
        if lines is None
        else Scribe(recording, fakes, lines, decomposed=decomposed)
    )
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(no_fast_path())
        stack.enter_context(quiet_torch())
        stack.enter_context(nothing_compiled(model))
        if fakes is not None:
            stack.enter_context(fakes.in_place_of(model))
            stack.enter_context(casts_in_place())
            stack.enter_context(reads_known_values(fakes))
        held = own_held(recording, model, fakes)
        inputs, given, shapes = own_inputs(recording, sourced.inputs, fakes)
        if fakes is not None:
            stack.enter_context(fakes.mode)
        stack.enter_context(recorder)
        stack.enter_context(_scoped(model, recorder))
        result = _call(model, inputs, sourced.name, shapes)
    source = Source(
        name=sourced.name,
        source=sourced.source,
        via="record",
        mode="train" if any(module.training for module in model.modules()) else "eval",
        batch=sourced.batch,
        dtype=sourced.dtype,
        input_shapes=tuple(shapes),
        notes=sourced.notes,
    )
    graph = recording.finish(recording.outputs(result, fakes), source)
    return make_script(
        graph, recording, fakes, lines or Lines(), held=held, inputs=given, result=result
    )


def _call(
    model: nn.Module,
    inputs: tuple[tuple[Any, ...], dict[str, Any]],
    name: str,
    shapes: list[tuple[int, ...]],
) -> object:
    given = ", ".join(str(shape) for shape in shapes)
    with foreign_code(f"'{name}' cannot run on inputs {given}", passing=needs_values):
        return model(*inputs[0], **inputs[1])


def own_held(recording: Recording, model: nn.Module, fakes: Fakes | None) -> dict[str, int]:
    """Every parameter and buffer is in the graph under its own name, once; its number there."""
    named = [(name, tensor, Role.PARAMETER) for name, tensor in _held(model, "_parameters")]
    named += [(name, tensor, Role.BUFFER) for name, tensor in _held(model, "_buffers")]
    return {
        name: recording.own(name, fakes.twin(tensor) if fakes else tensor, role)
        for name, tensor, role in named
    }


def _held(model: nn.Module, where: str) -> list[tuple[str, torch.Tensor]]:
    """`named_parameters` or `named_buffers`, also where stand-ins are no `nn.Parameter`."""
    return [
        (f"{path}.{name}" if path else name, tensor)
        for path, module in model.named_modules()
        for name, tensor in vars(module)[where].items()
        if tensor is not None
    ]


def own_inputs(
    recording: Recording, inputs: tuple[tuple[Any, ...], dict[str, Any]], fakes: Fakes | None
) -> tuple[tuple[tuple[Any, ...], dict[str, Any]], list[int], list[tuple[int, ...]]]:
    """Inputs ready to pass, and the numbers and shapes of their tensors.

    A real tensor among them keeps its values: a source gives one where the model reads it.
    """
    numbers: list[int] = []
    shapes: list[tuple[int, ...]] = []

    def own(tensor: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(tensor.shape))
        given = fakes.pass_on(tensor) if fakes else tensor
        standing = fakes.twin(given) if fakes else given
        name = f"input_{len(shapes) - 1}" if shapes[1:] else "input"
        numbers.append(recording.own(name, standing, Role.INPUT))
        return given

    return replace_tensors(inputs, own), numbers, shapes


@contextmanager
def _scoped(model: nn.Module, recorder: Recorder) -> Generator[None]:
    """Tell the recorder which module runs; a module that is shared goes by its first path."""
    scopes = {
        id(module): Scope(path, type(module).__name__) for path, module in model.named_modules()
    }

    def enter(module: nn.Module, _args: object) -> None:
        around = recorder.scopes[-1]
        made = Scope(around.path, type(module).__name__)  # a module made on the fly
        recorder.scopes.append(scopes.get(id(module), made))

    def leave(_module: nn.Module, _args: object, _result: object) -> None:
        recorder.scopes.pop()

    hooks = nn.modules.module
    handles = (
        hooks.register_module_forward_pre_hook(enter),
        hooks.register_module_forward_hook(leave, always_call=True),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


# --- small real tensors ---------------------------------------------------------------------


def with_values(sourced: Sourced, note: str = "") -> Sourced:
    """The same model and inputs with values: random floats, ones for integers."""
    generator = torch.Generator().manual_seed(0)

    def fill(tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.is_meta:
            return tensor.detach().clone()  # a model may write to its inputs
        if tensor.is_floating_point() or tensor.is_complex():
            return torch.randn(tensor.shape, generator=generator).to(tensor.dtype)
        return torch.ones(tensor.shape, dtype=tensor.dtype)

    with foreign_code(f"'{sourced.name}' cannot be copied to be run"):
        model = rebuild_with_values(sourced.model)
    with torch.no_grad():
        for module in model.modules():
            places: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)  # noqa: SLF001
            for held in places:
                for name, tensor in held.items():
                    if tensor is not None and tensor.is_meta:
                        held[name] = _small_value(name, fill(tensor), tensor)
    return Sourced(
        model=model,
        inputs=replace_tensors(sourced.inputs, fill),
        name=sourced.name,
        source=sourced.source,
        batch=sourced.batch,
        dtype=sourced.dtype,
        notes=(*sourced.notes, *([note] if note else [])),
    )


def _small_value(name: str, filled: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Values small enough to pass through many layers; a variance is positive."""
    if filled.is_floating_point():
        filled = torch.ones_like(filled) if "var" in name else filled * 0.02
    if isinstance(like, nn.Parameter):
        return nn.Parameter(filled, requires_grad=False)
    return filled
