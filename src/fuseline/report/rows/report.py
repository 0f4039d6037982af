"""Everything that one report shows, as rows: the result, and what pictures need besides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fuseline.errors import InputError
from fuseline.fusion import Settings
from fuseline.fusion.optimal.curve import capacity_curve, least_without_capacity
from fuseline.graph import Graph
from fuseline.hardware import Device
from fuseline.hardware.rows import figure_line
from fuseline.plan import Plan
from fuseline.report.rows.capacity import (
    CapacityRows,
    OnChipRow,
    capacity_rows,
    on_chip_rows,
)
from fuseline.report.rows.data import PlanRow, Result, Target
from fuseline.report.rows.edges import EdgeRow, edge_rows
from fuseline.report.rows.missed import MissedRows, missed_rows
from fuseline.report.rows.ops import OpRow, op_rows
from fuseline.report.rows.outline import Piece, outline
from fuseline.report.rows.plans import rows
from fuseline.report.rows.words import assumptions, headlines

CAPACITIES = tuple(1 << power for power in range(16, 27))
"""On-chip memory that the capacity curve is drawn for: 64 KiB to 64 MiB, doubled each time."""


def _silent(_stage: str, _count: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class PartitionRows:
    """One plan as a picture needs it: its figures, the outline, who hands bytes to whom, the ops of
    each group (ids, in the order of `plan.members`), and the fusions missed. `headlines` are the
    figures that matter, in words.
    """

    plan: PlanRow
    headlines: tuple[str, ...]
    outline: Piece
    edges: tuple[EdgeRow, ...]
    ops: tuple[tuple[int, ...], ...]
    missed: MissedRows


@dataclass(frozen=True, slots=True)
class FigureRow:
    """One figure of the device, with its unit, and where it is from."""

    name: str
    value: str
    basis: str
    source: str
    note: str


@dataclass(frozen=True, slots=True)
class ReportRows:
    """One model under several strategies. `capacity` is None where it was not asked for."""

    result: Result
    ops: tuple[OpRow, ...]
    partitions: tuple[PartitionRows, ...]
    capacity: CapacityRows | None
    assumptions: tuple[str, ...]
    device: tuple[FigureRow, ...]
    on_chip: tuple[OnChipRow, ...]

    @property
    def device_name(self) -> str:
        """The device that plans are timed on; empty without one."""
        return self.result.plans[0].device or ""


def report_rows(
    graph: Graph,
    plans: tuple[Plan, ...],
    version: str,
    target: Target | None = None,
    *,
    capacity_seconds: float = 0.0,
    progress: Callable[[str, int], None] = _silent,
) -> ReportRows:
    """All that a report shows of `graph` and `plans`, on `target` where there is one.

    The capacity curve may take `capacity_seconds`; with 0 there is none. Raises `InputError`
    without a plan.
    """
    if not plans:
        raise InputError("a report needs a plan: name a strategy")
    result = rows(graph, plans, version, target)
    partitions = []
    for plan, row in zip(plans, result.plans, strict=True):
        progress("plans looked at for missed fusions", len(partitions))
        partitions.append(_partition(graph, plan, row, result))
    return ReportRows(
        result=result,
        ops=op_rows(graph),
        partitions=tuple(partitions),
        capacity=_capacity(graph, capacity_seconds, version, progress),
        assumptions=assumptions(result, target),
        device=_figures(target.device) if target else (),
        on_chip=on_chip_rows(target.device) if target else (),
    )


def _partition(graph: Graph, plan: Plan, row: PlanRow, result: Result) -> PartitionRows:
    return PartitionRows(
        plan=row,
        headlines=headlines(row, result),
        outline=outline(row.members),
        edges=edge_rows(graph, plan),
        ops=tuple(group.ops for group in plan.groups),
        missed=missed_rows(graph, plan),
    )


def _capacity(
    graph: Graph, seconds: float, version: str, progress: Callable[[str, int], None]
) -> CapacityRows | None:
    if not seconds:
        return None
    base = least_without_capacity(graph)
    settings = Settings("M", seconds=seconds, progress=progress)
    points = capacity_curve(graph, CAPACITIES, settings)
    return capacity_rows(graph, points, base, "M", version)


def _figures(device: Device) -> tuple[FigureRow, ...]:
    return tuple(FigureRow(*figure_line(figure)) for figure in device.figures)
