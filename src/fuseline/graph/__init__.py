"""What is computed: tensors, ops and the flow of bytes between them. Imports nothing above it."""

from fuseline.graph.build import Builder
from fuseline.graph.cells import distinct_bytes
from fuseline.graph.data import (
    ITEM_BYTES,
    Gather,
    Op,
    Role,
    Status,
    Storage,
    Tensor,
    Work,
)
from fuseline.graph.files import load, save
from fuseline.graph.flows import OUTSIDE, Flow, Flows
from fuseline.graph.graph import Graph, Source
from fuseline.graph.kinds import CLASS_OF, Kind, OpClass, Origin

__all__ = [
    "CLASS_OF",
    "ITEM_BYTES",
    "OUTSIDE",
    "Builder",
    "Flow",
    "Flows",
    "Gather",
    "Graph",
    "Kind",
    "Op",
    "OpClass",
    "Origin",
    "Role",
    "Source",
    "Status",
    "Storage",
    "Tensor",
    "Work",
    "distinct_bytes",
    "load",
    "save",
]
