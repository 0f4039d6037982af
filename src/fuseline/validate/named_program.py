"""A recorded model as `torch.export` sees it, every node with the name of the op it is a part of.

The script of a capture is run again under `torch.export`, one annotated call after another. The
annotation goes along when torch decomposes the program, so that whoever reads a node, in whichever
form, knows which op of our graph it computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.export import ExportedProgram
from torch.fx.traceback import annotate, preserve_node_meta

from fuseline.errors import InputError, foreign_code
from fuseline.frontends import write_script
from fuseline.frontends.record import with_values
from fuseline.frontends.recording.fakes import replace_tensors
from fuseline.frontends.recording.script import Script, Value
from fuseline.frontends.sources.find import find_model
from fuseline.frontends.sources.sourced import Options, Sourced
from fuseline.graph import Graph
from fuseline.validate.quiet import quiet

_KEY = "fuseline.op"


@dataclass(frozen=True, slots=True)
class NamedProgram:
    """The module that runs the recorded calls on values, tensors to pass to it, and its program."""

    graph: Graph
    module: nn.Module
    inputs: tuple[torch.Tensor, ...]
    program: ExportedProgram


def export_named(model: str | Sourced, graph: Graph, *, attention: str = "fused") -> NamedProgram:
    """The recorded calls of a model as an exported program, on random weights.

    Raises `InputError` where `graph` is not what recording the model gives, where an op has no code
    that can run, and where torch cannot export the calls.
    """
    sourced = find_model(model, Options()) if isinstance(model, str) else model
    script = write_script(sourced, attention=attention)
    if [op.name for op in script.graph.ops] != [op.name for op in graph.ops]:
        raise InputError(
            f"the graph of '{graph.source.name}' is not that of '{sourced.name}' recorded with "
            f"{attention} attention: capture it with the same options"
        )
    if script.missing:
        raise InputError(f"'{sourced.name}' cannot run: no code for {script.missing[0]}")
    valued = with_values(sourced)
    inputs: list[torch.Tensor] = []
    replace_tensors(valued.inputs, lambda tensor: inputs.append(tensor) or tensor)
    module = _Calls(script, valued.model).eval()
    with (
        foreign_code(f"torch.export of '{sourced.name}'"),
        quiet(),  # where it fails, torch prints the whole program
        torch.no_grad(),
        preserve_node_meta(),
    ):
        program = torch.export.export(module, tuple(inputs))
    return NamedProgram(script.graph, module, tuple(inputs), program)


def op_of(node: fx.Node) -> str:
    """The name of the op that a node of an exported program is a part of; "" for none.

    A view of what was written in place has none once the program is decomposed: torch makes it
    anew.
    """
    return (node.meta.get("custom") or {}).get(_KEY, "")


class _Calls(nn.Module):
    """Runs a script on the tensors of a model, each call under the name of its op."""

    def __init__(self, script: Script, model: nn.Module) -> None:
        super().__init__()
        self.script = script
        held = dict(model.named_parameters(remove_duplicate=False))
        held |= dict(model.named_buffers(remove_duplicate=False))
        values = {number: held[name].detach() for name, number in script.held.items()}
        values |= {number: constant.clone() for number, constant in script.constants.items()}
        self.slots = {number: f"value_{number}" for number in values}
        for number, value in values.items():
            self.register_buffer(self.slots[number], value)

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What the model returned, its tensors in one tuple."""
        script = self.script
        known = {number: getattr(self, slot) for number, slot in self.slots.items()}
        known |= dict(zip(script.inputs, inputs, strict=True))
        for step in script.steps:
            function: Any = step.function
            if not step.results and not _writes(function):
                continue  # it asked the host for a value, which the recording has answered
            with annotate({_KEY: step.name}):
                result = function(*_fill(step.args, known), **_fill(step.kwargs, known))
            for path, number in step.results:
                known[number] = _at(result, path)
        return tuple(known[number] for number in dict.fromkeys(_numbers_in(script.result)))


def _writes(function: object) -> bool:
    return isinstance(function, torch._ops.OpOverload) and function._schema.is_mutable  # noqa: SLF001


def _fill(value: Any, known: Mapping[int, torch.Tensor]) -> Any:  # noqa: ANN401 - arguments
    match value:
        case Value(number):
            return known[number]
        case list():
            return [_fill(item, known) for item in value]
        case tuple() if not isinstance(value, torch.Size):
            return tuple(_fill(item, known) for item in value)
        case dict():
            return {key: _fill(item, known) for key, item in value.items()}
        case _:
            return value


def _at(result: Any, path: tuple[int, ...]) -> torch.Tensor:  # noqa: ANN401 - nested tuples
    for place in path:
        result = result[place]
    return result


def _numbers_in(value: object) -> Iterator[int]:
    match value:
        case Value(number):
            yield number
        case Mapping():
            for item in value.values():
                yield from _numbers_in(item)
        case tuple() | list():
            for item in value:
                yield from _numbers_in(item)
        case _ if hasattr(value, "__dict__") and not isinstance(value, type):
            for item in vars(value).values():
                yield from _numbers_in(item)
        case _:
            return
