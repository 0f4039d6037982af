"""Who hands bytes to whom: the edges between the groups of a plan, views looked through."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from fuseline.graph import OUTSIDE, Flow, Graph
from fuseline.plan import Plan

INPUT = -1
"""Where bytes of the model's inputs come from, in the place of a group."""

OUTPUT = -2
"""Where bytes go that outlive the run: outputs, mutated inputs, buffers."""


@dataclass(frozen=True, slots=True)
class EdgeRow:
    """Distinct bytes that group `source` leaves (or an input holds) and group `target` reads.

    `source` may be `INPUT` and `target` may be `OUTPUT`. Parameters are no edges. What one group
    leaves may go to several: the bytes of edges do not add up to traffic.
    """

    source: int
    target: int
    bytes: int


def edge_rows(graph: Graph, plan: Plan) -> tuple[EdgeRow, ...]:
    """All edges of `plan`, sorted by target, then source.

    >>> from fuseline.graph import Builder, Kind, Role
    >>> from fuseline.plan import Group
    >>> build = Builder()
    >>> x = build.tensor("x", (4, 4), role=Role.INPUT)  # 64 bytes each
    >>> y = build.op("first", Kind.RELU, inputs=[x], shape=(4, 4))
    >>> graph = build.finish([build.op("second", Kind.RELU, inputs=[y], shape=(4, 4))])
    >>> plan = Plan("apart", (Group(0, (0,), "relu"), Group(1, (1,), "relu")), ())
    >>> [(edge.source, edge.target, edge.bytes) for edge in edge_rows(graph, plan)]
    [(1, -2, 64), (-1, 0, 64), (0, 1, 64)]
    """
    storing = _storing_groups(plan)
    found: dict[tuple[int, int], dict[int, list[Flow]]] = defaultdict(lambda: defaultdict(list))
    for group in plan.groups:
        inside = frozenset(group.ops)
        for op in group.ops:
            for flow in graph.flows.read_by[op]:
                if flow.writer in inside or graph.storages[flow.storage].is_held:
                    continue
                source = INPUT if flow.writer == OUTSIDE else storing[flow.writer]
                if source != group.id:
                    found[source, group.id][flow.storage].append(flow)
    for flow in graph.flows.kept:
        if flow.writer != OUTSIDE:
            found[storing[flow.writer], OUTPUT][flow.storage].append(flow)
    return tuple(
        EdgeRow(source, target, sum(map(graph.flows.nbytes, storages.values())))
        for (source, target), storages in sorted(found.items(), key=lambda item: item[0][::-1])
    )


def _storing_groups(plan: Plan) -> dict[int, int]:
    """Op -> the group that stores its result: in a cover, one that does not only recompute it."""
    storing: dict[int, int] = {}
    for group in plan.groups:
        recomputed = frozenset(group.recomputed)
        for op in group.ops:
            if op not in recomputed or op not in storing:
                storing[op] = group.id
    return storing
