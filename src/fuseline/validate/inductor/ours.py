"""Our rules' plan for what Inductor is asked to compile."""

from __future__ import annotations

from fuseline.fusion import partition
from fuseline.fusion.inductor import with_layout_copies
from fuseline.graph import Graph
from fuseline.plan import Plan
from fuseline.validate.inductor.read import Schedule


def our_plan(graph: Graph, schedule: Schedule) -> tuple[Graph, Plan]:
    """The graph that is planned, copies into other layouts added, and the plan of it."""
    planned = graph if schedule.layout_optimization is False else with_layout_copies(graph)
    return planned, partition(planned, "inductor")
