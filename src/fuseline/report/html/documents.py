"""A report's rows as the JSON documents that its page reads: one for the model, one for each plan.

A plan's document is read only when the plan is looked at. `scripts/data.js` is the other side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields

import msgspec

from fuseline.report.html.pack import distinct, rows_of, sentences, steps
from fuseline.report.html.words import Tile, broken, judged_by, missed_rest, tiles
from fuseline.report.rows import MemberRow, PlanRow, RefusalRow
from fuseline.report.rows.ops import OpRow
from fuseline.report.rows.outline import Piece
from fuseline.report.rows.report import PartitionRows, ReportRows

_OF_GROUP = (
    "launched", "flops", "other_flops", "read_bytes", "parameter_bytes", "written_bytes",
    "traffic_bytes", "saved_bytes", "arithmetic_intensity", "unknown_ops", "bottleneck", "seconds",
    "compute_seconds", "vector_seconds", "bandwidth_seconds", "launch_seconds",
)  # fmt: skip
_OF_OP = (
    "target", "kind", "op_class", "module_class", "flops", "other_flops", "unknown",
    "traffic_bytes", "inputs", "outputs", "is_compute",
)  # fmt: skip
_OF_PIECE = ("launches", "flops", "other_flops", "traffic_bytes", "saved_bytes", "seconds")
_LISTS = frozenset({"patterns", "illegal_groups", "refusals", "members"})
"""What a plan's document holds in a form of its own."""


def model_document(rows: ReportRows, keys: tuple[str, ...], chosen: int) -> dict[str, object]:
    """What is the same under every strategy, and which strategies there are."""
    return {
        "model": msgspec.to_builtins(rows.result.model),
        "graph": msgspec.to_builtins(rows.result.graph),
        "ops": _ops(rows.ops),
        "strategies": [
            {"key": key, "label": partition.plan.label}
            for key, partition in zip(keys, rows.partitions, strict=True)
        ],
        "chosen": chosen,
    }


def plan_document(partition: PartitionRows, rows: ReportRows) -> dict[str, object]:
    """All of one plan."""
    plan = partition.plan
    ids = {op.name: op.id for op in reversed(rows.ops)}
    return {
        "headlines": list(partition.headlines),
        "tiles": [_tile(tile) for tile in tiles(plan, rows.result)],
        "plan": _totals(plan),
        "groups": rows_of(_OF_GROUP, (_figures(member) for member in plan.members)),
        "patterns": distinct(member.pattern for member in plan.members),
        "modules": distinct(member.module for member in plan.members),
        "alone": sentences((member.alone for member in plan.members), ids),
        "ids": steps(member.group for member in plan.members),
        "sizes": [len(ops) for ops in partition.ops],
        "ops": steps(op for ops in partition.ops for op in ops),
        "outline": _outline(partition.outline),
        "edges": {
            "source": steps(edge.source for edge in partition.edges),
            "target": steps(edge.target for edge in partition.edges),
            "bytes": distinct(edge.bytes for edge in partition.edges),
        },
        "missed": msgspec.to_builtins(partition.missed.rows),
        "missed_rest": missed_rest(partition.missed),
        "pattern_rows": _patterns(partition, rows.ops),
        "refusals": _refusals(plan.refusals, ids),
        "rules": _rules(plan.refusals),
        "judged_by": judged_by(plan),
        "illegal_said": broken(plan) if plan.illegal_count else "",
        "illegal": {
            "group": [row.group for row in plan.illegal_groups],
            "rule": distinct(row.rule for row in plan.illegal_groups),
            "reason": sentences((row.reason for row in plan.illegal_groups), ids),
        },
    }


def _tile(tile: Tile) -> list[str]:
    return [tile.label, tile.value, tile.unit, tile.note]


def _totals(plan: PlanRow) -> dict[str, object]:
    """The plan's own figures: every field that is no list."""
    return {
        field.name: msgspec.to_builtins(getattr(plan, field.name))
        for field in fields(plan)
        if field.name not in _LISTS
    } | {"saved_bytes": plan.saved_bytes}


def _figures(member: MemberRow) -> tuple[float | str | None, ...]:
    return tuple(getattr(member, name) for name in _OF_GROUP)


def _ops(ops: tuple[OpRow, ...]) -> dict[str, object]:
    """The ops in columns; shapes by their place among the shapes that there are."""
    shapes: dict[str, int] = {}

    def places(texts: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(shapes.setdefault(text, len(shapes)) for text in texts)

    figures = [
        (
            *(getattr(op, name) for name in _OF_OP[:8]),
            places(op.inputs),
            places(op.outputs),
            op.is_compute,
        )
        for op in ops
    ]
    return {
        "names": [op.name for op in ops],
        "modules": distinct(op.module for op in ops),
        "rows": rows_of(_OF_OP, figures),
        "shapes": list(shapes),
    }


def _patterns(partition: PartitionRows, ops: tuple[OpRow, ...]) -> list[dict[str, object]]:
    """The patterns, each with the compute ops of its first group: views move nothing."""
    plan = partition.plan
    firsts: dict[str, tuple[int, ...]] = {}
    for member, inside in zip(plan.members, partition.ops, strict=True):
        firsts.setdefault(member.pattern, inside)
    return [
        msgspec.to_builtins(row)
        | {"compute_ops": sum(ops[op].is_compute for op in firsts[row.name])}
        for row in plan.patterns
    ]


def _outline(root: Piece) -> dict[str, object]:
    """The tree in the order in which it is read, a parent before its children."""
    pieces = list(_walk(root))
    return {
        "kinds": distinct(piece.kind for piece in pieces),
        "names": distinct("" if piece.kind == "group" else piece.name for piece in pieces),
        "groups": [piece.group for piece in pieces if piece.group is not None],
        "children": [len(piece.children) for piece in pieces],
        "totals": rows_of(
            _OF_PIECE, (tuple(getattr(piece, name) for name in _OF_PIECE) for piece in pieces)
        ),
    }


def _walk(piece: Piece) -> Iterator[Piece]:
    yield piece
    for child in piece.children:
        yield from _walk(child)


def _refusals(refusals: tuple[RefusalRow, ...], ids: Mapping[str, int]) -> dict[str, object]:
    return {
        "from": steps(ids[row.from_] for row in refusals),
        "to": steps(ids[row.to] for row in refusals),
        "rule": distinct(row.rule for row in refusals),
        "reason": sentences((row.reason for row in refusals), ids),
        "bytes": distinct(row.bytes for row in refusals),
    }


def _rules(refusals: tuple[RefusalRow, ...]) -> list[dict[str, object]]:
    """How often each rule refused, and the costliest of its refusals."""
    counts = Counter(row.rule for row in refusals)
    costliest: dict[str, RefusalRow] = {}
    for row in refusals:
        if row.rule not in costliest or row.bytes > costliest[row.rule].bytes:
            costliest[row.rule] = row
    return [
        {
            "rule": rule,
            "count": count,
            "most_bytes": costliest[rule].bytes,
            "reason": costliest[rule].reason,
            "from": costliest[rule].from_,
            "to": costliest[rule].to,
        }
        for rule, count in counts.most_common()
    ]
