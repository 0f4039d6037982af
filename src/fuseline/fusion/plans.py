"""From joined groups to a `Plan`: names, and a refusal for every pair of neighbours apart."""

from __future__ import annotations

from collections.abc import Callable

from fuseline.costs import group_traffic
from fuseline.fusion.chains import Objection
from fuseline.fusion.neighbours import Neighbours
from fuseline.fusion.patterns import name_chain
from fuseline.fusion.quotient import Quotient
from fuseline.plan import Group, Plan, Refusal

Explain = Callable[[tuple[int, int]], Objection]
"""Why a producer and its consumer are in different groups."""


def make_plan(
    near: Neighbours,
    strategy: str,
    quotient: Quotient,
    explain: Explain,
    *,
    horizontal: bool = False,
) -> Plan:
    """The plan of `quotient`'s groups, in an order that runs."""
    graph = near.graph
    groups = tuple(
        Group(number, ops, name_chain(graph, ops)) for number, ops in enumerate(quotient.ordered())
    )
    return Plan(strategy, groups, _refusals(near, groups, explain), horizontal)


def _refusals(near: Neighbours, groups: tuple[Group, ...], explain: Explain) -> tuple[Refusal, ...]:
    """One for every producer and consumer in different groups, in program order."""
    graph = near.graph
    home = [0] * len(graph.ops)
    for group in groups:
        for op in group.ops:
            home[op] = group.id
    alone: dict[int, int] = {}  # what a group moves
    saved: dict[tuple[int, int], int] = {}  # what one kernel for two groups would not

    def nbytes(group: int) -> int:
        if group not in alone:
            alone[group] = group_traffic(graph, groups[group].ops).nbytes
        return alone[group]

    found = []
    for producer, consumer in near.pairs():
        pair = home[producer], home[consumer]
        if pair[0] == pair[1]:
            continue
        if pair not in saved:
            joined = group_traffic(graph, groups[pair[0]].ops + groups[pair[1]].ops).nbytes
            saved[pair] = nbytes(pair[0]) + nbytes(pair[1]) - joined
        why = explain((producer, consumer))
        found.append(Refusal(producer, consumer, why.rule, why.reason, saved[pair]))
    return tuple(found)
