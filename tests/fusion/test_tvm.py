from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given

from fuseline import capture
from fuseline.costs import cost
from fuseline.fusion.neighbours import Neighbours, neighbours
from fuseline.fusion.tvm import MOST_OPS, _Nodes, tvm
from fuseline.fusion.tvm_patterns import _ROWS, PATTERN_OF, Pattern, pattern_of
from fuseline.graph import Builder, Graph, Kind, OpClass, Origin, Role
from fuseline.plan import Plan, Rule
from tests.test_promises import ANY, hold

_IMAGE = (1, 4, 8, 8)
_POOLED = (1, 4, 1, 1)


class Net:
    """A recorded graph in the making; every op is one of one result."""

    def __init__(self) -> None:
        self.build = Builder()
        self.x = self.build.tensor("x", _IMAGE, role=Role.INPUT)

    def op(
        self, name: str, kind: Kind, *inputs: int, shape: tuple[int, ...] = _IMAGE, held: int = -1
    ) -> int:
        parameters = [held] if held >= 0 else []
        return self.build.op(
            name, kind, inputs=inputs, parameters=parameters, shape=shape, origin=Origin.ATEN
        )

    def view(
        self, name: str, base: int, shape: tuple[int, ...], strides: tuple[int, ...] | None = None
    ) -> int:
        storage = self.build.tensors[base].storage
        made = self.build.tensor(name, shape, storage=storage, strides=strides)
        self.build.op(
            name,
            Kind.PERMUTE,
            inputs=[base],
            outputs=[made],
            op_class=OpClass.VIEW,
            origin=Origin.ATEN,
        )
        return made


def groups_of(graph: Graph, plan: Plan) -> list[str]:
    """The compute ops of each group, by name."""
    found = (
        " ".join(graph.ops[op].name for op in group.ops if graph.ops[op].is_compute)
        for group in plan.groups
    )
    return [names for names in found if names]


def check(net: Net, outputs: list[int], *expected: str) -> dict[str, tuple[Rule, str]]:
    """Assert the groups; returns the refusals by 'producer consumer'."""
    graph = net.build.finish(outputs)
    plan = tvm(graph)
    assert groups_of(graph, plan) == list(expected)
    return {
        f"{graph.ops[r.producer].name} {graph.ops[r.consumer].name}": (r.rule, r.reason)
        for r in plan.refusals
    }


def test_an_anchor_takes_the_elementwise_ops_after_it() -> None:
    net = Net()
    conv = net.op("conv", Kind.CONV2D, net.x)
    norm = net.op("norm", Kind.BATCHNORM, conv)
    last = net.op("act", Kind.RELU, norm)
    assert check(net, [last], "conv norm act") == {}


def test_one_of_two_anchors_takes_their_sum() -> None:
    net = Net()
    left, right = net.op("left", Kind.CONV2D, net.x), net.op("right", Kind.CONV2D, net.x)
    last = net.op("act", Kind.RELU, net.op("sum", Kind.ADD, left, right))
    found = check(net, [last], "right", "left sum act")
    why = "sum, where all ways on from right meet, is complex (OutEWiseFusable) to TVM by then"
    assert found == {"right sum": (Rule.NO_RULE, why)}


def test_a_fork_fuses_where_its_ways_meet() -> None:
    net = Net()
    conv = net.op("conv", Kind.CONV2D, net.x)
    gate = net.op("gate", Kind.SIGMOID, conv)
    assert check(net, [net.op("mul", Kind.MUL, conv, gate)], "conv gate mul") == {}


def test_a_fork_whose_ways_never_meet_stays_apart() -> None:
    net = Net()
    conv = net.op("conv", Kind.CONV2D, net.x)
    ends = [net.op(name, Kind.RELU, conv) for name in ("one", "two")]
    found = check(net, ends, "conv", "one", "two")
    rule, why = found["conv one"]
    assert rule is Rule.FORK
    assert why == (
        "no op is on every way on from conv, and TVM fuses a fork only where its ways meet"
    )


def test_nothing_follows_a_result_of_the_graph() -> None:
    net = Net()
    conv = net.op("conv", Kind.CONV2D, net.x)
    found = check(net, [conv, net.op("act", Kind.RELU, conv)], "conv", "act")
    why = "the result of conv leaves the graph, and TVM fuses nothing after such a result"
    assert found["conv act"] == (Rule.FORK, why)


