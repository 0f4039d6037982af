from __future__ import annotations

import builtins
import math
import operator

import pytest
import torch
from torch import nn

from fuseline.frontends.kinds import (
    FUNCTIONS,
    MODULES,
    WRITE_ONLY,
    kind_of_function,
    kind_of_module,
    refine_convolution,
)
from fuseline.graph import Kind


@pytest.mark.parametrize("name", MODULES)
def test_every_module_name_is_a_class_of_torch(name: str) -> None:
    assert isinstance(getattr(nn, name, None) or getattr(nn.modules.linear, name), type)


def test_every_function_name_exists_somewhere() -> None:
    places = (torch, torch.Tensor, nn.functional, torch.linalg, operator, builtins, math)
    strangers = {
        name
        for name in FUNCTIONS
        if not any(hasattr(p, n) for p in places for n in (name, f"{name}_"))
    }
    assert strangers <= {
        # torchvision's
        *("stochastic_depth", "shifted_window_attention", "_patch_merging_pad"),
        "_get_relative_position_bias",
        # the reflected operators of tensors, `1 + x`
        *("radd", "rsub"),
        "_assert_is_none",
        "linalg_vector_norm",  # the name that torch.linalg.vector_norm gives itself
    }


def test_every_write_only_method_exists() -> None:
    assert all(hasattr(torch.Tensor, name) for name in WRITE_ONLY)


@pytest.mark.parametrize(
    ("qualified", "name", "kind"),
    [
        ("torch.nn.modules.conv", "Conv2d", Kind.CONV2D),
        ("torchvision.ops.stochastic_depth", "StochasticDepth", Kind.STOCHASTIC_DEPTH),
        ("torch.nn.modules.linear", "Nonsense", Kind.UNKNOWN),
        ("mine", "Conv2d", Kind.UNKNOWN),
        ("torchmine", "Conv2d", Kind.UNKNOWN),
    ],
)
def test_module_classes(qualified: str, name: str, kind: Kind) -> None:
    assert kind_of_module(qualified, name) is kind


@pytest.mark.parametrize(
    ("qualified", "name", "kind"),
    [
        ("_operator", "add", Kind.ADD),
        ("_operator", "iadd", Kind.ADD),
        ("_operator", "imatmul", Kind.MATMUL),
        ("_operator", "itruediv", Kind.DIV),
        ("torch", "relu_", Kind.RELU),
        ("torch.nn.functional", "gelu", Kind.GELU),
        ("torch", "iadd", Kind.UNKNOWN),  # `i` means in place to Python's operators only
        ("torch", "erfinv", Kind.UNKNOWN),
        ("mine", "relu", Kind.UNKNOWN),
    ],
)
def test_functions(qualified: str, name: str, kind: Kind) -> None:
    assert kind_of_function(qualified, name) is kind


@pytest.mark.parametrize(
    ("kind", "weight", "source", "refined"),
    [
        (Kind.CONV2D, (32, 1, 3, 3), (2, 32, 9, 9), Kind.CONV2D_DEPTHWISE),
        (Kind.CONV2D, (64, 1, 3, 3), (2, 32, 9, 9), Kind.CONV2D_DEPTHWISE),  # two outputs a channel
        (Kind.CONV2D, (8, 1, 3, 3), (2, 1, 9, 9), Kind.CONV2D),  # one channel is no depthwise
        (Kind.CONV2D, (8, 4, 1, 1), (2, 4, 9, 9), Kind.CONV2D_POINTWISE),
        (Kind.CONV2D, (8, 2, 1, 1), (2, 4, 9, 9), Kind.CONV2D),  # grouped
        (Kind.CONV2D, (8, 4, 3, 3), (2, 4, 9, 9), Kind.CONV2D),
        (Kind.CONV1D, (4, 1, 3), (2, 4, 9), Kind.CONV1D_DEPTHWISE),
        (Kind.CONV3D, (4, 1, 3, 3, 3), (2, 4, 9, 9, 9), Kind.CONV3D_DEPTHWISE),
        (Kind.LINEAR, (4, 1), (2, 1), Kind.LINEAR),
        (Kind.CONV2D, (8, 1, 3, 3), (1, 9, 9), Kind.CONV2D),  # no batch: one channel of 9 x 9
        (Kind.CONV2D, (8, 1, 3, 3), (8, 9, 9), Kind.CONV2D_DEPTHWISE),
    ],
)
def test_convolutions_are_refined(
    kind: Kind, weight: tuple[int, ...], source: tuple[int, ...], refined: Kind
) -> None:
    assert refine_convolution(kind, weight, source) is refined
