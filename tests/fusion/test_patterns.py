from __future__ import annotations

from typing import NamedTuple

import pytest

from fuseline.errors import InputError
from fuseline.fusion import STRATEGIES, partition, sequential
from fuseline.fusion.patterns import JOINS_ALLOWED, PAIRS, name_chain
from fuseline.graph import Builder, Graph, Kind, Origin, Role
from fuseline.plan import Plan, Rule


class Net:
    """A graph in the terms of the pair table: ops of one input size, by name and target."""

    def __init__(self) -> None:
        self.build = Builder()
        self.made = {"x": self.build.tensor("x", (4,), role=Role.INPUT)}

    def add(self, name: str, target: str, *inputs: str, method: bool = False) -> Net:
        self.made[name] = self.build.op(
            name,
            Kind.RELU,
            inputs=[self.made[source] for source in inputs],
            shape=(4,),
            target=target,
            origin=Origin.METHOD if method else Origin.MODULE,
        )
        return self

    def finish(self, *outputs: str) -> Graph:
        return self.build.finish([self.made[name] for name in outputs])


class Told(NamedTuple):
    pair: tuple[str, str]
    rule: Rule
    reason: str


def groups(graph: Graph, plan: Plan) -> list[list[str]]:
    return [[graph.ops[op].name for op in group.ops] for group in plan.groups]


def refusals(graph: Graph, plan: Plan) -> list[Told]:
    return [
        Told((graph.ops[r.producer].name, graph.ops[r.consumer].name), r.rule, r.reason)
        for r in plan.refusals
    ]


def test_the_pair_table() -> None:
    expected = """
        Conv2d BatchNorm2d | Conv2d ReLU | Conv2d ReLU6 | Conv2d SiLU | Conv2d Swish
        BatchNorm2d ReLU | BatchNorm2d ReLU6 | BatchNorm2d SiLU | BatchNorm2d Swish
        BatchNorm2d Hardswish
        Linear BatchNorm1d | Linear ReLU | Linear GELU | Linear SiLU | Linear Dropout
        add ReLU | add ReLU6 | add SiLU
        AdaptiveAvgPool2d Conv2d | SiLU Conv2d | Conv2d Sigmoid | Sigmoid mul
        ReLU Dropout | GELU Dropout | SiLU Dropout
        LayerNorm MultiheadAttention | LayerNorm Linear | MultiheadAttention Dropout
        Dropout add | GELU Linear | StochasticDepth add | stochastic_depth add
    """
    rows = expected.strip().replace("\n", "|").split("|")
    assert {tuple(row.split()) for row in rows} == PAIRS
    assert {("Sigmoid", "mul")} == JOINS_ALLOWED


@pytest.mark.parametrize("pair", [("BatchNorm2d", "Conv2d"), ("Conv2d", "Hardswish"), ("x", "y")])
def test_what_the_pair_table_leaves_out(pair: tuple[str, str]) -> None:
    assert pair not in PAIRS


def test_a_chain() -> None:
    net = Net().add("conv", "Conv2d", "x").add("bn", "BatchNorm2d", "conv").add("act", "ReLU", "bn")
    graph = net.finish("act")
    plan = partition(graph)
    assert groups(graph, plan) == [["conv", "bn", "act"]]
    assert [group.pattern for group in plan.groups] == ["Conv2d_BatchNorm2d_ReLU"]
    assert (plan.strategy, plan.refusals) == ("fusion", ())


def test_a_fork_ends_a_chain() -> None:
    net = Net().add("conv", "Conv2d", "x").add("relu", "ReLU", "conv").add("odd", "tanh", "conv")
    graph = net.finish("relu", "odd")
    plan = partition(graph)
    assert groups(graph, plan) == [["conv"], ["relu"], ["odd"]]
    assert refusals(graph, plan) == [
        Told(("conv", "relu"), Rule.FORK, "conv has 2 consumers (relu, odd)"),
        Told(
            ("conv", "odd"),
            Rule.NO_RULE,
            "no pattern joins Conv2d and tanh; conv has 2 consumers (relu, odd)",
        ),
    ]
    # joined, conv and relu read 16 and write both; apart the value is read once more
    assert [refusal.nbytes for refusal in plan.refusals] == [16, 16]


def test_many_consumers_are_listed_three_at_most() -> None:
    net = Net().add("conv", "Conv2d", "x")
    for name in "abcd":
        net.add(name, "ReLU", "conv")
    graph = net.finish(*"abcd")
    assert refusals(graph, partition(graph))[0].reason == "conv has 4 consumers (a, b, c, ...)"


def test_a_join_ends_a_chain() -> None:
    net = Net().add("a", "Dropout", "x").add("b", "Dropout", "x").add("sum", "add", "a", "b")
    graph = net.finish("sum")
    plan = partition(graph)
    assert groups(graph, plan) == [["a"], ["b"], ["sum"]]
    assert refusals(graph, plan) == [
        Told(("a", "sum"), Rule.JOIN, "sum has 2 producers (a, b)"),
        Told(("b", "sum"), Rule.JOIN, "sum has 2 producers (a, b)"),
    ]


def test_an_input_is_no_producer() -> None:
    graph = Net().add("drop", "Dropout", "x").add("sum", "add", "drop", "x").finish("sum")
    assert groups(graph, partition(graph)) == [["drop", "sum"]]


