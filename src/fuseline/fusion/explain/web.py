"""The groups of a plan: who stores what, what one kernel would save, and which wait for which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property

from fuseline.costs import group_traffic
from fuseline.costs.cover import cover_traffic
from fuseline.costs.working_set import WorkingSets
from fuseline.errors import InputError
from fuseline.fusion.neighbours import Neighbours
from fuseline.graph import Graph
from fuseline.plan import Group, Plan


class Web:
    """The groups of a plan, and which of them waits for which.

    A group waits for those that store what its ops need and it does not make itself: of a
    partition, what `Quotient` says; a cover has no other.
    """

    def __init__(self, graph: Graph, plan: Plan) -> None:
        self.graph = graph
        self.plan = plan
        self.near = Neighbours(graph)
        self.held = [frozenset(group.ops) for group in plan.groups]
        self.where: list[list[int]] = [[] for _ in graph.ops]
        self._homes: list[list[int]] = [[] for _ in graph.ops]
        for place, group in enumerate(plan.groups):
            for op in group.ops:
                self.where[op].append(place)
                if op not in group.recomputed:
                    self._homes[op].append(place)
        if missing := next((op.name for op in graph.ops if not self.where[op.id]), ""):
            raise InputError(f"the plan is not of this graph: it has no group for '{missing}'")
        self.after: list[list[int]] = [[] for _ in graph.ops]
        for op, earlier in enumerate(graph.dependences):
            for other in earlier:
                self.after[other].append(op)
        self._alone: dict[int, int] = {}
        self._needs: dict[int, set[int]] = {}

    def home(self, op: int) -> int:
        """The first group that stores `op`, or else that holds it."""
        return (*self._homes[op], *self.where[op])[0]

    def ops_of(self, groups: Iterable[int]) -> tuple[int, ...]:
        """Ops of all `groups`, in program order."""
        return tuple(sorted(frozenset().union(*(self.held[group] for group in groups))))

    def lead(self, group: int) -> str:
        """What a group is called: the name of its first compute op."""
        ops = [self.graph.ops[op] for op in self.plan.groups[group].ops]
        return next((op.name for op in ops if op.is_compute), ops[0].name)

    # --- bytes ---

    @cached_property
    def sets(self) -> WorkingSets:
        """Working sets of any groups, from tables that are made once."""
        return WorkingSets(self.graph)

    def nbytes(self, group: int) -> int:
        """Traffic of one group that stores all it holds."""
        if group not in self._alone:
            self._alone[group] = group_traffic(self.graph, self.held[group]).nbytes
        return self._alone[group]

    def rough_saving(self, groups: frozenset[int]) -> int:
        """What one kernel for `groups` saves; of a cover roughly."""
        joined = group_traffic(self.graph, self.ops_of(groups)).nbytes
        return sum(map(self.nbytes, groups)) - joined

    def saving(self, groups: frozenset[int]) -> int:
        """What one kernel for `groups` saves [bytes]. It recomputes what none of them stores."""
        if not self.plan.is_cover:
            return self.rough_saving(groups)
        stored = {op for group in groups for op in self.held[group] if group in self._homes[op]}
        ops = self.ops_of(groups)
        again = tuple(op for op in ops if op not in stored)
        first = min(groups)
        joined = [
            Group(place, ops, "", again) if place == first else group
            for place, group in enumerate(self.plan.groups)
            if place == first or place not in groups
        ]
        after = cover_traffic(self.graph, joined)
        return sum(self._as_cover) - sum(traffic.nbytes for traffic in after)

    @cached_property
    def _as_cover(self) -> list[int]:
        return [traffic.nbytes for traffic in cover_traffic(self.graph, self.plan.groups)]

    def saved_alone(self, group: int) -> int:
        """What `group` saves over a kernel for each of its ops [bytes]."""
        each = sum(group_traffic(self.graph, (op,)).nbytes for op in self.held[group])
        return each - (self._as_cover[group] if self.plan.is_cover else self.nbytes(group))

    # --- order ---

    def needs(self, group: int, cut: frozenset[tuple[int, int]] = frozenset()) -> set[int]:
        """The groups that `group` waits for, dependences in `cut` (earlier op, later op) apart."""
        if not cut and group in self._needs:
            return self._needs[group]
        found = self._makers(self.held[group], cut)
        if not cut:
            self._needs[group] = found
        return found

    def between(
        self, groups: frozenset[int], cut: frozenset[tuple[int, int]] = frozenset()
    ) -> set[int]:
        """Groups that wait for one of `groups` and that another of them waits for: a cycle each."""
        inside = frozenset(self.ops_of(groups))
        floor = -1 if self.plan.is_cover else min(groups)  # a partition's groups run in order
        waiting: dict[int, list[int]] = defaultdict(list)  # for a group, on the way up
        pending = list(self._makers(inside, cut))
        seen = set(pending)
        while pending:
            group = pending.pop()
            if group <= floor or group in groups:
                continue
            for other in self.needs(group, cut):
                waiting[other].append(group)
                if other not in seen:
                    seen.add(other)
                    pending.append(other)
        found: set[int] = set()
        pending = [group for one in groups for group in waiting[one]]
        while pending:
            group = pending.pop()
            if group not in found:
                found.add(group)
                pending += waiting[group]
        return found

    def _makers(self, inside: frozenset[int], cut: frozenset[tuple[int, int]]) -> set[int]:
        """The groups that store what ops of a set need and none of them makes."""
        return {
            home
            for op in inside
            for earlier in self.graph.dependences[op]
            if earlier not in inside and (earlier, op) not in cut
            for home in self._homes[earlier] or self.where[earlier]
        }

    def path(
        self, starts: Iterable[int], ends: Iterable[int], by: frozenset[int] | None = None
    ) -> tuple[int, ...]:
        """The shortest way along dependences from one of `starts` to one of `ends`, views left
        out; none where there is none. With `by`, it goes through one of these ops or more.
        """
        ends = frozenset(ends)
        came = dict.fromkeys(starts, -1)
        pending = list(came)
        for op in pending:
            for later in self.after[op]:
                if later in ends and (by is None or came[op] >= 0):
                    way = [later, op]
                    while (before := came[way[-1]]) >= 0:
                        way.append(before)
                    middle = (n for n in way[-2:0:-1] if self.graph.ops[n].is_compute)
                    return (way[-1], *middle, way[0])
                if later not in came and (by is None or later in by):
                    came[later] = op
                    pending.append(later)
        return ()
