"""Graph, plans and costs -> the rows of one result."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from fuseline.costs import (
    Band,
    GroupCost,
    PlanCost,
    PlanTime,
    cost,
    memory_fit,
    roofline,
)
from fuseline.costs.roofline import GroupTime
from fuseline.fusion import Violation, find_violations
from fuseline.graph import Graph
from fuseline.plan import Group, Plan, Refusal
from fuseline.report.rows.data import (
    SCHEMA,
    BottleneckRow,
    FoldedRow,
    GraphRow,
    IllegalRow,
    MemberRow,
    ModelRow,
    PatternRow,
    PlanRow,
    RefusalRow,
    Result,
    Target,
    UnknownRow,
)
from fuseline.report.rows.device import MemoryRow, memory_row, proof_row, roofline_row


def rows(
    graph: Graph, plans: tuple[Plan, ...], version: str, target: Target | None = None
) -> Result:
    """Price every plan, on `target` where there is one, and lay all figures out as rows."""
    source = graph.source
    model = ModelRow(
        source.name,
        source.source,
        source.via,
        source.mode,
        source.batch,
        source.dtype,
        source.input_shapes,
        source.notes,
    )
    priced = tuple(plan_row(graph, plan, cost(graph, plan), target) for plan in plans)
    return Result(SCHEMA, version, source.torch, model, graph_row(graph), priced)


def graph_row(graph: Graph) -> GraphRow:
    """Figures of the graph alone."""
    unknown = Counter(op.target for op in graph.unknown_ops)
    return GraphRow(
        nodes=graph.source.nodes,
        operators=graph.operators,
        compute_ops=graph.compute_ops,
        views=graph.views,
        control_ops=graph.control_ops,
        unknown_ops=tuple(UnknownRow(target, count) for target, count in unknown.most_common()),
        flops=graph.flops,
        folded_flops=graph.folded_flops,
        causal_flops=graph.causal_flops,
        other_flops=graph.other_flops,
        parameter_bytes=graph.parameter_bytes,
        compulsory_bytes=graph.compulsory_bytes,
        hidden_bytes=graph.hidden_bytes,
        folded_ops=_folded(graph),
    )


def _folded(graph: Graph) -> tuple[FoldedRow, ...]:
    """Folded compute ops by target, the most frequent first."""
    found: dict[str, list[int]] = defaultdict(list)
    for op in graph.folded:
        if op.is_compute:
            found[op.target].append(op.work.flops)
    made = [FoldedRow(target, len(flops), sum(flops)) for target, flops in found.items()]
    return tuple(sorted(made, key=lambda row: (-row.count, row.target)))


def plan_row(graph: Graph, plan: Plan, price: PlanCost, target: Target | None = None) -> PlanRow:
    """Figures of one plan. Groups are counted as the seed document does: with an operator."""
    (row,) = plan_rows(graph, plan, price, (target,))
    return row


def plan_rows(
    graph: Graph,
    plan: Plan,
    price: PlanCost,
    targets: Iterable[Target | None],
    *,
    with_members: bool = True,
) -> Iterator[PlanRow]:
    """Figures of one plan on each device (None: on none). What no device changes is found once;
    without members, no group has a row of its own.
    """
    plain = _plain_row(graph, plan, price)
    members = _members(graph, plan, price, plain.illegal_groups) if with_members else ()
    for target in targets:
        yield _on_device(graph, plan, price, replace(plain, members=members), target)


def _plain_row(graph: Graph, plan: Plan, price: PlanCost) -> PlanRow:
    """What is the same on every device, and without one; no members."""
    counted = counted_groups(graph, plan)
    proof = proof_row(plan.proof, graph.compulsory_bytes) if plan.proof else None
    violations = find_violations(graph, plan)
    return PlanRow(
        strategy=plan.strategy,
        kind="cover" if plan.is_cover else "partition",
        rules=plan.rules,
        device=None,
        groups=len(counted),
        launches=price.launches,
        unfused_launches=graph.compute_ops,
        fusion_efficiency=graph.operators / len(counted) if counted else 1.0,
        single_op_groups=sum(len(members_of(graph, group)) == 1 for group in counted),
        flops=price.flops,
        other_flops=price.other_flops,
        traffic_bytes=price.nbytes,
        unfused_traffic_bytes=price.unfused_nbytes,
        lower_bound_bytes=proof.bound if proof and proof.objective == "bytes" else None,
        seconds=None,
        arithmetic_intensity=price.intensity,
        unknown_ops=price.unknown_ops,
        patterns=_patterns(graph, plan, price),
        bottlenecks=_bottlenecks(price, None),
        illegal_groups=tuple(_illegal_row(plan, found) for found in violations),
        illegal_saved_bytes=sum(
            price.groups[group].saved_nbytes
            for group in {found.group for found in violations}
            if group >= 0
        ),
        refusals=tuple(refusal_row(graph, refusal) for refusal in plan.refusals),
        members=(),
        proof=proof,
        roofline=None,
        memory=None,
        extra_launches=len(price.extras),
        extra_traffic_bytes=price.extra_nbytes,
        hidden_bytes=graph.hidden_bytes,
    )


def _illegal_row(plan: Plan, found: Violation) -> IllegalRow:
    pattern = plan.groups[found.group].pattern if found.group >= 0 else ""
    return IllegalRow(found.group, pattern, found.rule, found.reason)


def _on_device(
    graph: Graph, plan: Plan, price: PlanCost, row: PlanRow, target: Target | None
) -> PlanRow:
    """The row with what a device makes of the plan."""
    if target is None:
        return row
    time = roofline(graph, plan, target.device, launch=target.launch, tf32=target.tf32, price=price)
    return replace(
        row,
        device=target.device.name,
        seconds=time.summed_seconds,
        bottlenecks=_bottlenecks(price, time),
        members=tuple(map(_timed, row.members, time.groups)),  # kernels besides come after groups
        roofline=roofline_row(time),
        memory=_memory(graph, plan, target),
    )


def refusal_row(graph: Graph, refusal: Refusal) -> RefusalRow:
    """A refusal with names for ids."""
    return RefusalRow(
        graph.ops[refusal.producer].name,
        graph.ops[refusal.consumer].name,
        refusal.rule.value,
        refusal.reason,
        refusal.nbytes,
    )


def _bottlenecks(price: PlanCost, time: PlanTime | None) -> BottleneckRow:
    """What bounds the launches: on a device its terms, else the seed document's bands."""
    if time is not None:
        counts = {share.bottleneck.value: share.groups for share in time.shares}
        return BottleneckRow("roofline", counts)
    bands = Counter(group.band for group in price.groups if group.is_launch)
    return BottleneckRow(
        "intensity bands", {band.value: bands[band] for band in Band if bands[band]}
    )


