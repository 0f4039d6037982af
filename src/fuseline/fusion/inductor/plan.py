"""Fused kernels -> a `Plan`: groups of ops, which of them are recomputed, and refusals."""

from __future__ import annotations

from collections.abc import Sequence

from fuseline.fusion.inductor.scheduling import Kernel, Scheduler, object_to
from fuseline.fusion.neighbours import Neighbours
from fuseline.fusion.patterns import name_chain
from fuseline.graph import OUTSIDE, Graph, Op, OpClass
from fuseline.plan import Extra, Group, Plan, Refusal, Rule

_ALONE = "is unknown, a kernel of its own, or a result for the host: Inductor falls back to it"
STEP = "step of an op"
"""Purpose of a kernel that leaves what only a later step of the same op reads."""
_ENGINES = frozenset({OpClass.CONTRACTION, OpClass.ATTENTION})


def make_cover(graph: Graph, scheduler: Scheduler, kernels: Sequence[Kernel]) -> Plan:
    """The plan of `kernels`, with views and control ops beside what they look at.

    A kernel that stores no op's result, but numbers or elements that a later step of one reads, is
    none of its groups: the group of the last step holds the op. Nor is one that lays a result out
    for a reader, and computes no op.
    """
    whole = [kernel for kernel in kernels if not _is_step(kernel)]
    computed = [dict.fromkeys(op for node in k.nodes for op in node.ops) for k in whole]
    stored = [frozenset(op for node in k.nodes for op in node.stores) for k in whole]
    groups, _ = cover_groups(graph, computed, stored)
    return Plan(
        "inductor",
        groups,
        _refusals(graph, scheduler, kernels, groups),
        is_cover=True,
        rules=scheduler.limits.name,
        extras=_steps(graph, scheduler, kernels),
    )


def _steps(graph: Graph, scheduler: Scheduler, kernels: Sequence[Kernel]) -> tuple[Extra, ...]:
    """The kernels that are steps of an op, each under the name of that."""
    return tuple(
        Extra(graph.ops[last].name, STEP, scheduler.moved_nbytes(kernel))
        for kernel in kernels
        if _is_step(kernel)
        for last in [
            max(op for node in kernel.nodes for op in (*node.ops, *node.stores, node.named))
        ]
    )


def _is_step(kernel: Kernel) -> bool:
    return not any(node.stores and node.ops for node in kernel.nodes)


def cover_groups(
    graph: Graph, computed: Sequence[dict[int, None]], stored: Sequence[frozenset[int]]
) -> tuple[tuple[Group, ...], tuple[int, ...]]:
    """One group for each kernel, given the ops it computes and those it stores, in their order;
    and for each group the place of its kernel.

    Views and control ops go with what they look at; what no kernel computes, and looks at nothing,
    is a group of its own, whose place is -1.
    """
    _complete(graph, computed, frozenset().union(*stored))
    where: list[list[int]] = [[] for _ in graph.ops]
    for place, ops in enumerate(computed):
        for op in ops:
            where[op].append(place)
    members = [list(ops) for ops in computed]
    alone = _place_others(graph, where, stored, members)
    return _number(graph, members, stored, where, alone)


def _complete(graph: Graph, computed: Sequence[dict[int, None]], stored: frozenset[int]) -> None:
    """Add to each kernel what it needs and nobody stores.

    Where the steps of one op are in two kernels, the second reads a buffer that the graph does not
    show. It is held to read, and compute, what that buffer was made of.
    """
    for ops in computed:
        pending = list(ops)
        while pending:
            for flow in graph.flows.read_by[pending.pop()]:
                writer = flow.writer
                if writer != OUTSIDE and writer not in ops and writer not in stored:
                    ops[writer] = None
                    pending.append(writer)


def _place_others(
    graph: Graph,
    where: Sequence[Sequence[int]],
    stored: Sequence[frozenset[int]],
    members: list[list[int]],
) -> list[tuple[int, int]]:
    """Put every op that no kernel computes into the kernel of what it looks at. Those that look
    at nothing, or that nobody needs, stay alone: (op, the kernel they follow).
    """
    at: list[int] = []  # the kernel after which the result of an op is there
    alone: list[tuple[int, int]] = []
    for op in graph.ops:
        places = where[op.id]
        homes = [place for place in places if op.id in stored[place]]
        after = max((at[earlier] for earlier in graph.dependences[op.id]), default=-1)
        if places:
            at.append(max(homes) if homes else places[0])
            continue
        at.append(after)
        if op.is_compute or after < 0:
            alone.append((op.id, after))
        else:
            members[after].append(op.id)
    return alone


