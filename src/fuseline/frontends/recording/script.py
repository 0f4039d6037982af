"""What was recorded, as steps that can be run again: the calls behind a graph's ops.

A graph says what each op reads and writes; a script also keeps the function and the arguments of
every call, with the model's tensors as numbers. It lives as long as the process: graph files hold
no code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.utils._python_dispatch import _disable_current_modes

from fuseline.frontends.nested import tensors_in
from fuseline.frontends.recording.calls import number_of
from fuseline.frontends.recording.fakes import Fakes, replace_tensors
from fuseline.frontends.recording.recorder import Recorder, Recording
from fuseline.frontends.recording.runner import Invocation
from fuseline.graph import Graph


@dataclass(frozen=True, slots=True)
class Value:
    """What a step made, or what was there before the first one, by number."""

    number: int


@dataclass(frozen=True, slots=True)
class Step:
    """One call: `name` is that of its op in the graph.

    `function` is a callable, a module, or the name of a method of the first argument. `args` and
    `kwargs` hold a `Value` for every tensor. `results` are the values it makes, each with the way
    to it through nested tuples: `()` is the result itself.
    """

    name: str
    function: Callable[..., object] | nn.Module | str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: tuple[tuple[tuple[int, ...], int], ...]


@dataclass(frozen=True, slots=True)
class Script:
    """The steps of one run, folded ones included, in program order.

    `held` gives the values of the model's parameters and buffers by their names, `constants` those
    of other tensors it had. `inputs` are the values of the tensors passed to it, in the order in
    which `replace_tensors` meets them; `result` is what it returned, tensors replaced by `Value`s.
    `missing` are operators that were noted without being run: a script with any cannot run.
    """

    graph: Graph
    steps: tuple[Step, ...]
    held: Mapping[str, int]
    constants: Mapping[int, torch.Tensor]
    inputs: tuple[int, ...]
    result: Any
    missing: tuple[str, ...] = ()


@dataclass
class Lines:
    """The steps written down so far, the tensors that were neither passed in nor registered, and
    the operators that were not run.
    """

    steps: list[Step] = field(default_factory=list)
    constants: dict[int, torch.Tensor] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


class Scribe(Recorder):
    """A recorder that also writes down the function and arguments of every op it notes."""

    def __init__(
        self, recording: Recording, fakes: Fakes | None, lines: Lines, *, decomposed: bool
    ) -> None:
        super().__init__(recording, fakes, decomposed=decomposed)
        self.lines = lines

    def run(self, op: Invocation) -> object:
        """Run the op; a constant that it takes is copied before it may be overwritten."""
        for tensor in tensors_in((op.args, op.kwargs)):
            self._number(tensor)
        return super().run(op)

    def _note(self, op: Invocation, result: object) -> None:
        args, kwargs = replace_tensors(
            (op.args, op.kwargs), lambda tensor: Value(self._number(tensor))
        )
        super()._note(op, result)
        made = self.recording.table.build.ops[-1]
        paths = [path for path, _ in paths_to_tensors(result)]
        step = Step(
            made.name, op.function, args, kwargs, tuple(zip(paths, made.outputs, strict=True))
        )
        self.lines.steps.append(step)

    def _number(self, tensor: torch.Tensor) -> int:
        recording = self.recording
        twin = tensor if self.fakes is None else self.fakes.twin(tensor)
        if recording.values.find(twin) is not None:
            return number_of(recording.table, recording.values, twin)[0]
        number = number_of(recording.table, recording.values, twin)[0]
        with unset_fake_temporarily(), _disable_current_modes():
            self.lines.constants[number] = tensor.clone()
        return number


def paths_to_tensors(value: object) -> list[tuple[tuple[int, ...], torch.Tensor]]:
    """The tensors in what an op returned, in the order of `tensors_in`, and the way to each.

    >>> x = torch.ones(1)
    >>> [path for path, _ in paths_to_tensors((x, [x, None, x]))]
    [(0,), (1, 0), (1, 2)]
    """
    if isinstance(value, torch.Tensor):
        return [((), value)]
    if not isinstance(value, (tuple, list)):
        return []
    return [
        ((place, *path), tensor)
        for place, item in enumerate(value)
        for path, tensor in paths_to_tensors(item)
    ]


def make_script(
    graph: Graph,
    recording: Recording,
    fakes: Fakes | None,
    lines: Lines,
    *,
    held: Mapping[str, int],
    inputs: Sequence[int],
    result: object,
) -> Script:
    """What a run wrote down, once `recording` knows what it returned."""

    def value_of(tensor: torch.Tensor) -> object:
        found = recording.values.find(tensor if fakes is None else fakes.twin(tensor))
        return tensor if found is None else Value(found[0])

    return Script(
        graph=graph,
        steps=tuple(lines.steps),
        held=held,
        constants=lines.constants,
        inputs=tuple(inputs),
        result=replace_tensors(result, value_of) if lines.steps else None,
        missing=tuple(lines.missing),
    )
