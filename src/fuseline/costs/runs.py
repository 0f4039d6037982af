"""How each op of a graph runs in a group, from how its operands come and from nothing else.

    made in the group      comes as its writer makes it
    read from memory       comes as the op likes that reads it first: every order costs the same

An elementwise op or a copy makes its result in the order of an operand; other ops have an order of
their own. What was once asked is known.
"""

from __future__ import annotations

from typing import NamedTuple

from fuseline.costs.needs import (
    IMAGES,
    Need,
    Use,
    all_but,
    find_need,
    result_of,
    token_dims,
)
from fuseline.costs.streams import Read, Stream, wait
from fuseline.graph import Graph, Kind, Op, OpClass, Tensor

Value = tuple[int, ...]
"""A storage and who wrote there; of what is read from memory also the number of a part."""


Coming = Stream | int
"""How an operand comes: as a stream; as the operand of that number of the same op does; or"""

FREE = -1  # as the op likes
IN_PIECES = -2  # not as one stream: the op waits for all of it


class Operand(NamedTuple):
    """One op's read of one tensor that is no parameter.

    `place` is its number among the inputs; None where all of it is needed, however it comes.
    `value` names what is read: a storage and who wrote there. `parts` are the cells that each of
    them left, `mask` all of them, `nbytes` their size and `cell` that of one.
    """

    tensor: Tensor
    place: int | None
    value: Value
    parts: tuple[tuple[int, int], ...]
    mask: int
    nbytes: int
    cell: int


class Run(NamedTuple):
    """How an op runs: how it reads each operand, by value, and as which stream that comes; the
    running sums that it keeps [bytes]; the values that it makes, and as which streams. `larger` are
    bytes read, where they are more than those of the stream.

    `is_free`: no operand says in which order, and it has none of its own. Otherwise `likes` are
    the streams in which its operands would come best.
    """

    reads: tuple[tuple[Value, Read], ...]
    comes: tuple[Coming, ...]
    larger: tuple[tuple[Value, int], ...]
    sums: int
    makes: tuple[tuple[Value, Stream], ...]
    likes: tuple[tuple[Operand, Stream], ...]
    is_free: bool


