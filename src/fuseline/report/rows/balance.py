"""The balance analysis: how evenly a plan spreads the work, and what it leaves on the table."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from statistics import mean, median

from fuseline.costs import cost
from fuseline.fusion import (
    Quotient,
    kernels_of,
    partition,
    sequential,
)
from fuseline.graph import Graph
from fuseline.plan import Plan, Refusal
from fuseline.report.rows import (
    IllegalRow,
    PlanRow,
    costliest_refusals,
    counted_groups,
    members_of,
    plan_row,
)
from fuseline.report.units import count_of, megabytes, percent

OVER_LARGE = 10
"""Groups of more ops than this are listed: few compilers keep so many in one kernel."""


@dataclass(frozen=True, slots=True)
class SizeRow:
    """How many groups have `ops` ops."""

    ops: int
    groups: int


@dataclass(frozen=True, slots=True)
class SingleRow:
    """Single-op groups of one type, why they are alone, and an example sentence."""

    target: str
    structural: bool
    count: int
    rule: str
    example: str


@dataclass(frozen=True, slots=True)
class MissedRow:
    """Neighbours of one pair of types kept apart by one rule, and what joining would save.

    `legal` is false where a joined group breaks a rule that every kernel keeps, or closes a cycle.
    """

    pattern: str
    count: int
    rule: str
    legal: bool
    example: str
    saved_bytes: int


@dataclass(frozen=True, slots=True)
class Balance:
    """Every section of the analysis, in the order it is printed."""

    plan: PlanRow
    operators: int
    sizes: tuple[SizeRow, ...]
    smallest: int
    largest: int
    mean: float
    median: float
    singles: tuple[SingleRow, ...]
    structural_singles: int
    fusible_singles: int
    over_large: tuple[str, ...]
    illegal: tuple[IllegalRow, ...]
    missed: tuple[MissedRow, ...]
    baseline: PlanRow
    compulsory_bytes: int
    recommendations: tuple[str, ...]


def analyse_balance(graph: Graph, strategy: str) -> Balance:
    """Partition `graph` by `strategy` and by plain sequential chains, and compare."""
    plan, chains = partition(graph, strategy), sequential(graph)
    row = plan_row(graph, plan, cost(graph, plan))
    baseline = plan_row(graph, chains, cost(graph, chains))
    counted = counted_groups(graph, plan)
    members = [members_of(graph, group) for group in counted]
    sizes = sorted(map(len, members))
    singles = _singles(graph, plan, members)
    missed = _missed(graph, plan)
    structural = sum(single.count for single in singles if single.structural)
    return Balance(
        plan=row,
        operators=graph.operators,
        sizes=tuple(SizeRow(ops, groups) for ops, groups in sorted(Counter(sizes).items())),
        smallest=min(sizes, default=0),
        largest=max(sizes, default=0),
        mean=mean(sizes or [0]),
        median=median(sizes or [0]),
        singles=singles,
        structural_singles=structural,
        fusible_singles=row.single_op_groups - structural,
        over_large=tuple(
            f"{graph.ops[ops[0]].name} ... {graph.ops[ops[-1]].name} ({len(ops)} ops)"
            for ops in members
            if len(ops) > OVER_LARGE
        ),
        illegal=row.illegal_groups,
        missed=missed,
        baseline=baseline,
        compulsory_bytes=graph.compulsory_bytes,
        recommendations=_recommend(graph, row, structural, missed),
    )


def _singles(graph: Graph, plan: Plan, members: list[tuple[int, ...]]) -> tuple[SingleRow, ...]:
    """Single-op groups by type and reason; structural ones (views, control ops) launch nothing."""
    reasons = costliest_refusals(plan)
    found: dict[tuple[str, bool, str], list[str]] = defaultdict(list)
    for ops in members:
        if len(ops) > 1:
            continue
        op = graph.ops[ops[0]]
        refusal = reasons.get(op.id)
        rule = refusal.rule.value if refusal else "no neighbour"
        sentence = refusal.reason if refusal else f"{op.name} has no neighbouring op"
        found[op.target, not op.is_compute, rule].append(sentence)
    made = [
        SingleRow(target, structural, len(sentences), rule, sentences[0])
        for (target, structural, rule), sentences in found.items()
    ]
    return tuple(sorted(made, key=lambda row: (row.structural, -row.count, row.target)))


def _missed(graph: Graph, plan: Plan) -> tuple[MissedRow, ...]:
    """Refusals that cost bytes, by pair of types and rule; a pair of groups counts once."""
    home = {op: group.id for group in plan.groups for op in group.ops}
    quotient, kernels = Quotient.of(graph, plan), kernels_of(graph, plan)
    seen: set[tuple[int, int]] = set()
    found: dict[tuple[str, str, bool], list[Refusal]] = defaultdict(list)
    for refusal in plan.refusals:
        groups = (home[refusal.producer], home[refusal.consumer])
        if refusal.nbytes <= 0 or groups in seen:
            continue
        seen.add(groups)
        pair = f"{graph.ops[refusal.producer].target} -> {graph.ops[refusal.consumer].target}"
        joined = tuple(sorted(op for group in groups for op in plan.groups[group].ops))
        legal = kernels.find_fault(kernels.compute.mask_of(joined)) is None
        legal = legal and not quotient.would_cycle(*(plan.groups[g].ops[0] for g in groups))
        found[pair, refusal.rule.value, legal].append(refusal)
    made = [
        MissedRow(
            pair, len(refusals), rule, legal, refusals[0].reason, sum(r.nbytes for r in refusals)
        )
        for (pair, rule, legal), refusals in found.items()
    ]
    return tuple(sorted(made, key=lambda row: (-row.saved_bytes, row.pattern)))


def _recommend(
    graph: Graph, row: PlanRow, structural: int, missed: tuple[MissedRow, ...]
) -> tuple[str, ...]:
    """Sentences that follow from the figures, each with the figure it follows from."""
    said = []
    within_reach = [miss for miss in missed if miss.legal]
    if within_reach:
        best = within_reach[0]
        said.append(
            f"Joining {best.pattern} ({count_of(best.count, 'place')}, kept apart by: {best.rule}) "
            f"would save up to {megabytes(best.saved_bytes)} MB, "
            f"{percent(best.saved_bytes, row.traffic_bytes)} of this plan's traffic, in kernels of "
            "at most one contraction."
        )
    if structural:
        said.append(
            f"{structural} of {row.single_op_groups} single-op groups are views or control ops: "
            f"they launch nothing. Judge the plan by its {count_of(row.launches, 'launch', 'es')}, "
            f"not by its {count_of(row.groups, 'group')}."
        )
    if row.illegal_groups:
        rules = Counter(illegal.rule for illegal in row.illegal_groups)
        told = ", ".join(f"{count} by '{rule}'" for rule, count in rules.items())
        illegal = count_of(len(row.illegal_groups), "group")
        said.append(
            f"{illegal} of this plan break a rule that compilers keep to ({told}). They save "
            f"{megabytes(row.illegal_saved_bytes)} MB, part of which smaller groups could save too."
        )
    over = row.traffic_bytes - graph.compulsory_bytes
    if over > 0:
        said.append(
            f"{megabytes(over)} MB ({percent(over, row.traffic_bytes)} of the traffic) lie above "
            "the compulsory bytes: no partition saves more than that."
        )
    if graph.hidden_bytes:
        said.append(
            f"At least {megabytes(graph.hidden_bytes)} MB move inside attention ops that this "
            "level shows as one op; they are in no figure here."
        )
    return tuple(said)
