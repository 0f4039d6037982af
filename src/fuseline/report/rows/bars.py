"""Bars: the traffic of strategies beside what bounds it from below, and a plan by bottleneck."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from fuseline.report.rows.data import PlanRow, Result

BESIDES = "besides"
"""In the place of a bottleneck: kernels besides the groups, which only bytes are known of."""


@dataclass(frozen=True, slots=True)
class BarRow:
    """One strategy: `place` is its plan's in the result. `illegal` counts the groups that break a
    rule; of a cover, which is judged by none, it is None.
    """

    place: int
    label: str
    traffic_bytes: int
    launches: int
    seconds: float | None
    is_cover: bool
    is_least: bool  # of the partitions
    illegal: int | None

    @property
    def is_bound(self) -> bool:
        """Whether what is certified of legal partitions holds for it."""
        return self.illegal == 0


@dataclass(frozen=True, slots=True)
class LineRow:
    """Bytes that no plan (`compulsory`), or no partition legal under `rules`, goes below."""

    name: str
    rules: str | None
    bytes: int


@dataclass(frozen=True, slots=True)
class StrategyBars:
    """Strategies in the order given, and lines to hold them against."""

    bars: tuple[BarRow, ...]
    lines: tuple[LineRow, ...]


def strategy_bars(result: Result) -> StrategyBars:
    """Every plan of a result. A bound that equals the compulsory bytes is one line with them."""
    partitions = [plan.traffic_bytes for plan in result.plans if plan.kind == "partition"]
    least = min(partitions, default=None)
    bars = tuple(
        BarRow(
            place,
            plan.label,
            plan.traffic_bytes,
            plan.launches,
            plan.seconds,
            plan.kind == "cover",
            plan.kind == "partition" and plan.traffic_bytes == least,
            plan.illegal_count,
        )
        for place, plan in enumerate(result.plans)
    )
    compulsory = result.graph.compulsory_bytes
    bounds: dict[str | None, int] = {}
    for plan in result.plans:
        bound = plan.lower_bound_bytes
        if bound is not None and bound > compulsory:
            bounds[plan.rules] = min(bound, bounds.get(plan.rules, bound))
    lines = [LineRow("compulsory", None, compulsory)]
    lines += [LineRow("certified", rules, bound) for rules, bound in bounds.items()]
    return StrategyBars(bars, tuple(lines))


@dataclass(frozen=True, slots=True)
class PartRow:
    """What one bottleneck has of the launches, the bytes or the seconds of a plan.

    `share` is of `whole`; the parts of one `figure` follow each other from `start` to `end`, of 1.
    """

    figure: str
    bottleneck: str
    value: float
    whole: float
    start: float
    end: float


def bottleneck_parts(plan: PlanRow) -> tuple[PartRow, ...]:
    """Launches, bytes and, on a device, seconds of `plan` by what bounds them."""
    launches = {name: float(count) for name, count in plan.bottlenecks.counts.items()}
    missing = plan.launches - sum(plan.bottlenecks.counts.values())
    if missing:
        launches[BESIDES] = float(missing)
    moved: dict[str, float] = defaultdict(float)
    for member in plan.members:
        if member.launched:
            moved[member.bottleneck] += member.traffic_bytes
    if plan.extra_traffic_bytes:
        moved[BESIDES] += plan.extra_traffic_bytes
    parts = [*_parts("launches", launches), *_parts("bytes moved", moved)]
    if plan.roofline is not None:
        seconds = {share.bottleneck: share.seconds for share in plan.roofline.shares}
        parts += _parts("time", seconds)
    return tuple(parts)


def _parts(figure: str, values: dict[str, float]) -> list[PartRow]:
    """Largest first, end to end."""
    whole = sum(values.values())
    parts: list[PartRow] = []
    reached = 0.0
    for name, value in sorted(values.items(), key=lambda item: (-item[1], item[0])):
        start, reached = reached, reached + value
        if value:
            parts.append(PartRow(figure, name, value, whole, start / whole, reached / whole))
    return parts
