"""A small graph of a few ops and what lies next to them: judged as the whole is, and soon changed.

Whatever the ladder looks at is in there, so a graph with one reader less is made and judged without
the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from fuseline.fusion.explain.web import Web
from fuseline.graph import OUTSIDE, Graph, Op, Role


class Excerpt:
    """A graph of `ops`, what lies next to them, and the views between; judged as the whole is.

    `inside` are `ops` by their numbers in the excerpt, `ids` all of its ops by those in the graph.
    """

    def __init__(self, web: Web, ops: tuple[int, ...]) -> None:
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
