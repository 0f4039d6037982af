"""Without a baseline to differ from: the kernels and ops that most of a figure comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from fuseline.budgets.difference import ROOT
from fuseline.budgets.measure import Measured
from fuseline.report.rows.data import MemberRow
from fuseline.report.rows.table import Column, Measure, Table, Value

_MOST = 5


def offenders(measured: Measured, figure: str) -> Table | None:
    """A table of what a figure is mostly made of; None where that would say nothing."""
    if figure == "unknown_ops":
        return _unknown(measured)
    if figure == "illegal_groups":
        return _illegal(measured)
    if figure == "launches":
        return _launches(measured)
    part = _PARTS.get(figure)
    return None if part is None else _groups(measured, figure, *part)


_PARTS: dict[str, tuple[str, Measure, Callable[[MemberRow], Value]]] = {
    "traffic_bytes": ("traffic_bytes", Measure.BYTES, lambda row: row.traffic_bytes),
    "gap": ("traffic_bytes", Measure.BYTES, lambda row: row.traffic_bytes),
    "flops": ("flops", Measure.FLOPS, lambda row: row.flops),
    "other_flops": ("other_flops", Measure.FLOPS, lambda row: row.other_flops),
    "seconds": ("seconds", Measure.SECONDS, lambda row: row.seconds),
    "pipelined_seconds": ("seconds", Measure.SECONDS, lambda row: row.seconds),
    "parameter_bytes": ("parameter_bytes", Measure.BYTES, lambda row: row.parameter_bytes),
}
"""Figures that are sums over groups: the column, and a group's part."""


def _groups(
    measured: Measured,
    figure: str,
    column: str,
    measure: Measure,
    part: Callable[[MemberRow], Value],
) -> Table:
    rows = [(row, value) for row in measured.plan.members if (value := part(row))]
    rows.sort(key=lambda found: -float(found[1]))
    columns = (
        Column("module", Measure.TEXT, "the module the kernel belongs to"),
        Column("ops", Measure.TEXT, "what it computes"),
        Column(column, measure, f"its part of {figure}"),
    )
    lines = tuple((row.module or ROOT, " + ".join(row.ops), value) for row, value in rows[:_MOST])
    return Table("most", f"Most of {figure}", columns, lines, _rest(rows, "kernel"), keys=2)


def _launches(measured: Measured) -> Table:
    launched = [row for row in measured.plan.members if row.launched]
    counts = Counter(_outer(row.module) for row in launched)
    columns = (
        Column("module", Measure.TEXT, "where they are launched"),
        Column("launches", Measure.COUNT, "how many"),
    )
    rows = tuple(counts.most_common(_MOST))
    return Table("most", "Most of launches", columns, rows, _rest(counts, "module"))


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


def _rest(rows: Sequence[object] | Counter[str], noun: str) -> tuple[str, ...]:
    more = len(rows) - _MOST
    return (f"and {more:,} more {noun}{'' if more == 1 else 's'}",) if more > 0 else ()
