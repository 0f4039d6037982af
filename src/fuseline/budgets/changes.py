"""A difference as tables and sentences: by module, by kernel, by op."""

from __future__ import annotations

from fuseline.budgets.difference import (
    ROOT,
    Change,
    Difference,
    ModuleChange,
    by_module,
    changed_ops,
    together,
)
from fuseline.budgets.matching import Likeness
from fuseline.costs import group_traffic
from fuseline.graph import Graph
from fuseline.report.rows.ops import tensor_text
from fuseline.report.rows.table import Column, Measure, Table, Value
from fuseline.report.units import count_of

MOST = 20
"""Rows of a table that people read: the rest is counted."""
_NAMED = 6
"""Of targets in a sentence: the rest is counted."""

_CHANGES = (
    Column("launches_change", Measure.COUNT, "kernels launched, after less before"),
    Column("traffic_bytes_change", Measure.BYTES, "bytes moved, after less before"),
    Column("flops_change", Measure.FLOPS, "FLOPs, after less before"),
)
_SECONDS = Column("seconds_change", Measure.SECONDS, "time on the device, after less before")


def summary(found: Difference) -> str:
    """What a change did, in a sentence that names the modules it did most in.

    Module paths stand in it as they are: whoever prints it escapes it.
    """
    total = found.total
    modules = by_module(found.changes)
    if not modules:
        return "no kernel is different in launches, bytes or FLOPs"
    where = ", ".join(
        f"{row.module} ({_amounts(row)})" if len(modules) > 1 else row.module for row in modules[:3]
    )
    rest = f" and {count_of(len(modules) - 3, 'more module')}" if len(modules) > 3 else ""  # noqa: PLR2004
    return f"{_amounts(total) or 'nothing in all'}, in {where}{rest}"


def left_out(found: Difference) -> tuple[str, ...]:
    """What no figure of the difference has in it, each as a clause of its own."""
    old, new = found.before.graph, found.after.graph
    said = []
    if old.unknown_ops or new.unknown_ops:
        targets = list(dict.fromkeys(op.target for op in (*new.unknown_ops, *old.unknown_ops)))
        more = f" and {len(targets) - _NAMED:,} more" if len(targets) > _NAMED else ""
        what = "FLOPs and seconds leave" if found.is_timed else "FLOPs leave"
        said.append(
            f"{what} out ops that no formula knows: {len(old.unknown_ops):,} before, "
            f"{len(new.unknown_ops):,} after ({', '.join(targets[:_NAMED])}{more})"
        )
    if old.hidden_bytes or new.hidden_bytes:
        said.append(
            "attention is one op at module level: what moves inside it is in no figure, at least "
            f"{old.hidden_bytes:,} bytes before, {new.hidden_bytes:,} after"
        )
    if found.before.is_timed != found.after.is_timed:
        timed = "after" if found.after.is_timed else "before"
        said.append(f"seconds are told only of the plan {timed} the change: none are compared")
    return tuple(said)


def _amounts(row: ModuleChange) -> str:
    parts = []
    if row.launches:
        parts.append(f"{row.launches:+,} launch" + ("es" if abs(row.launches) != 1 else ""))
    if row.traffic_bytes:
        parts.append(f"{row.traffic_bytes:+,} bytes")
    if row.flops:
        parts.append(f"{row.flops:+,} FLOPs")
    if row.seconds and not parts:
        parts.append(f"{row.seconds:+.3g} s")
    return ", ".join(parts)


def module_table(found: Difference, most: int = MOST) -> Table:
    """Where the difference is. The rows add up to the difference of the plans' totals."""
    modules = by_module(found.changes)
    rows = [(row.module, *_values(found, row)) for row in modules[:most]]
    if rest := modules[most:]:
        rows.append((f"({len(rest)} other modules)", *_values(found, together("", rest))))
    named = Column("module", Measure.TEXT, "the module, and all in it")
    return Table("modules", "Where", (named, *_columns(found)), tuple(rows))


