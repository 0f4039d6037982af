"""Module-level capture of small hand-made models."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own habit

import fuseline
from fuseline import InputError, partition
from fuseline.graph import Graph, Kind, OpClass, Origin, Role, Status
from fuseline.graph.files import find_fault
from tests.flop_counter import counted_flops
from tests.strategies import ops_named
from tests.test_promises import hold

capture = partial(fuseline.capture, via="module")

Forward = Callable[..., object]


class Net(nn.Module):
    """Modules by name, and a forward given as a function of (self, *inputs)."""

    def __init__(self, forward: Callable[..., object], **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.rule = forward

    def forward(self, x: Tensor) -> object:
        return self.rule(self, x)


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor, *, scale: Tensor, twice: bool = False) -> Tensor:
        y = self.fc(x) * scale
        return y + y if twice else y


def traced(model: nn.Module, *shapes: tuple[int, ...], train: bool = False) -> Graph:
    graph = capture(model.train(train), input_shapes=shapes)
    assert find_fault(graph) is None
    hold(graph, partition(graph))
    return graph


def test_an_op_knows_where_it_came_from() -> None:
    net = Net(lambda n, x: torch.add(n.fc(x), 1).view(-1), fc=nn.Linear(4, 3))
    graph = traced(net, (2, 4))
    assert [op.origin for op in graph.ops] == [Origin.MODULE, Origin.FUNCTION, Origin.METHOD]
    assert [op.kind for op in graph.ops] == [Kind.LINEAR, Kind.ADD, Kind.RESHAPE]
    fc = ops_named(graph)["fc"]
    assert (fc.target, fc.module_path, fc.module_class) == ("Linear", "fc", "Linear")
    assert (fc.work.flops, fc.work.other_flops) == (2 * 2 * 4 * 3, 6)
    assert (graph.operators, graph.compute_ops, graph.views) == (2, 2, 1)
    assert graph.source.nodes == 5  # with the placeholder and the output


def test_a_shared_module_is_two_ops_and_one_weight() -> None:
    net = Net(lambda n, x: n.fc(n.fc(x)), fc=nn.Linear(4, 4, bias=False))
    graph = traced(net, (2, 4))
    assert graph.flops == 2 * (2 * 2 * 4 * 4)
    assert graph.parameter_bytes == 4 * 4 * 4
    # x and the output 32 bytes each, the weight once
    assert graph.compulsory_bytes == 32 + 64 + 32


def test_tied_parameters_are_one_storage() -> None:
    one, two = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    two.weight = one.weight
    graph = traced(Net(lambda n, x: n.two(n.one(x)), one=one, two=two), (2, 4))
    assert graph.parameter_bytes == 64


def test_an_in_place_relu_writes_and_is_no_view() -> None:
    parts = {"conv": nn.Conv2d(1, 1, 3, bias=False), "act": nn.ReLU(inplace=True)}
    graph = traced(Net(lambda n, x: n.act(n.conv(x)), **parts), (1, 1, 4, 4))
    conv, act = graph.ops
    assert act.op_class is OpClass.ELEMENTWISE
    assert act.writes == conv.outputs
    made, after = graph.tensors[conv.outputs[0]], graph.tensors[act.outputs[0]]
    assert made.storage == after.storage
    assert graph.flows.orders == {(0, 1)}


def test_an_in_place_method_on_an_input_is_a_mutated_input() -> None:
    graph = traced(Net(lambda _n, x: x.add_(1)), (2, 4))
    assert graph.ops[0].writes == graph.ops[0].inputs
    assert graph.compulsory_bytes == 32 + 32


def test_layout_changes_are_views_where_they_can_be() -> None:
    def forward(_net: nn.Module, x: Tensor) -> Tensor:
        return x.transpose(1, 2).contiguous().flatten(1).contiguous()

    graph = traced(Net(forward), (2, 3, 4))
    classes = [op.op_class for op in graph.ops]
    assert classes == [OpClass.VIEW, OpClass.COPY, OpClass.VIEW, OpClass.VIEW]
    assert all(op.work.status is Status.ZERO for op in graph.ops)


def test_a_chunk_is_a_view_and_its_elements_are_control() -> None:
    def forward(_net: nn.Module, x: Tensor) -> Tensor:
        left, _right = x.chunk(2, dim=1)
        return torch.relu(left)

    graph = traced(Net(forward), (2, 4))
    assert [op.op_class for op in graph.ops[:2]] == [OpClass.VIEW, OpClass.CONTROL]
    assert len(graph.ops[0].outputs) == 2
    assert graph.compulsory_bytes == 16 + 16  # half of x, and the result


def test_an_lstm_has_three_results() -> None:
    net = Net(lambda n, x: n.rnn(x)[0], rnn=nn.LSTM(3, 4, batch_first=True))
    graph = traced(net, (2, 5, 3))
    lstm = ops_named(graph)["rnn"]
    assert [graph.tensors[t].shape for t in lstm.outputs] == [(2, 5, 4), (1, 2, 4), (1, 2, 4)]
    assert lstm.work.flops == 2 * 10 * (16 * 3 + 16 * 4)
    assert len(graph.outputs) == 1


def test_several_outputs_in_a_dict() -> None:
    net = Net(lambda n, x: {"a": n.fc(x), "b": [x.sum()]}, fc=nn.Linear(4, 4))
    assert len(traced(net, (2, 4)).outputs) == 2


def test_multihead_attention_is_one_op_with_a_hidden_inside() -> None:
    net = Net(lambda n, x: n.mha(x, x, x)[0], mha=nn.MultiheadAttention(8, 2))
    graph = traced(net, (5, 3, 8))
    mha = ops_named(graph)["mha"]
    # 4 projections of 15 tokens (64 each), 2 x 15 x 5 x 8
    assert mha.work.flops == 2 * (4 * 15 * 64 + 2 * 15 * 5 * 8)
    # as in costs: scaling 120, softmax 750, biases 360 and 120
    assert mha.work.other_flops == 120 + 750 + 360 + 120
    assert mha.hidden_bytes == graph.hidden_bytes == 4 * 2 * 4 * 120
    assert len(mha.parameters) == 4


def test_a_norm_in_eval_mode_reads_its_statistics() -> None:
    graph = traced(Net(lambda n, x: n.bn(x), bn=nn.BatchNorm2d(3)), (2, 3, 4, 4))
    (norm,) = graph.ops
    assert (norm.op_class, norm.writes) == (OpClass.ELEMENTWISE, ())
    assert len(norm.parameters) == 4  # weight, bias, mean, variance; no counter
    assert norm.work.other_flops == 2 * 96
    assert graph.parameter_bytes == 4 * 12


def test_a_norm_in_train_mode_writes_its_statistics() -> None:
    net = Net(lambda n, x: n.bn(x), bn=nn.BatchNorm2d(3))
    graph = traced(net, (2, 3, 4, 4), train=True)
    (norm,) = graph.ops
    assert norm.op_class is OpClass.REDUCTION
    written = {graph.tensors[t].name for t in norm.writes}
    assert written == {"bn.running_mean", "bn.running_var", "bn.num_batches_tracked"}
    assert norm.work.other_flops == 7 * 96
    # x and the result 384 each; four vectors of 12 and an int64 read, two vectors and it written
    assert graph.compulsory_bytes == 384 + 384 + (48 + 8) + (24 + 8)


def test_dropout_is_a_view_in_eval_mode_and_work_in_train_mode() -> None:
    net = Net(lambda n, x: n.drop(x), drop=nn.Dropout(0.5))
    assert [op.op_class for op in traced(net, (2, 4)).ops] == [OpClass.VIEW]
    (drop,) = traced(net, (2, 4), train=True).ops
    assert (drop.op_class, drop.work.other_flops) == (OpClass.ELEMENTWISE, 16)


def test_an_embedding_reads_the_rows_it_can_select() -> None:
    net = Net(lambda n, x: n.table(x), table=nn.Embedding(1000, 4))
    graph = capture(net, torch.zeros(2, 3, dtype=torch.int64))
    assert graph.compulsory_bytes == 6 * 8 + 6 * 16 + 6 * 16  # indices, rows, result


def test_sizes_are_control_and_cost_nothing() -> None:
    graph = traced(Net(lambda _n, x: x.reshape(x.shape[0], x.size(1) * 3)), (2, 4, 3))
    control = [op for op in graph.ops if op.op_class is OpClass.CONTROL]
    assert [op.target for op in control] == ["getattr", "getitem", "size", "mul"]
    assert graph.views == 1
    assert graph.compute_ops == 0


def test_an_op_no_table_knows_is_unknown_and_priced_all_the_same() -> None:
    graph = traced(Net(lambda _n, x: torch.special.erfcx(x)), (2, 4))
    (op,) = graph.unknown_ops
    assert (op.kind, op.op_class) == (Kind.UNKNOWN, OpClass.OPAQUE)
    assert op.work.why == "no formula for this op"
    assert graph.compulsory_bytes == 64


def test_a_module_of_torch_that_no_table_knows_is_unknown_and_not_zero() -> None:
    net = Net(lambda n, x: n.m(x), m=nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))
    assert [op.target for op in traced(net, (3, 5, 8)).unknown_ops] == ["TransformerEncoderLayer"]


def test_a_constant_of_the_model_is_held_once() -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("shift", torch.zeros(4))
            self.plain = torch.ones(4)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.shift + self.plain + self.shift

    graph = traced(Shifted(), (2, 4))
    roles = sorted(s.role.value for s in graph.storages if s.role is not Role.ACTIVATION)
    assert roles == ["buffer", "buffer", "input"]  # fx registers plain tensors as buffers
    assert graph.parameter_bytes == 32


def compute_targets(graph: Graph) -> list[str]:
    """fx asserts the constants it traced with: those ops are control."""
    return [op.target for op in graph.ops if op.is_compute]


def test_inputs_by_keyword() -> None:
    inputs = ((torch.zeros(2, 4),), {"scale": torch.ones(4)})
    graph = capture(TwoInputs(), inputs)
    assert compute_targets(graph) == ["Linear", "mul"]
    twice = capture(TwoInputs(), {"x": torch.zeros(2, 4), "scale": torch.ones(4), "twice": True})
    assert compute_targets(twice) == ["Linear", "mul", "add"]
    assert twice.source.input_shapes == ((2, 4), (4,))


def test_the_model_is_not_changed() -> None:
    net = Net(lambda n, x: n.act(n.bn(n.fc(x))), fc=nn.Linear(4, 3), bn=nn.BatchNorm1d(3))
    net.add_module("act", nn.ReLU(inplace=True))
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    held = {name: id(value) for name, value in net.named_parameters()}
    x = torch.ones(2, 4)
    capture(net, x, dtype="float16", batch=7)
    capture(net, x)
    after = net.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert {name: id(value) for name, value in net.named_parameters()} == held
    assert {value.device.type for value in after.values()} == {"cpu"}
    assert net.training
    assert torch.equal(x, torch.ones(2, 4))


def test_real_and_meta_weights_give_one_graph() -> None:
    def build() -> Net:
        return Net(lambda n, x: n.mha(x, x, x)[0], mha=nn.MultiheadAttention(8, 2))

    with torch.device("meta"):
        meta = build()
    shapes = ((5, 3, 8),)
    assert capture(build(), input_shapes=shapes) == capture(meta, input_shapes=shapes)


def test_batch_and_dtype() -> None:
    net = nn.Sequential(nn.Linear(4, 3))
    small, large = (
        capture(net, torch.zeros(1, 4), batch=batch, dtype=dtype)
        for batch, dtype in ((1, "float16"), (8, "float64"))
    )
    assert large.flops == 8 * small.flops == 8 * 24
    assert (small.parameter_bytes, large.parameter_bytes) == (15 * 2, 15 * 8)
    assert (large.source.batch, large.source.dtype) == (8, "float64")
    assert large.source.input_shapes == ((8, 4),)
    assert capture(net, input_shapes=((2, 5, 4),), batch=3).source.input_shapes == ((3, 5, 4),)


def test_the_fast_path_is_as_it_was() -> None:
    before = torch.backends.mha.get_fastpath_enabled()
    capture(nn.Linear(4, 4), input_shapes=((2, 4),))
    with pytest.raises(InputError):
        capture(nn.Linear(4, 4), input_shapes=((2, 5),))
    assert torch.backends.mha.get_fastpath_enabled() is before


def test_a_model_that_branches_on_data_is_one_line() -> None:
    net = Net(lambda _n, x: x if x.sum() > 0 else -x)
    with pytest.raises(InputError, match=r"^'Net' cannot be traced by torch.fx \(") as caught:
        capture(net, input_shapes=((2, 4),))
    assert "\n" not in str(caught.value)


def test_a_shape_that_the_model_refuses_is_named() -> None:
    with pytest.raises(InputError, match=r"^'Linear' refuses the input input \(2, 5\): ") as caught:
        capture(nn.Linear(4, 3), input_shapes=((2, 5),))
    assert "\n" not in str(caught.value)


def test_too_many_inputs_are_one_line() -> None:
    with pytest.raises(InputError, match=r"^'Linear' cannot be called with these inputs: "):
        capture(nn.Linear(4, 3), input_shapes=((2, 4), (2, 4)))


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        pytest.param(nn.Conv2d(4, 6, 3, groups=2, padding=1), (2, 4, 8, 8), id="grouped"),
        pytest.param(nn.Conv2d(4, 8, 3, groups=4, stride=2), (2, 4, 9, 9), id="depthwise"),
        pytest.param(nn.Conv1d(4, 6, 3, dilation=2), (2, 4, 9), id="dilated"),
        pytest.param(nn.Conv3d(2, 3, 2), (1, 2, 4, 5, 6), id="conv3d"),
        pytest.param(nn.ConvTranspose1d(4, 6, 3, stride=2), (2, 4, 7), id="transposed1d"),
        pytest.param(nn.ConvTranspose2d(4, 6, 3, groups=2), (2, 4, 5, 5), id="transposed2d"),
        pytest.param(nn.ConvTranspose3d(2, 3, 2), (1, 2, 3, 3, 3), id="transposed3d"),
        pytest.param(nn.Linear(8, 5), (2, 3, 8), id="linear"),
        pytest.param(
            Net(lambda n, x: n.m(x, x, x)[0], m=nn.MultiheadAttention(8, 2)), (5, 3, 8), id="mha"
        ),
        pytest.param(
            Net(
                lambda n, x: n.m(x, x[:, :4, :6], x[:, :4, :4])[0],
                m=nn.MultiheadAttention(8, 2, kdim=6, vdim=4, batch_first=True),
            ),
            (3, 5, 8),
            id="cross attention",
        ),
        pytest.param(
            Net(
                lambda n, x: n.m(x, x, x, need_weights=False)[0],
                m=nn.MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True),
            ),
            (5, 3, 8),
            id="lengthened keys",
        ),
        pytest.param(
            Net(lambda _n, x: F.scaled_dot_product_attention(x, x[..., :3, :], x[..., :3, :])),
            (2, 4, 5, 8),
            id="sdpa",
        ),
        pytest.param(Net(lambda _n, x: torch.einsum("bij,bkj->bik", x, x)), (2, 3, 4), id="einsum"),
        pytest.param(
            Net(lambda _n, x: torch.einsum("...ij,kj->...ik", x, x[0])), (2, 3, 4), id="ellipsis"
        ),
        pytest.param(Net(lambda _n, x: x @ x.transpose(-1, -2)), (2, 3, 4), id="matmul"),
        pytest.param(Net(lambda _n, x: torch.baddbmm(x, x, x)), (2, 4, 4), id="baddbmm"),
        pytest.param(
            Net(lambda n, x: n.m(x)[0], m=nn.LSTM(3, 4, num_layers=2, bidirectional=True)),
            (5, 2, 3),
            id="lstm",
        ),
        pytest.param(
            Net(lambda n, x: n.m(x)[0], m=nn.LSTM(3, 6, proj_size=2)), (5, 2, 3), id="projected"
        ),
        pytest.param(Net(lambda n, x: n.m(x)[0], m=nn.GRU(3, 4)), (5, 2, 3), id="gru"),
        pytest.param(Net(lambda n, x: n.m(x)[0], m=nn.RNN(3, 4)), (5, 2, 3), id="rnn"),
        pytest.param(Net(lambda n, x: n.m(x), m=nn.GRUCell(3, 4)), (5, 3), id="cell"),
    ],
)
def test_flops_agree_with_the_counter_of_torch(model: nn.Module, shape: tuple[int, ...]) -> None:
    model.eval()
    graph = capture(model, input_shapes=(shape,))
    assert graph.unknown_ops == ()
    assert graph.flops > 0
    assert graph.flops == counted_flops(model.to("meta"), torch.empty(shape, device="meta"))
