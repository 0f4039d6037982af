"""A pattern table -> groups: each row is a pass over the ops, the table's first row first.

Views and control ops of a recorded graph are looked through, as everywhere. At module level views
(dropout in eval mode, a reshape) are nodes; a match walks over them and takes those on its way
along, for they compute nothing. A match is a group only where the graph of groups stays acyclic.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from itertools import pairwise

from fuseline.fusion.chains import Chains, Objection
from fuseline.fusion.ladder.rules import why_alone
from fuseline.fusion.neighbours import Neighbours
from fuseline.fusion.plans import make_plan
from fuseline.fusion.tables.rows import ENTRY, Row, Step, Table
from fuseline.graph import CLASS_OF, OUTSIDE, Graph, Kind, Op, OpClass
from fuseline.plan import UNCOUNTED, UNFUSED, Plan, Rule

_NAMED = 3  # a sentence names this many ops or kinds


@dataclass(frozen=True, slots=True)
class Match:
    """A row that fits, and the ops that share its kernel."""

    row: Row
    ops: tuple[int, ...]


class Links:
    """Who takes whose result, with views looked through at every level of graph.

    `root` is what an op's result is a view of; itself for any op but a view with one operand.
    """

    def __init__(self, near: Neighbours) -> None:
        graph = near.graph
        self._direct = near.before
        self.root: list[int] = []
        self.before: list[tuple[int, ...]] = []
        self.after: list[list[int]] = [[] for _ in graph.ops]
        for op in graph.ops:
            found = tuple(dict.fromkeys(self.root[earlier] for earlier in near.before[op.id]))
            glass = op.op_class is OpClass.VIEW and len(near.before[op.id]) == 1
            self.root.append(found[0] if glass else op.id)
            self.before.append(found)
            if op.is_compute:
                for producer in found:
                    self.after[producer].append(op.id)

    def views_between(self, ops: set[int]) -> set[int]:
        """Views through which ops of the set take results of the set."""
        views: set[int] = set()
        for op in ops:
            for view in self._direct[op]:
                step = view
                while self.root[step] != step and self.root[step] in ops and step not in views:
                    views.add(step)
                    step = self._direct[step][0]
        return views


class Matcher:
    """The groups of one graph while rows are matched in it, and why others were not."""

    def __init__(self, graph: Graph, table: Table) -> None:
        self.graph = graph
        self.table = table
        self.near = Neighbours(graph)
        self.links = Links(self.near)
        self.chains = Chains(self.near)
        self.matches: list[Match] = []
        self._nearest: dict[tuple[int, int], tuple[int, Objection]] = {}
        self._rows: dict[int, Row] = {}  # op -> the row that placed it

    def run(self) -> None:
        """Match every row, in the table's order, at every op, in program order."""
        by_kind: dict[Kind, list[Op]] = defaultdict(list)
        for op in self.graph.ops:
            if op.is_compute:
                by_kind[op.kind].append(op)
        for row in self.table.rows:
            anchors = [op for kind in row.anchors for op in by_kind.get(kind, ())]
            for op in sorted(anchors, key=lambda op: op.id):
                if op.id not in self.chains.placed:
                    self._try(row, op)

    def counts(self) -> Counter[str]:
        """How often each row fits, by name."""
        return Counter(match.row.name for match in self.matches)

    def plan(self, strategy: str) -> Plan:
        """The plan of the matches; a group of several operators bears its row's name."""
        plan = make_plan(self.near, strategy, self.chains.quotient, self._explain)
        groups = tuple(
            replace(group, pattern=row.name)
            if group.pattern != UNFUSED and group.pattern not in UNCOUNTED and row is not None
            else group
            for group in plan.groups
            for row in [next((self._rows[op] for op in group.ops if op in self._rows), None)]
        )
        return replace(plan, groups=groups)

    def _try(self, row: Row, anchor: Op) -> None:
        if row.find is not None:
            found = row.find(self.near, anchor)
            ops = set(found) if found else None
        else:
            ops = self._walk(row, anchor)
        if ops is None or not self.chains.placed.isdisjoint(ops):
            return
        members = tuple(sorted(ops | self.links.views_between(ops)))
        if not self.chains.place(members):
            sentence = f"{row.name}: joined, its groups would depend on each other through a third"
            for op in ops:
                for earlier in ops.intersection(self.links.before[op]):
                    self._note((earlier, op), len(row.steps), Objection(Rule.CYCLE, sentence))
            return
        self.matches.append(Match(row, tuple(sorted(ops))))
        self._rows.update(dict.fromkeys(members, row))

    def _walk(self, row: Row, anchor: Op) -> set[int] | None:
        """The ops of the longest match of `row` at `anchor`; None where it does not fit."""
        if self._object(row, 0, anchor, []) is not None:
            return None
        found: list[tuple[int, Op]] = [(0, anchor)]  # (step, op), in the row's order
        number = 0 if row.steps[0].many else 1
        while number < len(row.steps):
            following = self._next(row, number, found)
            if following is not None:
                found.append((number, following))
            elif not row.steps[number].may_be_missing:
                self._note_missing(row, number, found)
                return None
            if following is None or not row.steps[number].many:
                number += 1
        return self._closed(row, found)

    def _next(self, row: Row, number: int, found: list[tuple[int, Op]]) -> Op | None:
        """The first consumer of the last op that may be step `number`."""
        last = found[-1][1]
        after = self.links.after[last.id]
        may_leave = row.steps[found[-1][0]].leaves
        if not may_leave and (len(after) > len(row.steps) or self._is_kept(last)):
            self._note_fork(row, found[-1])
            return None
        for consumer in after:
            op = self.graph.ops[consumer]
            objection = self._object(row, number, op, found)
            if objection is None:
                return op
            self._note((last.id, consumer), number, objection)
        return None

    def _object(
        self, row: Row, number: int, op: Op, found: list[tuple[int, Op]]
    ) -> Objection | None:
        """What keeps `op` from being step `number` after `found`."""
        step = row.steps[number]
        if op.op_class is OpClass.OPAQUE:
            return Objection(Rule.UNKNOWN_OP, f"{op.name} {why_alone(op)}")
        if op.kind not in step.kinds or op.op_class is not CLASS_OF[op.kind]:
            sentence = f"{row.name} goes on with {_any_of(step)}, and {op.name} is {op.kind.value}"
            return Objection(Rule.NO_RULE, sentence)
        for taken in step.takes:
            if not self._takes(op, taken, found):
                sentence = f"{row.name}: {op.name} does not come back to what the row begins with"
                return Objection(Rule.NO_RULE, sentence)
        if step.guard is not None and (why := step.guard(self.graph, op)) is not None:
            return Objection(Rule.NO_RULE, f"{row.name}: {op.name} {why}")
        if op.id in self.chains.placed:
            other = self._rows[op.id].name if op.id in self._rows else "another group"
            return Objection(Rule.ALREADY_PLACED, f"{op.name} is already in {other}")
        return None

    def _takes(self, op: Op, taken: int, found: list[tuple[int, Op]]) -> bool:
        """Whether `op` takes the result of step `taken`, or of the last before it that is there."""
        if taken != ENTRY:
            source = next(member for step, member in reversed(found) if step <= taken)
            return source.id in self.links.before[op.id]
        return not _activations(self.graph, op).isdisjoint(_activations(self.graph, found[0][1]))

    def _closed(self, row: Row, found: list[tuple[int, Op]]) -> set[int] | None:
        """The match without the end from which a result leaves; None where it needs that end."""
        while True:
            ops = {op.id for _, op in found}
            leak = next(
                (n for n, item in enumerate(found[:-1]) if self._leaks(row, item, ops)), None
            )
            if leak is None:
                break
            self._note_fork(row, found[leak])
            first, found = found[leak][0] + 1, found[: leak + 1]
            if not all(step.may_be_missing for step in row.steps[first:]):
                return None
        outside = {op.id for step, op in found if row.steps[step].outside}
        inside = {op.id for _, op in found} - outside
        for step, op in found:
            inside |= self._beside(row.steps[step], op, inside)
        return inside if len(inside) > 1 or outside else None

    def _leaks(self, row: Row, item: tuple[int, Op], ops: set[int]) -> bool:
        """Whether what an op makes goes elsewhere than to ops of the match."""
        number, op = item
        if row.steps[number].leaves:
            return False
        return self._is_kept(op) or not ops.issuperset(self.links.after[op.id])

    def _beside(self, step: Step, op: Op, inside: set[int]) -> set[int]:
        """Producers that come along with `op`."""
        if not step.beside:
            return set()
        return {
            earlier
            for earlier in self.links.before[op.id]
            if earlier not in inside
            and self.graph.ops[earlier].kind in step.beside
            and self.links.after[earlier] == [op.id]
            and earlier not in self.chains.placed
            and not self._is_kept(self.graph.ops[earlier])
        }

    def _is_kept(self, op: Op) -> bool:
        return any(flow.reader == OUTSIDE for flow in self.graph.flows.written_by[op.id])

    def _note(self, edge: tuple[int, int], reached: int, objection: Objection) -> None:
        if edge not in self._nearest or self._nearest[edge][0] < reached:
            self._nearest[edge] = (reached, objection)

    def _note_missing(self, row: Row, number: int, found: list[tuple[int, Op]]) -> None:
        """The row began with `found`, and its next step is not there."""
        wanted = _any_of(row.steps[number])
        sentence = f"{row.name} needs {wanted} after {found[-1][1].name}"
        for (_, op), (_, following) in pairwise(found):
            self._note((op.id, following.id), number, Objection(Rule.NO_RULE, sentence))

    def _note_fork(self, row: Row, item: tuple[int, Op]) -> None:
        number, op = item
        consumers = self.links.after[op.id]
        sentence = f"{row.name} keeps the result of {op.name} inside, and "
        if len(consumers) > 1:
            names = ", ".join(self.graph.ops[consumer].name for consumer in consumers[:_NAMED])
            more = ", ..." if len(consumers) > _NAMED else ""
            sentence += f"it has {len(consumers)} consumers ({names}{more})"
        else:
            sentence += "it outlives the graph"
        objection = Objection(Rule.FORK, sentence)
        for consumer in consumers:
            self._note((op.id, consumer), number + 1, objection)

    def _explain(self, edge: tuple[int, int]) -> Objection:
        """Why two neighbours are apart: what the row said that came nearest to joining them."""
        producer, consumer = (self.graph.ops[op] for op in edge)
        nearest = self._nearest.get((self.links.root[producer.id], consumer.id))
        if nearest is not None:
            return nearest[1]
        for op in (producer, consumer):
            if op.op_class is OpClass.OPAQUE:
                return Objection(Rule.UNKNOWN_OP, f"{op.name} {why_alone(op)}")
        kinds = f"{producer.kind.value} and then {consumer.kind.value}"
        return Objection(Rule.NO_RULE, f"no row of {self.table.name} holds {kinds}")


def match_table(graph: Graph, table: Table) -> Matcher:
    """The table matched in `graph`."""
    matcher = Matcher(graph, table)
    matcher.run()
    return matcher


def _activations(graph: Graph, op: Op) -> set[int]:
    """Storages that `op` reads and the model does not hold."""
    storages = {graph.tensors[tensor].storage for tensor in op.inputs}
    return {storage for storage in storages if not graph.storages[storage].is_held}


def _any_of(step: Step) -> str:
    """The kinds of a step, for a sentence."""
    names = sorted(kind.value for kind in step.kinds)
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