class Runs:
    """The ops of one graph, by id."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.operands = [find_operands(graph, op) if op.is_compute else () for op in graph.ops]
        self.values = [tuple(operand.value for operand in found) for found in self.operands]
        self.results = [result_of(graph, op) for op in graph.ops]
        self._orders = [_own_order(graph, op) for op in graph.ops]
        self._streams: dict[tuple[int, tuple[int, ...]], Stream] = {}
        self._runs: list[dict[tuple[Coming, ...], Run]] = [{} for _ in graph.ops]
        self._liked: list[dict[Stream | None, tuple[tuple[Operand, Stream], ...]]] = [
            {} for _ in graph.ops
        ]

    def run(self, op: int, comes: tuple[Coming, ...]) -> Run:
        """How `op` runs where its operands come so."""
        known = self._runs[op]
        if (found := known.get(comes)) is None:
            found = known[comes] = self._find_run(self._graph.ops[op], comes)
        return found

    def _find_run(self, op: Op, comes: tuple[Coming, ...]) -> Run:
        order = self._find_order(op, comes)
        is_free = order is None
        if order is None:
            order = self._usual_order(op)
        reads: list[tuple[Value, Read]] = []
        streams: list[Coming] = []
        larger: list[tuple[Value, int]] = []
        sums = 0
        for operand, coming in zip(self.operands[op.id], comes, strict=True):
            need = self._need(op, operand, order)
            stream = streams[coming] if isinstance(coming, int) and coming >= 0 else coming
            if stream == FREE:
                stream = self._as_liked(operand.tensor, need)
            streams.append(stream)
            window = stream.window(operand.tensor, need) if isinstance(stream, Stream) else None
            reads.append((operand.value, wait(window)))
            if isinstance(stream, Stream) and operand.nbytes > stream.nbytes:
                larger.append((operand.value, operand.nbytes))
            if window is not None and window.use is Use.SUMMED:  # the results of one window
                made = sum(self._graph.tensors[tensor].nbytes for tensor in op.outputs)
                taken = window.last - window.first + 1
                sums += -(-made * taken // (window.end - window.first + 1))
        likes = () if is_free else self._find_likes(op, order)
        return Run(
            tuple(reads),
            tuple(streams),
            tuple(larger),
            sums,
            self._find_made(op, order),
            likes,
            is_free=is_free,
        )

    def _find_order(self, op: Op, comes: tuple[Coming, ...]) -> tuple[int, ...] | None:
        """Dimensions of the result along which its positions come; None where nothing says.

        Of operands those say that are as large as the result, or all of its rank where none is.
        """
        result = self.results[op.id]
        if (own := self._orders[op.id]) is not None or result is None:
            return own
        rank = len(result.shape)
        asked = [
            (operand.tensor, stream)
            for operand, stream in zip(self.operands[op.id], comes, strict=True)
            if operand.place is not None and len(operand.tensor.shape) == rank
        ]
        for read, stream in [pair for pair in asked if pair[0].shape == result.shape] or asked:
            if isinstance(stream, Stream) and (order := stream.order_of(read)) is not None:
                return order
        return None

    def _usual_order(self, op: Op) -> tuple[int, ...]:
        """Row after row; of what is joined, along the dimensions that are not."""
        result = self.results[op.id]
        if result is None:
            return ()
        reads = [operand.tensor.shape for operand in self.operands[op.id]]
        return tuple(
            dim
            for dim in all_but(result, -1)
            if op.kind is not Kind.CAT
            or all(len(shape) > dim and shape[dim] == result.shape[dim] for shape in reads)
        )

    def _find_made(self, op: Op, order: tuple[int, ...]) -> tuple[tuple[Value, Stream], ...]:
        result = self.results[op.id]
        found: dict[Value, Stream] = {}
        for tensor in map(self._graph.tensors.__getitem__, (*op.outputs, *op.writes)):
            same = result is not None and len(tensor.shape) == len(result.shape)
            value = tensor.storage, op.id
            if value not in found:
                found[value] = self._stream(tensor, order if same else all_but(tensor, -1))
        return tuple(found.items())

    def _find_likes(self, op: Op, order: tuple[int, ...]) -> tuple[tuple[Operand, Stream], ...]:
        needs = ((operand, self._need(op, operand, order)) for operand in self.operands[op.id])
        return tuple(
            (operand, self._as_liked(operand.tensor, need))
            for operand, need in needs
            if need is not None
        )

    def likes(self, op: int, liked: Stream | None) -> tuple[tuple[Operand, Stream], ...]:
        """How a free `op` likes its operands where its result is `liked` to come so."""
        known = self._liked[op]
        if (found := known.get(liked)) is None:
            result = self.results[op]
            order = liked.order_of(result) if liked is not None and result is not None else None
            found = () if order is None else self._find_likes(self._graph.ops[op], order)
            known[liked] = found
        return found

    def _need(self, op: Op, operand: Operand, order: tuple[int, ...]) -> Need | None:
        if operand.place is None:
            return None
        return find_need(self._graph, op, operand.tensor, operand.place, order)

    def _as_liked(self, tensor: Tensor, need: Need | None) -> Stream:
        return self._stream(tensor, need.order if need is not None else all_but(tensor, -1))

    def _stream(self, tensor: Tensor, order: tuple[int, ...]) -> Stream:
        """One object for each stream, by which it is known again."""
        key = (tensor.id, order)
        if key not in self._streams:
            self._streams[key] = Stream(tensor, order)
        return self._streams[key]

    def least(self, op: int) -> dict[Value, int]:
        """Bytes of each value that `op` holds at once at least, however its operands come.

        A stream in the order that the op likes has nothing between the elements it needs first; any
        other has those elements too. What follows its operand, and what several wrote, may hold
        none. Cells that two operands share count once.
        """
        found: dict[Value, int] = {}
        masks: dict[Value, int] = {}
        for operand in self.operands[op]:
            value, held = operand.value, self._least_of(op, operand)
            if len(operand.parts) == 1 and held:
                apart = not masks.get(value, 0) & operand.mask
                found[value] = found.get(value, 0) + held if apart else max(found[value], held)
                masks[value] = masks.get(value, 0) | operand.mask
        return found

    def _least_of(self, op: int, operand: Operand) -> int:
        order = self._orders[op]
        if operand.place is None:
            return operand.nbytes
        if order is None:
            return 0
        need = self._need(self._graph.ops[op], operand, order)
        read = wait(self._as_liked(operand.tensor, need).window(operand.tensor, need))
        return -(-operand.nbytes * read.hold // read.count)


def find_operands(graph: Graph, op: Op) -> tuple[Operand, ...]:
    """What `op` reads that is not held for good, tensor by tensor."""
    flows = graph.flows
    by_access = {}  # reads of a storage are numbered in the order of the op's operands
    for flow in flows.read_by[op.id]:
        by_access.setdefault((flow.storage, flow.access), []).append(flow)
    numbered = {}
    for storage, access in sorted(by_access):
        numbered.setdefault(storage, []).append(by_access[storage, access])
    found = []
    for number in dict.fromkeys((*op.inputs, *op.parameters)):
        tensor = graph.tensors[number]
        if not tensor.numel or tensor.storage not in numbered:
            continue
        read = numbered[tensor.storage].pop(0)
        if graph.storages[tensor.storage].is_held:
            continue
        parts: dict[int, int] = {}
        for flow in read:
            parts[flow.writer] = parts.get(flow.writer, 0) | flow.mask
        mask = 0
        for part in parts.values():
            mask |= part
        is_gathered = any(flow.limit is not None for flow in read)
        places = [place for place, other in enumerate(op.inputs) if other == number]
        found += [
            Operand(
                tensor,
                place,
                (tensor.storage, *sorted(parts)),
                tuple(sorted(parts.items())),
                mask,
                mask.bit_count() * flows.cell_bytes[tensor.storage],
                flows.cell_bytes[tensor.storage],
            )
            for place in ([None] if is_gathered or not places else places)
        ]
    return tuple(found)


def _own_order(graph: Graph, op: Op) -> tuple[int, ...] | None:
    """Dimensions of the result along which its positions come; None: as those of an operand."""
    result = result_of(graph, op)
    if result is None:
        return ()
    rank = len(result.shape)
    if op.kind in IMAGES and rank > 2:  # noqa: PLR2004
        return all_but(result, 1)
    if op.kind is Kind.SCALED_DOT_PRODUCT_ATTENTION and rank > 2:  # noqa: PLR2004
        return token_dims(rank)
    if op.op_class is OpClass.REDUCTION and op.axes is not None:
        domain = graph.tensors[(*op.inputs, *op.parameters)[0]]
        if rank == len(domain.shape):
            return tuple(dim for dim in range(rank) if dim not in op.axes)
    if op.op_class in (OpClass.ELEMENTWISE, OpClass.COPY):
        return None
    return all_but(result, -1)
