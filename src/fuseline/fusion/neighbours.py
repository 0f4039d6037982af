"""Who is next to whom, as the rules see it.

In a recorded graph two compute ops are neighbours where one takes the other's result, also
through any chain of views and control ops. At module level views and control ops are nodes like
any other, and every op that takes another's result is its neighbour.
"""

from __future__ import annotations

from itertools import chain

from fuseline.graph import OUTSIDE, Graph, Op, Origin


def is_transparent(op: Op) -> bool:
    """Whether rules look through `op`: a view or control op of a recorded graph."""
    return op.origin is Origin.ATEN and not op.is_compute


def _sources(graph: Graph, op: Op) -> tuple[int, ...]:
    """Whose results an op takes; in a recorded graph also who wrote, through another view, bytes
    that it reads.
    """
    if op.origin is not Origin.ATEN or not op.is_compute:
        return op.predecessors
    writers = (flow.writer for flow in graph.flows.read_by[op.id] if flow.writer != OUTSIDE)
    return tuple(dict.fromkeys((*op.predecessors, *writers)))


class Neighbours:
    """The neighbours of every op of one graph, found in one pass.

    `before` are the ops whose results an op takes, `after` those that take its, in program order;
    `producers` and `consumers` are the operators among them.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        ops = graph.ops
        transparent = [is_transparent(op) for op in ops]
        self.before: list[tuple[int, ...]] = []
        self.after: list[list[int]] = [[] for _ in ops]
        for op in ops:
            found = _sources(graph, op)
            if any(map(transparent.__getitem__, found)):
                behind = (self.before[n] if transparent[n] else (n,) for n in found)
                found = tuple(dict.fromkeys(chain.from_iterable(behind)))
            self.before.append(found)
            if not transparent[op.id]:
                for producer in found:
                    self.after[producer].append(op.id)
        operator = [op.is_operator for op in ops]
        self.producers = [[ops[n] for n in found if operator[n]] for found in self.before]
        self.consumers = [[ops[n] for n in found if operator[n]] for found in self.after]
        self._transparent = transparent

    def only_consumer(self, op: int) -> Op | None:
        """The one operator that takes the result of `op`; None where there is none or several."""
        consumers = self.consumers[op]
        return consumers[0] if len(consumers) == 1 else None

    def pairs(self) -> list[tuple[int, int]]:
        """Every (producer, consumer) of neighbours, by consumer in program order."""
        return [
            (producer, consumer)
            for consumer, producers in enumerate(self.before)
            if not self._transparent[consumer]
            for producer in producers
        ]


def neighbours(graph: Graph) -> list[tuple[int, int]]:
    """Every (producer, consumer) that a plan joins or has a refusal for.

    >>> from fuseline.graph import Builder, Kind, OpClass, Role
    >>> build = Builder()
    >>> x = build.tensor("x", (4,), role=Role.INPUT)
    >>> y = build.op("fc", Kind.LINEAR, inputs=[x], shape=(4,), origin=Origin.ATEN)
    >>> v = build.tensor("v", (2, 2), storage=build.tensors[y].storage)
    >>> view = {"op_class": OpClass.VIEW, "origin": Origin.ATEN}
    >>> _ = build.op("view", Kind.RESHAPE, inputs=[y], outputs=[v], **view)
    >>> z = build.op("act", Kind.GELU, inputs=[v], shape=(2, 2), origin=Origin.ATEN)
    >>> neighbours(build.finish([z]))  # fc and act: the view between them is looked through
    [(0, 2)]
    """
    return Neighbours(graph).pairs()
