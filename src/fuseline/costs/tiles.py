"""What a kernel that tiles holds on chip, however small its tiles: whole rows, and no more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fuseline.costs.runs import Operand
from fuseline.graph import ITEM_BYTES, Graph, Op, OpClass, Tensor


class Tiles:
    """Tiles of any group of one graph, whose `operands` are given by op."""

    def __init__(self, graph: Graph, operands: Sequence[Sequence[Operand]]) -> None:
        self._graph = graph
        self._operands = operands

    def nbytes(self, ops: Iterable[int]) -> int:
        """See `WorkingSets.tile_nbytes`."""
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
            parts = (part for operand in self._operands[op] for part in operand.parts)
            writers = {writer for writer, _ in parts if writer in found}
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
        known: set[tuple[int, ...]] = set()
        wanted: dict[tuple[int, ...], int] = {}  # bytes of what covers the domain
        for op in inside:
            for operand in self._operands[op]:
                value, read = operand.value, operand.tensor
                if op in before or not above[reduction.id].isdisjoint(value[1:]):
                    known.add(value)
                fills = read.numel == domain and read.nbytes == operand.nbytes
                if fills and (reduction.id in above[op] or (again and op == reduction.id)):
                    wanted[value] = operand.nbytes
        live = known & wanted.keys()
        return sum(wanted[value] * reduction.row_numel // domain for value in live)

    def _attended(self, scores: int, values: int) -> int:
        """A row of the query, a row of the result, and its largest score and sum [bytes]."""
        tensors, ops = self._graph.tensors, self._graph.ops
        query, result = ops[scores].inputs[:1], ops[values].outputs[:1]
        rows = sum(_row_nbytes(tensors[tensor]) for tensor in (*query, *result))
        return rows + sum(2 * ITEM_BYTES[tensors[tensor].dtype] for tensor in result)


def _row_nbytes(tensor: Tensor) -> int:
    return ITEM_BYTES[tensor.dtype] * (tensor.shape[-1] if tensor.shape else 1)


_CORES = frozenset({OpClass.CONTRACTION, OpClass.ATTENTION})