def test_one_full_operand_makes_an_op_elementwise() -> None:
    """Squeeze-excitation: the gate is an operand of one element a channel, the other is full."""
    net = Net()
    pooled = net.op("pool", Kind.ADAPTIVEAVGPOOL, net.x, shape=_POOLED)
    gate = net.op("gate", Kind.SIGMOID, net.op("conv", Kind.CONV2D, pooled, shape=_POOLED),
                  shape=_POOLED)  # fmt: skip
    found = check(net, [net.op("mul", Kind.MUL, gate, net.x)], "pool", "conv gate mul")
    assert found["pool conv"] == (
        Rule.NO_RULE,
        "TVM fuses only elementwise ops after pool; the way to conv is complex (OutEWiseFusable)",
    )


def test_an_outer_product_is_no_epilogue() -> None:
    net = Net()
    pooled = net.op("pool", Kind.ADAPTIVEAVGPOOL, net.x, shape=_POOLED)
    row = net.build.tensor("row", (1, 1, 1, 8), role=Role.INPUT)
    found = check(net, [net.op("mul", Kind.MUL, pooled, row, shape=(1, 4, 1, 8))], "pool", "mul")
    why = "TVM fuses only elementwise ops after pool; the way to mul is a broadcast"
    assert found["pool mul"] == (Rule.NO_RULE, why)


@pytest.mark.parametrize(
    ("strides", "expected"),
    [
        ((256, 64, 8, 1), "conv act"),
        ((256, 64, 1, 8), "conv|act"),
    ],
)
def test_a_view_counts_as_the_movement_that_it_is_to_tvm(
    strides: tuple[int, ...], expected: str
) -> None:
    net = Net()
    seen = net.view("view", net.op("conv", Kind.CONV2D, net.x), _IMAGE, strides)
    found = check(net, [net.op("act", Kind.RELU, seen)], *expected.split("|"))
    if found:
        why = "TVM fuses only elementwise ops after conv; the way to act is injective"
        assert found == {"conv act": (Rule.NO_RULE, why)}


def test_a_reduction_takes_what_is_before_it_and_nothing_after() -> None:
    net = Net()
    act = net.op("act", Kind.RELU, net.x)
    total = net.op("total", Kind.SUM, act, shape=(1, 4))
    found = check(net, [net.op("root", Kind.POW, total, shape=(1, 4))], "act total", "root")
    why = "total is a reduction to TVM, which fuses nothing after it"
    assert found == {"total root": (Rule.NO_RULE, why)}


def test_a_softmax_takes_what_is_after_it_and_nothing_before() -> None:
    net = Net()
    soft = net.op("soft", Kind.SOFTMAX, net.op("scale", Kind.MUL, net.x))
    found = check(net, [net.op("cast", Kind.CAST, soft)], "scale", "soft cast")
    why = "TVM fuses nothing into soft from before: the way from scale is complex (OutEWiseFusable)"
    assert found == {"scale soft": (Rule.NO_RULE, why)}


def test_movement_fuses_into_elementwise_after_all_epilogues() -> None:
    net = Net()
    moved = net.op("cat", Kind.CAT, net.x, net.x)
    act = net.op("act", Kind.RELU, moved)
    assert check(net, [act], "cat act") == {}
    net = Net()
    moved = net.op("cat", Kind.CAT, net.x, net.x)
    found = check(
        net,
        [net.op("sum", Kind.ADD, moved, net.op("conv", Kind.CONV2D, net.x))],
        "cat",
        "conv sum",
    )
    why = "sum, where all ways on from cat meet, is complex (OutEWiseFusable) to TVM by then"
    assert found == {"cat sum": (Rule.NO_RULE, why)}


def test_a_group_on_the_way_may_be_in_the_way() -> None:
    """`inner` is elementwise, but has absorbed `other` by the time `conv` is asked."""
    net = Net()
    other, conv = net.op("other", Kind.CONV2D, net.x), net.op("conv", Kind.CONV2D, net.x)
    act, inner = net.op("act", Kind.RELU, conv), net.op("inner", Kind.ADD, conv, other)
    found = check(net, [net.op("sum", Kind.ADD, act, inner)], "conv", "other act inner sum")
    why = (
        "inner is complex (OutEWiseFusable) to TVM, and lies between conv and where all ways on "
        "from it meet"
    )
    assert found == {"conv act": (Rule.NO_RULE, why), "conv inner": (Rule.NO_RULE, why)}


