"""README's figures are those of a run."""

from __future__ import annotations

from pathlib import Path

import fuseline
from fuseline.report.rows import rows
from fuseline.report.units import intensity, megabytes

README = Path(__file__).parents[1] / "README.md"


def test_the_strategies_of_vit() -> None:
    graph = fuseline.capture("vit_b_16")
    plans = tuple(fuseline.partition(graph, name) for name in fuseline.STRATEGIES)
    result = rows(graph, plans, fuseline.__version__)
    said = README.read_text()
    for plan in result.plans:
        figures = (
            f"{plan.label:<18} {plan.launches:>8} {megabytes(plan.traffic_bytes):>8} "
            f"{intensity(plan.arithmetic_intensity):>11}   "
            f"{'-' if plan.kind == 'cover' else len(plan.illegal_groups):>7}"
        )
        assert figures in said
    assert f"{graph.flops:,} FLOPs under each" in said
    assert f"at least {megabytes(graph.compulsory_bytes)} MB" in said
