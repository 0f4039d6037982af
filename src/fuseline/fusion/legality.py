"""What every plan must satisfy, whatever strategy made it. A check returns sentences."""

from __future__ import annotations

from dataclasses import dataclass

from fuseline.graph import Graph, Kind, OpClass
from fuseline.plan import Group, Plan

_ENGINES = frozenset({OpClass.CONTRACTION, OpClass.ATTENTION})


@dataclass(frozen=True, slots=True)
class Violation:
    """A group (its id; -1 for the plan as a whole) that breaks a rule, and how."""

    group: int
    rule: str
    reason: str


def find_violations(graph: Graph, plan: Plan) -> tuple[Violation, ...]:
    """Everything illegal about `plan`: coverage, order, connection, then each group's classes.

    The first three make it no partition at all; no strategy may break them. The last says that no
    real kernel does what a group asks; the seed document's strategy breaks it.
    """
    return (
        *check_coverage(graph, plan),
        *check_order(graph, plan),
        *(found for group in plan.groups if (found := check_connection(graph, group))),
        *(found for group in plan.groups for found in find_class_violations(graph, group)),
    )


def find_class_violations(graph: Graph, group: Group) -> tuple[Violation, ...]:
    """Why no kernel could be this group, by the classes of its ops."""
    checks = (
        check_contractions(graph, group),
        check_batch_statistics(graph, group),
        check_unknown(graph, group),
    )
    return tuple(found for found in checks if found is not None)


def check_coverage(graph: Graph, plan: Plan) -> tuple[Violation, ...]:
    """Every op in exactly one group."""
    seen: dict[int, int] = {}
    found = []
    for group in plan.groups:
        for op in group.ops:
            if op in seen:
                name = graph.ops[op].name
                reason = f"{name} is in group {seen[op]} too"
                found.append(Violation(group.id, "coverage", reason))
            seen[op] = group.id
    missing = [op.name for op in graph.ops if op.id not in seen]
    if missing:
        found.append(Violation(-1, "coverage", f"in no group: {', '.join(missing[:5])}"))
    return tuple(found)


def check_order(graph: Graph, plan: Plan) -> tuple[Violation, ...]:
    """Every op's dependences are in its own group or in one that runs before.

    A plan's groups are in an order that runs, so this proves the graph of groups acyclic.
    """
    position = {op: place for place, group in enumerate(plan.groups) for op in group.ops}
    return tuple(
        Violation(
            group.id,
            "order",
            f"{graph.ops[op].name} needs {graph.ops[earlier].name}, which runs later",
        )
        for place, group in enumerate(plan.groups)
        for op in group.ops
        for earlier in graph.dependences[op]
        if position.get(earlier, -1) > place
    )


def check_connection(graph: Graph, group: Group) -> Violation | None:
    """A group's ops hang together by operands."""
    inside = set(group.ops)
    pending, reached = [group.ops[0]], {group.ops[0]}
    while pending:
        op = pending.pop()
        for other in (*graph.ops[op].predecessors, *graph.consumers[op]):
            if other in inside and other not in reached:
                reached.add(other)
                pending.append(other)
    if reached == inside:
        return None
    stray = graph.ops[min(inside - reached)].name
    return Violation(group.id, "connection", f"{stray} shares no operand with the rest")


def check_contractions(graph: Graph, group: Group) -> Violation | None:
    """At most one contraction or attention: rule set A, which every real compiler keeps to."""
    engines = [graph.ops[op].name for op in group.ops if graph.ops[op].op_class in _ENGINES]
    if len(engines) <= 1:
        return None
    return Violation(
        group.id,
        "one contraction",
        f"{len(engines)} contractions in one kernel ({', '.join(engines[:3])})",
    )


def check_batch_statistics(graph: Graph, group: Group) -> Violation | None:
    """A norm that takes its statistics from the batch needs all of its input first: in train mode
    nothing that makes that input can share its kernel.
    """
    inside = set(group.ops)
    for op in (graph.ops[member] for member in group.ops):
        if op.kind is not Kind.BATCHNORM or op.op_class is not OpClass.REDUCTION:
            continue
        makers = [graph.ops[earlier] for earlier in op.predecessors if earlier in inside]
        if any(maker.is_compute for maker in makers):
            reason = f"{op.name} needs all of {makers[0].name} before it can start"
            return Violation(group.id, "batch statistics", reason)
    return None


def check_unknown(graph: Graph, group: Group) -> Violation | None:
    """An op that no table knows is a kernel of its own."""
    unknown = [op for op in group.ops if graph.ops[op].op_class is OpClass.OPAQUE]
    if not unknown or len(group.ops) == 1:
        return None
    return Violation(group.id, "unknown op", f"{graph.ops[unknown[0]].name} is unknown")
