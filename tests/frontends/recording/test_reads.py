"""What recorded ops read and write, where a kind or a name says too little."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from fuseline import InputError, capture, partition
from fuseline.costs import group_traffic
from fuseline.fusion import neighbours
from fuseline.graph import Graph, Kind, Op, Status

X = torch.randn(4, 8)


class F(nn.Module):
    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Tensor) -> object:
        return self.function(*args)


def recorded(function: Callable[..., object], *inputs: Tensor) -> Graph:
    return capture(F(function).eval(), inputs)


def named(graph: Graph, name: str) -> Op:
    return next(op for op in graph.ops if op.target == name)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.index_fill(x, 0, torch.tensor([0]), 1.0).relu(),
        lambda x: torch.zeros(4, 8).fill_(x.mean()).relu(),
        lambda x: torch.fill(torch.zeros(4, 8), x.mean()) * 2,
        lambda x: torch.linspace(x[0, 0], x[0, 1], 1000) * 2,
        lambda x: torch.bernoulli(x.sigmoid()) + 1,
        lambda x: torch.multinomial(x.abs(), 2) + 1,
    ],
)
def test_what_fills_or_draws_by_an_input_reads_it(function: Callable[..., object]) -> None:
    graph = recorded(function, X)
    last = graph.ops[-1]
    reached, pending = set(), [last.id]
    while pending:
        op = pending.pop()
        reached.add(op)
        pending += [n for n in graph.dependences[op] if n not in reached]
    touched = {t for op in reached for t in graph.ops[op].inputs}
    inputs = {s.id for s in graph.storages if s.role.value == "input"}
    assert {graph.tensors[t].storage for t in touched} & inputs


def test_a_shape_is_no_read() -> None:
    graph = recorded(lambda x: (torch.zeros_like(x) + 1, x.new_full((3,), 2.0), x * 2), X)
    assert [op.target for op in graph.ops] == ["mul"]
    assert graph.compulsory_bytes == 128 + 128


def test_a_number_in_the_program_is_no_memory() -> None:
    def assign(x: Tensor) -> Tensor:
        y = torch.zeros(4, 8)
        y[1] = 3.0
        return x + y

    graph = recorded(assign, X)
    assert graph.parameter_bytes == 0
    assert capture(F(assign).eval(), (X,), via="export").parameter_bytes == 0


def test_a_diagonal_is_filled_and_the_rest_stays() -> None:
    graph = recorded(lambda x: (x * 2).fill_diagonal_(0.0).relu(), torch.randn(512, 512))
    first, fill = named(graph, "mul"), named(graph, "fill_diagonal_")
    assert group_traffic(graph, (first.id,)).writes == 512 * 512 * 4
    assert group_traffic(graph, (fill.id,)).nbytes == 512 * 4


def test_an_index_fills_its_rows() -> None:
    index = torch.tensor([0, 2])
    graph = recorded(lambda x, i: (x * 2).index_fill_(0, i, 1.0) + 1, X, index)
    fill = group_traffic(graph, (named(graph, "index_fill_").id,))
    assert (fill.reads, fill.writes) == (2 * 8, 2 * 8 * 4)


def test_a_random_leaky_relu_is_no_random_number() -> None:
    graph = recorded(lambda x: nn.functional.rrelu(x * 2), X)
    (op,) = (op for op in graph.ops if op.kind is Kind.LEAKY_RELU)
    assert (op.work.status, op.work.other_flops) == (Status.COUNTED, 2 * 32)


def test_scatters_write_as_many_elements_as_they_have_indices() -> None:
    def scatter(x: Tensor, index: Tensor, source: Tensor) -> Tensor:
        return (x * 2).scatter_(0, index, source).relu()

    index = torch.zeros(1, 2, dtype=torch.int64)
    graph = recorded(scatter, torch.randn(1000, 8), index, torch.randn(900, 8))
    assert group_traffic(graph, (named(graph, "scatter_").id,)).writes == 8


def test_a_scatter_that_reduces_reads_and_computes() -> None:
    index = torch.zeros(1, 2, dtype=torch.int64)
    graph = recorded(
        lambda x, i, s: (x * 2).scatter_(0, i, s, reduce="add"), X, index, torch.randn(1, 2)
    )
    scatter = named(graph, "scatter_")
    assert scatter.kind is Kind.SCATTER_REDUCE
    # 2 indices of 8 bytes, 2 elements given, 2 read and 2 written
    assert group_traffic(graph, (scatter.id,)).reads == 16 + 8 + 8


# --- values that are known, and those that are not -------------------------------------------


def test_a_constant_that_an_input_overwrites_has_no_values() -> None:
    def repeats(x: Tensor) -> Tensor:
        count = torch.zeros(3, dtype=torch.int64)
        count[0] = (x > -100).sum()
        return torch.cat([x] * (1 + count.tolist()[0]))

    graph = recorded(repeats, X)
    assert "small real tensors" in graph.source.notes[-1]
    # 32 elements are above -100: 33 copies of 128 bytes are written
    assert graph.compulsory_bytes == 128 + 33 * 128


def test_numpy_of_a_constant_is_its_value() -> None:
    graph = recorded(lambda x: x * float(torch.arange(4).numpy().sum()), X)
    assert graph.source.notes == ()


def test_neither_inputs_nor_buffers_are_changed_by_a_capture() -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("n", torch.zeros(1))

        def forward(self, x: Tensor, i: Tensor) -> Tensor:
            self.n += 1
            i.add_(1)
            x.mul_(2)
            return x[x[:, 0] > 0]  # only a run knows how many

    model, x, i = Counts().eval(), torch.ones(4, 8), torch.arange(4)
    graph = capture(model, (x, i))
    assert "small real tensors" in graph.source.notes[-1]
    assert model.n.tolist() == [0.0]
    assert (x == 1).all()
    assert i.tolist() == [0, 1, 2, 3]
    recorded(lambda x, i: i.add_(1), x, i)
    assert i.tolist() == [0, 1, 2, 3]


def test_buffers_that_share_a_storage_still_do() -> None:
    class Aliased(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("a", torch.ones(8))
            self.register_buffer("b", self.a.view(2, 4))

        def forward(self, x: Tensor) -> Tensor:
            self.a.add_(x.sum(0))
            return self.b * 2

    graph = capture(Aliased().eval(), X)
    assert graph.parameter_bytes == 32
    assert not [op for op in graph.folded if op.is_compute]


def test_an_object_that_gets_other_data_is_another_value() -> None:
    class Rewrites(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.randn(8, 8))

        def forward(self, x: Tensor) -> Tensor:
            self.w.data = self.w.data * x.mean()
            return nn.functional.linear(x, self.w)

    graph = capture(Rewrites().eval(), X)
    assert group_traffic(graph, (named(graph, "mul").id,)).writes == 256
    assert named(graph, "mul").id in graph.dependences[named(graph, "linear").id]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda y: SimpleNamespace(y=y),
        lambda y: {y},
        lambda y: {"a": y}.values(),
        lambda y: [SimpleNamespace(layers=[SimpleNamespace(keys=y)])],
    ],
)
def test_results_inside_objects_are_outputs(wrap: Callable[[Tensor], object]) -> None:
    graph = recorded(lambda x: wrap(x + 1), X)
    assert graph.compulsory_bytes == 128 + 128


def test_who_writes_through_another_view_is_a_neighbour() -> None:
    def partly(x: Tensor) -> Tensor:
        c = torch.zeros(4, 8)
        c[1:2].copy_((x * 3)[:1])
        return nn.functional.gelu(c)

    graph = recorded(partly, X)
    pair = (named(graph, "copy_").id, named(graph, "gelu").id)
    assert pair in neighbours(graph)
    home = {op: g.id for g in partition(graph).groups for op in g.ops}
    refused = {(r.producer, r.consumer) for r in partition(graph).refusals}
    assert home[pair[0]] == home[pair[1]] or pair in refused


# --- counts ----------------------------------------------------------------------------------


def test_grouped_attention_broadcasts_its_batch() -> None:
    attend = nn.functional.scaled_dot_product_attention
    q, k = torch.randn(1, 4, 5, 8), torch.randn(2, 2, 6, 8)
    graph = recorded(lambda q, k: attend(q, k, k, enable_gqa=True), q, k)
    assert graph.flops == 2 * (2 * 4 * 5 * 6) * (8 + 8)
    assert graph.tensors[graph.outputs[0]].shape == (2, 4, 5, 8)


def test_a_convolution_over_time_first() -> None:
    x, w = torch.randn(5, 3, 8), torch.randn(3, 8, 4)
    graph = recorded(lambda x, w: torch.conv_tbc(x, w, torch.zeros(4)), x, w)
    assert graph.flops == 2 * (3 * 3 * 4) * (3 * 8)  # 3 places, 3 sequences, 4 of 3 x 8 taps


def test_a_bag_adds_the_rows_it_selects() -> None:
    graph = capture(nn.EmbeddingBag(1000, 16).eval(), torch.zeros(2, 5, dtype=torch.int64))
    assert graph.other_flops == 10 * 16


@pytest.mark.parametrize("function", [torch.unique, lambda x: x.median(), torch.msort])
def test_what_orders_everything_orders_a_row_of_everything(
    function: Callable[[Tensor], object],
) -> None:
    graph = recorded(function, torch.randn(100, 1))
    assert graph.other_flops == 100 * 7


def test_places_where_a_condition_holds_are_one_test_each() -> None:
    graph = recorded(lambda x: torch.where(x > 0), X)
    assert [op.kind for op in graph.ops if op.is_compute] == [Kind.COMPARE, Kind.SELECT_IF]


def test_packed_sequences_are_copies_around_one_recurrent_op() -> None:
    def packs(x: Tensor) -> object:
        packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([5, 3]), batch_first=True)
        return packed.data * 2

    graph = recorded(packs, torch.randn(2, 5, 8))
    assert graph.unknown_ops == ()
    assert graph.tensors[graph.outputs[0]].shape == (8, 8)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_torchscript_is_refused_in_one_line() -> None:
    net = nn.Sequential(torch.jit.script(nn.Linear(8, 8)))
    with pytest.raises(InputError, match="'0' is TorchScript, whose ops are hidden"):
        capture(net, X)
