"""Groups of a plan taken as one kernel: what it saves, what is against it, what lies between."""

from __future__ import annotations

from functools import cached_property
from itertools import permutations

from fuseline.fusion.explain.excerpt import Excerpt
from fuseline.fusion.explain.rungs import M, Verdict, judge
from fuseline.fusion.explain.web import Web
from fuseline.fusion.ladder.kernel import Fault
from fuseline.plan import Rule


class Case:
    """What is so where `groups` of a plan (places) are taken as one kernel.

    Each fact is found when it is first asked for. `remedies.py` says what would make them one.
    """

    def __init__(self, web: Web, groups: frozenset[int]) -> None:
        self.web = web
        self.groups = groups

    @cached_property
    def saved_nbytes(self) -> int:
        """What one kernel saves over the groups as they are."""
        return self.web.saving(self.groups)

    @cached_property
    def ops(self) -> tuple[int, ...]:
        """All of their ops."""
        return self.web.ops_of(self.groups)

    @cached_property
    def between(self) -> set[int]:
        """The groups through which they depend on each other."""
        return self.web.between(self.groups)

    @cached_property
    def excerpt(self) -> Excerpt:
        """Their ops and what lies next to them."""
        return Excerpt(self.web, self.ops)

    @cached_property
    def verdict(self) -> Verdict:
        """What the ladder says of them as one kernel, cycles apart."""
        rung, fault = judge(self.excerpt.graph, self.excerpt.inside)
        computed = [op for op in self.ops if self.web.graph.ops[op].is_compute]
        if rung is not None and (lacking := self._lacking(computed)) is not None:
            return Verdict(None, lacking, self.web.sets.tile_nbytes(computed))
        if fault is not None and fault.rule is Rule.UNKNOWN_OP:
            return Verdict(rung, fault, None)
        return Verdict(rung, fault, self.web.sets.nbytes(computed))

    @cached_property
    def with_between(self) -> Case:
        """The same together with the groups between them: no cycle is left."""
        return Case(self.web, self.groups | self.between)

    def _lacking(self, computed: list[int]) -> Fault | None:
        """What the plan's on-chip memory has against a kernel that tiles; an op alone may."""
        proof = self.web.plan.proof
        if proof is None or proof.on_chip is None or proof.rules == M or len(computed) <= 1:
            return None
        if (needed := self.web.sets.tile_nbytes(computed)) <= proof.on_chip:
            return None
        sentence = f"one kernel holds {needed:,} bytes on chip, of {proof.on_chip:,}"
        return Fault(Rule.CAPACITY, sentence)

    def crosses(self, producer: int, consumer: int) -> bool:
        """Whether one op is in one of the groups, and the other in another."""
        held = [self.web.held[group] for group in self.groups]
        return any(producer in one and consumer in other for one, other in permutations(held, 2))

    @cached_property
    def are_neighbours(self) -> bool:
        """Whether one takes what another makes."""
        after = self.web.near.after
        return any(self.crosses(op, other) for op in self.ops for other in after[op])

    @cached_property
    def shared(self) -> tuple[str, ...]:
        """Names of the tensors that all of the groups read and none of them makes."""
        graph, inside, found = self.web.graph, frozenset(self.ops), []
        for group in self.groups:
            reads = (flow for op in self.web.held[group] for flow in graph.flows.read_by[op])
            found.append({(f.storage, f.writer) for f in reads if f.writer not in inside})
        storages = {storage for storage, _ in set.intersection(*found)}
        operands = (
            t for op in self.ops for t in (*graph.ops[op].inputs, *graph.ops[op].parameters)
        )
        names = {graph.tensors[t].storage: graph.tensors[t].name for t in reversed([*operands])}
        return tuple(names[storage] for storage in sorted(storages))

    @cached_property
    def cycle(self) -> tuple[int, ...]:
        """The shortest way of ops that leaves the groups and comes back."""
        by = frozenset(self.web.ops_of(self.between)) if self.between else frozenset()
        return self.web.path(self.ops, self.ops, by) if by else ()
