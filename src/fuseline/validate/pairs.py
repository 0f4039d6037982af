"""How far two plans of one graph agree: the pairs of ops that share a kernel in each."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from fuseline.graph import Graph
from fuseline.plan import Plan

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Pairs of compute ops that share a kernel: in our plan, in the real one, and in both."""

    ours: int
    real: int
    both: int

    @property
    def precision(self) -> float:
        """Of our pairs the part that the real plan has; 1 where we have none."""
        return self.both / self.ours if self.ours else 1.0

    @property
    def recall(self) -> float:
        """Of the real plan's pairs the part that we have; 1 where it has none."""
        return self.both / self.real if self.real else 1.0


def kernel_pairs(graph: Graph, plan: Plan) -> frozenset[Pair]:
    """The pairs of compute ops, by name, that are in one group.

    >>> from fuseline.graph import Builder, Kind, Role
    >>> from fuseline.plan import Group
    >>> build = Builder()
    >>> x = build.tensor("x", (4,), role=Role.INPUT)
    >>> y = build.op("first", Kind.RELU, inputs=[x], shape=(4,))
    >>> graph = build.finish([build.op("second", Kind.RELU, inputs=[y], shape=(4,))])
    >>> kernel_pairs(graph, Plan("one", (Group(0, (0, 1), ""),), ()))
    frozenset({('first', 'second')})
    """
    found: set[Pair] = set()
    for group in plan.groups:
        names = [graph.ops[op].name for op in sorted(group.ops) if graph.ops[op].is_compute]
        found.update(combinations(names, 2))
    return frozenset(found)


def compare_pairs(ours: frozenset[Pair], real: frozenset[Pair]) -> PairAgreement:
    """Count what the two have in common.

    >>> compare_pairs(frozenset({("a", "b")}), frozenset({("a", "b"), ("b", "c")})).recall
    0.5
    """
    return PairAgreement(len(ours), len(real), len(ours & real))
