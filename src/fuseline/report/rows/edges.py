"""Who hands bytes to whom: the edges between the groups of a plan, views looked through."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from fuseline.costs import cover_traffic
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
    storing = storing_groups(plan)
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
    moved = {
        pair: sum(_nbytes(graph, storage, flows) for storage, flows in storages.items())
        for pair, storages in found.items()
    }
    if plan.is_cover:
        moved = _within_traffic(graph, plan, moved)
    return tuple(
        EdgeRow(source, target, moved[source, target])
        for source, target in sorted(moved, key=lambda pair: pair[::-1])
    )


def _nbytes(graph: Graph, storage: int, flows: list[Flow]) -> int:
    """Distinct bytes of one storage; of a writer at most what its index selects."""
    by_writer: dict[int, list[Flow]] = defaultdict(list)
    for flow in flows:
        by_writer[flow.writer].append(flow)
    limits = graph.flows.write_limits
    each = [
        min(nbytes, limits.get((storage, writer), nbytes))
        for writer, left in by_writer.items()
        for nbytes in (graph.flows.nbytes(left),)
    ]
    return min(graph.flows.nbytes(flows), sum(each))


def _within_traffic(
    graph: Graph, plan: Plan, moved: dict[tuple[int, int], int]
) -> dict[tuple[int, int], int]:
    """The same, no edge larger than what its source writes or its target reads: where a cover
    computes an op in pieces, each of its groups takes and leaves a part.
    """
    traffic = dict(
        zip(
            (group.id for group in plan.groups),
            cover_traffic(graph, plan.groups),
            strict=True,
        )
    )
    return {
        (source, target): min(
            nbytes,
            traffic[source].writes if source in traffic else nbytes,
            traffic[target].reads if target in traffic else nbytes,
        )
        for (source, target), nbytes in moved.items()
    }


def storing_groups(plan: Plan) -> dict[int, int]:
    """Op -> the group that stores its result: in a cover, one that does not only recompute it."""
    storing: dict[int, int] = {}
    for group in plan.groups:
        recomputed = frozenset(group.recomputed)
        for op in group.ops:
            if op not in recomputed or op not in storing:
                storing[op] = group.id
    return storing