def test_no_rule_joins_the_pair() -> None:
    graph = Net().add("relu", "ReLU", "x").add("conv", "Conv2d", "relu").finish("conv")
    plan = partition(graph)
    told = Told(("relu", "conv"), Rule.NO_RULE, "no pattern joins ReLU and Conv2d")
    assert refusals(graph, plan) == [told]
    assert [group.pattern for group in plan.groups] == ["Unfused", "Unfused"]


def test_the_output_of_squeeze_excitation_may_have_two_producers() -> None:
    net = Net().add("stem", "Hardswish", "x").add("conv", "Conv2d", "stem")
    net.add("gate", "Sigmoid", "conv").add("scale", "mul", "gate", "stem")
    graph = net.finish("scale")
    plan = partition(graph)
    assert groups(graph, plan) == [["stem"], ["conv", "gate", "scale"]]


def test_a_consumer_in_another_chain_is_already_placed() -> None:
    net = Net().add("one", "Sigmoid", "x").add("two", "Sigmoid", "x")
    graph = net.add("scale", "mul", "one", "two").finish("scale")
    plan = partition(graph)
    assert groups(graph, plan) == [["two"], ["one", "scale"]]
    told = Told(("two", "scale"), Rule.ALREADY_PLACED, "scale is already in the chain of one")
    assert refusals(graph, plan) == [told]


def test_method_calls_are_in_no_chain_and_count_for_none() -> None:
    net = Net().add("conv", "Conv2d", "x").add("size", "size", "conv", method=True)
    graph = net.add("relu", "ReLU", "conv").finish("relu", "size")
    plan = partition(graph)
    assert groups(graph, plan) == [["conv", "relu"], ["size"]]
    sentence = "size is a method call; chains are made of modules and functions"
    assert refusals(graph, plan) == [Told(("conv", "size"), Rule.NOT_AN_OPERATOR, sentence)]


def test_a_method_call_between_two_operators_parts_them() -> None:
    net = Net().add("conv", "Conv2d", "x").add("view", "view", "conv", method=True)
    graph = net.add("relu", "ReLU", "view").finish("relu")
    plan = partition(graph)
    assert groups(graph, plan) == [["conv"], ["view"], ["relu"]]
    assert {told.rule for told in refusals(graph, plan)} == {Rule.NOT_AN_OPERATOR}


CYCLE = "joined, conv's group and relu would depend on each other through a third group"


def test_a_join_around_a_method_call_would_be_a_cycle() -> None:
    net = Net().add("conv", "Conv2d", "x").add("scale", "scale", "conv", method=True)
    graph = net.add("relu", "ReLU", "conv", "scale").finish("relu")
    plan = partition(graph)
    assert groups(graph, plan) == [["conv"], ["scale"], ["relu"]]
    assert Told(("conv", "relu"), Rule.CYCLE, CYCLE) in refusals(graph, plan)


def test_a_join_around_a_storage_hazard_would_be_a_cycle() -> None:
    build = Builder()
    x = build.tensor("x", (4,), role=Role.INPUT)
    y = build.op("conv", Kind.CONV2D, inputs=[x], shape=(4,), target="Conv2d")
    build.op("zero_", Kind.FILL, writes=[y], origin=Origin.METHOD)  # shares memory, no operand
    z = build.op("relu", Kind.RELU, inputs=[y], shape=(4,), target="ReLU")
    graph = build.finish([z])
    plan = partition(graph)
    assert groups(graph, plan) == [["conv"], ["zero_"], ["relu"]]
    assert refusals(graph, plan) == [Told(("conv", "relu"), Rule.CYCLE, CYCLE)]


def test_unfused_joins_nothing() -> None:
    graph = Net().add("conv", "Conv2d", "x").add("relu", "ReLU", "conv").finish("relu")
    plan = partition(graph, "unfused")
    assert groups(graph, plan) == [["conv"], ["relu"]]
    sentence = "the strategy gives conv and relu a kernel each"
    assert refusals(graph, plan) == [Told(("conv", "relu"), Rule.STRATEGY, sentence)]
    assert plan.refusals[0].nbytes == 32  # the value written and read: 2 x 16


def test_sequential_joins_any_chain() -> None:
    net = Net().add("relu", "ReLU", "x").add("conv", "Conv2d", "relu").add("odd", "tanh", "conv")
    graph = net.finish("odd")
    assert groups(graph, sequential(graph)) == [["relu", "conv", "odd"]]


@pytest.mark.parametrize(
    ("length", "name"),
    [
        (1, "Unfused"),
        (2, "t0_t1"),
        (3, "t0_t1_t2"),
        (4, "t0_t1_t2_+1more"),
        (6, "t0_t1_t2_+3more"),
    ],
)
def test_pattern_names(length: int, name: str) -> None:
    net = Net()
    for number in range(length):
        net.add(f"n{number}", f"t{number}", f"n{number - 1}" if number else "x")
    graph = net.finish(f"n{length - 1}")
    assert name_chain(graph, tuple(range(length))) == name


def test_an_unknown_strategy_has_a_hint() -> None:
    graph = Net().add("relu", "ReLU", "x").finish("relu")
    with pytest.raises(InputError, match=r"^unknown strategy 'fusio': did you mean 'fusion'\?$"):
        partition(graph, "fusio")
    with pytest.raises(InputError, match=r"^unknown strategy 'q': one of unfused, fusion"):
        partition(graph, "q")
    assert list(STRATEGIES)[:2] == ["unfused", "fusion"]
