"""Other batches: by hand, against fresh captures, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fuseline import InputError, capture, partition
from fuseline.costs import cost, group_traffic
from fuseline.costs.batch_layout import Layout, can_view, widen
from fuseline.costs.batch_rules import RULES
from fuseline.costs.what_if import with_batch
from fuseline.graph import Builder, Gather, Graph, Kind, OpClass, Role, Status, Tensor, Work
from fuseline.graph.files import find_fault
from tests.strategies import addresses


def figures(graph: Graph) -> tuple[object, ...]:
    """What a derived graph and a capture must agree on."""
    plans = [cost(graph, partition(graph, name)).nbytes for name in ("unfused", "extended")]
    work = graph.flops, graph.other_flops, graph.causal_flops
    sizes = graph.compulsory_bytes, graph.parameter_bytes, graph.hidden_bytes
    return (*work, *plans, *sizes, len(graph.ops), graph.source.batch, graph.source.input_shapes)


# --- against captures -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("resnet18", 1, 5),
        ("mobilenet_v3_large", 1, 5),
        ("swin_t", 1, 5),
        ("swin_t", 3, 1),
        ("vit_b_16", 2, 5),
        ("hf/bert", 2, 5),
        ("hf/gpt2", 1, 5),
    ],
)
def test_a_capture_of_that_batch_is_the_same(name: str, old: int, new: int) -> None:
    derived = with_batch(capture(name, batch=old), new)
    assert figures(derived) == figures(capture(name, batch=new))
    assert find_fault(derived) is None
    assert derived.source.notes[-1] == f"a batch of {new} is a what-if on a capture of {old}"


def test_a_step_of_decoding_is_the_same() -> None:
    derived = with_batch(capture("hf/gpt2", batch=2, decode=16), 5)
    assert figures(derived) == figures(capture("hf/gpt2", batch=5, decode=16))


def test_module_level_is_the_same() -> None:
    derived = with_batch(capture("swin_t", via="module"), 5)
    assert figures(derived) == figures(capture("swin_t", via="module", batch=5))


@pytest.mark.parametrize(
    ("name", "old", "new", "why"),
    [
        ("vit_b_16", 1, 5, "'reshape_1' prevents a batch of 5: with more samples it is a copy"),
        ("vit_b_16", 2, 1, "'reshape_1' prevents a batch of 1: with one sample it is a view"),
        ("hf/bert", 1, 5, "'add' prevents a batch of 5: its operand 'embedding_1' may have a row"),
    ],
)
def test_what_a_graph_of_this_batch_does_not_show(name: str, old: int, new: int, why: str) -> None:
    with pytest.raises(InputError, match=re.escape(why)):
        with_batch(capture(name, batch=old), new)


def test_training_is_the_same() -> None:
    derived = with_batch(capture("resnet18", batch=2, train=True), 5)
    assert figures(derived) == figures(capture("resnet18", batch=5, train=True))


# --- programs that mix samples --------------------------------------------------------------


class _Program(nn.Module):
    """A function of one tensor [2, 4, 6]."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def program(function: Callable[[torch.Tensor], torch.Tensor], batch: int = 2) -> Graph:
    return capture(_Program(function).eval(), torch.zeros(batch, 4, 6))


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: x.mean(0), "'mean' prevents a batch of 5: its result does not keep the axis"),
        (lambda x: x.mean((0, 1), keepdim=True), "'mean' prevents"),
        (lambda x: x.flatten(1) @ x.flatten(1).T, "'matmul' prevents a batch of 5"),
        (lambda x: x.flatten(1).T @ torch.ones(2, 3), "'matmul' prevents a batch of 5: it sums"),
        (lambda x: x[0] + 1, "'select' prevents a batch of 5: it takes parts of samples apart"),
        (lambda x: x[:1] * 2, "'slice' prevents a batch of 5: it takes parts of samples apart"),
        (lambda x: x[:, :2, 0] @ x[:, :2, 0], "'matmul' prevents a batch of 5"),
        (lambda x: torch.stack([x, x], 1), "'stack' prevents"),  # or along the batch: 2 as well
        (lambda x: x.sort(0).values, "'sort' prevents a batch of 5: how sort goes with the batch"),
        (lambda x: x.flatten().cumsum(0).nonzero(), "'nonzero' prevents"),
        (lambda x: torch.cat([x, x], 0), "'cat' prevents a batch of 5"),
        (lambda x: x[torch.tensor([1, 0])], "'index' prevents a batch of 5"),
        (lambda x: torch.zeros(2, 4, 6).copy_(x), "'copy' prevents a batch of 5: it writes"),
    ],
)
def test_an_op_that_mixes_samples_is_named(
    function: Callable[[torch.Tensor], torch.Tensor], why: str
) -> None:
    with pytest.raises(InputError, match=re.escape(why)):
        with_batch(program(function), 5)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.transpose(0, 1).contiguous().relu(),  # samples between others in memory
        lambda x: (x.transpose(0, 1).contiguous() + 1)[1:3].transpose(0, 1).mean(-1),
        lambda x: x.reshape(-1, 6).softmax(-1).view(-1, 4, 6),  # batch x 4 rows
        lambda x: torch.stack([x, x, x], 1).sum(1),
        lambda x: torch.stack([x, x, x]).unbind(0)[1] + 1,
        lambda x: x.unsqueeze(1).expand(-1, 3, -1, -1).reshape(-1, 4, 6).sin(),
        lambda x: (x @ x.transpose(1, 2)) @ x,
        lambda x: torch.ones(3, 4) @ x,
        lambda x: x[:, torch.tensor([0, 3, 1])] * 2,
        lambda x: x.clone().mul_(2).add_(x),
        lambda x: torch.cat([x[:, :2], torch.ones(1, 1, 6).expand(x.shape[0], -1, -1)], 1),
        lambda x: x + torch.zeros(x.shape[0], 1, 1).sin(),  # a constant with a row a sample
        lambda x: nn.functional.pad(x, (1, 1)).unfold(2, 2, 2).sum(-1),
    ],
)
@pytest.mark.parametrize("new", [1, 3, 5])
def test_a_program_that_keeps_samples_apart_is_rescaled(
    function: Callable[[torch.Tensor], torch.Tensor], new: int
) -> None:
    try:
        derived = with_batch(program(function), new)
    except InputError as error:  # with one sample some copies are views
        assert new == 1
        assert "with one sample it is a view" in str(error)  # noqa: PT017
        return
    assert figures(derived) == figures(program(function, batch=new))


