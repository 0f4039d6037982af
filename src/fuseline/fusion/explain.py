"""Why two ops are in different kernels, and the least that would put them into one.

    explain      two ops and a plan --> refusals, bytes, and every remedy that holds
    top_missed   a plan --> the neighbouring groups apart that cost most, each with its least remedy

No remedy is a guess: each is applied, and what it gives is judged as any other group is. Legality
is asked of an *excerpt*, a graph of the ops in question and their direct neighbours: whatever the
ladder looks at is in there, and a graph with one reader less is soon made of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from itertools import islice, permutations

from fuseline.costs import group_traffic
from fuseline.costs.cover import cover_traffic
from fuseline.costs.working_set import WorkingSets
from fuseline.errors import InputError
from fuseline.fusion.ladder.kernel import Fault, Kernels
from fuseline.fusion.ladder.rules import RULE_SETS
from fuseline.fusion.legality import check_connection
from fuseline.fusion.neighbours import Neighbours
from fuseline.graph import OUTSIDE, Graph, Op, Role
from fuseline.plan import Group, Plan, Refusal, Rule

_M = "M"
_SHORT_OF_M = tuple(name for name in RULE_SETS if name != _M)
_RUNGS = {
    "R0": "every op alone",
    "A": "loops and epilogues over one domain",
    "B": "prologues and whole rows",
    "T": "attention in steps",
}
"""What each rung is for, in a few words."""

_NAMED = 3  # a sentence names this many groups or tensors
_MOST_READERS = 16  # readers that are taken away on trial, for one pair of groups
_MOST_THIRD = 64  # groups between two that are joined on trial


class Change(Enum):
    """What would put two groups into one kernel, from the least to the most."""

    RUNG = "rules"  # a rung short of M joins them as they are
    READER = "one reader less"  # so it does where one op does not read what one of theirs makes
    THIRD = "groups between"  # so it does with the groups through which they form a cycle
    ON_CHIP = "on-chip memory"  # M joins them where the chip holds their working set
    NONE = "nothing"


@dataclass(frozen=True, slots=True)
class Remedy:
    """One change, tried and found to work (or, with `NONE`, why there is none).

    `rung` is the lowest that then allows the kernel, `saved_nbytes` what it saves over the groups
    as they are. `reader` is the (op read, op that must not read it; `OUTSIDE`: the model's result),
    `third` are the groups to be joined as well, `on_chip_nbytes` is what M needs on the chip.
    """

    change: Change
    sentence: str
    saved_nbytes: int = 0
    rung: str | None = None
    reader: tuple[int, int] | None = None
    third: tuple[int, ...] = ()
    on_chip_nbytes: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a plan does with two ops, `first` and `second` in program order (ids).

    `groups` are the group of each (places in the plan; one where they share it), of a cover the
    first that stores the op, and `elsewhere` the others that hold one of them. `saved_nbytes` is
    what one kernel saves, or would save: over the two groups, or over its ops alone. `rung` is the
    lowest short of M that allows the kernel, `objection` what T has against it, `on_chip_nbytes`
    its working set under M. `path` are ops from one to the other where the groups are no
    neighbours, `shared` the tensors that both groups read, `cycle` a path of ops out of one group
    and back into the other.
    """

    first: int
    second: int
    groups: tuple[int, ...]
    elsewhere: tuple[int, ...]
    saved_nbytes: int
    rung: str | None
    objection: str
    on_chip_nbytes: int | None
    are_neighbours: bool
    refusals: tuple[Refusal, ...] = ()
    path: tuple[int, ...] = ()
    shared: tuple[str, ...] = ()
    cycle: tuple[int, ...] = ()
    remedies: tuple[Remedy, ...] = ()

    @property
    def are_together(self) -> bool:
        """Whether one kernel holds both."""
        return len(self.groups) == 1


@dataclass(frozen=True, slots=True)
class Missed:
    """Two neighbouring groups (places in the plan) apart, and what one kernel would save.

    `rule` and `reason` are the plan's own. `is_legal`: T allows the kernel as it is, without a
    cycle. `remedy` is the least that holds.
    """

    producer: int
    consumer: int
    groups: tuple[int, int]
    saved_nbytes: int
    rule: Rule
    reason: str
    is_legal: bool
    is_cyclic: bool
    remedy: Remedy


def explain(graph: Graph, plan: Plan, a: int, b: int) -> Explanation:
    """Why ops `a` and `b` (ids, in either order) are in one kernel of `plan`, or are not.

    Raises `InputError` where they are one op.

    >>> from fuseline.fusion import partition
    >>> from fuseline.graph import Builder, Kind
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
    web = _Web(graph, plan)
    together = sorted(set(web.where[first]) & set(web.where[second]))
    groups = together[:1] or [web.home(first), web.home(second)]
    elsewhere = {*web.where[first], *web.where[second]} - set(groups)
    case = _Case(web, frozenset(groups))
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
        remedies=tuple(case.remedies()),
    )


def top_missed(graph: Graph, plan: Plan, count: int) -> tuple[Missed, ...]:
    """The `count` pairs of neighbouring groups that one kernel would save most, largest first.

    Each pair once, none that saves nothing. Which pairs of a cover these are is told as if each
    group stored all it holds; they are then priced, and put in order, as they are.
    """
    web = _Web(graph, plan)
    edges: dict[frozenset[int], tuple[int, int]] = {}  # of each pair the first producer, consumer
    for edge in web.near.pairs():
        if set(web.where[edge[0]]).isdisjoint(web.where[edge[1]]):
            edges.setdefault(frozenset(map(web.home, edge)), edge)
    ranked = sorted(edges, key=web.rough_saving, reverse=True)[:count]
    cases = [case for pair in ranked if (case := _Case(web, pair)).saved_nbytes > 0]
    cases.sort(key=lambda case: case.saved_nbytes, reverse=True)
    told: dict[frozenset[int], Refusal] = {}
    for refusal in plan.refusals:
        told.setdefault(frozenset(map(web.home, (refusal.producer, refusal.consumer))), refusal)
    return tuple(_missed(case, edges[case.groups], told) for case in cases)


def _missed(case: _Case, edge: tuple[int, int], told: dict[frozenset[int], Refusal]) -> Missed:
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
        remedy=next(case.remedies()),
    )


class _Web:
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
        """Working sets of the whole graph: how a value streams depends on all who write it."""
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


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What the ladder says of one kernel: the lowest rung short of M that allows it, what T has
    against it, and the working set under M [bytes] (None where even M has no such kernel).
    """

    rung: str | None
    fault: Fault | None
    on_chip_nbytes: int | None


def _judge(graph: Graph, ops: tuple[int, ...]) -> tuple[str | None, Fault | None]:
    """The lowest rung short of M that allows `ops` as one kernel, or what T has against it."""
    rung: str | None = None
    for name in reversed(_SHORT_OF_M):  # nested: what one refuses, none below it allows
        kernels = Kernels(graph, RULE_SETS[name])
        fault = kernels.find_fault(kernels.compute.mask_of(ops))
        if fault is not None:
            return rung, fault if rung is None else None
        rung = name
    return rung, None


class _Excerpt:
    """A graph of `ops`, what lies next to them, and the views between; judged as the whole is.

    `inside` are `ops` by their numbers in the excerpt, `ids` all of its ops by those in the graph.
    """

    def __init__(self, web: _Web, ops: tuple[int, ...]) -> None:
        graph = web.graph
        found = set(ops)
        for edges in (graph.dependences, web.after):
            seen, pending = set(ops), list(ops)
            while pending:
                for other in edges[pending.pop()]:
                    if other not in seen:
                        seen.add(other)
                        pending += () if graph.ops[other].is_compute else (other,)
            found |= seen
        self.ids = tuple(sorted(found))
        number = {op: place for place, op in enumerate(self.ids)}
        self.inside = tuple(number[op] for op in ops)
        members = (
            replace(
                op, id=place, predecessors=tuple(number[p] for p in op.predecessors if p in number)
            )
            for place, op in enumerate(graph.ops[op] for op in self.ids)
        )
        self.graph = replace(graph, ops=tuple(members), folded=())

    def readers(self) -> Iterator[tuple[int, int, bool]]:
        """(op inside, op outside that reads what it wrote; `OUTSIDE` where that is a result of the
        model), and whether it is the last such: ops inside read it too, and no other outside does.
        """
        inside = set(self.inside)
        for op in self.inside:
            readers = {flow.reader for flow in self.graph.flows.written_by[op]}
            outside = sorted(readers - inside)
            for reader in outside:
                yield op, reader, len(outside) == 1 and not readers.isdisjoint(inside)

    def without_reader(self, op: int, reader: int) -> Graph | None:
        """The same where `reader` takes what `op` wrote from elsewhere: a tensor of the same
        layout that is there from the start. None where it writes there too, or where what reads
        it is the model, which holds it.
        """
        graph = self.graph
        storages = {flow.storage for flow in graph.flows.written_by[op] if flow.reader == reader}
        if reader == OUTSIDE:
            if any(graph.storages[storage].role is not Role.ACTIVATION for storage in storages):
                return None
            left = (t for t in graph.outputs if graph.tensors[t].storage not in storages)
            return replace(graph, outputs=tuple(left))
        taker = graph.ops[reader]
        if any(graph.tensors[t].storage in storages for t in (*taker.writes, *taker.parameters)):
            return None
        made, tensors = list(graph.storages), list(graph.tensors)
        instead = {}
        for tensor in taker.inputs:
            if (storage := graph.tensors[tensor].storage) in storages:
                made.append(replace(made[storage], id=len(made), role=Role.INPUT))
                instead[tensor] = len(tensors)
                tensors.append(replace(tensors[tensor], id=len(tensors), storage=made[-1].id))
        kept = tuple(p for p in taker.predecessors if not _only_gives(graph.ops[p], taker, instead))
        inputs = tuple(instead.get(t, t) for t in taker.inputs)
        ops = list(graph.ops)
        ops[reader] = replace(taker, inputs=inputs, predecessors=kept, gathers=())
        return replace(graph, storages=tuple(made), tensors=tuple(tensors), ops=tuple(ops))


def _only_gives(producer: Op, taker: Op, tensors: Iterable[int]) -> bool:
    """Whether all that `taker` takes from `producer` is among `tensors`."""
    taken = set(producer.outputs) & set(taker.inputs)
    return bool(taken) and taken <= set(tensors)


class _Case:
    """Whether `groups` of a plan may be one kernel, and what would make it so."""

    def __init__(self, web: _Web, groups: frozenset[int]) -> None:
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
    def _excerpt(self) -> _Excerpt:
        return _Excerpt(self.web, self.ops)

    @cached_property
    def verdict(self) -> _Verdict:
        """What the ladder says of them as one kernel, cycles apart."""
        rung, fault = _judge(self._excerpt.graph, self._excerpt.inside)
        computed = [op for op in self.ops if self.web.graph.ops[op].is_compute]
        if rung is not None and (lacking := self._lacking(computed)) is not None:
            return _Verdict(None, lacking, self.web.sets.tile_nbytes(computed))
        if fault is not None and fault.rule is Rule.UNKNOWN_OP:
            return _Verdict(rung, fault, None)
        return _Verdict(rung, fault, self.web.sets.nbytes(computed))

    def _lacking(self, computed: list[int]) -> Fault | None:
        """What the plan's on-chip memory has against a kernel that tiles; an op alone may."""
        proof = self.web.plan.proof
        if proof is None or proof.on_chip is None or proof.rules == _M or len(computed) <= 1:
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

    def remedies(self) -> Iterator[Remedy]:
        """Every change that makes them one kernel, the least first; at the end of none, why."""
        if not self.between and self._stray():
            yield Remedy(Change.NONE, self._why_stray())
            return
        found = False
        for change in (self._by_rung, self._by_reader, self._by_third, self._by_memory):
            for remedy in change():
                found = True
                yield remedy
        if not found:
            yield Remedy(Change.NONE, self._why_not())

    def _stray(self) -> bool:
        horizontal = self.web.plan.horizontal
        return (
            check_connection(self.web.graph, Group(-1, self.ops, ""), horizontal=horizontal)
            is not None
        )

    def _why_stray(self) -> str:
        if not self.shared:
            return "they pass nothing to each other and read nothing in common"
        read = ", ".join(self.shared[:_NAMED])
        return f"they pass nothing to each other: one kernel would only read {read} once for both"

    def _by_rung(self) -> Iterator[Remedy]:
        rung = self.verdict.rung
        if rung is None or self.between:
            return
        sentence = f"{_rung(rung)} joins them as they are"
        if rung == _SHORT_OF_M[0]:
            sentence = "one of them is a view or runs on the host, and needs no kernel"
        elif not self.saved_nbytes:
            sentence += ", and saves no byte"
        yield Remedy(Change.RUNG, sentence, self.saved_nbytes, rung)

    def _by_reader(self) -> Iterator[Remedy]:
        """Take one reader away on trial, where that may help: the last one outside, or one in a
        group that makes the cycle.
        """
        rung, fault = self.verdict.rung, self.verdict.fault
        is_full = fault is not None and fault.rule is Rule.CAPACITY  # whoever reads what
        if is_full or len(self.between) > _MOST_THIRD or (rung is not None and not self.between):
            return
        ids = (*self._excerpt.ids, OUTSIDE)  # so that OUTSIDE is its own number
        middle = frozenset(self.web.ops_of(self.between)) if self.between else frozenset()
        asked = (
            (op, reader)
            for op, reader, is_last in self._excerpt.readers()
            if (ids[reader] in middle if middle else is_last)
        )
        for op, reader in islice(asked, _MOST_READERS):
            changed = self._excerpt.without_reader(op, reader)
            if changed is None:
                continue
            if middle and self.web.between(self.groups, self._cut(changed, op, reader)):
                continue
            rung, _ = _judge(changed, self._excerpt.inside)
            if rung is not None:
                name, ops = self._excerpt.graph.ops[op].name, self._excerpt.graph.ops
                other = (
                    f"read by {ops[reader].name}" if reader != OUTSIDE else "a result of the model"
                )
                sentence = f"if {name} were not {other} as well, {_rung(rung)} would join them"
                saved = self._saved_in(changed)
                yield Remedy(Change.READER, sentence, saved, rung, (ids[op], ids[reader]))

    def _cut(self, changed: Graph, op: int, reader: int) -> frozenset[tuple[int, int]]:
        """The dependences that are gone in `changed`, in numbers of the graph."""
        ids, was = self._excerpt.ids, self._excerpt.graph.ops[reader].predecessors
        gone = {op, *was} - set(changed.ops[reader].predecessors)
        return frozenset((ids[earlier], ids[reader]) for earlier in gone)

    def _saved_in(self, changed: Graph) -> int:
        """What one kernel saves in another excerpt [bytes]; of a cover as if all were stored."""
        number = dict(zip(self._excerpt.ids, range(len(self._excerpt.ids)), strict=True))
        apart = sum(
            group_traffic(changed, [number[op] for op in self.web.held[group]]).nbytes
            for group in self.groups
        )
        return apart - group_traffic(changed, self._excerpt.inside).nbytes

    @cached_property
    def _with_third(self) -> _Case:
        return _Case(self.web, self.groups | self.between)

    def _by_third(self) -> Iterator[Remedy]:
        if not 0 < len(self.between) <= _MOST_THIRD:
            return
        case, third = self._with_third, tuple(sorted(self.between))
        rung, needed = case.verdict.rung, case.verdict.on_chip_nbytes
        one = f"with {self._names_between()} as well"
        if rung is not None:
            sentence = f"{one}, {_rung(rung)} joins them all"
            yield Remedy(Change.THIRD, sentence, case.saved_nbytes, rung, third=third)
        elif needed is not None:
            sentence = f"{one}, M joins them all, and needs {_size(needed)} on chip"
            yield Remedy(
                Change.THIRD, sentence, case.saved_nbytes, third=third, on_chip_nbytes=needed
            )

    def _by_memory(self) -> Iterator[Remedy]:
        fault, needed = self.verdict.fault, self.verdict.on_chip_nbytes
        if self.between or fault is None or needed is None:
            return
        why = f"{fault.reason}: no rung short of M joins them, and M needs"
        if fault.rule is Rule.CAPACITY:
            why = "the rules allow one kernel, which needs"
        sentence = f"{why} {_size(needed)} on chip"
        yield Remedy(Change.ON_CHIP, sentence, self.saved_nbytes, on_chip_nbytes=needed)

    def _names_between(self) -> str:
        ops = self.web.graph.ops
        between = sorted(self.between)
        computing = [g for g in between if any(ops[op].is_compute for op in self.web.held[g])]
        leads = [self.web.lead(group) for group in computing or between]
        more = f" and {len(leads) - _NAMED} more" if len(leads) > _NAMED else ""
        noun = "the group of" if len(leads) == 1 else "the groups of"
        return f"{noun} {', '.join(leads[:_NAMED])}{more}"

    def _why_not(self) -> str:
        fault = self.verdict.fault
        if not self.between:
            return f"nothing joins them: {fault.reason if fault else 'no rung has such a kernel'}"
        if (count := len(self.between)) > _MOST_THIRD:
            return f"{count} groups lie between them: no more than {_MOST_THIRD} are tried"
        other = self._with_third.verdict.fault
        with_it = f", and with it {other.reason}" if other else ""
        return f"they depend on each other through {self._names_between()}{with_it}"


def _rung(name: str) -> str:
    return f"rung {name} ({_RUNGS[name]})"


def _size(nbytes: int) -> str:
    """Bytes for a sentence, in decimal units; exact below a thousand.

    >>> _size(96), _size(18_900_000), _size(2_048)
    ('96 bytes', '18.9 MB', '2.0 kB')
    """
    if nbytes < 1000:  # noqa: PLR2004
        return f"{nbytes} bytes"
    return f"{nbytes / 1e6:,.1f} MB" if nbytes >= 1e6 else f"{nbytes / 1e3:.1f} kB"  # noqa: PLR2004
