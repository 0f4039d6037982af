"""Bytes that a group of ops holds on chip while it runs.

A group streams: every value that is no parameter is made, or comes in, *position* after position (a
pixel or a token with all of its channels), and each op takes what it needs as soon as it is there.
All values take one unit of time to pass, however many positions they have. Three figures follow
for each op and each value it reads, from shapes and addresses alone:

    lag     how much of the value must be there before the op's first result
    hold    how much of it the op needs at once
    start   when the op's first result is made: the latest of (when the value starts + its lag)

A value is held from when it starts until the last op in the group that reads it has done so:

    held(v)  = bytes of v * min(1, most of (start of reader - lag - start of v + hold))
    nbytes   = parameters + sum of held(v) + what ops keep inside (keys and values, running sums)

What is made outside the group is read from memory, in the order that its readers in the group like
and just in time for the first (`walk.py`): who made it, and who else reads it, does not matter. The
sum takes all values at their fullest at once, so the figure is enough, and may be more than enough.
`docs/working-set.md` has the table of lags and examples by hand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import lcm

from fuseline.costs.needs import kept_inside
from fuseline.costs.runs import Runs, Value
from fuseline.costs.tiles import Tiles
from fuseline.costs.walk import Walk
from fuseline.graph import Flow, Graph


class WorkingSets:
    """Working sets of any group of one graph, from tables that are made once.

    Groups are given by the ids of their ops; views and control ops hold nothing.

    >>> from fuseline.graph import Builder, Kind, Role
    >>> build = Builder()
    >>> x = build.tensor("x", (5, 3), role=Role.INPUT)
    >>> w = build.tensor("w", (8, 3), role=Role.PARAMETER)  # 96 bytes
    >>> y = build.op("fc", Kind.LINEAR, inputs=[x], parameters=[w], shape=(5, 8))
    >>> graph = build.finish([build.op("act", Kind.GELU, inputs=[y], shape=(5, 8))])
    >>> WorkingSets(graph).nbytes([0, 1])  # the weight, and a row of x
    108
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._runs = Runs(graph)
        self._tiles = Tiles(graph, self._runs.operands)
        self._least = [tuple(self._runs.least(op.id).items()) for op in graph.ops]
        self._kept = [kept_inside(graph, op) if op.is_compute else 0 for op in graph.ops]
        self._shared: list[list[Flow]] = [[] for _ in graph.ops]
        self._place_parameters()

    def _place_parameters(self) -> None:
        """What only one op reads is kept with it; what several read is a union."""
        readers: dict[int, dict[int, list[Flow]]] = defaultdict(lambda: defaultdict(list))
        for op, flows in enumerate(self._graph.flows.read_by):
            for flow in flows:
                if self._graph.storages[flow.storage].is_held:
                    readers[flow.storage][op].append(flow)
        for found in readers.values():
            for op, flows in found.items():
                if len(found) == 1:
                    self._kept[op] += self._graph.flows.nbytes(flows)
                else:
                    self._shared[op] += flows

    def nbytes(self, ops: Sequence[int]) -> int:
        """What the group of `ops` holds at once [bytes]; each op is named once, in any order."""
        walk = Walk(self._runs, sorted(ops))
        total = walk.sums + self._shared_by(ops)
        for op in ops:
            total += self._kept[op]
        ticks = lcm(*{read.count for reads, _ in walk.steps for _, read in reads})
        for value, waited in _waits(walk, ticks).items():
            size = walk.sizes[value]
            total += size if waited >= ticks else -(-size * waited // ticks)
        return total

    def resident(self, ops: Iterable[int]) -> int:
        """No more than any group holds that has all of `ops` in it [bytes].

        Parameters, keys and values that ops make inside, and of every value the most that one
        reader needs at once in whatever order it comes: never more than `nbytes`, and never less
        for more ops.
        """
        ops = tuple(ops)
        total = 0
        held: dict[Value, int] = {}
        for op in ops:
            total += self._kept[op]
            for value, nbytes in self._least[op]:
                if nbytes > held.get(value, 0):
                    held[value] = nbytes
        return total + sum(held.values()) + self._shared_by(ops)

    def _shared_by(self, ops: Iterable[int]) -> int:
        """Bytes of parameters that several ops of the graph read [bytes]."""
        by_storage: dict[int, list[Flow]] = defaultdict(list)
        for op in ops:
            for flow in self._shared[op]:
                by_storage[flow.storage].append(flow)
        return sum(map(self._graph.flows.nbytes, by_storage.values()))

    def tile_nbytes(self, ops: Iterable[int]) -> int:
        """What a kernel of the rungs A, B and T holds, however small its tiles [bytes].

        Nothing where each element is computed for itself. Across a row reduction one row of every
        value of its domain that is there before it and read again: before the contraction (a row
        prologue), after it (a row epilogue), or both. Attention: a row of the query, a row of its
        result, and two statistics; scores are taken as they come.
        """
        return self._tiles.nbytes(ops)


def _waits(walk: Walk, ticks: int) -> dict[Value, int]:
    """How long each value is held, from when it starts until its last reader has done [ticks].

    All of a value takes `ticks` to pass.
    """
    starts: dict[Value, int] = {}
    waits: dict[Value, int] = {}
    outside: dict[Value, tuple[int, int]] = {}  # just in time for the first, gone after the last
    for reads, makes in walk.steps:
        start = 0
        for value, (lag, _, count) in reads:
            if value in starts and (ready := starts[value] + lag * ticks // count) > start:
                start = ready
        for value, (lag, hold, count) in reads:
            first = start - lag * ticks // count
            end = first + hold * ticks // count
            if value in starts:
                if end - starts[value] > waits.get(value, 0):
                    waits[value] = end - starts[value]
            else:
                came, gone = outside.get(value, (first, end))
                outside[value] = min(came, first), max(gone, end)
        for value, _ in makes:
            starts[value] = start
    return waits | {value: gone - came for value, (came, gone) in outside.items()}
