"""What a group costs: FLOPs from shapes, bytes from the flow of data."""

from fuseline.costs import attention, contractions, other_work  # noqa: F401 - register formulas
from fuseline.costs.flops import CUSTOM, FORMULAS, NO_WORK, Call, count_work, register_op
from fuseline.costs.plan_cost import Band, GroupCost, PlanCost, band_of, cost, intensity_of
from fuseline.costs.traffic import Traffic, group_traffic

__all__ = [
    "CUSTOM",
    "FORMULAS",
    "NO_WORK",
    "Band",
    "Call",
    "GroupCost",
    "PlanCost",
    "Traffic",
    "band_of",
    "cost",
    "count_work",
    "group_traffic",
    "intensity_of",
    "register_op",
]
