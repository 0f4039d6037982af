"""Fusions that a plan misses, those alike as one row: what each costs, why, and what it takes."""

from __future__ import annotations

from dataclasses import dataclass

from fuseline.fusion.explain import MissedKind, missed_kinds
from fuseline.graph import Graph
from fuseline.plan import Plan

_KINDS = 60  # a remedy is searched for each


@dataclass(frozen=True, slots=True)
class MissedRow:
    """`count` pairs of neighbouring groups that are apart in the same way; `from_` and `to` are the
    ops of the first of them, `source` and `target` its groups.

    One kernel for a pair saves `saved_bytes`, one for each of them `total_bytes` where no two share
    a group. Pairs of different rows overlap: their savings do not add up.
    `legal`: rules T allow the kernel of the first as it is; `remedy` is the least that makes it.
    """

    from_: str
    to: str
    source: int
    target: int
    patterns: str
    count: int
    rule: str
    reason: str
    legal: bool
    saved_bytes: int
    total_bytes: int
    remedy: str


@dataclass(frozen=True, slots=True)
class MissedRows:
    """The costliest kinds of pairs; `left_out` more pairs save at most `left_out_bytes` each."""

    rows: tuple[MissedRow, ...]
    left_out: int
    left_out_bytes: int


def missed_rows(graph: Graph, plan: Plan) -> MissedRows:
    """The pairs of neighbours that a plan leaves apart although one kernel would save bytes: first
    the row whose pairs would save most together.

    >>> from fuseline.fusion import partition
    >>> from fuseline.graph import Builder, Kind, Role
    >>> build = Builder()
    >>> x = build.tensor("x", (4, 8), role=Role.INPUT)  # 128 bytes
    >>> y = build.op("act", Kind.GELU, inputs=[x], shape=(4, 8))
    >>> graph = build.finish([build.op("next", Kind.RELU, inputs=[y], shape=(4, 8))])
    >>> [row.saved_bytes for row in missed_rows(graph, partition(graph, "unfused")).rows]
    [256]
    """
    kinds, rest = missed_kinds(graph, plan, _KINDS)
    rows = tuple(_row(graph, plan, kind) for kind in kinds)
    return MissedRows(rows, rest.pairs, rest.saved_nbytes)


def _row(graph: Graph, plan: Plan, kind: MissedKind) -> MissedRow:
    first = kind.first
    source, target = first.groups
    return MissedRow(
        from_=graph.ops[first.producer].name,
        to=graph.ops[first.consumer].name,
        source=source,
        target=target,
        patterns=f"{plan.groups[source].pattern} → {plan.groups[target].pattern}",
        count=kind.count,
        rule=first.rule.value,
        reason=first.reason,
        legal=first.is_legal,
        saved_bytes=first.saved_nbytes,
        total_bytes=first.saved_nbytes * kind.count,
        remedy=first.remedy.sentence,
    )
