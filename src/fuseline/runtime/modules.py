"""Steps of a script -> a `GraphModule`: values in, values out."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn

from fuseline.frontends.recording.script import Step, Value

OP_NAME = "fuseline.op"
"""Key in a node's custom metadata: the op of the graph that the node is, by name."""

_REPLACED: dict[object, Callable[..., object]] = {
    torch.ops.aten.view.default: torch.ops.aten.reshape.default
}
"""A kernel may lay its result out in another way than the recording says: then a view is a copy."""


def build_module(
    steps: Iterable[Step], inputs: Sequence[int], outputs: Sequence[int], name: str = "Group"
) -> fx.GraphModule:
    """A module that takes the values `inputs`, runs the steps and returns a tuple of `outputs`.

    It holds no tensor: parameters are among its inputs, so that layers of one shape give modules
    of one code.
    """
    root, graph = nn.Module(), fx.Graph()
    known: dict[int, fx.Node] = {
        value: graph.placeholder(f"v{place}") for place, value in enumerate(inputs)
    }
    for step in steps:
        args, kwargs = fill((step.args, step.kwargs), known)
        node = _call(root, graph, step, args, kwargs)
        node.meta["custom"] = {OP_NAME: step.name}
        for path, value in step.results:
            known[value] = _follow(graph, node, path, step.name)
    graph.output(tuple(known[value] for value in outputs))
    return fx.GraphModule(root, graph, name)


def _call(
    root: nn.Module, graph: fx.Graph, step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> fx.Node:
    if isinstance(step.function, nn.Module):
        name = f"module_{len(root._modules)}"  # noqa: SLF001 - children in order, no other count
        root.add_module(name, step.function)
        return graph.call_module(name, args, kwargs)
    if isinstance(step.function, str):
        return graph.call_method(step.function, args, kwargs)
    return graph.call_function(_REPLACED.get(step.function, step.function), args, kwargs)


def _follow(graph: fx.Graph, node: fx.Node, path: tuple[int, ...], name: str) -> fx.Node:
    """The node of one tensor of a nested result."""
    for place in path:
        node = graph.call_function(operator.getitem, (node, place))
        node.meta["custom"] = {OP_NAME: name}
    return node


def fill(value: Any, known: Mapping[int, Any]) -> Any:  # noqa: ANN401 - arguments of any call
    """A copy of nested arguments with every `Value` replaced by what is known of it."""
    return fx.node.map_aggregate(
        value, lambda leaf: known[leaf.number] if isinstance(leaf, Value) else leaf
    )


def values_in(value: Any) -> list[int]:  # noqa: ANN401 - arguments of any call
    """Numbers of the `Value`s in nested arguments, in order, each once."""
    found: dict[int, None] = {}

    def note(leaf: Any) -> Any:  # noqa: ANN401 - as it comes
        if isinstance(leaf, Value):
            found[leaf.number] = None
        return leaf

    fx.node.map_aggregate(value, note)
    return list(found)
