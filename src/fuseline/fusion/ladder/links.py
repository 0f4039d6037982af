"""How a consumer reads what a producer wrote: in whose order, and how much of it.

Rules speak of iteration domains, not of element counts. Two ops run in one loop where the consumer
reads every element that the producer wrote exactly once, and needs no other; that is a question of
addresses, so views between them take part without a rule of their own.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import prod

from fuseline.graph import ITEM_BYTES, OUTSIDE, Flow, Graph, Op, OpClass, Tensor

Runs = tuple[tuple[int, int], ...]
"""(extent, stride) of loops, innermost first, those merged that run on from one another."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a compute op reads of what another one wrote, through any views.

    `whole`: all of it and nothing else, each element once (or broadcast). `in_order`: in the order
    in which it was written. `fills`: it has an element for every point of the consumer's domain.
    `spread` are the loops of that domain along which it is repeated instead. `rows` are the
    loops, counted in the producer's elements, of the operand's last and last but one dimension.
    """

    whole: bool
    in_order: bool = False
    fills: bool = False
    spread: Runs = ()
    last: Runs = ()
    last_but_one: Runs = ()


_NOT_WHOLE = Link(whole=False)


def domain_of(graph: Graph, op: Op) -> tuple[int, ...]:
    """The sizes an op iterates over: its input's for a reduction, else its result's."""
    if op.op_class is OpClass.REDUCTION and (reads := (*op.inputs, *op.parameters)):
        return graph.tensors[reads[0]].shape
    made = op.outputs or op.writes
    return graph.tensors[made[0]].shape if made else ()


def find_links(graph: Graph) -> dict[tuple[int, int], Link]:
    """The link of every (writer, reader) of compute ops between which bytes flow."""
    found: dict[tuple[int, int], list[Flow]] = defaultdict(list)
    for op, flows in enumerate(graph.flows.read_by):
        for flow in flows:
            if flow.writer != OUTSIDE:
                found[flow.writer, op].append(flow)
    return {
        (writer, reader): _link(graph, graph.ops[writer], graph.ops[reader], flows)
        for (writer, reader), flows in found.items()
    }


def _link(graph: Graph, writer: Op, reader: Op, flows: list[Flow]) -> Link:
    """One link for all that `reader` takes of `writer`: the same one for each, or none."""
    links = set()
    for flow in flows:
        wrote = _of_storage(graph, (*writer.outputs, *writer.writes), flow.storage)
        read = _of_storage(graph, (*reader.inputs, *reader.parameters), flow.storage)
        if flow.limit is not None or len(wrote) != 1:
            return _NOT_WHOLE
        touched = flow.mask.bit_count() * graph.flows.cell_bytes[flow.storage]
        domain = domain_of(graph, reader)
        links |= {_compare(wrote[0], tensor, touched, domain) for tensor in read}
    return links.pop() if len(links) == 1 else _NOT_WHOLE


def _of_storage(graph: Graph, tensors: tuple[int, ...], storage: int) -> list[Tensor]:
    """Those of `tensors` that lie in `storage`, each window once."""
    found = {
        (t.offset, t.shape, t.strides, t.dtype): t
        for t in map(graph.tensors.__getitem__, tensors)
        if t.storage == storage
    }
    return list(found.values())


def _compare(wrote: Tensor, read: Tensor, touched: int, domain: tuple[int, ...]) -> Link:
    item = ITEM_BYTES[wrote.dtype]
    if ITEM_BYTES[read.dtype] != item or wrote.nbytes != touched:
        return _NOT_WHOLE
    repeated = [
        stride == 0 and size > 1 for size, stride in zip(read.shape, read.strides, strict=True)
    ]
    shape = tuple(1 if again else size for size, again in zip(read.shape, repeated, strict=True))
    if prod(shape) * item != touched:
        return _NOT_WHOLE
    fills = prod(shape) == prod(domain)
    return Link(
        whole=True,
        in_order=runs(shape, read.strides) == runs(wrote.shape, wrote.strides),
        fills=fills,
        spread=() if fills else _spread(shape, domain),
        last=_loop(wrote, read, -1),
        last_but_one=_loop(wrote, read, -2),
    )


def runs(shape: tuple[int, ...], strides: tuple[int, ...]) -> Runs:
    """The address of the n-th element as a function of n, in a form that is unique.

    >>> runs((2, 3, 4), (12, 4, 1)), runs((6, 4), (4, 1)), runs((4, 6), (1, 4))
    (((24, 1),), ((24, 1),), ((6, 4), (4, 1)))
    """
    merged: list[tuple[int, int]] = []
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size == 1:
            continue
        if merged and stride == merged[-1][0] * merged[-1][1]:
            merged[-1] = (merged[-1][0] * size, merged[-1][1])
        else:
            merged.append((size, stride))
    return tuple(merged)


def dense_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a row-major tensor [elements]."""
    strides = [1]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * size)
    return tuple(reversed(strides[: len(shape)]))


def loops(shape: tuple[int, ...], dims: tuple[int, ...]) -> Runs:
    """Loops over `dims` of a domain, as steps in its row-major count of points.

    >>> loops((2, 3, 4), (2,)), loops((2, 3, 4), (1, 2)), loops((2, 3, 4), (1,))
    (((4, 1),), ((12, 1),), ((3, 4),))
    """
    strides = dense_strides(shape)
    return runs(tuple(shape[dim] for dim in dims), tuple(strides[dim] for dim in dims))


def _spread(shape: tuple[int, ...], domain: tuple[int, ...]) -> Runs:
    """Loops of `domain` along which a tensor of `shape` is repeated; none where it does not fit."""
    padded = (1,) * (len(domain) - len(shape)) + shape
    if len(padded) != len(domain):
        return ()
    pairs = list(zip(padded, domain, strict=True))
    if any(size not in (1, whole) for size, whole in pairs):
        return ()
    return loops(domain, tuple(n for n, (size, whole) in enumerate(pairs) if size != whole))


def _loop(wrote: Tensor, read: Tensor, dim: int) -> Runs:
    """The loop over dimension `dim` of what is read, as steps in the writer's row-major count.

    Told only where it is a dimension of the writer's, or several of its that lie on end.
    """
    if len(read.shape) < -dim:
        return ()
    size, stride = read.shape[dim], read.strides[dim]
    count, covered, start = (
        1,
        0,
        1,
    )  # points below this dimension of the writer's; how much of `size` is found
    for own, own_stride in zip(reversed(wrote.shape), reversed(wrote.strides), strict=True):
        if own > 1 and own_stride == stride * max(covered, 1):
            start = count if not covered else start
            covered = max(covered, 1) * own
            if covered == size:
                return ((size, start),)
        elif covered and own > 1:
            return ()
        count *= own
    return ()
