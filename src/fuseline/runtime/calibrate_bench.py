"""The microbenchmarks of calibration: single ops of made-up shapes, no model's.

Shapes are drawn once, with a fixed seed, from sizes that spread over what networks do. Which class
of kernels an op is in, and what it works and moves, is read from the graph that is captured of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from math import prod

import torch
from torch import nn

from fuseline.runtime.calibrate_contractions import convolutions, matrices
from fuseline.runtime.calibrate_elementwise import elementwise, movement, norms, pools
from fuseline.runtime.calibrate_micro import Micro, Shape

_FAMILIES: tuple[Callable[[random.Random], Iterator[Micro]], ...] = (
    convolutions,
    matrices,
    elementwise,
    norms,
    pools,
    movement,
)


class Bench(nn.Module):
    """Runs every microbenchmark once, each on inputs and parameters of its own."""

    def __init__(self, micros: tuple[Micro, ...], dtype: torch.dtype) -> None:
        super().__init__()
        self.micros = micros
        generator = torch.Generator().manual_seed(0)
        self.held = nn.ParameterList(
            nn.Parameter(_random(shape, dtype, generator), requires_grad=False)
            for micro in micros
            for shape in micro.held
        )
        self.examples = tuple(
            torch.randint(micro.indices_below, shape, generator=generator)
            if micro.indices_below and place == 0
            else _random(shape, dtype, generator)
            for micro in micros
            for place, shape in enumerate(micro.inputs)
        )

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The results, all of them: what nothing takes would not count as written."""
        given, held = iter(inputs), iter(self.held)
        return tuple(
            micro.function(*[next(given) for _ in micro.inputs], *[next(held) for _ in micro.held])
            for micro in self.micros
        )


def _random(shape: Shape, dtype: torch.dtype, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(shape, generator=generator).add_(0.1).to(dtype)


def micros() -> tuple[Micro, ...]:
    """All of them, small with small and like after like: as in a network, whose layers change size
    step by step and repeat a few kernels.
    """
    draw = random.Random(0)  # noqa: S311 - shapes, no secrets
    found = [micro for family in _FAMILIES for micro in family(draw)]
    first = {micro.function: place for place, micro in reversed([*enumerate(found)])}
    return tuple(sorted(found, key=lambda micro: (_magnitude(micro), first[micro.function])))


def _magnitude(micro: Micro) -> int:
    """Sizes in steps of sixteen."""
    return sum(map(prod, (*micro.inputs, *micro.held))).bit_length() // 4
