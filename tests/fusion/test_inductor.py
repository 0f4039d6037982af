"""Inductor's rules. Figures of whole models are the real Inductor's (torch 2.13, CPU, no layout
optimisation); tests/validate/test_inductor_oracle.py reads them from it.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from torch import nn

from fuseline import capture
from fuseline.costs.cover import cover_traffic
from fuseline.fusion.inductor import CPU, GPU, inductor, with_layout_copies
from fuseline.graph import OUTSIDE, Builder, Graph, Kind, Origin, Role
from fuseline.plan import Plan, Rule
from tests.strategies import graphs

_SHAPE = (8, 16)


class Net:
    """A recorded program of 8 x 16 tensors."""

    def __init__(self) -> None:
        self.build = Builder()

    def input(self, shape: tuple[int, ...] = _SHAPE) -> int:
        return self.build.tensor(f"x{len(self.build.tensors)}", shape, role=Role.INPUT)

    def weight(self, shape: tuple[int, ...]) -> int:
        return self.build.tensor(f"w{len(self.build.tensors)}", shape, role=Role.PARAMETER)

    def op(
        self,
        kind: Kind,
        *inputs: int,
        name: str = "",
        shape: tuple[int, ...] = _SHAPE,
        axes: tuple[int, ...] | None = None,
        parameters: tuple[int, ...] = (),
    ) -> int:
        return self.build.op(
            name or f"{kind.value}{len(self.build.ops)}",
            kind,
            inputs=inputs,
            shape=shape,
            axes=axes,
            parameters=parameters,
            origin=Origin.ATEN,
        )

    def linear(self, x: int, name: str = "") -> int:
        """A library call with a bias, so that it takes any operand when its turn comes."""
        weights = (self.weight((16, 16)), self.weight((16,)))
        return self.op(Kind.LINEAR, x, name=name, parameters=weights)

    def finish(self, *outputs: int) -> Graph:
        return self.build.finish(outputs)


def launched(graph: Graph, plan: Plan) -> list[list[str]]:
    """Names of the compute ops of every kernel."""
    named = [[graph.ops[op].name for op in g.ops if graph.ops[op].is_compute] for g in plan.groups]
    return [names for names in named if names]


def nbytes(graph: Graph, plan: Plan) -> int:
    return sum(traffic.nbytes for traffic in cover_traffic(graph, plan.groups))


# --- Inductor's own figures ---------------------------------------------------------------------


def test_softmax_moves_200_elements_as_in_inductors_own_test() -> None:
    net = Net()
    graph = net.finish(net.op(Kind.SOFTMAX, net.input((10, 10)), shape=(10, 10), axes=(1,)))
    plan = inductor(graph)
    assert len(launched(graph, plan)) == 1
    assert nbytes(graph, plan) == 200 * 4


def test_layer_norm_moves_220_elements_as_in_inductors_own_test() -> None:
    net = Net()
    weights = (net.weight((10,)), net.weight((10,)))
    x = net.input((10, 10))
    graph = net.finish(net.op(Kind.LAYERNORM, x, shape=(10, 10), axes=(1,), parameters=weights))
    plan = inductor(graph)
    assert len(launched(graph, plan)) == 1
    assert nbytes(graph, plan) == 220 * 4


@pytest.mark.parametrize(
    ("model", "kernels", "moved"),
    [
        ("resnet18", 39, 90_859_072),
        ("resnet50", 104, 292_126_272),
        ("mobilenet_v2", 105, 121_985_856),
        ("squeezenet1_1", 54, 42_684_032),  # concatenations, written by those who make the parts
        ("densenet121", 402, 301_400_000),  # concatenations of what others read too
        ("shufflenet_v2_x1_0", 143, 48_592_032),  # halves of a copy
        ("efficientnet_b0", 163, 148_682_096),  # reductions and what follows them, outer loops
    ],
)
def test_models_have_inductors_kernels_and_bytes(model: str, kernels: int, moved: int) -> None:
    graph = capture(model)
    plan = inductor(graph)
    assert len(launched(graph, plan)) == kernels
    assert nbytes(graph, plan) == moved


@pytest.mark.parametrize(
    ("model", "kernels", "moved"),
    [("resnet50", 122, 383_943_744), ("mobilenet_v2", 107, 123_196_992)],
)
def test_models_in_channels_last_have_inductors_copies(
    model: str, kernels: int, moved: int
) -> None:
    graph = with_layout_copies(capture(model))
    plan = inductor(graph)
    assert len(launched(graph, plan)) == kernels
    assert nbytes(graph, plan) == moved


# --- what is stored, what is computed again -----------------------------------------------------


def test_a_cheap_result_of_two_library_calls_and_a_sum_is_computed_where_it_is_used() -> None:
    # Each linear stores its operand when its turn comes; what is asked before that is inlined.
    net = Net()
    x, y = net.input(), net.input()
    skip = net.op(Kind.ADD, x, y, name="skip")
    early = net.op(Kind.SOFTMAX, skip, name="early", axes=(1,))
    call = net.linear(early, "call")
    graph = net.finish(net.op(Kind.MUL, skip, call, name="late"))
    plan = inductor(graph)
    assert launched(graph, plan) == [["skip", "early"], ["call"], ["skip", "late"]]
    assert [group.recomputed for group in plan.groups] == [(0,), (), (0,)]
    # early: x, y, itself; call: early, weights 16 * 16 + 16, itself; late: x, y, call, itself
    assert nbytes(graph, plan) == 4 * (3 * 128 + (2 * 128 + 272) + 4 * 128)


def test_a_result_of_more_than_four_reads_and_two_users_is_stored() -> None:
    net = Net()
    total = net.op(Kind.ADD, net.input(), net.input(), name="two")
    for name in ("three", "four", "five"):
        total = net.op(Kind.ADD, total, net.input(), name=name)
    ends = [net.linear(net.op(Kind.RELU, total, name=name)) for name in ("left", "right")]
    graph = net.finish(*ends)
    plan = inductor(graph)
    holders = [names for names in launched(graph, plan) if "five" in names]
    assert holders == [["two", "three", "four", "five", "left", "right"]]


def test_a_cpu_stores_an_exponential_of_two_users_and_a_gpu_does_not() -> None:
    net = Net()
    gate = net.op(Kind.SIGMOID, net.input(), name="gate")
    first = net.linear(net.op(Kind.RELU, gate, name="first"))
    second = net.op(Kind.MUL, first, gate, name="second")
    graph = net.finish(second)
    cpu, gpu = (launched(graph, inductor(graph, limits=limits)) for limits in (CPU, GPU))
    assert cpu == [["gate", "first"], [graph.ops[2].name], ["second"]]
    assert gpu == [["gate", "first"], [graph.ops[2].name], ["gate", "second"]]


def test_an_expression_of_more_than_twelve_reads_is_stored_for_its_only_user_on_a_cpu() -> None:
    net = Net()
    total = net.input()
    for place in range(13):  # reads 14 tensors in the end
        total = net.op(Kind.ADD, total, net.input(), name=f"add{place}")
    graph = net.finish(net.op(Kind.RELU, total, name="end"))
    # stored after 13 reads, and fused again with what reads it: one kernel, nothing saved or lost
    plan = inductor(graph)
    assert len(launched(graph, plan)) == 1
    assert nbytes(graph, plan) == 4 * 128 * 15


# --- what is fused, what is kept apart ----------------------------------------------------------


def test_readers_of_one_tensor_share_a_kernel_unless_they_are_far_apart() -> None:
    def net_with(calls: int) -> Graph:
        net = Net()
        x = net.input()
        first = net.op(Kind.RELU, x, name="first")
        other = net.input()
        for _ in range(calls):
            other = net.linear(other)
        return net.finish(first, other, net.op(Kind.GELU, x, name="last"))

    near, far = net_with(63), net_with(64)  # first is kernel 0, last is kernel 64, or 65
    assert ["first", "last"] in launched(near, inductor(near))
    assert ["first", "last"] not in launched(far, inductor(far))


def test_loops_that_do_not_match_are_kept_apart_and_the_refusal_says_so() -> None:
    net = Net()
    made = net.op(Kind.SIGMOID, net.linear(net.input()), name="made")
    rows = net.op(Kind.SUM, made, name="rows", shape=(8,), axes=(1,))
    columns = net.op(Kind.SUM, made, name="columns", shape=(16,), axes=(0,))
    graph = net.finish(made, rows, columns)
    plan = inductor(graph)
    assert launched(graph, plan)[1:] == [["made"], ["rows"], ["columns"]]
    number = {op.name: op.id for op in graph.ops}
    why = {(r.producer, r.consumer): r for r in plan.refusals}
    by_rows = why[number["made"], number["rows"]]
    # `made` is one loop over 8 * 16 elements: nothing asks for its rows
    assert by_rows.rule is Rule.ITERATION_DOMAIN
    assert by_rows.reason == "their loops differ: 128 and 8 rows of 16"
    assert by_rows.nbytes == 512  # `made` is stored in any case: one kernel would save the load
    assert why[number["made"], number["columns"]].reason == (
        "no read or write is the same in both: same tensor, same loops, same place"
    )


def test_library_calls_never_fuse_and_the_refusal_says_so() -> None:
    net = Net()
    act = net.op(Kind.RELU, net.linear(net.input(), "first"), name="act")
    graph = net.finish(net.linear(act, "second"))
    plan = inductor(graph)
    assert launched(graph, plan) == [["first"], ["act"], ["second"]]
    assert {(r.rule, r.reason) for r in plan.refusals} == {
        (Rule.STRATEGY, "first is a library call, which shares no kernel"),
        (Rule.STRATEGY, "second is a library call, which shares no kernel"),
    }


def test_a_kernel_has_at_most_64_loop_nests() -> None:
    net = Net()
    x = net.input()
    for place in range(130):  # each is stored (two users, transcendental)
        x = net.op(Kind.SILU, x, name=f"silu{place}")
    graph = net.finish(x)
    kernels = launched(graph, inductor(graph))
    assert sum(map(len, kernels)) == 130
    assert max(map(len, kernels)) <= 64
    assert len(kernels) == 3  # 130 = 64 + 64 + 2


def test_parts_of_a_concatenation_are_written_by_those_who_make_them() -> None:
    net = Net()
    parts = [net.op(Kind.RELU, net.linear(net.input()), name=name) for name in ("left", "right")]
    both = net.op(Kind.CAT, *parts, name="both", shape=(16, 16))
    graph = net.finish(net.linear(both))
    plan = inductor(graph)
    assert [names for names in launched(graph, plan) if "both" in names] == [
        ["left", "both"],
        ["right", "both"],
    ]
    moved = cover_traffic(graph, plan.groups)
    sizes = [t for t, g in zip(moved, plan.groups, strict=True) if len(g.ops) > 1]
    assert [(t.reads, t.writes) for t in sizes] == [(512, 512), (512, 512)]  # 8 x 16 floats each


def test_a_pool_to_one_pixel_shares_the_outer_loop_of_a_norm_that_feeds_it() -> None:
    net = Net()
    shape = (1, 4, 6, 6)
    weights = tuple(net.weight((4,)) for _ in range(4))
    norm = net.op(Kind.BATCHNORM, net.input(shape), shape=shape, name="norm", parameters=weights)
    pool = net.op(Kind.ADAPTIVEAVGPOOL, norm, shape=(1, 4, 1, 1), name="pool")
    graph = net.finish(norm, pool)  # the norm loops over 4 channels of 36: so does the mean
    assert launched(graph, inductor(graph)) == [["norm", "pool"]]


# --- any graph ----------------------------------------------------------------------------------


def test_a_copy_of_a_part_of_a_result_is_a_kernel_that_computes_no_op() -> None:
    class Parts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Conv2d(4, 9, 1)  # with a bias, which a GPU adds where the result is read
            self.near = nn.Conv2d(4, 4, 3, padding=1, groups=4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            _, middle, _ = self.mix(x).split((4, 4, 1), dim=1)
            return self.near(middle)

    graph = capture(Parts().eval().half(), (torch.zeros(1, 4, 8, 8, dtype=torch.float16),))
    plan = inductor(graph, limits=GPU)
    assert launched(graph, plan) == [["conv2d"], ["conv2d_1"]]
    # the copy reads 4 of 9 channels and the bias of those, and leaves them side by side; the second
    # kernel adds its own bias to the result
    moved = 2 * (4 * 64 + 4 + 4 * 64)
    assert [(extra.name, extra.nbytes) for extra in plan.extras] == [
        ("conv2d", moved),
        ("conv2d_1", moved),
    ]
    check_order(graph, plan)


@given(graphs(recorded=True))
def test_every_op_is_in_a_group_and_groups_run_in_their_order(graph: Graph) -> None:
    for limits in (CPU, GPU):
        plan = inductor(graph, limits=limits)
        assert plan.is_cover
        assert {op for group in plan.groups for op in group.ops} == {op.id for op in graph.ops}
        check_order(graph, plan)
        assert all(t.nbytes >= 0 for t in cover_traffic(graph, plan.groups))


def check_order(graph: Graph, plan: Plan) -> None:
    """What a group reads and does not compute, an earlier group has stored."""
    stored: set[int] = set()
    several = [0] * len(graph.ops)
    for group in plan.groups:
        for op in group.ops:
            several[op] += op not in group.recomputed
    for group in plan.groups:
        inside = set(group.ops)
        for op in group.ops:
            for flow in graph.flows.read_by[op]:
                if several[op] > 1 or flow.writer == OUTSIDE or flow.writer in inside:
                    continue  # a piece need not read every operand
                assert flow.writer in stored, f"{graph.ops[op].name} reads what is not stored yet"
        stored |= inside - set(group.recomputed)


@given(graphs())
def test_module_level_graphs_get_a_cover_too(graph: Graph) -> None:
    plan = inductor(graph)
    assert {op for group in plan.groups for op in group.ops} == {op.id for op in graph.ops}