def test_elementwise_ops_are_not_fused_past_a_pool_between_them() -> None:
    net = Net()
    act = net.op("act", Kind.RELU, net.x)
    found = check(
        net, [net.op("sum", Kind.ADD, act, net.op("pool", Kind.MAXPOOL, act))], "act", "pool sum"
    )
    why = "TVM fuses nothing into sum from before: the way from act is complex (OutEWiseFusable)"
    assert found == {"act pool": (Rule.NO_RULE, why), "act sum": (Rule.NO_RULE, why)}


def test_two_contractions_are_refused_as_such() -> None:
    net = Net()
    first = net.op("first", Kind.CONV2D, net.x)
    found = check(net, [net.op("second", Kind.CONV2D, first)], "first", "second")
    assert found["first second"][0] is Rule.SECOND_CONTRACTION


def test_what_tvm_reads_by_index_is_opaque_and_what_no_table_knows_is_unknown() -> None:
    net = Net()
    table = net.op("table", Kind.EMBEDDING, net.x)
    strange = net.op("strange", Kind.UNKNOWN, net.op("act", Kind.RELU, table))
    found = check(net, [strange], "table", "act", "strange")
    assert found == {
        "table act": (Rule.NO_RULE, "table is opaque to TVM, which fuses nothing after it"),
        "act strange": (
            Rule.UNKNOWN_OP,
            "strange is unknown, and an unknown op never fuses",
        ),
    }


def test_a_group_has_at_most_256_ops() -> None:
    """300 in a row: the last 256 cannot be known in advance; the first fuse until there are 256."""
    net = Net()
    last = net.x
    for number in range(300):
        last = net.op(f"act{number}", Kind.RELU, last)
    graph = net.build.finish([last])
    plan = tvm(graph)
    assert [len(group.ops) for group in plan.groups] == [MOST_OPS, 300 - MOST_OPS]
    (refusal,) = plan.refusals
    assert refusal.reason == (
        "act255 and act256 would be in a group of more than 256 ops, TVM's limit"
    )


def test_bookkeeping_at_module_level_does_not_fork() -> None:
    """`x.size()` takes a convolution's result; TVM knows the shape."""
    build = Builder()
    x = build.tensor("x", _IMAGE, role=Role.INPUT)
    conv = build.op("conv", Kind.CONV2D, inputs=[x], shape=_IMAGE)
    build.op("size", Kind.CONTROL, inputs=[conv])
    act = build.op("act", Kind.RELU, inputs=[conv], shape=_IMAGE)
    plan = tvm(build.finish([act]))
    assert [group.ops for group in plan.groups if len(group.ops) > 1] == [(0, 2)]
    assert [refusal.reason for refusal in plan.refusals] == [
        "size is bookkeeping of the host, of which TVM has no op"
    ]


def test_a_join_that_closes_a_cycle_through_the_host_is_refused() -> None:
    build = Builder()
    x = build.tensor("x", _IMAGE, role=Role.INPUT)
    first = build.op("first", Kind.RELU, inputs=[x], shape=_IMAGE)
    build.op("size", Kind.CONTROL, inputs=[first])
    last = build.op("last", Kind.RELU, inputs=[first], shape=_IMAGE, predecessors=[0, 1])
    plan = tvm(build.finish([last]))
    assert [group.ops for group in plan.groups] == [(0,), (1,), (2,)]
    assert plan.refusals[1].rule is Rule.CYCLE


def test_every_kind_is_in_one_row() -> None:
    named = [kind for _, kinds in _ROWS for kind in kinds]
    assert sorted(named, key=str) == sorted(Kind, key=str)
    assert len(PATTERN_OF) == len(named)


@pytest.mark.parametrize(
    ("kind", "read", "made", "expected"),
    [
        (Kind.ADAPTIVEAVGPOOL, (1, 4, 8, 8), (1, 4, 4, 4), Pattern.ANCHOR),
        (Kind.ADAPTIVEAVGPOOL, (1, 4, 8, 8), (1, 4, 3, 3), Pattern.OPAQUE),
        (Kind.CAT, (3, 4), (3, 4), Pattern.ELEMENTWISE),
        (Kind.PAD, (3, 4), (3, 6), Pattern.INJECTIVE),
        (Kind.EXTREMUM, (3, 4), (3,), Pattern.REDUCTION),
    ],
)
def test_shapes_decide(
    kind: Kind, read: tuple[int, ...], made: tuple[int, ...], expected: Pattern
) -> None:
    """Each as TVM 0.27 annotates it."""
    build = Builder()
    x = build.tensor("x", read, role=Role.INPUT)
    graph = build.finish([build.op("op", kind, inputs=[x], shape=made)])
    assert pattern_of(graph, graph.ops[0]) is expected


