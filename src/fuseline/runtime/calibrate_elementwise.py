"""Microbenchmarks of all that contracts nothing: elementwise work, norms, pooling, movement."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn import functional

from fuseline.runtime.calibrate_micro import SIDES, Micro

_ELEMENTS = (3_000, 12_000, 40_000, 110_000, 250_000, 520_000, 900_000, 1_700_000)


def _times_two(x: torch.Tensor) -> torch.Tensor:
    return x * 2


def _in_place(function: Callable[..., Any]) -> Callable[[torch.Tensor], torch.Tensor]:
    def run(x: torch.Tensor) -> torch.Tensor:
        return function(x, inplace=True)

    return run


def _power(x: torch.Tensor) -> torch.Tensor:
    return torch.pow(x, 3.0)


_UNARY: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
    functional.relu,
    _in_place(functional.relu),
    _in_place(functional.hardtanh),
    _in_place(functional.hardswish),
    functional.hardswish,
    functional.hardsigmoid,
    functional.gelu,
    torch.sigmoid,
    functional.silu,
    _in_place(functional.silu),
    torch.tanh,
    _power,
    _times_two,
)


def _add_in_place(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x.add_(y)


def elementwise(draw: random.Random) -> Iterator[Micro]:
    """Functions of one tensor, sums and products of two, of the same shape or broadcast."""
    del draw
    for numel in _ELEMENTS:
        shape = (1, numel // 100, 10, 10)
        for function in _UNARY:
            yield Micro(function, (shape,))
        for function in (torch.add, torch.mul, _add_in_place):
            yield Micro(function, (shape, shape))
        yield Micro(torch.mul, (shape, (1, numel // 100, 1, 1)))  # a gate a channel
        yield Micro(torch.add, ((numel // 500, 500), (500,)))


def _batchnorm(x: torch.Tensor, *held: torch.Tensor) -> torch.Tensor:
    mean, variance, weight, bias = held
    return functional.batch_norm(x, mean, variance, weight, bias)


def _layernorm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return functional.layer_norm(x, weight.shape, weight, bias)


def _softmax(x: torch.Tensor) -> torch.Tensor:
    return functional.softmax(x, dim=-1)


def norms(draw: random.Random) -> Iterator[Micro]:
    """Batch norm, layer norm and softmax, of short and long rows."""
    for numel in _ELEMENTS:
        for _ in range(3):
            side = draw.choice(SIDES)
            channels = max(8, numel // side**2)
            yield Micro(_batchnorm, ((1, channels, side, side),), ((channels,),) * 4)
        for width in (90, 360, 1000):
            yield Micro(_layernorm, ((max(1, numel // width), width),), ((width,), (width,)))
        for width in (35, 60, 180):
            yield Micro(_softmax, ((max(1, numel // width), width),))


def _maxpool(x: torch.Tensor) -> torch.Tensor:
    return functional.max_pool2d(x, 3, 2, 1)


def _maxpool_small(x: torch.Tensor) -> torch.Tensor:
    return functional.max_pool2d(x, 2)


def _avgpool(x: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool2d(x, 2)


def _avgpool_wide(x: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool2d(x, 3, 1, 1)


def _global_pool(x: torch.Tensor) -> torch.Tensor:
    return functional.adaptive_avg_pool2d(x, 1)


def _mean(x: torch.Tensor) -> torch.Tensor:
    return x.mean((2, 3))


def _mean_last(x: torch.Tensor) -> torch.Tensor:
    return x.mean(-1)


def pools(draw: random.Random) -> Iterator[Micro]:
    """Windows and means."""
    for numel in _ELEMENTS[:-1]:
        side = draw.choice(SIDES[2:])
        shape = (1, max(8, numel // side**2), side, side)
        for function in (_maxpool, _maxpool_small, _avgpool, _avgpool_wide):
            yield Micro(function, (shape,))
        for function in (_global_pool, _mean, _mean_last):
            small = draw.choice(SIDES[:6])
            yield Micro(function, ((1, max(8, numel // small**2), small, small),))


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 2, 3, 1).contiguous()


def _heads_first(x: torch.Tensor) -> torch.Tensor:
    return x.transpose(1, 2).contiguous()


def _pad(x: torch.Tensor) -> torch.Tensor:
    return functional.pad(x, (0, 1, 0, 1))


def _roll(x: torch.Tensor) -> torch.Tensor:
    return torch.roll(x, (2, 2), (1, 2))


def _join(*parts: torch.Tensor) -> torch.Tensor:
    return torch.cat(parts, 1)


def _rows(index: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    return functional.embedding(index, table)


def movement(draw: random.Random) -> Iterator[Micro]:
    """Copies in another order, padded, rolled, joined, gathered."""
    for numel in _ELEMENTS:
        side = draw.choice(SIDES[:7])
        image = (1, max(8, numel // side**2), side, side)
        yield Micro(_channels_last, (image,))
        yield Micro(_heads_first, ((1, max(4, numel // 480), 12, 40),))
        yield Micro(_heads_first, ((1, 3, max(1, numel // 1500), 500),))
        yield Micro(_pad, (image,))
        yield Micro(_roll, ((1, side, side, max(8, numel // side**2)),))
        yield Micro(_join, (image, image))
        yield Micro(_join, (image, (1, 24, side, side), (1, 24, side, side)))
    for rows in (4, 30, 120, 400, 900):
        for width in (90, 700):
            yield Micro(_rows, ((1, rows),), ((4000, width),), indices_below=4000)