def _number(
    graph: Graph,
    members: Sequence[Sequence[int]],
    stored: Sequence[frozenset[int]],
    where: Sequence[Sequence[int]],
    alone: Sequence[tuple[int, int]],
) -> tuple[tuple[Group, ...], tuple[int, ...]]:
    """Groups in an order that runs, and the kernels they are."""
    following: dict[int, list[int]] = {}
    for op, after in alone:
        following.setdefault(after, []).append(op)
    kept = frozenset().union(*stored)
    inlined = frozenset(op for op, places in enumerate(where) if len(places) > 1) - kept
    groups: list[Group] = []
    kernels: list[int] = []

    def add(place: int, ops: Sequence[int], recomputed: tuple[int, ...] = ()) -> None:
        ops = tuple(sorted(ops))
        kernels.append(place)
        groups.append(Group(len(groups), ops, name_chain(graph, ops), recomputed))

    for place in range(-1, len(members)):
        if place >= 0:
            again = (op for op in members[place] if len(where[op]) > 1 and op not in stored[place])
            add(place, members[place], tuple(sorted(again)))
        for op in following.get(place, ()):
            again = _unstored(graph, op, inlined)
            add(-1, (op, *again), again)
    return tuple(groups), tuple(kernels)


def _unstored(graph: Graph, op: int, inlined: frozenset[int]) -> tuple[int, ...]:
    """What an op that nobody needs reads and every kernel computes for itself: so does it."""
    found: dict[int, None] = {}
    pending = [op]
    while pending:
        for flow in graph.flows.read_by[pending.pop()]:
            if flow.writer in inlined and flow.writer not in found:
                found[flow.writer] = None
                pending.append(flow.writer)
    return tuple(sorted(found))


def _refusals(
    graph: Graph, scheduler: Scheduler, kernels: Sequence[Kernel], groups: Sequence[Group]
) -> tuple[Refusal, ...]:
    """One for every producer and consumer that share no group."""
    held: list[set[int]] = [set() for _ in graph.ops]
    for group in groups:
        for op in group.ops:
            held[op].add(group.id)
    kernel_of: dict[int, Kernel] = {}  # the first kernel of an op
    home_of: dict[int, Kernel] = {}  # the last one that stores it
    for kernel in kernels:
        for node in kernel.nodes:
            for op in node.ops:
                kernel_of.setdefault(op, kernel)
            home_of.update(dict.fromkeys(node.stores, kernel))
    found = []
    for producer, consumer in Neighbours(graph).pairs():
        if not held[producer].isdisjoint(held[consumer]):
            continue
        one = home_of.get(producer, kernel_of.get(producer))
        rule, reason = _why(
            graph, scheduler, producer, consumer, one=one, other=kernel_of.get(consumer)
        )
        nbytes = _saved_nbytes(graph, producer, consumer)
        found.append(Refusal(producer, consumer, rule, reason, nbytes))
    return tuple(found)


def _why(
    graph: Graph,
    scheduler: Scheduler,
    producer: int,
    consumer: int,
    *,
    one: Kernel | None,
    other: Kernel | None,
) -> tuple[Rule, str]:
    ops = [graph.ops[producer], graph.ops[consumer]]
    if opaque := next((op for op in ops if op.op_class is OpClass.OPAQUE), None):
        return Rule.UNKNOWN_OP, f"{opaque.name} {_ALONE}"
    if one is None or other is None:
        return Rule.NOT_AN_OPERATOR, "one of them is not computed on the device, or not needed"
    if call := next((op for op in _called(one, other, ops)), None):
        rule = (
            Rule.SECOND_CONTRACTION if all(op.op_class in _ENGINES for op in ops) else Rule.STRATEGY
        )
        return rule, f"{call.name} is a library call, which shares no kernel"
    if reason := object_to(scheduler, one, other):
        rule = Rule.ITERATION_DOMAIN if "loops differ" in reason else Rule.NO_RULE
        return rule, reason
    return Rule.CYCLE, "a kernel between them needs the first, and the second needs it"


def _called(one: Kernel, other: Kernel, ops: Sequence[Op]) -> list[Op]:
    return [op for kernel, op in zip((one, other), ops, strict=True) if kernel.is_extern]


def _saved_nbytes(graph: Graph, producer: int, consumer: int) -> int:
    """The store and the load that one kernel for both would not need: the store only where nobody
    else reads the result.
    """
    flows = graph.flows
    loaded = [flow for flow in flows.read_by[consumer] if flow.writer == producer]
    others = {flow.reader for flow in flows.written_by[producer]} - {consumer}
    nbytes = sum(flows.nbytes([flow]) for flow in loaded)
    return nbytes if others or OUTSIDE in others else 2 * nbytes
