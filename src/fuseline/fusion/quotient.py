"""The graph of groups while a strategy joins them, kept acyclic.

Groups have ranks: a topological order of the graph of groups. Joining two adjacent groups can
only close a cycle through groups ranked between them, so only those are searched, and only those
change rank.
"""

from __future__ import annotations

from collections.abc import Iterable

from fuseline.graph import Graph
from fuseline.plan import Plan


class Quotient:
    """Groups of ops, each op alone at first; `join` merges two and keeps the order valid.

    Dependence counts operands of every sort and storage hazards. A group is named by one of its
    ops (`group_of`).
    """

    def __init__(self, graph: Graph) -> None:
        self.group_of = list(range(len(graph.ops)))
        self.members: list[list[int]] = [[op.id] for op in graph.ops]
        self._before = graph.dependences
        after: list[list[int]] = [[] for _ in graph.ops]
        for op, earlier in enumerate(graph.dependences):
            for other in earlier:
                after[other].append(op)
        self._after = after
        self._rank = list(range(len(graph.ops)))

    @classmethod
    def of(cls, graph: Graph, plan: Plan) -> Quotient:
        """The groups of a finished plan, each named by its first op, ranked as it runs them."""
        quotient = cls(graph)
        for rank, group in enumerate(plan.groups):
            name = group.ops[0]
            for op in group.ops:
                quotient.group_of[op] = name
                quotient.members[op] = []
            quotient.members[name] = list(group.ops)
            quotient._rank[name] = rank
        return quotient

    def would_cycle(self, first: int, second: int) -> bool:
        """Whether joining group `first` with `second`, which depends on it, closes a cycle.

        It does where `second` also depends on `first` through a third group.
        """
        return any(first in self._needs(group) for group in self._between(first, second))

    def join(self, first: int, second: int) -> int:
        """Merge two groups that `would_cycle` allows; returns the name of the merged group."""
        earlier = self._between(first, second)
        if earlier:  # they must now come before `first`, and what needs `first` after it
            later = self._reach(self._after, first, self._rank[second])
            groups = [*sorted(earlier, key=self._rank.__getitem__), first]
            groups += sorted(later - {second}, key=self._rank.__getitem__)
            ranks = sorted(self._rank[group] for group in groups)
            for group, rank in zip(groups, ranks, strict=True):
                self._rank[group] = rank
        for op in self.members[second]:
            self.group_of[op] = first
        self.members[first] += self.members[second]
        self.members[second] = []
        return first

    def try_join(self, ops: Iterable[int]) -> bool:
        """Merge the groups of `ops` into one, all of them or, where that closes a cycle, none.

        A path between two of them through others may also lead through a third one of them, so
        pair by pair will not do: the check looks at all of them at once. Joined by rank, no step
        on the way closes a cycle then.
        """
        wanted = sorted({self.group_of[op] for op in ops}, key=self._rank.__getitem__)
        between = self._above(wanted, self._rank[wanted[0]])
        if any(not self._needs(group).isdisjoint(wanted) for group in between):
            return False
        merged = wanted[0]
        for group in wanted[1:]:
            merged = self.join(merged, group)
        return True

    def ordered(self) -> list[tuple[int, ...]]:
        """The groups' ops, each in program order, in an order that runs."""
        groups = [group for group, ops in enumerate(self.members) if ops]
        groups.sort(key=self._rank.__getitem__)
        return [tuple(sorted(self.members[group])) for group in groups]

    def _groups(self, edges: tuple[tuple[int, ...], ...] | list[list[int]], group: int) -> set[int]:
        """Neighbours of a group along `edges` of its ops."""
        found = {self.group_of[other] for op in self.members[group] for other in edges[op]}
        found.discard(group)
        return found

    def _between(self, first: int, second: int) -> set[int]:
        """Groups ranked after `first` that `second` depends on, directly or not."""
        return self._above([second], self._rank[first])

    def _above(self, start: list[int], floor: int) -> set[int]:
        """Groups ranked above `floor` that any of `start` depends on, those of `start` apart."""
        found: set[int] = set()
        pending, begun = list(start), set(start)
        while pending:
            for group in self._needs(pending.pop()):
                if self._rank[group] > floor and group not in found and group not in begun:
                    found.add(group)
                    pending.append(group)
        return found

    def _needs(self, group: int) -> set[int]:
        return self._groups(self._before, group)

    def _reach(self, edges: list[list[int]], start: int, ceiling: int) -> set[int]:
        """Groups ranked before `ceiling` that depend on `start`, directly or not."""
        found: set[int] = set()
        pending = [start]
        while pending:
            for group in self._groups(edges, pending.pop()):
                if self._rank[group] < ceiling and group not in found:
                    found.add(group)
                    pending.append(group)
        return found
