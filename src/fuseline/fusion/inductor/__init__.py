"""The strategy `inductor`: a rule model of torch 2.13 Inductor's scheduler, without torch.

    lowering     kind --> library call, loop nest, or reductions and loops over rows
    forms, rows  ops in program order --> expressions, stored where a limit says so (`limits`)
    scheduling   the nodes that store them --> kernels, by candidates, scores and rounds
    plan         kernels --> a cover: an op that is inlined twice is in two groups

`as_program` gives the graph that Inductor runs: what a capture has folded is computed again, and
tensors lie as `with_layout_copies` says, channels last around convolutions. Plan and price that.

`limits` say for whom: `CPU` (the C++ backend), `GPU` (Triton on a device), `TRITON` (Triton's
schedule of a CPU's lowerings). `partition(graph, "inductor", device=...)` takes those of a GPU for
a GPU and of a CPU otherwise.

A kernel that is a step of an op (rows of a norm in two passes, the parts of a split sum) is one of
the plan's `extras`: what it leaves is in no tensor of the graph.

What is left out: autotuned templates, the dtype that half precision is computed in between steps,
and loops that Inductor orders by more than strides.
"""

from __future__ import annotations

from fuseline.fusion.inductor.forms import lower
from fuseline.fusion.inductor.layouts import with_layout_copies
from fuseline.fusion.inductor.limits import CPU, GPU, TRITON, Limits, limits_of
from fuseline.fusion.inductor.plan import make_cover
from fuseline.fusion.inductor.program import as_program
from fuseline.fusion.inductor.scheduling import Scheduler
from fuseline.graph import Graph
from fuseline.plan import Plan

__all__ = [
    "CPU", "GPU", "TRITON", "Limits", "as_program", "inductor", "limits_of", "with_layout_copies",
]  # fmt: skip


def inductor(graph: Graph, *, limits: Limits = CPU) -> Plan:
    """The kernels that Inductor would make of a recorded graph, as a cover.

    >>> from fuseline.graph import Builder, Kind, Origin, Role
    >>> build = Builder()
    >>> x = build.tensor("x", (10, 10), role=Role.INPUT)
    >>> y = build.op("scale", Kind.MUL, inputs=[x], shape=(10, 10), origin=Origin.ATEN)
    >>> z = build.op("act", Kind.RELU, inputs=[y], shape=(10, 10), origin=Origin.ATEN)
    >>> [group.ops for group in inductor(build.finish([z])).groups]
    [(0, 1)]
    """
    scheduler = Scheduler(lower(graph, limits))
    return make_cover(graph, scheduler, scheduler.run())
