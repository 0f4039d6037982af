"""What `fuseline run` measured -> rows: predictions beside it, where there is a device."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING

import fuseline
from fuseline.costs import cost
from fuseline.costs.roofline import PlanTime, roofline
from fuseline.graph import Graph
from fuseline.plan import Plan
from fuseline.report.rows import ModelRow, Target
from fuseline.report.rows.run import (
    SCHEMA,
    GroupRunRow,
    OutputRow,
    RunResult,
    RunRow,
    SecondsRow,
)

if TYPE_CHECKING:
    from fuseline.runtime.compare import Checked, Prepared
    from fuseline.runtime.numerics import Comparison

EAGER = "eager"


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found: seconds of every round by name; seconds of groups by name and place; bytes of
    device memory and of L2 that were counted, by strategy and place.
    """

    prepared: Prepared
    checked: tuple[Checked, ...]
    timings: Mapping[str, Sequence[float]]
    groups: Mapping[str, Mapping[int, Sequence[float]]]
    counted: Mapping[str, Mapping[int, tuple[int, int]]]
    threads: int
    notes: tuple[str, ...]


def lay_out(measured: Measured, torch_device: str, rounds: int, target: Target | None) -> RunResult:
    """All of it as rows, with predictions on `target` where there is one."""
    from importlib.metadata import version

    from fuseline.runtime.numerics import tolerance_text

    graph = measured.prepared.script.graph
    times = {
        each.name: _predict(graph, each.plan, target)
        for each in measured.checked
        if each.plan is not None and target is not None
    }
    source = graph.source
    return RunResult(
        schema=SCHEMA,
        fuseline=fuseline.__version__,
        torch=version("torch"),
        model=ModelRow(
            source.name, source.source, source.via, source.mode, source.batch, source.dtype,
            source.input_shapes, source.notes,
        ),
        torch_device=torch_device,
        device=target.device.name if target else None,
        threads=measured.threads,
        rounds=rounds,
        inputs=len(measured.prepared.inputs),
        seed=measured.prepared.seed,
        tolerance=tolerance_text(source.dtype),
        runs=_run_rows(measured, times),
        groups=tuple(
            row
            for each in measured.checked
            if each.plan is not None
            for row in _group_rows(graph, each.name, each.plan, measured, times.get(each.name))
        ),
        notes=measured.notes,
    )  # fmt: skip


def _predict(graph: Graph, plan: Plan, target: Target | None) -> PlanTime | None:
    if target is None:
        return None
    return roofline(graph, plan, target.device, launch=target.launch, tf32=target.tf32)


def _run_rows(measured: Measured, times: Mapping[str, PlanTime | None]) -> tuple[RunRow, ...]:
    eager = measured.timings.get(EAGER)
    rows = [RunRow(EAGER, "model", None, None, None, _seconds(eager), 1.0 if eager else None, None)]
    for each in measured.checked:
        seconds, time = measured.timings.get(each.name), times.get(each.name)
        stages = each.executable.stages if each.executable else None
        rows.append(
            RunRow(
                name=each.name,
                kind=each.kind,
                groups=None if each.plan is None else len(each.plan.groups),
                launches=None if stages is None else sum(stage.is_launched for stage in stages),
                output=_output(each.comparison),
                seconds=_seconds(seconds),
                relative=median(seconds) / median(eager) if seconds and eager else None,
                predicted_seconds=time.pipelined_seconds if time else None,
            )
        )
    return tuple(rows)


def _group_rows(
    graph: Graph, name: str, plan: Plan, measured: Measured, time: PlanTime | None
) -> list[GroupRunRow]:
    prices = cost(graph, plan).groups
    counted = measured.counted.get(name, {})
    rows = []
    for place, rounds in measured.groups.get(name, {}).items():
        seconds = _seconds(rounds)
        if seconds is None:
            continue
        dram, cached = counted.get(place, (None, None))
        rows.append(
            GroupRunRow(
                plan=name,
                group=plan.groups[place].id,
                ops=tuple(graph.ops[op].name for op in plan.groups[place].ops),
                seconds=seconds,
                predicted_seconds=time.groups[place].seconds if time else None,
                traffic_bytes=prices[place].nbytes,
                dram_bytes=dram,
                l2_bytes=cached,
            )
        )
    return rows


def _seconds(rounds: Sequence[float] | None) -> SecondsRow | None:
    if not rounds:
        return None
    if len(rounds) == 1:
        return SecondsRow(rounds[0], rounds[0], rounds[0], rounds[0])
    return SecondsRow(min(rounds), *quantiles(rounds, n=4, method="inclusive"))


def _output(found: Comparison) -> OutputRow:
    difference, largest = (
        value if math.isfinite(value) else None for value in (found.max_difference, found.largest)
    )
    return OutputRow(found.verdict.value, found.verdict.passes, difference, largest, found.reason)
