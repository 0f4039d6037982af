"""The chain search: greedy along edges, and what keeps two neighbours apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fuseline.fusion.ladder.rules import why_alone
from fuseline.fusion.neighbours import Neighbours
from fuseline.fusion.patterns import SEED, Table, word_of
from fuseline.fusion.quotient import Quotient
from fuseline.graph import Graph, Op, OpClass, Origin
from fuseline.graph.kinds import ENGINES
from fuseline.plan import Rule

_NAMED = 3  # a sentence names this many ops


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a pair may not join: a rule and a sentence."""

    rule: Rule
    reason: str


Object = Callable[[Neighbours, Op, Op], list[Objection]]
"""Everything that keeps a consumer out of its producer's chain, were it free to join."""


class Chains:
    """The groups of one graph while chains grow in it.

    `placed` are ops in a chain; `open_ends` those of them, in groups made beforehand, from which
    a chain may still grow. `lengthened` are groups that rows beyond the seed's made or
    lengthened. `stops` says why a chain ended before the only consumer of its last op.
    """

    def __init__(self, near: Neighbours) -> None:
        self.near = near
        self.graph = near.graph
        self.quotient = Quotient(self.graph)
        self.placed: set[int] = set()
        self.open_ends: set[int] = set()
        self.lengthened: set[int] = set()
        self.stops: dict[tuple[int, int], Objection] = {}
        place_transparent(self.graph, self.quotient)

    def place(self, ops: Iterable[int], open_ends: Iterable[int] = ()) -> bool:
        """Make one group of `ops`, unless one of them is in a chain or it would close a cycle."""
        ops = tuple(ops)
        if not self.placed.isdisjoint(ops) or not self.quotient.try_join(ops):
            return False
        self.placed.update(ops)
        self.open_ends.update(open_ends)
        self.lengthened.add(self.quotient.group_of[ops[0]])
        return True

    def grow(self, object_to: Object, seed: Object | None = None) -> None:
        """Walk operators in program order; each one not yet placed starts a chain and extends it.

        A chain grows from its last op to that op's only consumer while `object_to` has nothing
        against it and the graph of groups stays acyclic. Where `seed` is given, a chain that goes
        beyond what it allows takes no second contraction: no row describes such a kernel.
        """
        for op in self.graph.ops:
            if not op.is_operator or (op.id in self.placed and op.id not in self.open_ends):
                continue
            self.placed.add(op.id)
            last = op
            while (following := self.near.only_consumer(last.id)) is not None:
                if objections := object_to(self.near, last, following):
                    self.stops[last.id, following.id] = _together(objections)
                    break
                beyond = seed is not None and bool(seed(self.near, last, following))
                if stop := self._obstacle(last, following, beyond=beyond):
                    self.stops[last.id, following.id] = stop
                    break
                group = self.quotient.group_of[last.id]
                self.quotient.join(group, self.quotient.group_of[following.id])
                if beyond:
                    self.lengthened.add(group)
                self.placed.add(following.id)
                last = following

    def _obstacle(self, last: Op, following: Op, *, beyond: bool) -> Objection | None:
        """What about the groups as they are keeps `following` out of the chain of `last`."""
        ours, theirs = (self.quotient.group_of[op.id] for op in (last, following))
        if following.id in self.placed:
            first = next(
                self.graph.ops[op]
                for op in sorted(self.quotient.members[theirs])
                if self.graph.ops[op].is_operator
            )
            sentence = f"{following.name} is already in the chain of {first.name}"
            return Objection(Rule.ALREADY_PLACED, sentence)
        if following.op_class in ENGINES and (beyond or ours in self.lengthened):
            held = sorted(
                op for op in self.quotient.members[ours] if self.graph.ops[op].op_class in ENGINES
            )
            if held:
                sentence = (
                    f"{following.name} would be a contraction beside "
                    f"{self.graph.ops[held[0]].name}, and no pattern joins the two"
                )
                return Objection(Rule.SECOND_CONTRACTION, sentence)
        if self.quotient.would_cycle(ours, theirs):
            names = f"{last.name}'s group and {following.name}"
            sentence = f"joined, {names} would depend on each other through a third group"
            return Objection(Rule.CYCLE, sentence)
        return None

    def explain(self, edge: tuple[int, int], object_to: Object) -> Objection:
        """Why the ops of `edge` are apart: the first rule, every reason."""
        if (stop := self.stops.get(edge)) is None:  # no chain tried to go there
            producer, consumer = self.graph.ops[edge[0]], self.graph.ops[edge[1]]
            stop = _together(object_to(self.near, producer, consumer))
        return stop


