"""Our rules' plan for what Inductor is asked to compile."""

from __future__ import annotations

from fuseline.fusion.inductor import CPU, GPU, TRITON, Limits, as_program, inductor
from fuseline.graph import Graph
from fuseline.plan import Plan
from fuseline.validate.inductor.read import Schedule

_LIMITS: dict[str, Limits] = {"cpu": CPU, "triton": TRITON, "cuda": GPU}
"""Target of a schedule --> the limits of our rules."""


def our_plan(graph: Graph, schedule: Schedule) -> tuple[Graph, Plan]:
    """The graph that is planned, as Inductor runs it, and the plan of it."""
    limits = _LIMITS[schedule.target]
    last = schedule.layout_optimization is not False
    planned = as_program(graph, limits=limits, channels_last=last)
    return planned, inductor(planned, limits=limits)
