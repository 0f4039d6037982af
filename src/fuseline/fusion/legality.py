"""What every plan must satisfy, whatever strategy made it. A check returns sentences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from fuseline.fusion.ladder.kernel import Kernels
from fuseline.fusion.ladder.rules import rule_set
from fuseline.graph import Graph
from fuseline.plan import Group, Plan


@dataclass(frozen=True, slots=True)
class Violation:
    """A group (its id; -1 for the plan as a whole) that breaks a rule, and how."""

    group: int
    rule: str
    reason: str


def find_violations(
    graph: Graph, plan: Plan, kernels: Kernels | None = None
) -> tuple[Violation, ...]:
    """Everything illegal about `plan`: coverage, order, connection, then each group's classes.

    The first three make it no partition at all; no strategy may break them. The last says that no
    kernel of the rule set (the plan's own, or T) does what a group asks; the seed document's
    strategy breaks it. A cover may compute an op in several groups; its kernels are a compiler's
    own, and are judged by none of our rules.
    """
    if plan.is_cover:
        return check_coverage(graph, plan)
    return (
        *check_coverage(graph, plan),
        *check_order(graph, plan),
        *(
            found
            for group in plan.groups
            if (found := check_connection(graph, group, horizontal=plan.horizontal))
        ),
        *find_class_violations(plan.groups, kernels or kernels_of(graph, plan)),
    )


def kernels_of(graph: Graph, plan: Plan) -> Kernels:
    """What the rules that `plan` was made under ask of `graph`; T where it was made under none."""
    proof = plan.proof
    if proof is None:
        return Kernels(graph, rule_set("T"))
    return Kernels(graph, rule_set(proof.rules), proof.on_chip)


def find_class_violations(groups: Iterable[Group], kernels: Kernels) -> tuple[Violation, ...]:
    """Which groups are no kernel under the rules, and why, each judged as a whole."""
    found = []
    for group in groups:
        fault = kernels.find_fault(kernels.compute.mask_of(group.ops))
        if fault is not None:
            found.append(Violation(group.id, fault.rule.value, fault.reason))
    return tuple(found)


def check_coverage(graph: Graph, plan: Plan) -> tuple[Violation, ...]:
    """Every op in exactly one group; of a cover, in one at least."""
    seen: dict[int, int] = {}
    found = []
    for group in plan.groups:
        for op in group.ops:
            if op in seen and not plan.is_cover:
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
