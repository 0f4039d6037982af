"""The one view-model: graph, plans and costs -> rows. Every renderer only prints these."""

from __future__ import annotations

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
from fuseline.report.rows.plans import (
    costliest_refusals,
    counted_groups,
    graph_row,
    members_of,
    plan_row,
    plan_rows,
    rows,
)

__all__ = [
    "SCHEMA",
    "BottleneckRow",
    "FoldedRow",
    "GraphRow",
    "IllegalRow",
    "MemberRow",
    "ModelRow",
    "PatternRow",
    "PlanRow",
    "RefusalRow",
    "Result",
    "Target",
    "UnknownRow",
    "costliest_refusals",
    "counted_groups",
    "graph_row",
    "members_of",
    "plan_row",
    "plan_rows",
    "rows",
]
