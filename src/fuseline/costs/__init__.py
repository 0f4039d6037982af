"""What a group costs: FLOPs from shapes, bytes from the flow of data."""

from fuseline.costs import attention, contractions, other_work  # noqa: F401 - register formulas
from fuseline.costs.flops import FORMULAS, NO_WORK, Call, count_work
from fuseline.costs.plan_cost import GroupCost, PlanCost, cost
from fuseline.costs.traffic import Traffic, group_traffic

__all__ = [
    "FORMULAS",
    "NO_WORK",
    "Call",
    "GroupCost",
    "PlanCost",
    "Traffic",
    "cost",
    "count_work",
    "group_traffic",
]