def test_an_index_of_an_extremum_is_an_anchor_and_both_are_opaque() -> None:
    build = Builder()
    x = build.tensor("x", (3, 4), role=Role.INPUT)
    place = build.tensor("place", (3,), dtype="int64")
    build.op("argmax", Kind.EXTREMUM, inputs=[x], outputs=[place])
    both = [build.tensor("value", (3,)), build.tensor("where", (3,), dtype="int64")]
    build.op("max", Kind.EXTREMUM, inputs=[x], outputs=both)
    graph = build.finish([place, *both])
    assert [pattern_of(graph, op) for op in graph.ops] == [Pattern.ANCHOR, Pattern.OPAQUE]


def test_a_norm_that_trains_is_opaque() -> None:
    build = Builder()
    x = build.tensor("x", _IMAGE, role=Role.INPUT)
    reduces = OpClass.REDUCTION
    y = build.op("norm", Kind.BATCHNORM, inputs=[x], shape=_IMAGE, op_class=reduces)
    graph = build.finish([y])
    assert pattern_of(graph, graph.ops[0]) is Pattern.OPAQUE


@pytest.mark.parametrize(
    ("model", "launches"),
    [
        ("resnet18", 23),
        ("resnet50", 56),
        ("mobilenet_v2", 54),
        ("densenet121", 188),
        ("efficientnet_b0", 99),
    ],
)
def test_models_have_as_many_kernels_as_tvm_gives_them(model: str, launches: int) -> None:
    """Counts of TVM 0.27; `validate/tvm_oracle.py` has what is in each."""
    graph = capture(model)
    assert cost(graph, tvm(graph)).launches == launches


@given(graph=ANY)
def test_the_promises_hold(graph: Graph) -> None:
    plan = tvm(graph)
    hold(graph, plan)
    home = {op: group.id for group in plan.groups for op in group.ops}
    apart = [pair for pair in neighbours(graph) if home[pair[0]] != home[pair[1]]]
    assert [(refusal.producer, refusal.consumer) for refusal in plan.refusals] == apart
    for group in plan.groups:
        kinds = _patterns(graph, group.ops)
        assert kinds.count(Pattern.ANCHOR) <= 1
        assert Pattern.OPAQUE not in kinds or len(kinds) == 1


def _patterns(graph: Graph, ops: tuple[int, ...]) -> list[Pattern]:
    return [pattern_of(graph, graph.ops[op]) for op in ops if graph.ops[op].is_compute]


@given(graph=ANY)
def test_the_tree_is_that_of_immediate_post_dominators(graph: Graph) -> None:
    """Against sets: what is on every way from an op to the end of the graph."""
    nodes = _Nodes(Neighbours(graph))
    on_every_way: dict[int, set[int]] = {}
    for op in range(len(graph.ops) - 1, -1, -1):
        ahead = [on_every_way[consumer] for consumer, _ in nodes.after[op]]
        common = set.intersection(*ahead) if ahead and not nodes.leaves[op] else set()
        nearest = max(common, key=lambda other: len(on_every_way[other]), default=-1)
        assert nodes.parent[op] == nearest
        on_every_way[op] = {op, *common}


def test_twenty_thousand_ops_take_little_time() -> None:
    """Blocks of conv, relu, conv and a residual sum; about 0.6 s on one core of a small machine."""
    net = Net()
    last = net.x
    for number in range(5_000):
        body = net.op(f"a{number}", Kind.CONV2D, last)
        body = net.op(f"b{number}", Kind.RELU, body)
        body = net.op(f"c{number}", Kind.CONV2D, body)
        last = net.op(f"d{number}", Kind.ADD, body, last)
    graph = net.build.finish([last])
    assert len(graph.dependences) == 20_000  # traced before the clock starts
    start = process_time()
    plan = tvm(graph)
    assert process_time() - start <= 1.5
    assert len(plan.groups) == 10_000
