"""A torch.fx trace -> a script: one step a module, function or method call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

from fuseline.frontends.recording.script import Script, Step, Value
from fuseline.graph import Graph


def script_of_trace(
    graph: Graph, traced: fx.GraphModule, placeholders: Mapping[str, object], given: list[str]
) -> Script:
    """The steps of `traced`, whose ops are those of `graph`.

    `placeholders` are the arguments of `forward` in order, `given` the names of those that are
    tensors in the order in which a caller passes them.
    """
    values: dict[fx.Node, Any] = {}
    named: dict[str, int] = {}
    held: dict[str, int] = {}
    constants: dict[int, torch.Tensor] = {}
    steps: list[Step] = []
    result: Any = None
    own = dict(traced.named_parameters(remove_duplicate=False))
    own |= dict(traced.named_buffers(remove_duplicate=False))
    arguments = iter(placeholders.items())
    for number, node in enumerate(traced.graph.nodes):
        values[node] = Value(number)
        match node.op:
            case "placeholder":
                name, value = next(arguments, (node.name, None))
                named[name] = number
                if not isinstance(value, torch.Tensor):
                    values[node] = value
            case "get_attr":
                found = _attribute(traced, str(node.target))
                if str(node.target) in own:
                    held[str(node.target)] = number
                elif isinstance(found, torch.Tensor):
                    constants[number] = found
                else:
                    values[node] = found
            case "output":
                result = _valued(node.args[0], values)
            case _:
                steps.append(_step(traced, node, number, values))
    inputs = tuple(named[name] for name in given)
    return Script(graph, tuple(steps), held, constants, inputs, result)


def _step(traced: fx.GraphModule, node: fx.Node, number: int, values: dict[fx.Node, Any]) -> Step:
    target: Any = node.target
    function = traced.get_submodule(target) if node.op == "call_module" else target
    args, kwargs = _valued((node.args, node.kwargs), values)
    return Step(node.name, function, tuple(args), dict(kwargs), (((), number),))


def _valued(value: Any, values: dict[fx.Node, Any]) -> Any:  # noqa: ANN401 - any arguments
    return fx.node.map_aggregate(value, lambda v: values[v] if isinstance(v, fx.Node) else v)


def _attribute(root: object, target: str) -> object:
    for name in target.split("."):
        root = getattr(root, name)
    return root
