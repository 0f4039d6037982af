"""The strategy `tvm`: the fusion rules of TVM's `FuseOps` (Relax, TVM 0.27).

Every op has a pattern (`tvm_patterns`). An op may be fused into its immediate post-dominator, the
nearest op where all ways on from it meet; all ops on the ways come with it. What the op is, what
is on the ways and what the post-dominator's group is by then decide: the table below. Ops are
walked in program order, once a phase; TVM's third phase is about tuples, of which there are none.

Source: the Apache TVM project, `graph_partitioner.cc` and `fuse_ops.cc` of `relax`. What differs:

- views of a recorded graph are looked through. TVM has a reshape or transpose there, which it
  cannot fuse after an anchor either; such an edge counts as TVM counts the view.
- an op counts once towards the 256 of a group, however many TVM makes of it (batch norm: four).
- TVM's importer spells some ops out, and so parts what is one op here: see `tvm_patterns`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fuseline.fusion.chains import Chains, Objection
from fuseline.fusion.ladder.rules import why_alone
from fuseline.fusion.neighbours import Neighbours, is_transparent
from fuseline.fusion.plans import make_plan
from fuseline.fusion.tvm_patterns import Pattern, index_pattern, pattern_of
from fuseline.graph import OUTSIDE, Graph, Op, OpClass
from fuseline.plan import Plan, Rule

MOST_OPS = 256
"""Ops that TVM puts into one group at most (`kMaxFusedOps`)."""


@dataclass(frozen=True, slots=True)
class Row:
    """An op of pattern `before` may be fused into its post-dominator in `phases` if the largest
    pattern of an edge on the ways there is in `edges`, the groups on the way are in `inside`, and
    the group of the post-dominator is in `sink`.
    """

    before: frozenset[Pattern]
    phases: tuple[int, ...]
    edges: frozenset[Pattern]
    inside: frozenset[Pattern]
    sink: frozenset[Pattern]


_LIGHT = frozenset({Pattern.ELEMENTWISE, Pattern.BROADCAST})
_MOVES = _LIGHT | {Pattern.INJECTIVE}
_ALL = frozenset(Pattern)

# fmt: off
_ROWS: tuple[Row, ...] = (
    # epilogue:  conv -> (broadcast ...) -> elementwise      -->  one kernel
    Row(frozenset({Pattern.ANCHOR}), (0,), frozenset({Pattern.ELEMENTWISE}), _LIGHT, _LIGHT),
    # light ops: elementwise -> anything that moves or reduces, or the epilogue of an anchor
    #                                                        -->  one kernel
    Row(_LIGHT, (0, 1), _MOVES | {Pattern.REDUCTION}, _MOVES,
        _MOVES | {Pattern.REDUCTION, Pattern.ANCHOR}),
    # movement:  transpose -> elementwise or movement        -->  one kernel, after epilogues
    Row(frozenset({Pattern.INJECTIVE}), (1,), _ALL, _MOVES, _MOVES),
)
# fmt: on

_ROW_OF = {pattern: row for row in _ROWS for pattern in row.before}
_PHASES = (0, 1)
_ENGINES = frozenset({OpClass.CONTRACTION, OpClass.ATTENTION})

WORDS = {
    Pattern.ELEMENTWISE: "elementwise",
    Pattern.BROADCAST: "a broadcast",
    Pattern.INJECTIVE: "injective",
    Pattern.REDUCTION: "a reduction",
    Pattern.ANCHOR: "complex (OutEWiseFusable)",
    Pattern.OPAQUE: "opaque",
}
"""How a sentence calls a pattern."""


class Stop(Enum):
    """What kept an op out of its post-dominator's group."""

    NO_ROW = "no row"
    LEAVES = "leaves"  # its result outlives the graph
    NEVER_MEETS = "never meets"
    EPILOGUE = "epilogue"  # after an anchor an edge is not elementwise
    PROLOGUE = "prologue"  # an edge leads into what takes nothing before it
    INSIDE = "inside"  # what a group on the way is
    SINK = "sink"  # what the post-dominator's group is
    SIZE = "size"


_SENTENCES: dict[Stop, tuple[Rule, str]] = {
    Stop.NO_ROW: (Rule.NO_RULE, "{op} is {own} to TVM, which fuses nothing after it"),
    Stop.LEAVES: (
        Rule.FORK,
        "the result of {op} leaves the graph, and TVM fuses nothing after such a result",
    ),
    Stop.NEVER_MEETS: (
        Rule.FORK,
        "no op is on every way on from {op}, and TVM fuses a fork only where its ways meet",
    ),
    Stop.EPILOGUE: (
        Rule.NO_RULE,
        "TVM fuses only elementwise ops after {op}; the way to {other} is {word}",
    ),
    Stop.PROLOGUE: (
        Rule.NO_RULE,
        "TVM fuses nothing into {other} from before: the way from {op} is {word}",
    ),
    Stop.INSIDE: (
        Rule.NO_RULE,
        "{other} is {word} to TVM, and lies between {op} and where all ways on from it meet",
    ),
    Stop.SINK: (
        Rule.NO_RULE,
        "{other}, where all ways on from {op} meet, is {word} to TVM by then",
    ),
    Stop.SIZE: (
        Rule.NO_RULE,
        "{op} and {other} would be in a group of more than {most} ops, TVM's limit",
    ),
}
"""What each is called, and what TVM would say."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What stopped an op, the op in the way, and what it was taken for."""

    stop: Stop
    op: int = -1
    pattern: Pattern = Pattern.OPAQUE


