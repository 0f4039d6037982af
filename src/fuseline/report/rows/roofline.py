"""A plan's kernels as points of a roofline: where each stands, and the roof above it.

Measured rates differ from class to class of kernels: a plan timed by them has no roof.

A kernel stands at its FLOPs a byte and at the FLOP/s that its predicted time leaves. One without
a contraction has neither: it stands in a strip left of the axis, as far below the bandwidth roof
as its bytes a second are below the device's bandwidth. So none is left out. Without a device the
height is traffic. Kernels alike in every figure are one point, with a count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fuseline.costs import BANDS
from fuseline.report.rows.data import MemberRow, PlanRow
from fuseline.report.rows.pieces import kernel_label

_STRIP = 0.2  # of the axis beside it, on the scale of logarithms
_AIR = 2.0  # factor between the outermost points and the edge
_INSTANT = 1e-12  # seconds: what takes none at all has its place too
_ROOM = 2.0  # again above: for what is written on the roof


@dataclass(frozen=True, slots=True)
class PointRow:
    """Kernels alike in every figure; all figures are of one of them, `total_bytes` of all.

    `x` [FLOP/byte] and `y` [FLOP/s, or bytes without a device] are where it is drawn: exact where
    `has_flops`, else a place in the strip.
    """

    groups: tuple[int, ...]
    label: str
    module: str
    x: float
    y: float
    has_flops: bool
    flops: int
    other_flops: int
    traffic_bytes: int
    total_bytes: int
    arithmetic_intensity: float
    seconds: float | None
    flops_per_second: float | None
    bytes_per_second: float | None
    bottleneck: str
    unknown_ops: int


@dataclass(frozen=True, slots=True)
class RoofRow:
    """The roof of one dtype, as corners (x [FLOP/byte], y [FLOP/s]): the second is the ridge."""

    dtype: str
    how: str
    flops_per_second: float
    ridge_point: float
    corners: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class SlopeRow:
    """The roof that bandwidth is, below every ridge: points as corners of a roof."""

    bytes_per_second: float
    start: tuple[float, float]
    middle: tuple[float, float]
    end: tuple[float, float]


@dataclass(frozen=True, slots=True)
class BandRow:
    """A band of intensities [FLOP/byte], cut to the axis."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class RooflineChart:
    """What the chart shows. `strip` is the edge left of which x means nothing, if any does."""

    device: str | None
    points: tuple[PointRow, ...]
    roofs: tuple[RoofRow, ...]
    bands: tuple[BandRow, ...]
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    strip: float | None
    slope: SlopeRow | None
    kernels: int
    without_flops: int
    left_out: int  # kernels besides the groups: they have no op, and no place here


def roofline_chart(plan: PlanRow) -> RooflineChart:
    """Lay out the launched groups of `plan`."""
    alike = _alike(plan.members)
    placed = [members for members in alike if _intensity(members[0])]
    floating = [members for members in alike if not _intensity(members[0])]
    ridges = [peak.ridge_point for peak in plan.roofline.peaks] if plan.roofline else []
    known = [_intensity(members[0]) for members in placed] + (ridges or [1.0, 50.0])
    low, high = min(known) / _AIR, max(known) * _AIR
    strip = low if floating else None
    wide = (high / low) ** _STRIP
    left = low / wide if floating else low
    points = [_point(members, _intensity(members[0]), _height(members[0])) for members in placed]
    for number, members in enumerate(floating):
        x = left * wide ** ((number + 0.5) / len(floating))
        points.append(_point(members, x, _floating_height(members[0], x)))
    roofs = _roofs(plan, left, high)
    slope = _slope(plan, left, min(ridges, default=low))
    return RooflineChart(
        device=plan.device,
        points=tuple(sorted(points, key=lambda point: (-point.total_bytes, point.groups))),
        roofs=roofs,
        bands=() if plan.roofline else _bands(low, high),
        x_range=(left, high),
        y_range=_y_range(points, roofs, slope),
        strip=strip,
        slope=slope,
        kernels=sum(map(len, alike)),
        without_flops=sum(map(len, floating)),
        left_out=plan.extra_launches,
    )


