"""Pattern chains: the seed document's pair table and chain search.

The table names ops as the source does: the class of a module, the name of a function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

from fuseline.fusion.quotient import Quotient
from fuseline.graph import Graph, Op, OpClass
from fuseline.plan import METHOD_CALL, UNFUSED, Group, Rule

_NAMED = 3  # a pattern's name spells out this many ops

# fmt: off
_ROWS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    # convolution:         Conv2d -> BatchNorm2d -> activation  -->  one kernel
    (("Conv2d",),          ("BatchNorm2d", "ReLU", "ReLU6", "SiLU", "Swish")),
    (("BatchNorm2d",),     ("ReLU", "ReLU6", "SiLU", "Swish", "Hardswish")),
    # linear:              Linear -> norm or activation         -->  epilogue
    (("Linear",),          ("BatchNorm1d", "ReLU", "GELU", "SiLU", "Dropout")),
    # residual:            add -> activation                    -->  one kernel
    (("add",),             ("ReLU", "ReLU6", "SiLU")),
    # squeeze-excitation:  pool -> Conv2d -> SiLU -> Conv2d -> Sigmoid -> mul  -->  one kernel
    (("AdaptiveAvgPool2d",), ("Conv2d",)),
    (("SiLU",),            ("Conv2d",)),
    (("Conv2d",),          ("Sigmoid",)),
    (("Sigmoid",),         ("mul",)),
    # elementwise:         activation -> Dropout                -->  one kernel
    (("ReLU", "GELU", "SiLU"), ("Dropout",)),
    # transformers:        LayerNorm -> attention, FFN, residual
    (("LayerNorm",),       ("MultiheadAttention", "Linear")),
    (("MultiheadAttention",), ("Dropout",)),
    (("Dropout",),         ("add",)),
    (("GELU",),            ("Linear",)),
    (("StochasticDepth", "stochastic_depth"), ("add",)),
)
# fmt: on

PAIRS = frozenset(pair for before, after in _ROWS for pair in product(before, after))
"""(type of the producer, type of the consumer) that one kernel may hold in a row."""

JOINS_ALLOWED = frozenset({("Sigmoid", "mul")})
"""Pairs whose consumer may have a second producer: the squeeze-excitation output."""


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a pair may not join: a rule and a sentence."""

    rule: Rule
    reason: str


Object = Callable[[Graph, Op, Op], list[Objection]]


def find_chains(graph: Graph, object_to: Object) -> Quotient:
    """Walk operators in program order; each one not yet placed starts a chain and extends it.

    A chain grows from its last op to that op's only consumer while `object_to` has nothing
    against it and the graph of groups stays acyclic.
    """
    quotient = Quotient(graph)
    placed: set[int] = set()
    for op in graph.ops:
        if not op.is_operator or op.id in placed:
            continue
        placed.add(op.id)
        last = op
        while (following := _only_consumer(graph, last)) is not None:
            if following.id in placed or object_to(graph, last, following):
                break
            group, other = quotient.group_of[last.id], quotient.group_of[following.id]
            if quotient.would_cycle(group, other):
                break
            quotient.join(group, other)
            placed.add(following.id)
            last = following
    return quotient


def object_to_pair(graph: Graph, producer: Op, consumer: Op) -> list[Objection]:
    """Everything that keeps `consumer` out of `producer`'s chain under the pair table."""
    pair = (producer.target, consumer.target)
    found = object_to_shape(graph, producer, consumer)
    if found and found[0].rule is Rule.NOT_AN_OPERATOR:
        return found
    if pair in JOINS_ALLOWED:
        found = [objection for objection in found if objection.rule is not Rule.JOIN]
    if pair not in PAIRS:
        sentence = f"no pattern joins {pair[0]} and {pair[1]}"
        found.insert(0, Objection(Rule.NO_RULE, sentence))
    return found


def object_to_shape(graph: Graph, producer: Op, consumer: Op) -> list[Objection]:
    """What in the graph's shape alone keeps the two apart: a method call, a fork, a join."""
    outsider = next((op for op in (producer, consumer) if not op.is_operator), None)
    if outsider is not None:
        sentence = f"{outsider.name} is a method call; chains are made of modules and functions"
        return [Objection(Rule.NOT_AN_OPERATOR, sentence)]
    found = [
        Objection(Rule.UNKNOWN_OP, f"{op.name} is unknown, and an unknown op never fuses")
        for op in (producer, consumer)
        if op.op_class is OpClass.OPAQUE
    ]
    consumers = _operators(graph, graph.consumers[producer.id])
    if len(consumers) > 1:
        sentence = f"{producer.name} has {len(consumers)} consumers ({_names(consumers)})"
        found.append(Objection(Rule.FORK, sentence))
    producers = _operators(graph, consumer.predecessors)
    if len(producers) > 1:
        sentence = f"{consumer.name} has {len(producers)} producers ({_names(producers)})"
        found.append(Objection(Rule.JOIN, sentence))
    return found


def explain_pair(
    graph: Graph, other: Group, edge: tuple[int, int], object_to: Object = object_to_pair
) -> Objection:
    """Why the ops of `edge` are apart, the second in group `other`: first rule, every reason."""
    producer, consumer = graph.ops[edge[0]], graph.ops[edge[1]]
    objections = object_to(graph, producer, consumer)
    if not objections:
        if other.ops[0] != consumer.id:
            sentence = f"{consumer.name} is already in the chain of {graph.ops[other.ops[0]].name}"
            return Objection(Rule.ALREADY_PLACED, sentence)
        names = f"{producer.name}'s group and {consumer.name}"
        sentence = f"joined, {names} would depend on each other through a third group"
        return Objection(Rule.CYCLE, sentence)
    return Objection(objections[0].rule, "; ".join(item.reason for item in objections))


def name_chain(graph: Graph, ops: tuple[int, ...]) -> str:
    """The seed document's pattern name: three types, then how many more.

    A group of one is `Unfused`, or a method call.
    """
    if len(ops) == 1:
        return UNFUSED if graph.ops[ops[0]].is_operator else METHOD_CALL
    targets = [graph.ops[op].target for op in ops]
    more = len(targets) - _NAMED
    return "_".join(targets[:_NAMED]) + (f"_+{more}more" if more > 0 else "")


def _only_consumer(graph: Graph, op: Op) -> Op | None:
    consumers = _operators(graph, graph.consumers[op.id])
    return consumers[0] if len(consumers) == 1 else None


def _operators(graph: Graph, ops: tuple[int, ...]) -> list[Op]:
    return [graph.ops[op] for op in ops if graph.ops[op].is_operator]


def _names(ops: list[Op]) -> str:
    shown = ", ".join(op.name for op in ops[:_NAMED])
    return shown + (", ..." if len(ops) > _NAMED else "")
