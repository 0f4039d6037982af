"""Random numbers of a plan whose groups cannot draw them in the order of the model.

Every op that draws is given the state in which the model's generator would be: the draws are made
once ahead, on tensors of the same shapes, to see how far each takes the generator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from fuseline.frontends.recording.script import Step, Value
from fuseline.graph import Graph
from fuseline.runtime.modules import fill, values_in


def restoring_steps(draws: Sequence[Step]) -> dict[str, Step]:
    """For each op that draws (in the order of the model) a step that goes before it: it puts the
    generator in the state that `draw_states` gives for it.
    """
    return {
        step.name: Step(step.name, torch.set_rng_state, (Value(_number(place)),), {}, ())
        for place, step in enumerate(draws)
    }


def draw_states(draws: Sequence[Step], graph: Graph) -> dict[int, torch.Tensor]:
    """The generator's state before each draw, by value; it is left as after the last."""
    states: dict[int, torch.Tensor] = {}
    for place, step in enumerate(draws):
        given = {value: _ones(graph, value) for value in values_in((step.args, step.kwargs))}
        args, kwargs = fill((step.args, step.kwargs), given)
        states[_number(place)] = torch.get_rng_state()
        _call(step, args, kwargs)
    return states


def _number(place: int) -> int:
    """Values of a graph are counted from 0, states downwards from -1."""
    return -1 - place


def _ones(graph: Graph, value: int) -> torch.Tensor:
    tensor = graph.tensors[value]
    return torch.ones(tensor.shape, dtype=getattr(torch, tensor.dtype))


def _call(step: Step, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    if isinstance(step.function, str):
        getattr(args[0], step.function)(*args[1:], **kwargs)
    else:
        step.function(*args, **kwargs)
