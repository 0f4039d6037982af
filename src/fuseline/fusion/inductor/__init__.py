"""The strategy `inductor`: a rule model of torch 2.13 Inductor's scheduler, without torch.

    lowering     kind --> library call, loop nest, or reductions and loops over rows
    forms, rows  ops in program order --> expressions, stored where a limit says so (`limits`)
    scheduling   the nodes that store them --> kernels, by candidates, scores and rounds
    plan         kernels --> a cover: an op that is inlined twice is in two groups

`with_layout_copies` gives the graph that Inductor's default, channels last, makes of it first.

What is left out: autotuned templates, copies that only Inductor makes (operands of batched products
and of convolutions that are not dense in their own order), loops reordered after the layout of an
operand, and the buffers between the steps of one op, which the graph does not show.
"""

from __future__ import annotations

from fuseline.fusion.inductor.forms import lower
from fuseline.fusion.inductor.layouts import with_layout_copies
from fuseline.fusion.inductor.limits import CPU, GPU, Limits
from fuseline.fusion.inductor.plan import make_cover
from fuseline.fusion.inductor.scheduling import Scheduler
from fuseline.graph import Graph
from fuseline.plan import Plan

__all__ = ["CPU", "GPU", "Limits", "inductor", "with_layout_copies"]


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
