"""Microbenchmarks of contractions: convolutions, products, attention."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from math import prod

import torch
from torch.nn import functional

from fuseline.runtime.calibrate_micro import SIDES, Micro

_CHANNELS = (20, 32, 48, 80, 100, 112, 144, 176, 224, 304, 352, 416, 608)
_WIDE_CHANNELS = (*_CHANNELS, 900, 1440, 1900)
_MOST_NBYTES = 12_000_000  # of one operand
_FLOPS = (4e5, 9e8)  # of one contraction: least, most


def _convolution(stride: int, padding: int, groups: int) -> Callable[..., torch.Tensor]:
    def run(x: torch.Tensor, weight: torch.Tensor, *bias: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(
            x, weight, bias[0] if bias else None, stride=stride, padding=padding, groups=groups
        )

    return run


def _image(
    channels: int, made: int, side: int, taps: int, *, stride: int = 1, groups: int = 1,
    biased: bool = False,
) -> Micro | None:  # fmt: skip
    """A convolution, or None where it is out of bounds."""
    rows = -(-side // stride)
    weight = (made, channels // groups, taps, taps)
    flops = 2 * prod(weight) * rows * rows
    nbytes = 4 * max(channels * side * side, made * rows * rows, prod(weight))
    if not _FLOPS[0] <= flops <= _FLOPS[1] or nbytes > _MOST_NBYTES or side < taps:
        return None
    held = (weight, (made,)) if biased else (weight,)
    run = _convolution(stride, taps // 2, groups)
    return Micro(run, ((1, channels, side, side),), held)


def _several(count: int, make: Callable[[], Micro | None]) -> Iterator[Micro]:
    """So many that are within bounds."""
    while count:
        if (micro := make()) is not None:
            yield micro
            count -= 1


def convolutions(draw: random.Random) -> Iterator[Micro]:
    """Dense, pointwise, on one pixel, depthwise, grouped, of few channels."""

    def dense() -> Micro | None:
        made, side, taps = draw.choice(_CHANNELS), draw.choice(SIDES), draw.choice((3, 3, 3, 5))
        stride, biased = draw.choice((1, 1, 2)), draw.random() < 0.3  # noqa: PLR2004
        return _image(draw.choice(_CHANNELS), made, side, taps, stride=stride, biased=biased)

    def pointwise() -> Micro | None:
        made, side = draw.choice(_WIDE_CHANNELS), draw.choice(SIDES)
        biased, stride = draw.random() < 0.3, draw.choice((1, 1, 1, 2))  # noqa: PLR2004
        return _image(draw.choice(_WIDE_CHANNELS), made, side, 1, stride=stride, biased=biased)

    def one_pixel() -> Micro | None:
        return Micro(_convolution(1, 0, 1), ((1, (c := draw.choice(_CHANNELS)), 1, 1),),
                     (((m := draw.choice((8, 24, *_CHANNELS))), c, 1, 1), (m,)))  # fmt: skip

    def depthwise() -> Micro | None:
        channels, taps, stride = (
            draw.choice(_CHANNELS),
            draw.choice((3, 3, 5, 7)),
            draw.choice((1, 1, 2)),
        )
        return _image(channels, channels, draw.choice(SIDES), taps, stride=stride, groups=channels)

    def grouped() -> Micro | None:
        width, groups = draw.choice((4, 8, 16, 24, 40)), draw.choice((3, 6, 12, 28))
        channels, stride = width * groups, draw.choice((1, 1, 2))
        return _image(channels, channels, draw.choice(SIDES), 3, stride=stride, groups=groups)

    def thin() -> Micro | None:
        made, side, taps = (
            draw.choice((20, 28, 40, 72, 100)),
            draw.choice((60, 110, 150, 210)),
            draw.choice((3, 4, 5, 7, 11)),
        )
        return _image(draw.choice((1, 3, 3, 4)), made, side, taps, stride=draw.choice((1, 2, 2, 4)))

    for count, make in (
        (28, dense),
        (28, pointwise),
        (10, one_pixel),
        (24, depthwise),
        (18, grouped),
        (12, thin),
    ):
        yield from _several(count, make)


def _linear(x: torch.Tensor, weight: torch.Tensor, *bias: torch.Tensor) -> torch.Tensor:
    return functional.linear(x, weight, *bias)


def _addmm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return torch.addmm(bias, x, weight)


def matrices(draw: random.Random) -> Iterator[Micro]:
    """Rows times a matrix, batches of products, attention."""
    widths = (60, 100, 200, 360, 500, 900, 1400, 2200, 2900)

    def linear() -> Micro | None:
        rows = draw.choice((1, 1, 6, 20, 45, 70, 120, 180, 260, 520, 1100, 2800))
        depth, made = draw.choice(widths), draw.choice(widths)
        if (
            not _FLOPS[0] / 4 <= 2 * rows * depth * made <= 2 * _FLOPS[1]
            or rows * max(made, depth) > _MOST_NBYTES / 4
        ):
            return None
        match draw.randrange(4):
            case 0:
                return Micro(_addmm, ((rows, depth),), ((depth, made), (made,)))
            case 1:
                return Micro(_linear, ((rows, depth),), ((made, depth),))
            case _:
                return Micro(_linear, ((rows, depth),), ((made, depth), (made,)))

    def matmul() -> Micro | None:
        batch, sizes = draw.choice((4, 10, 30, 90, 200)), (18, 30, 45, 60, 100, 200, 300)
        rows, depth, made = draw.choice(sizes), draw.choice(sizes), draw.choice(sizes)
        if (
            batch * rows * depth * made > _FLOPS[1] / 4
            or batch * max(rows * depth, depth * made, rows * made) > _MOST_NBYTES / 6
        ):
            return None
        if draw.random() < 0.5:  # noqa: PLR2004 - every other one, as the scores of attention
            return Micro(
                _matmul_transposed, ((2, batch // 2, rows, depth), (2, batch // 2, made, depth))
            )
        return Micro(torch.matmul, ((2, batch // 2, rows, depth), (2, batch // 2, depth, made)))

    def attention() -> Micro | None:
        heads, rows, depth = (
            draw.choice((3, 5, 10, 14)),
            draw.choice((30, 70, 110, 180, 250, 400)),
            draw.choice((32, 48, 64, 80)),
        )
        masked = draw.random() < 0.3  # noqa: PLR2004
        return Micro(_causal if masked else functional.scaled_dot_product_attention,
                     ((1, heads, rows, depth),) * 3)  # fmt: skip

    for count, make in ((36, linear), (20, matmul), (16, attention)):
        yield from _several(count, make)


def _matmul_transposed(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x @ y.transpose(-1, -2)


def _causal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return functional.scaled_dot_product_attention(q, k, v, is_causal=True)
