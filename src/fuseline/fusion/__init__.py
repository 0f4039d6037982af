"""A `Graph` -> a `Plan`: which ops share a kernel, and why neighbours do not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from fuseline.costs import group_traffic
from fuseline.errors import InputError, did_you_mean
from fuseline.fusion.legality import Violation, find_class_violations, find_violations
from fuseline.fusion.patterns import (
    Objection,
    explain_pair,
    find_chains,
    name_chain,
    object_to_pair,
    object_to_shape,
)
from fuseline.fusion.quotient import Quotient
from fuseline.graph import Graph
from fuseline.plan import Group, Plan, Refusal, Rule

__all__ = [
    "STRATEGIES",
    "Quotient",
    "Violation",
    "find_class_violations",
    "find_violations",
    "partition",
    "sequential",
]

Explain = Callable[[Graph, Group, tuple[int, int]], Objection]


def unfused(graph: Graph) -> Plan:
    """Every op a kernel of its own."""
    return _plan(graph, "unfused", Quotient(graph), _joins_nothing)


def fusion(graph: Graph) -> Plan:
    """The seed document's pattern chains."""
    return _plan(graph, "fusion", find_chains(graph, object_to_pair), explain_pair)


def sequential(graph: Graph) -> Plan:
    """A yardstick, not a strategy: chains of any ops at all, as long as none forks or joins.

    No kernel could run most of its groups; it is what chains alone could save.
    """
    return _plan(
        graph,
        "sequential",
        find_chains(graph, object_to_shape),
        partial(explain_pair, object_to=object_to_shape),
    )


STRATEGIES: dict[str, Callable[[Graph], Plan]] = {"unfused": unfused, "fusion": fusion}
"""Name -> strategy, in the order `--strategy all` shows them."""


def partition(graph: Graph, strategy: str = "fusion") -> Plan:
    """Partition `graph` into groups that each are one kernel, with a refusal for every pair of
    neighbours that are not.

    Raises `InputError` for an unknown strategy.

    >>> from fuseline.graph import Builder, Kind, Role
    >>> build = Builder()
    >>> x = build.tensor("x", (4, 4), role=Role.INPUT)
    >>> y = build.op("act", Kind.RELU, inputs=[x], shape=(4, 4), target="ReLU")
    >>> z = build.op("drop", Kind.DROPOUT, inputs=[y], shape=(4, 4), target="Dropout")
    >>> [group.pattern for group in partition(build.finish([z])).groups]
    ['ReLU_Dropout']
    """
    if strategy not in STRATEGIES:
        hint = did_you_mean(strategy, STRATEGIES) or f": one of {', '.join(STRATEGIES)}"
        raise InputError(f"unknown strategy '{strategy}'{hint}")
    return STRATEGIES[strategy](graph)


def _joins_nothing(graph: Graph, _other: Group, edge: tuple[int, int]) -> Objection:
    names = f"{graph.ops[edge[0]].name} and {graph.ops[edge[1]].name}"
    return Objection(Rule.STRATEGY, f"the strategy gives {names} a kernel each")


def _plan(graph: Graph, strategy: str, quotient: Quotient, explain: Explain) -> Plan:
    groups = tuple(
        Group(number, ops, name_chain(graph, ops)) for number, ops in enumerate(quotient.ordered())
    )
    return Plan(strategy, groups, _refusals(graph, groups, explain))


def _refusals(graph: Graph, groups: tuple[Group, ...], explain: Explain) -> tuple[Refusal, ...]:
    """One for every producer and consumer in different groups, in program order."""
    home = {op: group for group in groups for op in group.ops}

    @cache
    def nbytes(first: int, second: int | None = None) -> int:
        ops = groups[first].ops + (groups[second].ops if second is not None else ())
        return group_traffic(graph, ops).nbytes

    found = []
    for consumer in graph.ops:
        for producer in consumer.predecessors:
            ours, theirs = home[producer], home[consumer.id]
            if ours is theirs:
                continue
            why = explain(graph, theirs, (producer, consumer.id))
            saved = nbytes(ours.id) + nbytes(theirs.id) - nbytes(ours.id, theirs.id)
            found.append(Refusal(producer, consumer.id, why.rule, why.reason, saved))
    return tuple(found)
