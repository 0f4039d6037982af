"""The plan that others are held against: the least bytes that a search found."""

from __future__ import annotations

from collections.abc import Iterable

from fuseline.report.rows.data import PlanRow


def best_searched(plans: Iterable[PlanRow]) -> PlanRow | None:
    """Of plans of one graph, the searched one that moves the fewest bytes. None where no search
    was for bytes: a plan of the least seconds may move more than others.
    """
    searched = [plan for plan in plans if plan.proof and plan.proof.objective == "bytes"]
    return min(searched, key=lambda plan: plan.traffic_bytes, default=None)
