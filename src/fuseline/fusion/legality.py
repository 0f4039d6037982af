"""What every plan must satisfy, whatever strategy made it. A check returns sentences."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import chain

from fuseline.fusion.attention import is_attention
from fuseline.fusion.neighbours import Neighbours
from fuseline.graph import Graph, Kind, Op, OpClass
from fuseline.plan import Group, Plan

ENGINES = frozenset({OpClass.CONTRACTION, OpClass.ATTENTION})
"""Classes that need a kernel's matrix units: by the rules, one such op in a kernel."""

_SOLITARY: dict[Kind, str] = {
    Kind.UNKNOWN: "is unknown, and an unknown op never fuses",
    Kind.CUSTOM: "is a kernel of its own, which never fuses",
    Kind.HOST_READ: "gives its result to the host, which ends a kernel",
}


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
    near = Neighbours(graph)
    return (
        *check_coverage(graph, plan),
        *check_order(graph, plan),
        *(
            found
            for group in plan.groups
            if (found := check_connection(graph, group, horizontal=plan.horizontal))
        ),
        *(found for group in plan.groups for found in find_class_violations(graph, group, near)),
    )


def find_class_violations(
    graph: Graph, group: Group, near: Neighbours | None = None
) -> tuple[Violation, ...]:
    """Why no kernel could be this group, by the classes of its ops.

    Who asks for many groups finds the graph's neighbours once and hands them over.
    """
    checks = (
        check_contractions(graph, group, near),
        check_batch_statistics(graph, group, near),
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


def check_connection(graph: Graph, group: Group, *, horizontal: bool = False) -> Violation | None:
    """A group's ops hang together by operands, or by bytes that one writes and another reads; with
    `horizontal` also by a tensor that they read and the model does not hold.
    """
    inside = set(group.ops)
    readers: dict[int, list[int]] = defaultdict(list)  # of a storage
    if horizontal:
        for op in group.ops:
            for storage in _read_storages(graph, op):
                readers[storage].append(op)
    pending, reached = [group.ops[0]], {group.ops[0]}
    while pending:
        op = pending.pop()
        beside = chain.from_iterable(
            readers.pop(storage, ()) for storage in _read_storages(graph, op) if horizontal
        )
        writers = (flow.writer for flow in graph.flows.read_by[op])
        readers_of = (flow.reader for flow in graph.flows.written_by[op])
        operands = (*graph.ops[op].predecessors, *graph.consumers[op])
        for other in (*operands, *writers, *readers_of, *beside):
            if other in inside and other not in reached:
                reached.add(other)
                pending.append(other)
    if reached == inside:
        return None
    stray = graph.ops[min(inside - reached)].name
    return Violation(group.id, "connection", f"{stray} shares no operand with the rest")


def _read_storages(graph: Graph, op: int) -> set[int]:
    storages = {graph.tensors[tensor].storage for tensor in graph.ops[op].inputs}
    return {storage for storage in storages if not graph.storages[storage].is_held}


def check_contractions(
    graph: Graph, group: Group, near: Neighbours | None = None
) -> Violation | None:
    """At most one contraction or attention (rule set A, which every real compiler keeps to), or
    the two of one attention: scores and values (rule set T).
    """
    engines = [graph.ops[op] for op in group.ops if graph.ops[op].op_class in ENGINES]
    if len(engines) <= 1 or is_attention(near or Neighbours(graph), engines, group.ops):
        return None
    names = ", ".join(op.name for op in engines[:3])
    reason = f"{len(engines)} contractions in one kernel ({names})"
    return Violation(group.id, "one contraction", reason)


def check_batch_statistics(
    graph: Graph, group: Group, near: Neighbours | None = None
) -> Violation | None:
    """A norm that takes its statistics from the batch needs all of its input first: in train mode
    nothing that makes that input can share its kernel.
    """
    for op in (graph.ops[member] for member in group.ops):
        if op.kind is not Kind.BATCHNORM or op.op_class is not OpClass.REDUCTION:
            continue
        before = (near or Neighbours(graph)).before[op.id]
        makers = [graph.ops[earlier] for earlier in before if earlier in group.ops]
        if any(maker.is_compute for maker in makers):
            reason = f"{op.name} needs all of {makers[0].name} before it can start"
            return Violation(group.id, "batch statistics", reason)
    return None


def check_unknown(graph: Graph, group: Group) -> Violation | None:
    """An op that no table knows, or whose result leaves the device, is a kernel of its own."""
    members = [graph.ops[op] for op in group.ops]
    if sum(op.is_compute for op in members) <= 1:
        return None
    found = next((op for op in members if op.op_class is OpClass.OPAQUE), None)
    if found is None:
        return None
    return Violation(group.id, "unknown op", f"{found.name} {why_alone(found)}")


def why_alone(op: Op) -> str:
    """Why an OPAQUE op shares no kernel, to follow its name."""
    return _SOLITARY.get(op.kind, _SOLITARY[Kind.UNKNOWN])
