"""What-ifs: one capture, asked again with another dtype, packed weights or another batch, or with
the copies that Inductor makes to run convolutions in channels-last order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fuseline.costs import with_batch, with_dtype, with_weight_only
from fuseline.errors import InputError, did_you_mean
from fuseline.fusion.inductor import with_layout_copies
from fuseline.graph import Graph
from fuseline.report.rows import Result
from fuseline.report.rows.device import MemoryRow

_PACKED = {"int8": 8, "int4": 4}


def _packed(graph: Graph, value: str) -> Graph:
    if value not in _PACKED:
        hint = did_you_mean(value, _PACKED) or ": int8 or int4"
        raise InputError(f"cannot pack weights to '{value}'{hint}")
    return with_weight_only(graph, _PACKED[value])


def _batched(graph: Graph, value: str) -> Graph:
    if not value.isdigit() or int(value) < 1:
        raise InputError(f"a batch is a positive number, not '{value}'")
    return with_batch(graph, int(value))


def _laid_out(graph: Graph, value: str) -> Graph:
    if value != "channels_last":
        raise InputError(f"cannot lay out as '{value}': only channels_last")
    return with_layout_copies(graph)


_CHANGES: dict[str, Callable[[Graph, str], Graph]] = {
    "dtype": with_dtype,
    "weights": _packed,
    "batch": _batched,
    "layout": _laid_out,
}


@dataclass(frozen=True, slots=True)
class Change:
    """One or more changes at once, as they were written: `dtype=bfloat16,weights=int4`."""

    text: str
    steps: tuple[tuple[str, str], ...]

    def apply(self, graph: Graph) -> Graph:
        """The graph as it would be. Raises `InputError` where that cannot be told."""
        for key, value in self.steps:
            graph = _CHANGES[key](graph, value)
        return graph


def parse_change(text: str) -> Change:
    """A change as written on the command line.

    >>> parse_change("dtype=bfloat16,batch=8").steps
    (('dtype', 'bfloat16'), ('batch', '8'))
    """
    steps = []
    for part in text.split(","):
        key, equals, value = part.strip().partition("=")
        if not equals:
            raise InputError(
                f"'{part}' is no change: write dtype=bfloat16, weights=int4 or batch=8"
            )
        if key not in _CHANGES:
            hint = did_you_mean(key, _CHANGES) or f": one of {', '.join(_CHANGES)}"
            raise InputError(f"cannot change '{key}'{hint}")
        steps.append((key, value))
    return Change(text, tuple(steps))


@dataclass(frozen=True, slots=True)
class ChangedPlanRow:
    """One strategy's figures on the changed graph."""

    strategy: str
    launches: int
    traffic_bytes: int
    seconds: float | None
    memory: MemoryRow | None


@dataclass(frozen=True, slots=True)
class WhatIfRow:
    """A change, the graph's own figures under it, and every plan's."""

    change: str
    flops: int
    parameter_bytes: int
    compulsory_bytes: int
    plans: tuple[ChangedPlanRow, ...]


def what_if_row(change: str, result: Result) -> WhatIfRow:
    """The figures that a change is asked for."""
    return WhatIfRow(
        change,
        result.graph.flops,
        result.graph.parameter_bytes,
        result.graph.compulsory_bytes,
        tuple(
            ChangedPlanRow(plan.label, plan.launches, plan.traffic_bytes, plan.seconds, plan.memory)
            for plan in result.plans
        ),
    )
