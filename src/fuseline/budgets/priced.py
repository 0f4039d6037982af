"""A plan's groups with their prices, as a baseline keeps them and two plans are compared by."""

from __future__ import annotations

from dataclasses import dataclass

from fuseline.graph import Graph
from fuseline.plan import Plan
from fuseline.report.rows.data import PlanRow


@dataclass(frozen=True, slots=True)
class PricedGroup:
    """One launched group: its ops (ids), and what it adds to each of the plan's totals."""

    ops: tuple[int, ...]
    pattern: str
    traffic_bytes: int
    flops: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Priced:
    """A plan of one graph. The totals of its groups and of the `extra` kernels, which compute no op
    of the graph, are the plan's. All seconds are None without a device.
    """

    graph: Graph
    groups: tuple[PricedGroup, ...]
    extra_launches: int
    extra_traffic_bytes: int
    extra_seconds: float | None

    @property
    def launches(self) -> int:
        """Kernels launched."""
        return len(self.groups) + self.extra_launches

    @property
    def traffic_bytes(self) -> int:
        """Bytes they move."""
        return sum(group.traffic_bytes for group in self.groups) + self.extra_traffic_bytes

    @property
    def flops(self) -> int:
        """FLOPs they compute: of a cover, as often as they do."""
        return sum(group.flops for group in self.groups)

    @property
    def is_timed(self) -> bool:
        """Whether it has seconds."""
        return self.extra_seconds is not None

    @property
    def seconds(self) -> float | None:
        """What they take, every launch in full; None without a device."""
        if self.extra_seconds is None:
            return None
        return sum(group.seconds or 0.0 for group in self.groups) + self.extra_seconds


def priced(graph: Graph, plan: Plan, row: PlanRow) -> Priced:
    """The launched groups of a plan that has been priced as `row`."""
    groups = tuple(
        PricedGroup(group.ops, group.pattern, member.traffic_bytes, member.flops, member.seconds)
        for group, member in zip(plan.groups, row.members, strict=True)
        if member.launched
    )
    extra = None
    if row.seconds is not None:
        extra = 0.0
        if row.extra_launches:
            extra = row.seconds - sum(group.seconds or 0.0 for group in groups)
    return Priced(graph, groups, row.extra_launches, row.extra_traffic_bytes, extra)
