"""A torch.fx trace -> a script: one step a module, function or method call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn

from fuseline.frontends.recording.script import Script, Step, Value
from fuseline.graph import Graph


def script_of_trace(
    graph: Graph,
    traced: fx.GraphModule,
    model: nn.Module,
    placeholders: Mapping[str, object],
    given: Mapping[str, int],
) -> Script:
    """The steps of `traced`, whose ops are those of `graph`.

    `placeholders` are the arguments of `forward` in order. `given` names those that are tensors,
    each with its place among the tensors that a caller passes: one passed twice has one place.
    """
    values: dict[fx.Node, Any] = {}
    passed: dict[int, int] = {}
    held: dict[str, int] = {}
    constants: dict[int, torch.Tensor] = {}
    steps: list[Step] = []
    result: Any = None
    # fx registers tensors that it met while tracing as buffers of the trace alone
    own = dict(model.named_parameters(remove_duplicate=False))
    own |= dict(model.named_buffers(remove_duplicate=False))
    arguments = iter(placeholders.items())
    for number, node in enumerate(traced.graph.nodes):
        values[node] = Value(number)
        match node.op:
            case "placeholder":
                name, value = next(arguments, (node.name, None))
                if not isinstance(value, torch.Tensor):
                    values[node] = value
                elif name in given:
                    values[node] = Value(passed.setdefault(given[name], number))
            case "get_attr":
                found = _attribute(traced, str(node.target))
                if str(node.target) in own:
                    held[str(node.target)] = number
                elif isinstance(found, torch.Tensor):
                    constants[number] = found
                else:
                    values[node] = found
            case "output":
                result = _plain(_valued(node.args[0], values))
            case _:
                steps.append(_step(traced, node, number, values))
    inputs = tuple(passed[place] for place in sorted(passed))
    return Script(graph, tuple(steps), held, constants, inputs, result)


def _step(traced: fx.GraphModule, node: fx.Node, number: int, values: dict[fx.Node, Any]) -> Step:
    target: Any = node.target
    function = traced.get_submodule(target) if node.op == "call_module" else target
    args, kwargs = _valued((node.args, node.kwargs), values)
    return Step(node.name, function, tuple(args), dict(kwargs), (((), number),))


def _valued(value: Any, values: dict[fx.Node, Any]) -> Any:  # noqa: ANN401 - any arguments
    return fx.node.map_aggregate(value, lambda v: values[v] if isinstance(v, fx.Node) else v)


def _plain(value: Any) -> Any:  # noqa: ANN401 - what a model returns
    """fx keeps lists and dicts that cannot be changed: as the model makes them."""
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case tuple() if type(value) is tuple:
            return tuple(_plain(item) for item in value)
        case _:
            return value


def _attribute(root: object, target: str) -> object:
    for name in target.split("."):
        root = getattr(root, name)
    return root
