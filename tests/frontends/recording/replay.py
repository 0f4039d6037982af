"""Recorded ops run again on real tensors: the proof that a recording is what the model does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from fuseline.frontends.nested import tensors_in
from fuseline.frontends.record import script_record
from fuseline.frontends.recording.aten_kinds import SHAPE_ONLY
from fuseline.frontends.recording.runner import no_fast_path
from fuseline.frontends.recording.script import Script, Step, Value
from fuseline.frontends.sources.sourced import Sourced
from fuseline.frontends.storages import dtype_name
from fuseline.graph import Op, OpClass

Inputs = tuple[tuple[Any, ...], dict[str, Any]]


def write_down(model: nn.Module, inputs: Inputs, *, decomposed: bool = False) -> Script:
    """Record the model on fake tensors, keeping every call; each op says what its call is given."""
    sourced = Sourced(model, inputs, type(model).__name__, "python", 1, "float32")
    script = script_record(sourced, decomposed=decomposed)
    ops = {op.name: op for op in (*script.graph.ops, *script.graph.folded)}
    assert len(ops) == len(script.steps)
    for step in script.steps:
        _check_operands(step, ops[step.name])
    return script


def _check_operands(step: Step, op: Op) -> None:
    if op.target in SHAPE_ONLY or op.op_class is OpClass.CONTROL:
        return
    given = {value.number for value in _values((step.args, step.kwargs))}
    said = {*op.inputs, *op.parameters, *op.writes}
    assert given == said, f"{op.name} is given {given} and says {said}"


def _values(value: Any) -> list[Value]:  # noqa: ANN401
    match value:
        case Value():
            return [value]
        case dict():
            return [number for item in value.values() for number in _values(item)]
        case tuple() | list():
            return [number for item in value for number in _values(item)]
        case _:
            return []


def replay(script: Script, model: nn.Module, inputs: Inputs) -> list[torch.Tensor]:
    """Run the recorded ops on the model's own parameters; every result is checked as recorded.

    A result has the shape and dtype that the recording gives it, and shares its memory with those
    tensors that the recording says it does.
    """
    held = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    known = {number: held[name].detach() for name, number in script.held.items()}
    passed = list({id(tensor): tensor for tensor in tensors_in(inputs)}.values())
    known |= dict(zip(script.inputs, passed, strict=True)) | dict(script.constants)
    storages: dict[int, int] = {}
    tensors = script.graph.tensors
    for number, tensor in known.items():
        storages[tensors[number].storage] = tensor.untyped_storage().data_ptr()
    with torch.inference_mode(), no_fast_path():
        for step in script.steps:
            args, kwargs = _filled((step.args, step.kwargs), known)
            function: Callable[..., object] = step.function  # type: ignore[assignment]
            results = tensors_in(function(*args, **kwargs))
            assert len(results) == len(step.results), step.name
            for (_, number), result in zip(step.results, results, strict=True):
                recorded = tensors[number]
                assert tuple(result.shape) == recorded.shape, step.name
                assert dtype_name(result.dtype) == recorded.dtype, step.name
                place = result.untyped_storage().data_ptr()
                if result.numel():
                    assert storages.setdefault(recorded.storage, place) == place, step.name
                known[number] = result
    return [known[number] for number in script.graph.outputs]


def _filled(value: Any, known: dict[int, torch.Tensor]) -> Any:  # noqa: ANN401
    match value:
        case Value():
            return known[value.number]
        case dict():
            return {key: _filled(item, known) for key, item in value.items()}
        case tuple() | list():
            return type(value)(_filled(item, known) for item in value)
        case _:
            return value
