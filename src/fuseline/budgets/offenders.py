"""Without a baseline to differ from: the kernels and ops that most of a figure comes from."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from fuseline.budgets.difference import BESIDES, ROOT
from fuseline.budgets.measure import Measured
from fuseline.graph import Graph
from fuseline.graph.flows import OUTSIDE, Flow, trace_flows
from fuseline.report.rows.data import MemberRow
from fuseline.report.rows.table import Column, Measure, Table
from fuseline.report.units import count_of

_MOST = 5

FOLDED = "(ahead of time)"
"""The module of folded ops, which no kernel of a plan computes."""


def offenders(measured: Measured, figure: str) -> Table | None:
    """A table of what a figure is mostly made of; None where that would say nothing. No part is
    more than the figure.
    """
    made = _TABLES.get(figure)
    if made is not None:
        return made(measured)
    part = _PARTS.get(figure)
    return None if part is None else _groups(measured, figure, *part)


def _on_device(row: MemberRow) -> float | None:
    """A launch may be hidden: what the device takes is what a kernel adds for certain."""
    if row.seconds is None or row.launch_seconds is None:
        return None
    return row.seconds - row.launch_seconds


Part = Callable[[MemberRow], int | float | None]

_PARTS: dict[str, tuple[str, Measure, Part]] = {
    "traffic_bytes": ("traffic_bytes", Measure.BYTES, lambda row: row.traffic_bytes),
    "gap": ("traffic_bytes", Measure.BYTES, lambda row: row.traffic_bytes),
    "flops": ("flops", Measure.FLOPS, lambda row: row.flops),
    "other_flops": ("other_flops", Measure.FLOPS, lambda row: row.other_flops),
    "seconds": ("seconds", Measure.SECONDS, lambda row: row.seconds),
    "pipelined_seconds": ("device_seconds", Measure.SECONDS, _on_device),
}
"""Figures that are sums over kernels: the column, and a group's part."""


def _groups(measured: Measured, figure: str, column: str, measure: Measure, part: Part) -> Table:
    rows = [
        (row.module or ROOT, " + ".join(row.ops), value)
        for row in measured.plan.members
        if (value := part(row))
    ]
    rows += [(module, ops, value) for module, ops, value in _beside(measured, column) if value]
    rows.sort(key=lambda found: -found[2])
    columns = (
        Column("module", Measure.TEXT, "the module the kernel belongs to"),
        Column("ops", Measure.TEXT, "what it computes"),
        Column(column, measure, f"its part of {figure}"),
    )
    notes = _rest(rows, "part")
    return Table("most", f"Most of {figure}", columns, tuple(rows[:_MOST]), notes, keys=2)


def _beside(measured: Measured, column: str) -> list[tuple[str, str, int | float]]:
    """What else a figure is made of: kernels that compute no op, ops that no kernel computes."""
    plan, graph = measured.priced, measured.priced.graph
    kernels = count_of(plan.extra_launches, "kernel")
    folded = f"{count_of(sum(op.is_compute for op in graph.folded), 'op')} without input"
    match column:
        case "traffic_bytes":
            return [(BESIDES, kernels, plan.extra_traffic_bytes)]
        case "seconds":
            return [(BESIDES, kernels, plan.extra_seconds or 0.0)]
        case "flops":
            return [(FOLDED, folded, graph.folded_flops)]
        case _:
            return []


def _launches(measured: Measured) -> Table:
    launched = [row for row in measured.plan.members if row.launched]
    counts = Counter(_outer(row.module) for row in launched)
    counts[BESIDES] = measured.priced.extra_launches
    columns = (
        Column("module", Measure.TEXT, "where they are launched"),
        Column("launches", Measure.COUNT, "how many"),
    )
    rows = [(module, count) for module, count in counts.most_common() if count]
    return Table("most", "Most of launches", columns, tuple(rows[:_MOST]), _rest(rows, "module"))


def _parameters(measured: Measured) -> Table:
    graph = measured.priced.graph
    names: dict[int, str] = {}
    for tensor in graph.tensors:
        names.setdefault(tensor.storage, tensor.name)
    columns = (
        Column("tensor", Measure.TEXT, "a parameter, buffer or constant"),
        Column("parameter_bytes", Measure.BYTES, "bytes of it that ops read"),
    )
    parts = sorted(parameter_parts(graph).items(), key=lambda part: -part[1])
    rows = tuple((names[storage], nbytes) for storage, nbytes in parts[:_MOST])
    return Table("most", "Most of parameter_bytes", columns, rows, _rest(parts, "tensor"))


def parameter_parts(graph: Graph) -> dict[int, int]:
    """The model's `parameter_bytes`, storage by storage: as the model has them, before folding."""
    ahead = len(graph.folded)
    later = (replace(op, id=op.id + ahead) for op in graph.ops)
    ops = (*graph.folded, *later)
    flows = trace_flows(graph.storages, graph.tensors, ops, graph.outputs)
    computed = (op for op in graph.folded if op.is_compute)
    made = {graph.tensors[tensor].storage for op in computed for tensor in op.outputs}
    held = {storage.id for storage in graph.storages if storage.is_held} - made
    parts: dict[int, list[Flow]] = defaultdict(list)
    for flow in (flow for reads in flows.read_by for flow in reads):
        if flow.writer == OUTSIDE and flow.storage in held:
            parts[flow.storage].append(flow)
    return {storage: flows.nbytes(reads) for storage, reads in parts.items()}


def _outer(module: str) -> str:
    """The first two names of a module's path.

    >>> _outer("encoder.layers.encoder_layer_3.mlp"), _outer("")
    ('encoder.layers', '(model)')
    """
    return ".".join(module.split(".")[:2]) or ROOT


def _unknown(measured: Measured) -> Table:
    graph = measured.priced.graph
    columns = (
        Column("op", Measure.TEXT, "its name"),
        Column("target", Measure.TEXT, "what it calls"),
        Column("module", Measure.TEXT, "where"),
    )
    rows = [(op.name, op.target, op.module_path or ROOT) for op in graph.unknown_ops]
    note = "what to do: fuseline.register_op prices an op of your own"
    notes = (*_rest(rows, "op"), note)
    return Table("unknown", "Ops that no formula knows", columns, tuple(rows[:_MOST]), notes)


def _illegal(measured: Measured) -> Table:
    columns = (
        Column("pattern", Measure.TEXT, "what joined its ops"),
        Column("rule", Measure.TEXT, "the rule that it breaks"),
        Column("reason", Measure.TEXT, "how"),
    )
    rows = [(row.pattern, row.rule, row.reason) for row in measured.plan.illegal_groups]
    return Table(
        "illegal", "Illegal groups", columns, tuple(rows[:_MOST]), _rest(rows, "group"), keys=2
    )


_TABLES: dict[str, Callable[[Measured], Table]] = {
    "launches": _launches,
    "parameter_bytes": _parameters,
    "unknown_ops": _unknown,
    "illegal_groups": _illegal,
}


def _rest(rows: Sequence[object], noun: str) -> tuple[str, ...]:
    more = len(rows) - _MOST
    return (f"and {more:,} more {noun}{'' if more == 1 else 's'}",) if more > 0 else ()