def _memory(graph: Graph, plan: Plan, target: Target | None) -> MemoryRow | None:
    """What a partition needs of the device's memory; of a cover it is not told."""
    if target is None or plan.is_cover:
        return None
    return memory_row(memory_fit(graph, plan, target.device.memory_nbytes))


def counted_groups(graph: Graph, plan: Plan) -> list[Group]:
    """Groups that hold an operator: what the seed document counts as groups."""
    return [group for group in plan.groups if any(graph.ops[op].is_operator for op in group.ops)]


def members_of(graph: Graph, group: Group) -> tuple[int, ...]:
    """A group's operators; of a group without any, its ops. Views that come along do not count."""
    return tuple(op for op in group.ops if graph.ops[op].is_operator) or group.ops


def _patterns(graph: Graph, plan: Plan, price: PlanCost) -> tuple[PatternRow, ...]:
    found: dict[str, list[tuple[Group, GroupCost]]] = defaultdict(list)
    for group, group_cost in zip(plan.groups, price.groups, strict=True):
        found[group.pattern].append((group, group_cost))
    made = [
        PatternRow(
            name=name,
            count=len(members),
            ops=len(members_of(graph, members[0][0])),
            flops=sum(price.flops for _, price in members),
            traffic_bytes=sum(price.nbytes for _, price in members),
            unfused_traffic_bytes=sum(price.unfused_nbytes for _, price in members),
            saved_bytes=sum(price.saved_nbytes for _, price in members),
            unknown_ops=sum(price.unknown_ops for _, price in members),
            operators=sum(graph.ops[op].is_operator for group, _ in members for op in group.ops),
        )
        for name, members in found.items()
    ]
    return tuple(sorted(made, key=lambda row: -row.saved_bytes))


def costliest_refusals(plan: Plan) -> dict[int, Refusal]:
    """For each op that was refused company the refusal that costs most bytes."""
    found: dict[int, Refusal] = {}
    for refusal in plan.refusals:
        for op in (refusal.producer, refusal.consumer):
            if refusal.nbytes > found.setdefault(op, refusal).nbytes:
                found[op] = refusal
    return found


def _members(
    graph: Graph, plan: Plan, price: PlanCost, illegal: tuple[IllegalRow, ...]
) -> tuple[MemberRow, ...]:
    """A row for every group, without a device."""
    costliest = costliest_refusals(plan)
    broken = {found.group: found.rule for found in reversed(illegal)}
    return tuple(
        _member(graph, group, group_cost, costliest, broken.get(group.id, ""))
        for group, group_cost in zip(plan.groups, price.groups, strict=True)
    )


def _member(
    graph: Graph, group: Group, price: GroupCost, costliest: dict[int, Refusal], illegal: str
) -> MemberRow:
    members = members_of(graph, group)
    refusal = costliest.get(members[0]) if len(members) == 1 and price.is_launch else None
    return MemberRow(
        group=group.id,
        pattern=group.pattern,
        ops=tuple(graph.ops[op].name for op in group.ops),
        module=graph.ops[heaviest_op(graph, group)].module_path,
        launched=price.is_launch,
        flops=price.flops,
        other_flops=price.other_flops,
        read_bytes=price.traffic.reads,
        parameter_bytes=price.traffic.parameters,
        written_bytes=price.traffic.writes,
        traffic_bytes=price.nbytes,
        saved_bytes=price.saved_nbytes,
        arithmetic_intensity=price.intensity,
        unknown_ops=price.unknown_ops,
        bottleneck=price.band.value,
        seconds=None,
        compute_seconds=None,
        vector_seconds=None,
        bandwidth_seconds=None,
        launch_seconds=None,
        alone=refusal.reason if refusal else "",
        illegal=illegal,
    )


def _timed(member: MemberRow, time: GroupTime) -> MemberRow:
    """A group's row with the terms of its time."""
    return replace(
        member,
        bottleneck=time.bottleneck.value if time.bottleneck else "",
        seconds=time.seconds,
        compute_seconds=time.compute_seconds,
        vector_seconds=time.vector_seconds,
        bandwidth_seconds=time.bandwidth_seconds,
        launch_seconds=time.launch_seconds,
    )


def heaviest_op(graph: Graph, group: Group) -> int:
    """The op of a group that holds and names the most bytes; of several the first."""
    return max(group.ops, key=lambda op: (_operand_nbytes(graph, op), -op))


def _operand_nbytes(graph: Graph, op: int) -> int:
    """Bytes of all operands and results, as a rough weight; nothing for a view."""
    found = graph.ops[op]
    if not found.is_compute:
        return 0
    tensors = (*found.inputs, *found.parameters, *found.outputs)
    return sum(graph.tensors[tensor].nbytes for tensor in tensors)
