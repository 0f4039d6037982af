"""What a microbenchmark of calibration is, and the sizes they are drawn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

Shape = tuple[int, ...]

SIDES = (5, 9, 13, 18, 27, 36, 52, 76, 108)
"""Sides of images."""


@dataclass(frozen=True, slots=True)
class Micro:
    """One op: `function` of tensors of these shapes, those of `held` being parameters."""

    function: Callable[..., torch.Tensor]
    inputs: tuple[Shape, ...]
    held: tuple[Shape, ...] = ()
    indices_below: int = 0
    """Where not 0 the first input holds whole numbers below it."""
