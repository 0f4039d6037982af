"""What capture does with arguments and factories that are easy to get wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.fx
from torch import Tensor, nn

import fuseline
from fuseline import InputError, partition
from fuseline.costs import group_traffic
from fuseline.fusion import find_violations
from fuseline.graph import Builder, Graph, Kind, Role

capture = partial(fuseline.capture, via="module")


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


class Calls(nn.Module):
    """A module whose forward is a function."""

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor, y: Tensor, z: Tensor) -> object:
        return self.function(x, y, z)


def _captured(
    function: Callable[..., object], *shapes: tuple[int, ...], dtype: torch.dtype = torch.float32
) -> Graph:
    tensors = [torch.empty(shape) for shape in shapes]
    tensors += [torch.zeros(5, dtype=torch.long)] * (3 - len(tensors))
    return capture(Calls(function), tuple(t.to(dtype) if t.is_floating_point() else t
                                          for t in tensors))  # fmt: skip


@pytest.mark.parametrize(
    ("function", "shapes", "flops"),
    [
        (lambda x, y, z: torch.matmul(other=y, input=x), ((3, 4), (4, 5)), 2 * 3 * 4 * 5),
        (lambda x, y, z: torch.mm(mat2=y, input=x), ((3, 4), (4, 5)), 2 * 3 * 4 * 5),
        (lambda x, y, z: torch.addmm(x, mat2=z, mat1=y), ((3, 5), (3, 4), (4, 5)), 2 * 3 * 4 * 5),
        # 2*6*9*9 inputs, 8 outputs a channel, 3 x 3 taps
        (
            lambda x, y, z: nn.functional.conv_transpose2d(weight=y, input=x),
            ((2, 6, 9, 9), (6, 8, 3, 3)),
            2 * 2 * 6 * 81 * 8 * 9,
        ),
        # keys and values of two batches: 2*4*5 queries x 7 keys x (8 + 8)
        (
            lambda x, y, z: nn.functional.scaled_dot_product_attention(x, y, y),
            ((1, 4, 5, 8), (2, 4, 7, 8)),
            2 * 2 * 4 * 5 * 7 * 16,
        ),
    ],
)
def test_flops_do_not_depend_on_how_arguments_are_passed(
    function: Callable[..., object], shapes: tuple[tuple[int, ...], ...], flops: int
) -> None:
    assert _captured(function, *shapes).flops == flops


@pytest.mark.parametrize(
    ("function", "nbytes"),
    [
        # rows of 64 floats: reads two, writes one
        (lambda x, y, z: x[0].mul_(x[1]), 3 * 256),
        (lambda x, y, z: x[0].copy_(x[1]), 2 * 256),
        # out= is written, not read
        (lambda x, y, z: torch.add(x, y, out=torch.empty(2, 64)), 3 * 512),
        # a change of shape in place moves nothing
        (lambda x, y, z: x.t_() + 1, 2 * 512),
    ],
)
def test_bytes_of_writes_in_place(function: Callable[..., object], nbytes: int) -> None:
    graph = _captured(function, (2, 64), (2, 64))
    assert sum(group_traffic(graph, (op.id,)).nbytes for op in graph.ops) == nbytes


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y, z: torch.embedding(x, z),
        lambda x, y, z: nn.functional.embedding(z, x),
        lambda x, y, z: x[z],
        lambda x, y, z: torch.index_select(index=z, dim=0, input=x),
    ],
)
def test_a_lookup_reads_the_rows_it_selects(function: Callable[..., object]) -> None:
    graph = _captured(function, (100, 8), (1,))
    # 5 indices of 8 bytes, 5 rows of 32 bytes read and written
    assert group_traffic(graph, (0,)).nbytes == 5 * (8 + 32 + 32)


def test_the_larger_of_two_tensors_is_elementwise() -> None:
    graph = _captured(lambda x, y, z: torch.max(x, y), (1,), (4, 6))
    assert (graph.ops[0].kind, graph.other_flops) == (Kind.ELEMENTWISE_BINARY, 24)


def test_functional_batch_norm_in_training_updates_its_statistics() -> None:
    def normalise(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        del z
        return nn.functional.batch_norm(x, y[0], y[1], training=True)

    graph = _captured(normalise, (8, 4), (2, 4))
    norm = next(op for op in graph.ops if op.kind is Kind.BATCHNORM)
    # reads and writes x, and the mean and variance of 4 floats each
    assert group_traffic(graph, (norm.id,)).nbytes == 2 * 8 * 4 * 4 + 2 * 2 * 16


class Trains(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())

    def forward(self, x: Tensor) -> object:
        return self.net(x)


def test_train_mode_is_said_and_batch_statistics_are_no_epilogue() -> None:
    model = Trains()
    for mode, rules in (("train", ["batch statistics"]), ("eval", [])):
        graph = capture(model.train(mode == "train"), torch.empty(1, 3, 8, 8))
        assert graph.source.mode == mode
        found = find_violations(graph, partition(graph))
        assert [violation.rule for violation in found] == rules


def mystery(x: Tensor) -> Tensor:
    return torch.linalg.solve(x, x)


torch.fx.wrap("mystery")


class Mysterious(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return mystery(x).relu()


def test_an_unknown_op_never_fuses() -> None:
    graph = capture(Mysterious(), torch.empty(4, 4))
    assert [op.target for op in graph.unknown_ops] == ["mystery"]
    build = Builder()
    x = build.tensor("x", (4,), role=Role.INPUT)
    y = build.op("add", Kind.UNKNOWN, inputs=[x], shape=(4,), target="add")
    graph = build.finish([build.op("relu", Kind.RELU, inputs=[y], shape=(4,), target="ReLU")])
    plan = partition(graph)
    assert len(plan.groups) == 2
    assert plan.refusals[0].reason == "add is unknown, and an unknown op never fuses"


def test_the_wrong_sort_of_model_or_shapes_is_one_line() -> None:
    with pytest.raises(InputError, match="neither a name nor a model"):
        capture(3)  # type: ignore[arg-type]  # what a user may well do
    with pytest.raises(InputError, match="input_shapes is a tuple of shapes"):
        capture(Optional(), input_shapes=(2, 3))  # type: ignore[arg-type]


class Variadic(nn.Module):
    def forward(self, *xs: Tensor) -> Tensor:
        return xs[0] + xs[1]


def test_variadic_arguments_are_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=r"takes any number of arguments \('xs'\)"):
        capture(Variadic(), (torch.empty(2), torch.empty(2)))


def test_a_model_that_is_one_module_is_one_op() -> None:
    graph = capture(nn.MultiheadAttention(8, 2).eval(), (torch.empty(5, 3, 8),) * 3)
    assert [op.kind for op in graph.ops] == [Kind.MULTIHEAD_ATTENTION]
    # 15 tokens: four projections of 8 x 8, scores and values of 15 x 5 x 8 each; x 2
    assert graph.flops == 2 * (4 * 15 * 64 + 2 * 15 * 5 * 8)
    assert [op.target for op in capture(nn.ReLU(), torch.empty(4)).ops] == ["ReLU"]


class Views(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.second.weight.data = self.first.weight.data

    def forward(self, x: Tensor) -> object:
        return self.second(self.first(x))


def test_weights_that_share_a_storage_are_one_storage() -> None:
    graph = capture(Views().eval(), torch.empty(2, 4))
    assert graph.parameter_bytes == 4 * 4 * 4
    assert graph.compulsory_bytes == 4 * 4 * 4 + 2 * (2 * 4 * 4)


class Stuck(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x + torch.tensor([1.0, 2.0])
        return y if y.sum() > 0 else x


def test_a_model_that_cannot_be_traced_keeps_no_trace_either() -> None:
    model = Stuck()
    before = set(vars(model))
    with pytest.raises(InputError, match="cannot be traced"):
        capture(model, torch.empty(2))
    assert set(vars(model)) == before
