"""The figures a budget can limit. Of each less is better; None where it is not told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fuseline.errors import did_you_mean
from fuseline.report.rows.data import GraphRow, PlanRow
from fuseline.report.rows.device import MemoryRow
from fuseline.report.rows.table import Measure

Number = int | float


@dataclass(frozen=True, slots=True)
class Sample:
    """What figures are read from. `gap` is traffic above what is proven that any legal plan moves,
    as a part of that; None where no search was asked for. `memory` is None of a cover.
    """

    graph: GraphRow
    plan: PlanRow
    memory: MemoryRow | None
    gap: float | None


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure: its name, what it is measured in, and how it is read. One that is `on_request` is
    told only where it is asked for: it takes a search.
    """

    name: str
    measure: Measure
    of: Callable[[Sample], Number | None]
    needs_device: bool = False
    on_request: bool = False


def _illegal(sample: Sample) -> int | None:
    if sample.plan.kind == "cover":  # our rules do not judge it
        return None
    return len({row.group for row in sample.plan.illegal_groups})


def _pipelined(sample: Sample) -> float | None:
    return sample.plan.roofline.pipelined_seconds if sample.plan.roofline else None


# fmt: off
FIGURES: tuple[Figure, ...] = (
    Figure("launches", Measure.COUNT, lambda sample: sample.plan.launches),
    Figure("traffic_bytes", Measure.BYTES, lambda sample: sample.plan.traffic_bytes),
    Figure("flops", Measure.FLOPS, lambda sample: sample.graph.flops),
    Figure("other_flops", Measure.FLOPS, lambda sample: sample.graph.other_flops),
    Figure("seconds", Measure.SECONDS, lambda sample: sample.plan.seconds, needs_device=True),
    Figure("pipelined_seconds", Measure.SECONDS, _pipelined, needs_device=True),
    Figure("gap", Measure.FRACTION, lambda sample: sample.gap, on_request=True),
    Figure("parameter_bytes", Measure.BYTES, lambda sample: sample.graph.parameter_bytes),
    Figure("compulsory_bytes", Measure.BYTES, lambda sample: sample.graph.compulsory_bytes),
    Figure("memory_bytes", Measure.BYTES,
           lambda sample: sample.memory.total_bytes if sample.memory else None),
    Figure("activations_peak_bytes", Measure.BYTES,
           lambda sample: sample.memory.activations_peak_bytes if sample.memory else None),
    Figure("unknown_ops", Measure.COUNT,
           lambda sample: sum(row.count for row in sample.graph.unknown_ops)),
    Figure("illegal_groups", Measure.COUNT, _illegal),
)
# fmt: on

BY_NAME: dict[str, Figure] = {figure.name: figure for figure in FIGURES}


def hint_for(name: str) -> str:
    """What ends a message that a figure is unknown."""
    return did_you_mean(name, BY_NAME) or f": one of {', '.join(BY_NAME)}"