class _Nodes:
    """The graph as TVM sees it: patterns, edges, and the post-dominator tree.

    `parent` is an op's immediate post-dominator, or -1; `way` the largest pattern of an edge on
    the ways to it. Host-side ops without a tensor are no nodes: TVM knows the shapes.
    """

    def __init__(self, near: Neighbours) -> None:
        graph = self.graph = near.graph
        count = len(graph.ops)
        self.is_node = [_is_node(op) for op in graph.ops]
        self.pattern = [
            pattern_of(graph, op) if self.is_node[op.id] else Pattern.OPAQUE for op in graph.ops
        ]
        self.leaves = [_leaves(graph, op) for op in graph.ops]
        self.after: list[list[tuple[int, Pattern]]] = [[] for _ in range(count)]
        for op in graph.ops:
            if self.is_node[op.id]:
                for producer in near.before[op.id]:
                    if self.is_node[producer]:
                        edge = _edge_pattern(graph, graph.ops[producer], op)
                        self.after[producer].append((op.id, max(edge, self.pattern[op.id])))
        self.parent = [-1] * count
        self.way = [Pattern.OPAQUE] * count
        self._depth = [1] * count
        for op in range(count - 1, -1, -1):
            if self.after[op] and not self.leaves[op]:
                self._place(op)

    def _place(self, op: int) -> None:
        """Hang `op` into the tree: below the lowest common ancestor of its consumers."""
        parent, way = self.after[op][0]
        for consumer, edge in self.after[op][1:]:
            parent, way = self._meet(parent, consumer, max(way, edge))
        self.parent[op], self.way[op] = parent, way
        self._depth[op] = self._depth[parent] + 1 if parent >= 0 else 1

    def _meet(self, first: int, second: int, way: Pattern) -> tuple[int, Pattern]:
        while first != second:
            if first < 0 or second < 0:
                return -1, way
            ahead = self._depth[first] - self._depth[second]
            if ahead >= 0:
                way, first = max(way, self.way[first]), self.parent[first]
            if ahead <= 0:
                way, second = max(way, self.way[second]), self.parent[second]
        return first, way

    def between(self, op: int, sink: int, most: int) -> list[int] | None:
        """The ops on the ways from `op` to its post-dominator; None where they exceed `most`."""
        found: dict[int, None] = {}
        pending = [op]
        while pending:
            for consumer, _ in self.after[pending.pop()]:
                if consumer != sink and consumer not in found:
                    found[consumer] = None
                    pending.append(consumer)
            if len(found) > most:
                return None
        return sorted(found)


class _Fuser:
    """TVM's groups while the phases run: a forest, each root with what its group is by then.

    `pattern` and `size` of an op that is no root any more stay as they were when it was one.
    """

    def __init__(self, nodes: _Nodes) -> None:
        self.nodes = nodes
        self.pattern = list(nodes.pattern)
        self.obstacles: dict[int, Obstacle] = {}
        self._root = list(range(len(self.pattern)))
        self._size = [1] * len(self.pattern)
        self._has_anchor = [pattern is Pattern.ANCHOR for pattern in self.pattern]

    def root(self, op: int) -> int:
        """The op that stands for the group of `op`."""
        while self._root[op] != op:
            self._root[op] = self._root[self._root[op]]
            op = self._root[op]
        return op

    def run(self, phase: int) -> None:
        """One walk over all ops."""
        for op, is_node in enumerate(self.nodes.is_node):
            row = _ROW_OF.get(self.pattern[op])
            sink = self.nodes.parent[op]
            if not is_node or (sink >= 0 and self.root(op) == self.root(sink)):
                continue
            if row is not None and phase not in row.phases:
                continue
            if (stop := self._try(op, sink, row)) is not None:
                self.obstacles[op] = stop

    def _try(self, op: int, sink: int, row: Row | None) -> Obstacle | None:
        """Fuse `op` into `sink` with all between them, or say why not."""
        if row is None:
            return Obstacle(Stop.NO_ROW)
        if sink < 0:
            return Obstacle(Stop.LEAVES if self.nodes.leaves[op] else Stop.NEVER_MEETS)
        if (way := self.nodes.way[op]) not in row.edges:
            stop = Stop.EPILOGUE if self.pattern[op] is Pattern.ANCHOR else Stop.PROLOGUE
            return Obstacle(stop, sink, way)
        ways = self._ways(op, sink, row)
        if isinstance(ways, Obstacle):
            return ways
        for other in (op, *ways):
            self._merge(other, sink)
        return None

    def _ways(self, op: int, sink: int, row: Row) -> list[int] | Obstacle:
        """The ops between `op` and `sink`, or which group there or at the end is in the way."""
        group = self.root(sink)
        if self.pattern[group] not in row.sink:
            return Obstacle(Stop.SINK, sink, self.pattern[group])
        room = MOST_OPS - self._size[group] - self._size[op]
        between = self.nodes.between(op, sink, room)
        if between is None or sum(self._size[other] for other in between) > room:
            return Obstacle(Stop.SIZE, sink)
        for other in between:
            if (pattern := self.pattern[self.root(other)]) not in row.inside:
                return Obstacle(Stop.INSIDE, other, pattern)
        return between

    def _merge(self, op: int, into: int) -> None:
        child, parent = self.root(op), self.root(into)
        if child == parent:
            return
        self._root[child] = parent
        self._size[parent] += self._size[child]
        if self._has_anchor[child]:
            self._has_anchor[parent] = True
            self.pattern[parent] = max(self.pattern[parent], self.pattern[child])


