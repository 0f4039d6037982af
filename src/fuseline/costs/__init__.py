"""What a group costs: FLOPs from shapes, bytes from the flow of data."""

from fuseline.costs import attention, contractions, other_work  # noqa: F401 - register formulas
from fuseline.costs.batch import with_batch
from fuseline.costs.cover import cover_traffic
from fuseline.costs.flops import CUSTOM, FORMULAS, NO_WORK, Call, count_work, register_op
from fuseline.costs.memory import Fit, memory_fit
from fuseline.costs.plan_cost import BANDS, Band, GroupCost, PlanCost, band_of, cost, intensity_of
from fuseline.costs.roofline import Bottleneck, CacheTier, PlanTime, roofline
from fuseline.costs.traffic import Traffic, group_traffic
from fuseline.costs.what_if import with_dtype, with_weight_only
from fuseline.costs.working_set import WorkingSets

__all__ = [
    "BANDS",
    "CUSTOM",
    "FORMULAS",
    "NO_WORK",
    "Band",
    "Bottleneck",
    "CacheTier",
    "Call",
    "Fit",
    "GroupCost",
    "PlanCost",
    "PlanTime",
    "Traffic",
    "WorkingSets",
    "band_of",
    "cost",
    "count_work",
    "cover_traffic",
    "group_traffic",
    "intensity_of",
    "memory_fit",
    "register_op",
    "roofline",
    "with_batch",
    "with_dtype",
    "with_weight_only",
]
