"""Every figure of the seed document, reproduced by its own rules, and beside it the right one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from fuseline.costs import cost
from fuseline.frontends import capture
from fuseline.fusion import partition
from fuseline.graph import Graph
from fuseline.plan import Plan
from fuseline.report.rows import PatternRow, PlanRow, plan_row
from fuseline.report.units import giga, intensity, megabytes, percent, ratio
from fuseline.validate.document import CNN_OVER_VIT, NOT_BORNE_OUT, PATTERN_WHY, STATED, WHY
from fuseline.validate.seed_accounting import FFN, PARTS, SeedAccount, account, part_of

ATTENTION = ("LayerNorm_MultiheadAttention",)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: as the document states it (empty where it does not), as its own definitions
    give it, as it is, and a sentence where the last two differ.
    """

    name: str
    stated: str
    reproduced: str
    right: str
    why: str
    note: str


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """All figures of one model, and the two accounts they are read from."""

    model: str
    figures: tuple[Figure, ...]
    seed: SeedAccount
    plan: PlanRow
    hidden_bytes: int
    torch: str


def validate_model(model: str) -> ModelFigures:
    """Recompute the document's figures for one of its models."""
    graph = capture(model, via="module")
    return figures_of(model, graph, partition(graph, "fusion"))


def figures_of(model: str, graph: Graph, plan: Plan) -> ModelFigures:
    """The figures of one model under both accounts."""
    seed, row = account(graph, plan), plan_row(graph, plan, cost(graph, plan))
    stated = STATED.get(model, {})
    found = []
    for name, reproduced, right in (*_totals(graph, plan, seed, row), *_patterns(seed, row)):
        known = name in WHY or any(name == pattern.name for pattern in seed.patterns)
        differs = reproduced != right
        why = WHY.get(name, PATTERN_WHY) if differs and known else ""
        note = NOT_BORNE_OUT.get((model, name), "")
        found.append(Figure(name, stated.get(name, ""), reproduced, right, why, note))
    return ModelFigures(model, tuple(found), seed, row, graph.hidden_bytes, graph.source.torch)


def _totals(
    graph: Graph, plan: Plan, seed: SeedAccount, row: PlanRow
) -> Iterator[tuple[str, str, str]]:
    """(name, as the seed's definitions give it, as it is) for every total."""
    groups = len(seed.groups)
    yield "FX nodes", str(seed.nodes), str(graph.source.nodes)
    yield "operators", str(seed.operators), str(graph.operators)
    yield "groups", str(groups), str(row.groups)
    yield "fusion efficiency", ratio(seed.efficiency), ratio(row.fusion_efficiency)
    alone = f"{seed.single_op} ({percent(seed.single_op, groups)})"
    yield "single-op groups", alone, f"{alone}, {_compute_singles(graph, plan)} of them launched"
    yield (
        "launches saved",
        _saved(seed.operators, groups),
        _saved(row.unfused_launches, row.launches),
    )
    yield "GFLOP", giga(seed.flops), giga(row.flops)
    yield (
        "traffic fused / unfused MB",
        f"{megabytes(seed.traffic)} / {megabytes(seed.unfused)}",
        f"{megabytes(row.traffic_bytes)} / {megabytes(row.unfused_traffic_bytes)}",
    )
    yield (
        "memory reduction",
        f"{seed.reduction_percent:.1f}%",
        percent(row.saved_bytes, row.unfused_traffic_bytes),
    )
    yield "average AI", intensity(seed.average_intensity), intensity(row.arithmetic_intensity)
    yield "bottlenecks", _bands(seed.bands), _bands(row.bottlenecks.counts)
    for part, names in (("attention", ATTENTION), ("FFN", FFN)):
        if any(pattern.name in names for pattern in seed.patterns):
            yield f"kernels of a block: {part}", *_block(graph, plan, names)
    if any(pattern.name in FFN for pattern in seed.patterns):
        yield "traffic share attention / FFN / rest", *_shares(graph, plan, seed, row)


def _patterns(seed: SeedAccount, row: PlanRow) -> Iterator[tuple[str, str, str]]:
    right = {pattern.name: pattern for pattern in row.patterns}
    for pattern in sorted(seed.patterns, key=lambda pattern: -pattern.saved_percent):
        yield (
            pattern.name,
            (
                f"{pattern.count} x {pattern.ops} ops, AI {pattern.average_intensity:.1f}, "
                f"saves {pattern.saved_percent:.1f}%"
            ),
            _right_pattern(right[pattern.name]),
        )


