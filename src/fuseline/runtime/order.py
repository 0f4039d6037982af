"""Which group computes what, and in which order the groups of a plan run."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fuseline.errors import InputError
from fuseline.graph import Graph, Kind, Op
from fuseline.plan import Plan

_DRAWS = frozenset({Kind.RANDOM, Kind.DROPOUT, Kind.STOCHASTIC_DEPTH})
_DRAWS_IN_TRAINING = frozenset({
    Kind.SCALED_DOT_PRODUCT_ATTENTION, Kind.MULTIHEAD_ATTENTION, Kind.SHIFTED_WINDOW_ATTENTION,
    Kind.RNN, Kind.LSTM, Kind.GRU, Kind.UNKNOWN, Kind.CUSTOM,
})  # fmt: skip
"""Ops that may have a dropout of their own: a graph does not say whether."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """`order` are places of groups in the plan, in an order that runs; `ops` the ops that each
    place runs, in program order; `provider` the place whose result of an op others take.
    `draws` are ops that draw random numbers, in the order of the model; `keeps_draws` says that
    `order` keeps it. A legal plan may join them such that no order does.
    """

    order: tuple[int, ...]
    ops: tuple[tuple[int, ...], ...]
    provider: tuple[int, ...]
    draws: tuple[int, ...]
    keeps_draws: bool


def schedule(graph: Graph, plan: Plan) -> Schedule:
    """An order of the plan's groups in which every op finds what it needs.

    Storage hazards are kept, and where the groups allow it the order in which random numbers are
    drawn. What writes an existing tensor, or draws, runs once, also where a cover has it in several
    groups.

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
    stored = [_stored(plan, op, places) for op, places in enumerate(holders)]
    provider = [places[-1] for places in stored]  # the last piece of an op makes it whole
    if plan.is_cover:
        _make_where_written(graph, holders, provider)
    once = _run_once(graph) | {op for op, places in enumerate(stored) if len(places) > 1}
    ops = [set(group.ops) - once for group in plan.groups]
    for op in once:
        ops[provider[op]].add(op)
    if plan.is_cover:
        _free_views(graph, ops, provider)
    ordered = tuple(tuple(sorted(group)) for group in ops)
    needs = _needs(graph, ordered, provider)
    draws = tuple(op.id for op in graph.ops if _draws(graph, op.id))
    places = [provider[op] for op in draws]
    kept = [(earlier, later) for earlier, later in pairwise(places) if earlier != later]
    order = _sorted(needs, kept)
    keeps_draws = order is not None
    if order is None:
        order = _sorted(needs, [])
    if order is None:
        raise InputError(_describe_cycle(graph, plan, needs))
    return Schedule(order, ordered, tuple(provider), draws, keeps_draws)


def _run_once(graph: Graph) -> set[int]:
    """Ops that no two groups may compute: what writes an existing tensor, what makes one that is
    written later, and what draws.
    """
    written = {graph.tensors[value].storage for op in graph.ops for value in op.writes}
    return {
        op.id
        for op in graph.ops
        if op.writes
        or _draws(graph, op.id)
        or (op.is_compute and any(graph.tensors[v].storage in written for v in op.outputs))
    }


def _free_views(graph: Graph, ops: list[set[int]], provider: list[int]) -> None:
    """Every group makes the views that it takes; one is left by the group that made its base.

    Kernels of a cover are what a compiler launches, and views are not launched: where the cover
    lists them says nothing on when they are made.
    """
    views = [op.id for op in graph.ops if _is_alias(graph, op)]
    free = set(views)
    for group in ops:
        group.difference_update(free)
    for view in views:  # a base is before its views
        if graph.ops[view].predecessors:
            provider[view] = provider[max(graph.ops[view].predecessors)]
        ops[provider[view]].add(view)
    for group in ops:
        waiting = list(group)
        while waiting:
            for operand in graph.ops[waiting.pop()].predecessors:
                if operand in free and operand not in group:
                    group.add(operand)
                    waiting.append(operand)


def _stored(plan: Plan, op: int, places: Sequence[int]) -> Sequence[int]:
    """Groups that store the op's result; several store pieces of it."""
    stored = [place for place in places if op not in plan.groups[place].recomputed]
    return stored or places[:1]


def _make_where_written(
    graph: Graph, holders: Sequence[Sequence[int]], provider: list[int]
) -> None:
    """What makes a tensor that is written later runs in the group of that write, where the cover
    has it there too, or where it reads nothing: a compiler takes a fill for a constant.
    """
    writer: dict[int, int] = {}
    for op in graph.ops:
        for value in op.writes:
            writer.setdefault(graph.tensors[value].storage, op.id)
    for op in graph.ops:
        if not op.is_compute or op.writes:
            continue
        for value in op.outputs:
            first = writer.get(graph.tensors[value].storage)
            reads = op.inputs or op.parameters
            if first is not None and (provider[first] in holders[op.id] or not reads):
                provider[op.id] = provider[first]


def _is_alias(graph: Graph, op: Op) -> bool:
    """Whether it makes no memory: a view, or what is computed on the host."""
    if op.is_compute:
        return False
    there = {graph.tensors[value].storage for value in (*op.inputs, *op.parameters)}
    return all(graph.tensors[value].storage in there for value in op.outputs)


def _draws(graph: Graph, op: int) -> bool:
    kind, trained = graph.ops[op].kind, graph.source.mode == "train"
    draws = kind in _DRAWS or (trained and kind in _DRAWS_IN_TRAINING)
    return draws and graph.ops[op].is_compute


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
    needs: Sequence[dict[int, tuple[int, int]]], besides: Sequence[tuple[int, int]]
) -> tuple[int, ...] | None:
    """Places in an order that runs, as near the plan's own as can be; None where there is none.

    `besides` are pairs (earlier, later) that are to be kept too.
    """
    after: list[list[int]] = [[] for _ in needs]
    waiting = [len(before) for before in needs]
    for place, before in enumerate(needs):
        for earlier in before:
            after[earlier].append(place)
    for earlier, later in besides:
        after[earlier].append(later)
        waiting[later] += 1
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
    return tuple(order) if len(order) == len(needs) else None


def _describe_cycle(graph: Graph, plan: Plan, needs: Sequence[dict[int, tuple[int, int]]]) -> str:
    """One sentence with the groups of a cycle, each by the op that another one waits for."""
    stuck = _stuck(needs)
    place, seen = min(stuck), []
    while place not in seen:  # every stuck group waits for a stuck one
        seen.append(place)
        place = next(earlier for earlier in needs[place] if earlier in stuck)
    cycle = [*seen[seen.index(place) :], place]
    steps = []
    for later, earlier in pairwise(cycle):
        made, wants = (graph.ops[op].name for op in needs[later][earlier])
        steps.append(f"group {later} needs '{made}' of group {earlier} for '{wants}'")
    return f"plan '{plan.strategy}' cannot run, its groups form a cycle: {'; '.join(steps)}"


def _stuck(needs: Sequence[dict[int, tuple[int, int]]]) -> set[int]:
    """Groups that can never run: in a cycle, or behind one."""
    stuck = set(range(len(needs)))
    while True:
        free = {place for place in stuck if not stuck & needs[place].keys()}
        if not free:
            return stuck
        stuck -= free
