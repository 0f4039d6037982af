"""A plan's price: every group's FLOPs, traffic, intensity and band, and the totals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from fuseline.costs.cover import cover_traffic
from fuseline.costs.traffic import Traffic, group_traffic
from fuseline.errors import InputError
from fuseline.graph import Graph
from fuseline.plan import Extra, Plan


class Band(Enum):
    """The seed document's intensity bands: what bounds a group when no device is given."""

    COMPUTE = "compute-bound"
    BALANCED = "balanced"
    MEMORY = "memory-bound"
    BANDWIDTH = "bandwidth-bound"
    UNKNOWN = "unknown"  # an op whose FLOPs no formula knows


BANDS = (
    (Band.BANDWIDTH, 0.0, 1.0),
    (Band.MEMORY, 1.0, 10.0),
    (Band.BALANCED, 10.0, 50.0),
    (Band.COMPUTE, 50.0, math.inf),
)
"""Band, above which and up to which FLOP/byte; the lowest has 0 too."""


def band_of(intensity: float) -> Band:
    """The band of an arithmetic intensity [FLOP/byte], as in `BANDS`.

    >>> band_of(10.0), band_of(10.1)
    (<Band.MEMORY: 'memory-bound'>, <Band.BALANCED: 'balanced'>)
    """
    return next(band for band, _, most in BANDS if intensity <= most)


def intensity_of(flops: int, nbytes: int) -> float:
    """FLOPs a byte; without traffic 0, or infinite where there is work all the same."""
    if nbytes:
        return flops / nbytes
    return float("inf") if flops else 0.0


@dataclass(frozen=True, slots=True)
class GroupCost:
    """One group's price. `unfused_nbytes` is what its ops would move one kernel each."""

    flops: int
    other_flops: int
    traffic: Traffic
    unfused_nbytes: int
    compute_ops: int
    unknown_ops: int

    @property
    def nbytes(self) -> int:
        """Bytes across the group's boundary."""
        return self.traffic.nbytes

    @property
    def saved_nbytes(self) -> int:
        """Bytes that fusing this group saves."""
        return self.unfused_nbytes - self.traffic.nbytes

    @property
    def intensity(self) -> float:
        """Arithmetic intensity [FLOP/byte]."""
        return intensity_of(self.flops, self.nbytes)

    @property
    def band(self) -> Band:
        """Intensity band of the group."""
        return Band.UNKNOWN if self.unknown_ops else band_of(self.intensity)

    @property
    def is_launch(self) -> bool:
        """Whether the group has a compute op, so that it is launched at all."""
        return self.compute_ops > 0


@dataclass(frozen=True, slots=True)
class PlanCost:
    """A plan's price: group by group, in the plan's order, and the kernels besides. Totals are sums
    over these.
    """

    groups: tuple[GroupCost, ...]
    extras: tuple[Extra, ...] = ()

    @property
    def flops(self) -> int:
        """FLOPs of all groups: the same under every strategy."""
        return sum(group.flops for group in self.groups)

    @property
    def other_flops(self) -> int:
        """Other FLOPs of all groups."""
        return sum(group.other_flops for group in self.groups)

    @property
    def nbytes(self) -> int:
        """Traffic of the plan."""
        return sum(group.nbytes for group in self.groups) + self.extra_nbytes

    @property
    def extra_nbytes(self) -> int:
        """Bytes of kernels that compute no op of the graph."""
        return sum(extra.nbytes for extra in self.extras)

    @property
    def unfused_nbytes(self) -> int:
        """Traffic with a kernel for every op."""
        return sum(group.unfused_nbytes for group in self.groups)

    @property
    def unknown_ops(self) -> int:
        """Ops whose FLOPs the totals leave out."""
        return sum(group.unknown_ops for group in self.groups)

    @property
    def launches(self) -> int:
        """Groups with at least one compute op, and the kernels besides."""
        return sum(group.is_launch for group in self.groups) + len(self.extras)

    @property
    def intensity(self) -> float:
        """FLOPs of the graph / traffic of the plan [FLOP/byte]."""
        return intensity_of(self.flops, self.nbytes)


def cost(graph: Graph, plan: Plan) -> PlanCost:
    """Price `plan` on `graph`. Raises `InputError` where it is a plan of another graph.

    >>> from fuseline.graph import Builder, Kind, Role
    >>> from fuseline.plan import Group
    >>> build = Builder()
    >>> x = build.tensor("x", (4, 4), role=Role.INPUT)  # 16 elements, 64 bytes
    >>> y = build.op("first", Kind.RELU, inputs=[x], shape=(4, 4))
    >>> graph = build.finish([build.op("second", Kind.RELU, inputs=[y], shape=(4, 4))])
    >>> apart = Plan("apart", (Group(0, (0,), "relu"), Group(1, (1,), "relu")), ())
    >>> cost(graph, apart).nbytes  # two kernels, each reads and writes 64 bytes
    256
    >>> cost(graph, Plan("one", (Group(0, (0, 1), "relu_relu"),), ())).nbytes
    128
    """
    alone = [group_traffic(graph, (op.id,)) for op in graph.ops]
    if plan.is_cover:
        return _price_cover(graph, plan, alone)
    if sorted(op for group in plan.groups for op in group.ops) != list(range(len(graph.ops))):
        raise InputError("the plan is not of this graph: it does not hold each of its ops once")
    moved = [
        alone[group.ops[0]] if len(group.ops) == 1 else group_traffic(graph, group.ops)
        for group in plan.groups
    ]
    return PlanCost(
        tuple(
            _price(graph, group.ops, group.ops, alone, traffic)
            for group, traffic in zip(plan.groups, moved, strict=True)
        ),
        plan.extras,
    )


def extra_cost(extra: Extra) -> GroupCost:
    """The price of a kernel besides the groups: what it moves, and a launch."""
    return GroupCost(
        flops=0,
        other_flops=0,
        traffic=Traffic(extra.nbytes, 0, 0),
        unfused_nbytes=0,
        compute_ops=1,
        unknown_ops=0,
    )


def _price_cover(graph: Graph, plan: Plan, alone: Sequence[Traffic]) -> PlanCost:
    """An op is worked in every group that holds it; unfused it would be a kernel once, and counts
    in the first of them.
    """
    seen: set[int] = set()
    prices = []
    for group, traffic in zip(plan.groups, cover_traffic(graph, plan.groups), strict=True):
        first = [op for op in group.ops if op not in seen]
        seen.update(first)
        prices.append(_price(graph, group.ops, first, alone, traffic))
    return PlanCost(tuple(prices), plan.extras)


def _price(
    graph: Graph,
    ops: Sequence[int],
    first: Sequence[int],
    alone: Sequence[Traffic],
    traffic: Traffic,
) -> GroupCost:
    members = [graph.ops[op] for op in ops]
    return GroupCost(
        flops=sum(op.work.flops for op in members),
        other_flops=sum(op.work.other_flops for op in members),
        traffic=traffic,
        unfused_nbytes=sum(alone[op].nbytes for op in first),
        compute_ops=sum(op.is_compute for op in members),
        unknown_ops=sum(op.is_unknown for op in members),
    )
