"""Baseline files: figures, and the graph and groups they are of, so that a later check can say op
by op what changed. Versioned JSON, zstd-compressed where the name ends in `.zst`.

Reading decodes data and runs none of it; what does not hold together is refused whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import msgspec

from fuseline.budgets.config import check_entry
from fuseline.budgets.entries import Entry
from fuseline.budgets.figures import BY_NAME
from fuseline.budgets.measure import Measured
from fuseline.budgets.priced import Priced, PricedGroup
from fuseline.errors import InputError
from fuseline.files import packed, read_bytes, unpacked, write_bytes
from fuseline.graph import Graph
from fuseline.graph.files import find_fault
from fuseline.report.rows.rounding import alike

SCHEMA = "fuseline.baseline/1"
_FAMILY = SCHEMA.partition("/")[0]
_LEVEL = 9
"""Of compression: a baseline is written once and kept."""
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Kept:
    """One entry as it was when the baseline was written."""

    entry: Entry
    torch: str
    figures: dict[str, int | float | None]
    priced: Priced


@dataclass(frozen=True, slots=True)
class Baseline:
    """All entries of a file, and the version of Fuseline that priced them."""

    fuseline: str
    entries: tuple[Kept, ...]

    def find(self, label: str) -> Kept | None:
        """The entry of a label, if it is there."""
        return next((kept for kept in self.entries if kept.entry.label == label), None)


@dataclass(frozen=True, slots=True)
class _Document:
    schema: str
    fuseline: str
    entries: tuple[Kept, ...]


class _Head(msgspec.Struct):
    schema: str = ""


def save_baseline(found: Iterable[Measured], path: Path, version: str) -> None:
    """Write what was measured to `path`, atomically; `version` is that of Fuseline.

    Raises `InputError` where the place cannot be written.
    """
    kept = tuple(Kept(each.entry, each.torch, each.figures, each.priced) for each in found)
    content = msgspec.json.encode(_Document(SCHEMA, version, kept))
    write_bytes(path, packed(content, path, _LEVEL))


def load_baseline(path: Path) -> Baseline:
    """Read what `save_baseline` wrote.

    Raises `InputError` for a file that is missing, damaged, foreign or of another version.
    """
    content = unpacked(read_bytes(path), str(path))
    try:
        schema = msgspec.json.decode(content, type=_Head).schema
    except _UNREADABLE as error:
        raise InputError(f"'{path}' is no baseline: {error}") from error
    if schema.partition("/")[0] != _FAMILY:
        raise InputError(f"'{path}' is no baseline: its schema is '{schema}', not '{SCHEMA}'")
    if schema != SCHEMA:
        raise InputError(
            f"'{path}' has schema '{schema}'; this version reads '{SCHEMA}': save it again"
        )
    try:
        document = msgspec.json.decode(content, type=_Document)
    except _UNREADABLE as error:
        raise InputError(f"'{path}' is damaged: {error}") from error
    if fault := _fault(document.entries):
        raise InputError(f"'{path}' is damaged: {fault}")
    return Baseline(document.fuseline, document.entries)


# --- whether a file holds together ------------------------------------------------------------


def _fault(entries: Sequence[Kept]) -> str | None:
    """Why the entries of a file do not hold together, or None where they do."""
    if not entries:
        return "it holds no model"
    if len({kept.entry.label for kept in entries}) < len(entries):
        return "two models have one label"
    for kept in entries:
        if fault := _fault_of_entry(kept) or _fault_of_plan(kept) or _fault_of_figures(kept):
            return f"{kept.entry.label}: {fault}"
    return None


def _fault_of_entry(kept: Kept) -> str | None:
    try:
        check_entry(kept.entry)
    except InputError as error:
        return str(error)
    return find_fault(kept.priced.graph)


def _fault_of_plan(kept: Kept) -> str | None:
    """Groups that are no kernels, and figures of theirs that make no sense."""
    plan = kept.priced
    for group in plan.groups:
        if fault := _fault_of_group(group, plan.graph):
            return f"a group {fault}"
        if (group.seconds is not None) is not plan.is_timed:
            return "only a part of its kernels is timed"
    parts = (plan.extra_launches, plan.extra_traffic_bytes)
    return "a figure is negative" if min(parts) < 0 else None


def _fault_of_group(group: PricedGroup, graph: Graph) -> str | None:
    if any(not 0 <= op < len(graph.ops) for op in group.ops):
        return "holds an op that is not there"
    ops = [graph.ops[op] for op in sorted(set(group.ops))]
    if len(ops) < len(group.ops):
        return "holds an op twice"
    if not any(op.is_compute for op in ops):
        return "computes nothing"
    if group.flops != sum(op.work.flops for op in ops):
        return "has other FLOPs than its ops"
    least = min(group.traffic_bytes, group.seconds or 0.0)
    return "has a negative figure" if least < 0 else None


def _fault_of_figures(kept: Kept) -> str | None:
    """Figures that are none, and those that the graph and the kernels beside them contradict."""
    for name, value in kept.figures.items():
        if name not in BY_NAME:
            return f"unknown figure '{name}'"
        if value is None:
            continue
        if not 0 <= value < inf or (BY_NAME[name].measure.is_whole and not isinstance(value, int)):
            return f"{name} is {value}"
    plan, graph = kept.priced, kept.priced.graph
    sums = {
        "launches": plan.launches,
        "traffic_bytes": plan.traffic_bytes,
        "seconds": plan.seconds,
        "flops": graph.flops,
        "other_flops": graph.other_flops,
        "unknown_ops": len(graph.unknown_ops),
    }
    for name, value in sums.items():
        told = kept.figures.get(name)
        if (told is None) is not (value is None) or not alike(told or 0, value or 0):
            return f"{name} is {told}, and its kernels and ops have {value}"
    return None