def _right_pattern(row: PatternRow) -> str:
    return (
        f"{row.count} x {row.ops} ops, AI {row.arithmetic_intensity:.1f}, "
        f"saves {percent(row.saved_bytes, row.unfused_traffic_bytes)}"
    )


def _compute_singles(graph: Graph, plan: Plan) -> int:
    alone = [graph.ops[group.ops[0]] for group in plan.groups if len(group.ops) == 1]
    return sum(op.is_operator and op.is_compute for op in alone)


def _block(graph: Graph, plan: Plan, patterns: tuple[str, ...]) -> tuple[str, str]:
    """Ops -> kernels of one block, all ops counted and compute ops alone."""
    firsts = {group.pattern: group.ops for group in reversed(plan.groups)}
    ops = [graph.ops[op] for name in patterns if name in firsts for op in firsts[name]]
    kernels = sum(name in firsts for name in patterns)
    before = sum(op.is_compute for op in ops)
    return (
        f"{len(ops)} -> {kernels} ({percent(len(ops) - kernels, len(ops))})",
        f"{before} -> {kernels} ({percent(before - kernels, before)})",
    )


def _saved(before: int, after: int) -> str:
    return f"{before - after} of {before} ({percent(before - after, before)})"


def _bands(counts: dict[str, int]) -> str:
    total = sum(counts.values())
    return ", ".join(
        f"{band.removesuffix('-bound')} {count} ({percent(count, total)})"
        for band, count in counts.items()
    )


def _shares(graph: Graph, plan: Plan, seed: SeedAccount, row: PlanRow) -> tuple[str, str]:
    """Traffic by part of the transformer, under both accounts."""
    moved: Counter[str] = Counter()
    for group, member in zip(plan.groups, row.members, strict=True):
        moved[part_of(graph, group)] += member.traffic_bytes
    return (
        " / ".join(percent(seed.moved(part), seed.traffic) for part in PARTS),
        " / ".join(percent(moved[part], row.traffic_bytes) for part in PARTS),
    )


def ranges(results: tuple[ModelFigures, ...]) -> dict[str, tuple[str, str]]:
    """What the document states over several models: (reproduced, right) by name."""
    vits = [result for result in results if result.model.startswith("vit")]
    found = {
        "ViT fusion efficiency": (
            _span([result.seed.efficiency for result in vits], "x", 2),
            _span([result.plan.fusion_efficiency for result in vits], "x", 2),
        )
    }
    for title, name in (
        ("FFN (4 ops) memory saved", FFN[0]),
        ("Linear_Dropout memory saved", FFN[1]),
        ("LayerNorm_MultiheadAttention memory saved", ATTENTION[0]),
    ):
        seed = [p.saved_percent for r in results for p in r.seed.patterns if p.name == name]
        right = [
            100 * p.saved_bytes / p.unfused_traffic_bytes
            for r in results
            for p in r.plan.patterns
            if p.name == name
        ]
        found[title] = (_span(seed, "%", 1), _span(right, "%", 1))
    by_model = {result.model: result for result in results}
    if {"vit_b_16", "efficientnet_b0"} <= by_model.keys():
        vit, cnn = by_model["vit_b_16"], by_model["efficientnet_b0"]
        found[CNN_OVER_VIT] = (
            (
                f"{cnn.seed.efficiency / vit.seed.efficiency:.1f}x / "
                f"{cnn.seed.reduction_percent / vit.seed.reduction_percent:.1f}x / "
                f"{cnn.seed.average_intensity / vit.seed.average_intensity:.0f}x"
            ),
            (
                f"{cnn.plan.fusion_efficiency / vit.plan.fusion_efficiency:.1f}x / "
                f"{_reduction(cnn.plan) / _reduction(vit.plan):.1f}x / "
                f"{cnn.plan.arithmetic_intensity / vit.plan.arithmetic_intensity:.2f}x"
            ),
        )
    return found


def _reduction(plan: PlanRow) -> float:
    return plan.saved_bytes / plan.unfused_traffic_bytes


def _span(values: list[float], unit: str, digits: int) -> str:
    if not values:
        return "-"
    return f"{min(values):.{digits}f}-{max(values):.{digits}f}{unit}"