# --- by hand --------------------------------------------------------------------------------


def test_every_figure_of_an_op_is_scaled() -> None:
    build = Builder()
    ids = build.tensor("ids", (2, 3), dtype="int64", role=Role.INPUT)  # 48 bytes
    table = build.tensor("table", (100, 4), role=Role.PARAMETER)
    rows = build.op(
        "embed", Kind.EMBEDDING, inputs=[ids], parameters=[table], shape=(2, 3, 4),
        gathers=(Gather(table, 96),),
    )  # fmt: skip
    w = build.tensor("w", (5, 4), role=Role.PARAMETER)
    work = Work(240, 30, Status.COUNTED, "", 10)
    made = build.op("fc", Kind.LINEAR, inputs=[rows], parameters=[w], shape=(2, 3, 5), work=work)
    graph = with_batch(_of_batch(build.finish([made]), 2), 6)
    assert group_traffic(graph, [0]).nbytes == 3 * (48 + 96 + 96)
    assert group_traffic(graph, [1]).nbytes == 3 * (96 + 120) + 80
    assert (graph.flops, graph.other_flops, graph.causal_flops) == (720, 90, 720 - 30)
    assert [tensor.shape for tensor in graph.tensors] == [
        (6, 3),
        (100, 4),
        (6, 3, 4),
        (5, 4),
        (6, 3, 5),
    ]


def _of_batch(graph: Graph, batch: int) -> Graph:
    return replace(graph, source=replace(graph.source, batch=batch))


def test_work_that_is_not_the_same_for_every_sample_is_refused() -> None:
    build = Builder()
    x = build.tensor("x", (2, 4), role=Role.INPUT)
    y = build.op("act", Kind.RELU, inputs=[x], shape=(2, 4), work=Work(0, 7, Status.COUNTED))
    with pytest.raises(InputError, match="'act' prevents a batch of 4: its work is not the same"):
        with_batch(_of_batch(build.finish([y]), 2), 4)


