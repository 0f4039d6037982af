"""Why two ops are in different kernels, and the least that would put them into one.

    explain      two ops and a plan --> refusals, bytes, and every remedy that holds
    top_missed   a plan --> the neighbouring groups apart that cost most, each with its least remedy
    missed_kinds  the same, pairs alike as one kind, and how many are left out

No remedy is a guess: each is applied, and what it gives is judged as any other group is.

    data.py       what is said: explanations, remedies, missed pairs
    web.py        the groups of a plan, their bytes, and which wait for which
    excerpt.py    a small graph around a few ops
    rungs.py      the rungs short of M, and the lowest that allows a kernel
    case.py       groups taken as one kernel: the facts
    remedies.py   what would make them one: the changes that are tried
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace

from fuseline.errors import InputError
from fuseline.fusion.explain.case import Case
from fuseline.fusion.explain.data import Change, Explanation, Missed, MissedKind, MissedRest, Remedy
from fuseline.fusion.explain.remedies import find_remedies
from fuseline.fusion.explain.web import Web
from fuseline.graph import Graph
from fuseline.plan import Plan, Refusal, Rule

__all__ = [
    "Change",
    "Explanation",
    "Missed",
    "MissedKind",
    "MissedRest",
    "Remedy",
    "explain",
    "missed_kinds",
    "top_missed",
]

_NUMBER = re.compile(r"_\d+\b")
"""What tells `linear_3` from `linear_7`."""


def explain(graph: Graph, plan: Plan, a: int, b: int) -> Explanation:
    """Why ops `a` and `b` (ids, in either order) are in one kernel of `plan`, or are not.

    Raises `InputError` where they are one op.

    >>> from fuseline.fusion import partition
    >>> from fuseline.graph import Builder, Kind, Role
    >>> build = Builder()
    >>> x = build.tensor("x", (4, 8), role=Role.INPUT)  # 128 bytes
    >>> y = build.op("act", Kind.GELU, inputs=[x], shape=(4, 8))
    >>> z = build.op("next", Kind.RELU, inputs=[y], shape=(4, 8))
    >>> graph = build.finish([z])
    >>> said = explain(graph, partition(graph, "unfused"), 1, 0)
    >>> said.saved_nbytes, said.remedies[0].sentence
    (256, 'rung A (loops and epilogues over one domain) joins them as they are')
    """
    if a == b:
        raise InputError(f"'{graph.ops[a].name}' is one op: name two")
    first, second = sorted((a, b))
    web = Web(graph, plan)
    together = sorted(set(web.where[first]) & set(web.where[second]))
    groups = together[:1] or [web.home(first), web.home(second)]
    elsewhere = {*web.where[first], *web.where[second]} - set(groups)
    case = Case(web, frozenset(groups))
    verdict = case.verdict
    said = Explanation(
        first,
        second,
        tuple(groups),
        tuple(sorted(elsewhere)),
        case.saved_nbytes if len(groups) > 1 else web.saved_alone(groups[0]),
        verdict.rung,
        verdict.fault.reason if verdict.fault else "",
        verdict.on_chip_nbytes,
        are_neighbours=case.are_neighbours,
    )
    if said.are_together:
        return said
    return replace(
        said,
        refusals=tuple(r for r in plan.refusals if case.crosses(r.producer, r.consumer)),
        path=() if case.are_neighbours else web.path((first,), (second,)),
        shared=case.shared,
        cycle=case.cycle,
        remedies=tuple(find_remedies(case)),
    )


def top_missed(graph: Graph, plan: Plan, count: int) -> tuple[Missed, ...]:
    """The `count` pairs of neighbouring groups that one kernel would save most, largest first.

    Each pair once, none that saves nothing. Which pairs of a cover these are is told as if each
    group stored all it holds; they are then priced, and put in order, as they are.
    """
    web = Web(graph, plan)
    edges, told = _apart(web), _told(web)
    ranked = sorted(edges, key=web.rough_saving, reverse=True)[:count]
    cases = [case for pair in ranked if (case := Case(web, pair)).saved_nbytes > 0]
    cases.sort(key=lambda case: case.saved_nbytes, reverse=True)
    return tuple(_missed(case, edges[case.groups], told) for case in cases)


def missed_kinds(graph: Graph, plan: Plan, most: int) -> tuple[tuple[MissedKind, ...], MissedRest]:
    """All pairs of neighbouring groups that one kernel would save bytes, those alike as one kind:
    the `most` costliest kinds, the first pair of each looked at in full, and what is left.

    Alike are pairs of the same patterns, kept apart by the same rule for the same reason but for
    the numbers of ops, that save as much.
    """
    web = Web(graph, plan)
    edges, told = _apart(web), _told(web)
    kinds: dict[tuple[object, ...], list[frozenset[int]]] = defaultdict(list)
    savings: dict[tuple[object, ...], int] = {}
    for pair, edge in edges.items():
        if (saving := web.rough_saving(pair)) > 0:
            refusal = told.get(pair)
            why = (refusal.rule, _NUMBER.sub("", refusal.reason)) if refusal else None
            patterns = tuple(plan.groups[web.home(op)].pattern for op in edge)
            kinds[patterns, why, saving].append(pair)
            savings[patterns, why, saving] = saving
    ranked = sorted(kinds, key=lambda kind: savings[kind] * len(kinds[kind]), reverse=True)
    found = [
        MissedKind(_missed(case, edges[kinds[kind][0]], told), len(kinds[kind]))
        for kind in ranked[:most]
        if (case := Case(web, kinds[kind][0])).saved_nbytes > 0
    ]
    found.sort(key=lambda kind: kind.first.saved_nbytes * kind.count, reverse=True)
    rest = MissedRest(
        sum(len(kinds[kind]) for kind in ranked[most:]),
        max((savings[kind] for kind in ranked[most:]), default=0),
    )
    return tuple(found), rest


def _apart(web: Web) -> dict[frozenset[int], tuple[int, int]]:
    """Pairs of neighbouring groups that share no op, each with the ops that make them such."""
    edges: dict[frozenset[int], tuple[int, int]] = {}
    for edge in web.near.pairs():
        if set(web.where[edge[0]]).isdisjoint(web.where[edge[1]]):
            edges.setdefault(frozenset(map(web.home, edge)), edge)
    return edges


def _told(web: Web) -> dict[frozenset[int], Refusal]:
    """The first refusal that the plan gives of each pair of groups."""
    told: dict[frozenset[int], Refusal] = {}
    for refusal in web.plan.refusals:
        told.setdefault(frozenset(map(web.home, (refusal.producer, refusal.consumer))), refusal)
    return told


def _missed(case: Case, edge: tuple[int, int], told: dict[frozenset[int], Refusal]) -> Missed:
    web, refusal = case.web, told.get(case.groups)
    producer, consumer = (refusal.producer, refusal.consumer) if refusal else edge
    is_cyclic = bool(case.between)
    return Missed(
        producer,
        consumer,
        (web.home(producer), web.home(consumer)),
        case.saved_nbytes,
        refusal.rule if refusal else Rule.STRATEGY,
        refusal.reason if refusal else "the plan gives no reason",
        is_legal=case.verdict.rung is not None and not is_cyclic,
        is_cyclic=is_cyclic,
        remedy=next(find_remedies(case)),
    )