def _alike(members: Sequence[MemberRow]) -> list[list[MemberRow]]:
    """Launched groups, those with the same figures together, in order of the first."""
    found: dict[object, list[MemberRow]] = {}
    for member in members:
        if member.launched:
            figures = (
                member.pattern, member.flops, member.other_flops, member.traffic_bytes,
                member.seconds, member.bottleneck, member.unknown_ops,
            )  # fmt: skip
            found.setdefault(figures, []).append(member)
    return list(found.values())


def _intensity(member: MemberRow) -> float:
    """Its place on the axis; 0 where it has none: no contraction, or not a byte moved."""
    return member.arithmetic_intensity if member.traffic_bytes else 0.0


def _height(member: MemberRow) -> float:
    if member.seconds is None:
        return float(member.traffic_bytes)
    return member.flops / max(member.seconds, _INSTANT)


def _floating_height(member: MemberRow, x: float) -> float:
    """In the strip: bytes a second on the scale of the bandwidth roof; at least one byte."""
    nbytes = max(member.traffic_bytes, 1)
    if member.seconds is None:
        return float(nbytes)
    return x * nbytes / max(member.seconds, _INSTANT)


def _point(members: Sequence[MemberRow], x: float, y: float) -> PointRow:
    one = members[0]
    return PointRow(
        groups=tuple(member.group for member in members),
        label=kernel_label(one),
        module=one.module,
        x=x,
        y=y,
        has_flops=bool(_intensity(one)),
        flops=one.flops,
        other_flops=one.other_flops,
        traffic_bytes=one.traffic_bytes,
        total_bytes=one.traffic_bytes * len(members),
        arithmetic_intensity=one.arithmetic_intensity,
        seconds=one.seconds,
        flops_per_second=one.flops / one.seconds if one.seconds else None,
        bytes_per_second=one.traffic_bytes / one.seconds if one.seconds else None,
        bottleneck=one.bottleneck,
        unknown_ops=one.unknown_ops,
    )


def _slope(plan: PlanRow, left: float, right: float) -> SlopeRow | None:
    """The device's bandwidth, as the roofs have it; without one, as the kernels have it."""
    if plan.roofline is None or plan.roofline.rated:
        return None
    rates = [peak.flops_per_second / peak.ridge_point for peak in plan.roofline.peaks]
    rates = rates or [
        member.traffic_bytes / member.bandwidth_seconds
        for member in plan.members
        if member.bandwidth_seconds
    ]
    if not rates:
        return None
    rate, middle = max(rates), math.sqrt(left * right)
    return SlopeRow(rate, (left, rate * left), (middle, rate * middle), (right, rate * right))


def _roofs(plan: PlanRow, left: float, right: float) -> tuple[RoofRow, ...]:
    """A roof for every dtype that contractions were priced in, the highest first."""
    made = []
    for peak in plan.roofline.peaks if plan.roofline and not plan.roofline.rated else ():
        rate, ridge = peak.flops_per_second, peak.ridge_point
        corners = ((left, rate * left / ridge), (ridge, rate), (right, rate))
        made.append(RoofRow(peak.dtype, peak.how, rate, ridge, corners))
    return tuple(sorted(made, key=lambda roof: -roof.flops_per_second))


def _bands(low: float, high: float) -> tuple[BandRow, ...]:
    cut = [(band.value, max(start, low), min(end, high)) for band, start, end in BANDS]
    return tuple(BandRow(*band) for band in cut if band[1] < band[2])


def _y_range(
    points: Sequence[PointRow], roofs: Sequence[RoofRow], slope: SlopeRow | None
) -> tuple[float, float]:
    """From below the lowest point to above the highest, and the highest roof."""
    heights = [point.y for point in points] + [roof.flops_per_second for roof in roofs]
    heights += [slope.end[1]] if slope else []
    return min(heights, default=1.0) / _AIR, max(heights, default=1.0) * _AIR * _ROOM
