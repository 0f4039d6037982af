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

What comes from outside the group starts just in time for the first op that takes it. The sum takes
all values at their fullest at once, so the figure is enough, and may be more than enough.
`docs/working-set.md` has the table of lags and examples by hand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import lcm
from typing import NamedTuple

from fuseline.costs.streams import find_streams
from fuseline.graph import ITEM_BYTES, Flow, Graph, Op, OpClass, Tensor


class _Timed(NamedTuple):
    """A read with its `lag` and `hold` in ticks; all of a value takes the same number of them."""

    value: int
    writer: int
    lag: int
    hold: int


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
        streams = find_streams(graph)
        self._ticks = lcm(*{read.count for reads in streams.reads for read in reads})
        self._reads = [  # lags and holds as whole ticks: all of a value takes `_ticks` of them
            [
                _Timed(
                    r.value,
                    r.writer,
                    r.lag * self._ticks // r.count,
                    r.hold * self._ticks // r.count,
                )
                for r in reads
            ]
            for reads in streams.reads
        ]
        self._nbytes = streams.nbytes
        self._numels = streams.numels
        self._kept = list(streams.kept)
        self._graph = graph
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
        kept, every, ticks = self._kept, self._reads, self._ticks
        starts: dict[int, int] = {}
        total = 0
        held: dict[int, int] = {}
        outside: dict[int, tuple[int, int]] = {}
        for op in sorted(ops):
            total += kept[op]
            reads = every[op]
            start = 0
            for _, writer, lag, _ in reads:
                if writer in starts and (ready := starts[writer] + lag) > start:
                    start = ready
            starts[op] = start
            for value, writer, lag, hold in reads:
                first = start - lag
                if writer in starts:
                    wait = first - starts[writer] + hold
                    if wait > held.get(value, 0):
                        held[value] = wait
                elif value in outside:
                    came, gone = outside[value]
                    outside[value] = min(came, first), max(gone, first + hold)
                else:
                    outside[value] = first, first + hold
        for value, (came, gone) in outside.items():
            held[value] = gone - came
        sizes = self._nbytes
        for value, wait in held.items():
            total += sizes[value] if wait >= ticks else -(-sizes[value] * wait // ticks)
        return total + self._shared_by(ops)

    def resident(self, ops: Iterable[int]) -> int:
        """No more than any group holds that has all of `ops` in it [bytes].

        Parameters, what ops keep inside, and of every value what its reader needs at once: never
        more than `nbytes`, and never less for more ops.
        """
        ops = tuple(ops)
        total = 0
        held: dict[int, int] = {}
        for op in ops:
            total += self._kept[op]
            for value, _, _, hold in self._reads[op]:
                if hold > held.get(value, 0):
                    held[value] = hold
        for value, hold in held.items():
            total += -(-self._nbytes[value] * hold // self._ticks)
        return total + self._shared_by(ops)

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
        graph_ops = self._graph.ops
        inside = sorted(op for op in set(ops) if graph_ops[op].is_compute)
        above = self._upstream(inside)
        cores = [op for op in inside if graph_ops[op].op_class in _CORES]
        ahead: set[int] = set().union(*(above[core] for core in cores))
        scores = {op for op in ahead if cores[0] in above[op]} if len(cores) > 1 else set()
        rows = {True: 0, False: 0}  # before the core, and after it or without one
        for op in inside:
            if graph_ops[op].op_class is OpClass.REDUCTION and op not in scores:
                side = op in ahead
                rows[side] = max(rows[side], self._live_row(graph_ops[op], inside, above))
        attends = len(cores) > 1 or any(graph_ops[op].op_class is OpClass.ATTENTION for op in cores)
        return sum(rows.values()) + (self._attended(cores[0], cores[-1]) if attends else 0)

    def _upstream(self, inside: list[int]) -> dict[int, set[int]]:
        """For each op of the group those of the group whose results it needs."""
        found: dict[int, set[int]] = {}
        for op in inside:
            writers = {read.writer for read in self._reads[op] if read.writer in found}
            found[op] = writers.union(*(found[writer] for writer in writers))
        return found

    def _live_row(self, reduction: Op, inside: list[int], above: dict[int, set[int]]) -> int:
        """A row of each value of the domain that outlives the statistics of `reduction` [bytes]."""
        tensors = self._graph.tensors
        if not reduction.row_numel:
            return 0
        domain = tensors[(*reduction.inputs, *reduction.parameters)[0]].numel
        again = tensors[reduction.outputs[0]].numel == domain if reduction.outputs else False
        before = above[reduction.id] | {reduction.id}
        known = {
            read.value
            for op in inside
            for read in self._reads[op]
            if op in before or read.writer in above[reduction.id]
        }
        wanted = {
            read.value
            for op in inside
            for read in self._reads[op]
            if reduction.id in above[op] or (again and op == reduction.id)
        }
        live = [value for value in known & wanted if self._numels[value] == domain]
        return sum(self._nbytes[value] * reduction.row_numel // domain for value in live)

    def _attended(self, scores: int, values: int) -> int:
        """A row of the query, a row of the result, and its largest score and sum [bytes]."""
        tensors, ops = self._graph.tensors, self._graph.ops
        query, result = ops[scores].inputs[:1], ops[values].outputs[:1]
        rows = sum(_row_nbytes(tensors[tensor]) for tensor in (*query, *result))
        return rows + sum(2 * ITEM_BYTES[tensors[tensor].dtype] for tensor in result)


def _row_nbytes(tensor: Tensor) -> int:
    return ITEM_BYTES[tensor.dtype] * (tensor.shape[-1] if tensor.shape else 1)


_CORES = frozenset({OpClass.CONTRACTION, OpClass.ATTENTION})