def tvm(graph: Graph) -> Plan:
    """The groups that TVM's `FuseOps` makes of `graph`.

    >>> from fuseline.graph import Builder, Kind, Role
    >>> build = Builder()
    >>> x = build.tensor("x", (1, 4, 8, 8), role=Role.INPUT)
    >>> y = build.op("conv", Kind.CONV2D, inputs=[x], shape=(1, 4, 8, 8))
    >>> z = build.op("act", Kind.RELU, inputs=[y], shape=(1, 4, 8, 8))
    >>> p = build.op("pool", Kind.MAXPOOL, inputs=[z], shape=(1, 4, 4, 4))
    >>> plan = tvm(build.finish([p]))
    >>> [group.ops for group in plan.groups]
    [(0, 1), (2,)]
    >>> plan.refusals[0].reason
    'TVM fuses only elementwise ops after act; the way to pool is complex (OutEWiseFusable)'
    """
    near = Neighbours(graph)
    fuser = _Fuser(_Nodes(near))
    for phase in _PHASES:
        fuser.run(phase)
    chains = Chains(near)  # views and control ops are with what they look at
    quotient = chains.quotient
    for op, producers in enumerate(near.before):
        for producer in producers:
            ours, theirs = quotient.group_of[producer], quotient.group_of[op]
            if ours == theirs or fuser.root(producer) != fuser.root(op):
                continue
            if not quotient.would_cycle(ours, theirs):
                quotient.join(ours, theirs)
    return make_plan(near, "tvm", quotient, lambda edge: _explain(fuser, edge))


def _is_node(op: Op) -> bool:
    """Whether TVM's graph would hold it."""
    return not is_transparent(op) and (op.op_class is not OpClass.CONTROL or bool(op.outputs))


def _leaves(graph: Graph, op: Op) -> bool:
    """Whether what `op` makes outlives the graph, as it is or as a view of it."""
    if op.is_compute:
        return any(flow.reader == OUTSIDE for flow in graph.flows.written_by[op.id])
    return not set(op.outputs).isdisjoint(graph.outputs)


def _edge_pattern(graph: Graph, producer: Op, consumer: Op) -> Pattern:
    """What the views between the two are to TVM."""
    made = {graph.tensors[t].storage: t for t in (*producer.writes, *producer.outputs)}
    worst = Pattern.ELEMENTWISE
    for tensor in (*consumer.inputs, *consumer.parameters, *consumer.writes):
        read = graph.tensors[tensor]
        source = made.get(read.storage)
        if source is not None and source != tensor:
            worst = max(worst, index_pattern(graph.tensors[source], read))
    return worst


def _explain(fuser: _Fuser, edge: tuple[int, int]) -> Objection:
    """Why the ops of `edge` are apart, in TVM's terms."""
    graph = fuser.nodes.graph
    producer, consumer = (graph.ops[op] for op in edge)
    for op in (producer, consumer):
        if not fuser.nodes.is_node[op.id]:
            sentence = f"{op.name} is bookkeeping of the host, of which TVM has no op"
            return Objection(Rule.NO_RULE, sentence)
        if op.op_class is OpClass.OPAQUE:
            return Objection(Rule.UNKNOWN_OP, f"{op.name} {why_alone(op)}")
    if fuser.root(edge[0]) == fuser.root(edge[1]):
        names = f"{producer.name} and {consumer.name}"
        sentence = f"joined, {names} would depend on each other through a third group"
        return Objection(Rule.CYCLE, sentence)
    obstacle = fuser.obstacles[producer.id]
    rule, sentence = _SENTENCES[obstacle.stop]
    if {producer.op_class, consumer.op_class} <= _ENGINES:
        rule = Rule.SECOND_CONTRACTION
    reason = sentence.format(
        op=producer.name,
        own=WORDS[fuser.pattern[producer.id]],
        other=graph.ops[obstacle.op].name if obstacle.op >= 0 else "",
        word=WORDS[obstacle.pattern],
        most=MOST_OPS,
    )
    return Objection(rule, reason)