def object_to_pair(
    near: Neighbours, producer: Op, consumer: Op, table: Table = SEED
) -> list[Objection]:
    """Everything that keeps `consumer` out of `producer`'s chain under the pair table."""
    graph = near.graph
    return object_to_words(
        near,
        (producer, consumer),
        ((word_of(graph, producer),), (word_of(graph, consumer),)),
        table,
    )


def object_to_words(
    near: Neighbours,
    edge: tuple[Op, Op],
    words: tuple[tuple[str, ...], tuple[str, ...]],
    table: Table,
) -> list[Objection]:
    """The same where ops have several words: any pair of them in the table allows the two."""
    found = object_to_shape(near, *edge)
    if found and found[0].rule is Rule.NOT_AN_OPERATOR:
        return found
    pairs = [(before, after) for before in words[0] for after in words[1]]
    allowed = [pair for pair in pairs if pair in table.pairs]
    if any(pair in table.joins for pair in allowed):
        found = [objection for objection in found if objection.rule is not Rule.JOIN]
    if not allowed:
        sentence = f"no pattern joins {edge[0].target} and {edge[1].target}"
        found.insert(0, Objection(Rule.NO_RULE, sentence))
    return found


def object_to_shape(near: Neighbours, producer: Op, consumer: Op) -> list[Objection]:
    """What in the graph's shape alone keeps the two apart: a method call, a fork, a join."""
    for op in (producer, consumer):
        if not op.is_operator:
            sentence = f"{op.name} is a method call; chains are made of modules and functions"
            return [Objection(Rule.NOT_AN_OPERATOR, sentence)]
    found = [
        Objection(Rule.UNKNOWN_OP, f"{op.name} {why_alone(op)}")
        for op in (producer, consumer)
        if op.op_class is OpClass.OPAQUE
    ]
    consumers = near.consumers[producer.id]
    if len(consumers) > 1:
        sentence = f"{producer.name} has {len(consumers)} consumers ({_names(consumers)})"
        found.append(Objection(Rule.FORK, sentence))
    producers = near.producers[consumer.id]
    if len(producers) > 1:
        sentence = f"{consumer.name} has {len(producers)} producers ({_names(producers)})"
        found.append(Objection(Rule.JOIN, sentence))
    return found


def _together(objections: list[Objection]) -> Objection:
    return Objection(objections[0].rule, "; ".join(item.reason for item in objections))


def place_transparent(graph: Graph, quotient: Quotient, *, everywhere: bool = False) -> None:
    """Put each view and control op of a recorded graph into the group of the op it looks at.

    A view's is the op whose storage it aliases, a control op's its only producer. A view of an
    input or a parameter stays alone. With `everywhere` also at module level.
    """
    for op in graph.ops:
        if op.is_compute or not (everywhere or op.origin is Origin.ATEN):
            continue
        if (home := _looks_at(graph, op)) is None:
            continue
        group, other = quotient.group_of[home], quotient.group_of[op.id]
        if any(graph.ops[member].is_compute for member in quotient.members[other]):
            continue  # a search has put it where it is wanted: two kernels are not made one for it
        if group != other and not quotient.would_cycle(group, other):
            quotient.join(group, other)


def _looks_at(graph: Graph, op: Op) -> int | None:
    if op.op_class is OpClass.CONTROL:
        return op.predecessors[0] if len(op.predecessors) == 1 else None
    storages = {graph.tensors[tensor].storage for tensor in op.outputs}
    for producer in op.predecessors:
        for tensor in graph.ops[producer].outputs:
            if graph.tensors[tensor].storage in storages:
                return producer
    return None


def _names(ops: list[Op]) -> str:
    shown = ", ".join(op.name for op in ops[:_NAMED])
    return shown + (", ..." if len(ops) > _NAMED else "")
