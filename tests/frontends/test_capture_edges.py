"""What capture does with arguments and factories that are easy to get wrong."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fuseline import InputError, capture
from fuseline.costs import group_traffic
from fuseline.graph import Kind


class Optional(nn.Module):
    def forward(self, x: Tensor, mask: Tensor | None = None, scale: float = 2.0) -> Tensor:
        x = x * scale
        return x if mask is None else x * mask


def test_an_argument_left_at_its_default_adds_no_operator() -> None:
    graph = capture(Optional(), torch.empty(4))
    assert [op.target for op in graph.ops] == ["mul"]
    graph = capture(Optional(), {"x": torch.empty(4), "mask": torch.empty(4)})
    assert [op.target for op in graph.ops] == ["mul", "mul"]


class Nested(nn.Module):
    def forward(self, pair: list[Tensor]) -> Tensor:
        return pair[0] + pair[1]


def test_a_nested_argument_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="takes a list as 'pair': at module level"):
        capture(Nested(), ([torch.empty(2), torch.empty(2)],))


class Shaped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x) + x.new_ones(4)


def test_factories_read_only_the_shape_of_their_argument() -> None:
    graph = capture(Shaped(), torch.empty(3, 4))
    fills = [op for op in graph.ops if op.kind is Kind.FILL]
    # zeros_like writes 3*4 floats, new_ones 4; neither reads x
    assert [group_traffic(graph, (op.id,)).nbytes for op in fills] == [48, 16]


class Allocated(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        out = torch.empty_like(x)
        out.copy_(x)
        return out


def test_an_allocation_moves_nothing_and_a_copy_reads_only_its_source() -> None:
    graph = capture(Allocated(), torch.empty(8))
    assert [group_traffic(graph, (op.id,)).nbytes for op in graph.ops] == [0, 64]
    assert [op.is_compute for op in graph.ops] == [False, True]


class Constant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = torch.arange(4)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table + torch.tensor(1)


def test_the_model_keeps_no_trace_of_being_traced() -> None:
    model = Constant()
    before = set(vars(model))
    first, second = (capture(model, torch.empty(4)) for _ in range(2))
    assert set(vars(model)) == before
    assert first == second
