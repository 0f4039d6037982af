"""Which group computes what, and in which order the groups of a plan run."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from fuseline.errors import InputError
from fuseline.graph import Graph, Kind
from fuseline.plan import Plan

_DRAWS = frozenset({Kind.RANDOM, Kind.DROPOUT, Kind.STOCHASTIC_DEPTH})


@dataclass(frozen=True, slots=True)
class Schedule:
    """`order` are places of groups in the plan, in an order that runs; `ops` the ops that each
    place runs, in program order; `provider` the place whose result of an op others take.
    """

    order: tuple[int, ...]
    ops: tuple[tuple[int, ...], ...]
    provider: tuple[int, ...]


def schedule(graph: Graph, plan: Plan) -> Schedule:
    """An order of the plan's groups in which every op finds what it needs.

    Storage hazards are kept, and so is the order in which random numbers are drawn. What writes an
    existing tensor, or draws, runs once, also where a cover has it in several groups.

    Raises `InputError` where groups depend on each other, and names them.

    >>> from fuseline.graph import Builder, Role
    >>> from fuseline.plan import Group
    >>> build = Builder()
    >>> x = build.tensor("x", (4,), role=Role.INPUT)
    >>> y = build.op("first", Kind.RELU, inputs=[x], shape=(4,))
    >>> graph = build.finish([build.op("second", Kind.RELU, inputs=[y], shape=(4,))])
    >>> backwards = Plan("mine", (Group(0, (1,), ""), Group(1, (0,), "")), ())
    >>> schedule(graph, backwards).order
    (1, 0)
    """
    holders: list[list[int]] = [[] for _ in graph.ops]
    for place, group in enumerate(plan.groups):
        for op in group.ops:
            holders[op].append(place)
    missing = next((op.name for op in graph.ops if not holders[op.id]), None)
    if missing is not None:
        raise InputError(f"plan '{plan.strategy}' has no group for '{missing}'")
    provider = tuple(_provider(plan, op, places) for op, places in enumerate(holders))
    once = {op.id for op in graph.ops if op.writes or _draws(graph, op.id)}
    ops = tuple(
        tuple(op for op in sorted(group.ops) if op not in once or provider[op] == place)
        for place, group in enumerate(plan.groups)
    )
    needs = _needs(graph, ops, provider)
    return Schedule(_sorted(graph, plan, needs), ops, provider)


def _provider(plan: Plan, op: int, places: Sequence[int]) -> int:
    stored = [place for place in places if op not in plan.groups[place].recomputed]
    return (stored or places)[0]


def _draws(graph: Graph, op: int) -> bool:
    return graph.ops[op].is_compute and graph.ops[op].kind in _DRAWS


def _needs(
    graph: Graph, ops: Sequence[tuple[int, ...]], provider: Sequence[int]
) -> list[dict[int, tuple[int, int]]]:
    """For each group those that run before it, with the pair of ops (earlier, later) that says
    so.
    """
    where: dict[int, list[int]] = defaultdict(list)
    for place, group in enumerate(ops):
        for op in group:
            where[op].append(place)
    needs: list[dict[int, tuple[int, int]]] = [{} for _ in ops]
    for place, group in enumerate(ops):
        inside = set(group)
        for op in group:
            for earlier in _befores(graph, op, inside):
                operand = earlier in graph.ops[op].predecessors
                for before in [provider[earlier]] if operand else where[earlier]:
                    if before != place:
                        needs[place].setdefault(before, (earlier, op))
    drawing = [op.id for op in graph.ops if _draws(graph, op.id)]
    for earlier, later in zip(drawing, drawing[1:], strict=False):
        if provider[earlier] != provider[later]:
            needs[provider[later]].setdefault(provider[earlier], (earlier, later))
    return needs


def _befores(graph: Graph, op: int, inside: set[int]) -> list[int]:
    """Ops outside that must have run before `op`: its operands, and hazards of what is written in
    place. Other reads through a storage go by operands: each group has values of its own.
    """
    operands = set(graph.ops[op].predecessors)
    in_place = bool(graph.ops[op].writes)
    hazards = [
        earlier
        for earlier in graph.dependences[op]
        if earlier not in operands and (in_place or graph.ops[earlier].writes)
    ]
    return [*(operands - inside), *hazards]


def _sorted(
    graph: Graph, plan: Plan, needs: Sequence[dict[int, tuple[int, int]]]
) -> tuple[int, ...]:
    """Places in an order that runs, as near the plan's own as can be."""
    after: list[list[int]] = [[] for _ in needs]
    waiting = [len(before) for before in needs]
    for place, before in enumerate(needs):
        for earlier in before:
            after[earlier].append(place)
    ready = [place for place, count in enumerate(waiting) if not count]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        place = heapq.heappop(ready)
        order.append(place)
        for later in after[place]:
            waiting[later] -= 1
            if not waiting[later]:
                heapq.heappush(ready, later)
    if len(order) < len(needs):
        stuck = {place for place, count in enumerate(waiting) if count}
        raise InputError(_describe_cycle(graph, plan, needs, stuck))
    return tuple(order)


def _describe_cycle(
    graph: Graph, plan: Plan, needs: Sequence[dict[int, tuple[int, int]]], stuck: set[int]
) -> str:
    """One sentence with the groups of a cycle, each by the op that another one waits for."""
    place, seen = min(stuck), []
    while place not in seen:  # every stuck group waits for a stuck one
        seen.append(place)
        place = next(earlier for earlier in needs[place] if earlier in stuck)
    cycle = [*seen[seen.index(place) :], place]
    steps = []
    for later, earlier in zip(cycle, cycle[1:], strict=False):
        made, wants = (graph.ops[op].name for op in needs[later][earlier])
        steps.append(f"group {later} needs '{made}' of group {earlier} for '{wants}'")
    return f"plan '{plan.strategy}' cannot run, its groups form a cycle: {'; '.join(steps)}"
