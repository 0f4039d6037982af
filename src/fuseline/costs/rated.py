"""A kernel's terms by the measured rates of a calibrated device.

One op is priced by the row of its class (`fuseline.hardware.rates`). In a group of several the op
that takes longest alone is the *anchor*: the kernel is launched and moves its bytes as the anchor's
row says, and every op works at the rate of its own row. So an epilogue adds its arithmetic, and no
bytes but those that cross the group's boundary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fuseline.costs.dtypes import computed_dtype, contracted_dtype
from fuseline.costs.kernel_classes import kernel_class
from fuseline.costs.plan_cost import GroupCost
from fuseline.costs.traffic import Traffic, group_traffic
from fuseline.graph import Graph, Op
from fuseline.hardware.device import Device
from fuseline.hardware.rates import Amounts, Rate


@dataclass(frozen=True, slots=True)
class RatedTerms:
    """The terms of one kernel [s]; they add up."""

    compute_seconds: float
    vector_seconds: float
    memory_seconds: float
    launch_seconds: float


def rated_terms(
    graph: Graph, ops: Sequence[Op], price: GroupCost, device: Device
) -> RatedTerms | None:
    """The terms of the group of `ops`, whose price is `price`; None where the device has no row for
    one of its compute ops, or none of them is one.
    """
    rates: list[tuple[Op, Rate]] = []
    for op in ops:
        if op.is_compute:
            kernel = kernel_class(graph, op)
            dtype = contracted_dtype(graph, op) if op.work.flops else computed_dtype(graph, op)
            rate = device.find_rate(kernel, dtype) if kernel else None
            if rate is None:
                return None
            rates.append((op, rate))
    if not rates:
        return None
    work = [rate.work_seconds(_work_of(graph, op)) for op, rate in rates]
    anchor = rates[0][1] if len(rates) == 1 else _anchor(graph, rates)
    return RatedTerms(
        compute_seconds=sum(seconds for seconds, _ in work),
        vector_seconds=sum(seconds for _, seconds in work),
        memory_seconds=anchor.memory_seconds(_moved(price.traffic)),
        launch_seconds=anchor.launch_seconds,
    )


def _anchor(graph: Graph, rates: Sequence[tuple[Op, Rate]]) -> Rate:
    """The row of the op that takes longest alone; the first of equals."""

    def alone(pair: tuple[Op, Rate]) -> float:
        op, rate = pair
        return rate.seconds(op_amounts(graph, op))

    return max(rates, key=alone)[1]


def op_amounts(graph: Graph, op: Op) -> Amounts:
    """What `op` works and moves as a kernel of its own."""
    moved = group_traffic(graph, (op.id,))
    work = _work_of(graph, op)
    return replace(work, reads=moved.reads, parameters=moved.parameters, writes=moved.writes)


def _work_of(graph: Graph, op: Op) -> Amounts:
    return Amounts(op.work.flops, op.work.other_flops, _rows(graph, op), 0, 0, 0)


def _rows(graph: Graph, op: Op) -> int:
    """Rows of a reduction: elements of its first operand / elements that share a statistic."""
    operands = op.inputs or op.parameters
    if not op.row_numel or not operands:
        return 0
    return graph.tensors[operands[0]].numel // op.row_numel


def _moved(traffic: Traffic) -> Amounts:
    return Amounts(0, 0, 0, traffic.reads, traffic.parameters, traffic.writes)
