"""Fusions that a plan misses, those alike as one row: what each costs, why, and what it takes."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from fuseline.graph import Graph
from fuseline.plan import Plan
from fuseline.report.rows.explain import MissedPairRow, missed_pair_rows

_NUMBER = re.compile(r"_\d+\b")  # what tells `linear_3` from `linear_7`
_LOOKED_AT = 120  # pairs; a remedy is searched for each
_LARGE = 3000  # ops: in a graph of more, fewer pairs are looked at
_LOOKED_AT_LARGE = 40


@dataclass(frozen=True, slots=True)
class MissedRow:
    """`count` pairs of neighbouring groups that are apart in the same way; `from_` and `to` are the
    ops of the first of them, `source` and `target` its groups.

    One kernel for a pair saves `saved_bytes`. Pairs overlap: their savings do not add up.
    `legal`: rules T allow the kernel as it is; `remedy` is the least that would make it.
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
    remedy: str


def missed_rows(graph: Graph, plan: Plan) -> tuple[MissedRow, ...]:
    """The costliest pairs of neighbours that a plan leaves apart, the costliest first.

    >>> from fuseline.fusion import partition
    >>> from fuseline.graph import Builder, Kind, Role
    >>> build = Builder()
    >>> x = build.tensor("x", (4, 8), role=Role.INPUT)  # 128 bytes
    >>> y = build.op("act", Kind.GELU, inputs=[x], shape=(4, 8))
    >>> graph = build.finish([build.op("next", Kind.RELU, inputs=[y], shape=(4, 8))])
    >>> [row.saved_bytes for row in missed_rows(graph, partition(graph, "unfused"))]
    [256]
    """
    count = _LOOKED_AT if len(graph.ops) < _LARGE else _LOOKED_AT_LARGE
    alike: dict[tuple[object, ...], list[MissedPairRow]] = defaultdict(list)
    for pair in missed_pair_rows(graph, plan, count):
        kinds = tuple(home.pattern for home in pair.groups)
        reason = _NUMBER.sub("", pair.reason)
        alike[kinds, pair.rule, reason, pair.saved_bytes, pair.remedy.change].append(pair)
    return tuple(_row(pairs) for pairs in alike.values())


def _row(pairs: list[MissedPairRow]) -> MissedRow:
    first = pairs[0]
    source, target = first.groups
    return MissedRow(
        from_=first.from_,
        to=first.to,
        source=source.group,
        target=target.group,
        patterns=f"{source.pattern} → {target.pattern}",
        count=len(pairs),
        rule=first.rule,
        reason=first.reason,
        legal=first.legal,
        saved_bytes=first.saved_bytes,
        remedy=first.remedy.sentence,
    )