def test_the_same_batch_is_the_same_graph_and_none_is_refused() -> None:
    graph = program(torch.relu)
    assert with_batch(graph, 2) is graph
    with pytest.raises(InputError, match="a batch of 0: at least one sample"):
        with_batch(graph, 0)


def test_an_input_without_samples_is_named() -> None:
    build = Builder()
    x = build.tensor("x", (3, 4), role=Role.INPUT)
    graph = _of_batch(build.finish([build.op("act", Kind.RELU, inputs=[x], shape=(3, 4))]), 2)
    with pytest.raises(InputError, match="'x' prevents a batch of 4: this input does not begin"):
        with_batch(graph, 4)


def test_a_single_position_is_no_sample() -> None:
    build = Builder()
    x = build.tensor("x", (1, 4), role=Role.INPUT)
    place = build.tensor("place", (1,), dtype="int64", role=Role.INPUT)
    y = build.op("add", Kind.ADD, inputs=[x, place], shape=(1, 4))
    with pytest.raises(InputError, match="'place' prevents a batch of 2: its one element may not"):
        with_batch(build.finish([y]), 2)


def test_a_selected_sample_of_one_is_named() -> None:
    graph = program(lambda x: x[0] + 1, batch=1)
    with pytest.raises(InputError, match="'select' prevents a batch of 5: it selects one sample"):
        with_batch(graph, 5)


def test_a_view_that_only_some_bytes_of_each_sample_have() -> None:
    build = Builder()
    x = build.tensor("x", (2, 4), role=Role.INPUT)
    right = build.tensor("right", (2, 1), storage=0, offset=3, strides=(4, 1))
    build.op("slice", Kind.SLICE, inputs=[x], outputs=[right], op_class=OpClass.VIEW)
    y = build.op("act", Kind.RELU, inputs=[right], shape=(2, 1))
    graph = with_batch(_of_batch(build.finish([y]), 2), 3)
    wider = graph.tensors[right]
    assert (wider.shape, wider.strides, wider.offset) == ((3, 1), (4, 1), 3)
    assert graph.compulsory_bytes == 3 * (4 + 4)


@given(st.data())
def test_a_wider_window_has_the_same_bytes_of_every_sample(data: st.DataObject) -> None:
    """Storage [outer, batch, inner] of float32, windows of it, and one sample at a time."""
    outer, inner = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    old, new = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    first, step = data.draw(st.integers(0, inner - 1)), data.draw(st.integers(1, 2))
    kept = len(range(first, inner, step))
    axes = data.draw(st.permutations([0, 1, 2]))
    shape, strides = (outer, old, kept), (old * inner, inner, step)
    window = Tensor(
        0, "w", tuple(shape[a] for a in axes), "float32", Role.ACTIVATION, 0, first,
        tuple(strides[a] for a in axes),
    )  # fmt: skip
    wider = widen(window, Layout(4 * inner, old), new)
    assert wider is not None
    expected = {
        4 * ((round_ * new + sample) * inner + place) + byte
        for round_ in range(outer)
        for sample in range(new)
        for place in range(first, inner, step)
        for byte in range(4)
    }
    assert addresses(wider) == expected


@given(st.data())
def test_views_are_those_that_torch_makes(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    order = data.draw(st.permutations(range(len(sizes))))
    tensor = torch.empty(sizes).permute(order)
    shape = data.draw(st.permutations([*sizes, 1]))
    if data.draw(st.booleans()) and len(shape) > 1:
        shape = [shape[0] * shape[1], *shape[2:]]
    try:
        tensor.view(shape)
        possible = True
    except RuntimeError:
        possible = False
    made = Tensor(
        0, "t", tuple(tensor.shape), "float32", Role.ACTIVATION, 0, 0, tuple(tensor.stride())
    )
    assert can_view(made, tuple(shape)) is possible


def test_every_kind_with_a_rule_has_one() -> None:
    assert set(RULES) <= set(Kind)
    unproved = {Kind.SORT, Kind.GROUPED_MM, Kind.EINSUM, Kind.SUPPRESS, Kind.UNKNOWN, Kind.CUSTOM}
    assert not unproved & set(RULES)