def kernel_table(found: Difference, most: int = MOST) -> Table:
    """What became of kernels, the largest change first: the ops of each before and after."""
    named = (
        Column("kernels", Measure.TEXT, "what became of them"),
        Column("module", Measure.TEXT, "where"),
        Column("before", Measure.TEXT, "their ops, kernel by kernel"),
        Column("after", Measure.TEXT, "their ops, kernel by kernel"),
    )
    rows = tuple(
        (
            change.what.value,
            change.module or ROOT,
            _kernels(change.before),
            _kernels(change.after),
            *_values(found, change),
        )
        for change in found.changes[:most]
    )
    notes = _more(len(found.changes) - most, "change")
    return Table("kernels", "Kernels", (*named, *_columns(found)), rows, notes, keys=2)


def op_table(found: Difference, most: int = MOST) -> Table:
    """Ops that came, went or are no longer what they were, each in the order of the program."""
    old, new = found.before.graph, found.after.graph
    lines: list[tuple[Value, ...]] = [
        _op_line("added", new, op) for op in found.matching.added if new.ops[op].is_compute
    ]
    lines += [
        _op_line("removed", old, op) for op in found.matching.removed if old.ops[op].is_compute
    ]
    lines += [
        _changed_line(old, match.before, new, match.after)
        for match in changed_ops(found.matching, old, new)
    ]
    moved = sum(
        match.likeness is Likeness.MOVED and new.ops[match.after].is_compute
        for match in found.matching.matches
    )
    notes = _more(len(lines) - most, "op")
    if moved:
        notes += (f"{count_of(moved, 'op')} moved to another module, and nothing else",)
    columns = (
        Column("op", Measure.TEXT, "added, removed or changed"),
        Column("name", Measure.TEXT, "its name"),
        Column("module", Measure.TEXT, "where"),
        Column("target", Measure.TEXT, "what it calls"),
        Column("results", Measure.TEXT, "what it makes, before -> after"),
        Column("alone_bytes_change", Measure.BYTES, "traffic of a kernel of this op alone"),
        Column("flops_change", Measure.FLOPS, "its FLOPs, after less before, where they are known"),
    )
    return Table("ops", "Ops", columns, tuple(lines[:most]), notes, keys=2)


def difference_tables(found: Difference, most: int = MOST) -> tuple[Table, ...]:
    """The tables that have rows, each of at most `most`."""
    made = (module_table(found, most), kernel_table(found, most), op_table(found, most))
    return tuple(table for table in made if table.rows)


def _columns(found: Difference) -> tuple[Column, ...]:
    return (*_CHANGES, _SECONDS) if found.is_timed else _CHANGES


def _values(found: Difference, row: Change | ModuleChange) -> tuple[Value, ...]:
    seconds = (row.seconds,) if found.is_timed else ()
    return (row.launches, row.traffic_bytes, row.flops, *seconds)


def _kernels(kernels: tuple[tuple[str, ...], ...]) -> str:
    """Ops kernel by kernel.

    >>> _kernels((("linear", "gelu"), ("add",)))
    '[linear gelu] [add]'
    """
    return " ".join(f"[{' '.join(ops)}]" for ops in kernels)


def _op_line(what: str, graph: Graph, op: int) -> tuple[Value, ...]:
    sign = 1 if what == "added" else -1
    found = graph.ops[op]
    return (
        what,
        found.name,
        found.module_path or ROOT,
        found.target,
        _results(graph, op),
        sign * _alone(graph, op),
        None if found.is_unknown else sign * found.work.flops,
    )


def _changed_line(old: Graph, before: int, new: Graph, after: int) -> tuple[Value, ...]:
    one, other = old.ops[before], new.ops[after]
    made, makes = _results(old, before), _results(new, after)
    return (
        "changed",
        other.name,
        other.module_path or ROOT,
        other.target,
        makes if made == makes else f"{made} -> {makes}",
        _alone(new, after) - _alone(old, before),
        None if one.is_unknown or other.is_unknown else other.work.flops - one.work.flops,
    )


def _results(graph: Graph, op: int) -> str:
    return ", ".join(tensor_text(graph.tensors[tensor]) for tensor in graph.ops[op].outputs)


def _alone(graph: Graph, op: int) -> int:
    return group_traffic(graph, (op,)).nbytes if graph.ops[op].is_compute else 0


def _more(rest: int, noun: str) -> tuple[str, ...]:
    return (f"and {rest:,} more {noun}{'' if rest == 1 else 's'}",) if rest > 0 else ()
