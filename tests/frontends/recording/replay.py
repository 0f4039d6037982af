"""Recorded ops run again on real tensors: the proof that a recording is what the model does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import unset_fake_temporarily

from fuseline.frontends.nested import tensors_in
from fuseline.frontends.record import own_held, own_inputs
from fuseline.frontends.recording.aten_kinds import SHAPE_ONLY
from fuseline.frontends.recording.calls import Overload, number_of
from fuseline.frontends.recording.fakes import Fakes, replace_tensors
from fuseline.frontends.recording.recorder import Recorder, Recording
from fuseline.frontends.recording.runner import Invocation, casts_in_place, no_fast_path
from fuseline.frontends.storages import dtype_name
from fuseline.graph import OpClass

Inputs = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Step:
    """One op as it was recorded, tensors as numbers of the graph."""

    function: Callable[..., object]
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: tuple[int, ...]


@dataclass(frozen=True)
class Number:
    """A tensor of the graph in the place of a torch tensor."""

    number: int


@dataclass
class Script:
    """Everything that was recorded of one run."""

    recording: Recording
    steps: list[Step] = field(default_factory=list)
    held: dict[str, int] = field(default_factory=dict)
    constants: dict[int, torch.Tensor] = field(default_factory=dict)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)


class _Writing(Recorder):
    """A recorder that also writes down the function and arguments of every op it notes."""

    def __init__(self, script: Script, fakes: Fakes, *, decomposed: bool) -> None:
        super().__init__(script.recording, fakes, decomposed=decomposed)
        self.script = script

    def run(self, op: Invocation) -> object:
        args, kwargs = replace_tensors((op.args, op.kwargs), self._as_number)
        self._call = (op.function, args, kwargs)
        return super().run(op)

    def _number(self, tensor: torch.Tensor) -> int:
        assert self.fakes is not None
        recording, twin = self.recording, self.fakes.twin(tensor)
        known = recording.values.find(twin) is not None
        number = number_of(recording.table, recording.values, twin)[0]
        if not known:
            with unset_fake_temporarily():
                self.script.constants[number] = tensor.clone()
        return number

    def _as_number(self, tensor: torch.Tensor) -> Any:  # noqa: ANN401 - a Number for a tensor
        return Number(self._number(tensor))

    def _note(self, overload: Overload, arguments: dict[str, Any], result: object) -> None:
        super()._note(overload, arguments, result)
        op = self.recording.table.build.ops[-1]
        function, args, kwargs = self._call
        self.script.steps.append(Step(function, op.name, args, kwargs, op.outputs))
        given = {number.number for number in _numbers((args, kwargs))}
        said = {*op.inputs, *op.parameters, *op.writes}
        if overload.name not in SHAPE_ONLY and op.op_class is not OpClass.CONTROL:
            assert given == said, f"{op.name} is given {given} and says {said}"


def _numbers(value: Any) -> list[Number]:  # noqa: ANN401
    match value:
        case Number():
            return [value]
        case dict():
            return [number for item in value.values() for number in _numbers(item)]
        case tuple() | list():
            return [number for item in value for number in _numbers(item)]
        case _:
            return []


def write_down(model: nn.Module, inputs: Inputs, *, decomposed: bool = False) -> Script:
    """Record the model on fake tensors, keeping every call."""
    script, fakes = Script(Recording()), Fakes()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(no_fast_path())
        stack.enter_context(fakes.in_place_of(model))
        stack.enter_context(casts_in_place())
        own_held(script.recording, model, fakes)
        meta = replace_tensors(
            inputs, lambda tensor: tensor.to("meta") if tensor.is_floating_point() else tensor
        )
        passed, _ = own_inputs(script.recording, meta, fakes)
        twins = (fakes.twin(tensor) for tensor in tensors_in(passed))
        script.inputs = [script.recording.values.find(twin)[0] for twin in twins]  # type: ignore[index]
        stack.enter_context(fakes.mode)
        stack.enter_context(_Writing(script, fakes, decomposed=decomposed))
        result = model(*passed[0], **passed[1])
    script.outputs = script.recording.outputs(result, fakes)
    script.held = {
        tensor.name: tensor.id
        for tensor in script.recording.table.build.tensors
        if tensor.role.value in ("parameter", "buffer")
    }
    return script


def replay(script: Script, model: nn.Module, inputs: Inputs) -> list[torch.Tensor]:
    """Run the recorded ops on the model's own parameters; every result is checked as recorded.

    A result has the shape and dtype that the recording gives it, and shares its memory with those
    tensors that the recording says it does.
    """
    held = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    known = {number: held[name].detach() for name, number in script.held.items()}
    known |= dict(zip(script.inputs, tensors_in(inputs), strict=True)) | script.constants
    storages: dict[int, int] = {}
    tensors = script.recording.table.build.tensors
    for number, tensor in known.items():
        storages[tensors[number].storage] = tensor.untyped_storage().data_ptr()
    with torch.inference_mode(), no_fast_path():
        for step in script.steps:
            args, kwargs = _filled((step.args, step.kwargs), known)
            results = tensors_in(step.function(*args, **kwargs))
            assert len(results) == len(step.results), step.name
            for number, result in zip(step.results, results, strict=True):
                recorded = tensors[number]
                assert tuple(result.shape) == recorded.shape, step.name
                assert dtype_name(result.dtype) == recorded.dtype, step.name
                place = result.untyped_storage().data_ptr()
                if result.numel():
                    assert storages.setdefault(recorded.storage, place) == place, step.name
                known[number] = result
    return [known[number] for number in script.outputs]


def _filled(value: Any, known: dict[int, torch.Tensor]) -> Any:  # noqa: ANN401
    match value:
        case Number():
            return known[value.number]
        case dict():
            return {key: _filled(item, known) for key, item in value.items()}
        case tuple() | list():
            return type(value)(_filled(item, known) for item in value)
        case _:
            return value
