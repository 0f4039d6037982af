"""Bytes that the groups of a cover move: an op may be computed in several of them.

    homes(op)      groups that hold the op and do not only recompute it
    reads(g)       what ops of g read and no op of g makes, parameters apart
    parameters(g)  parameters, buffers and constants that ops of g read
    writes(g)      what ops at home in g make and a compute op reads in a group that does not hold
                   the maker itself, or that outlives the graph

With one home an op is stored there, whole. With none it is stored nowhere: every group that needs
its result computes it. With several it is stored in pieces, one each (a concatenation whose parts
are written by the kernels that make them, a copy made slice by slice): a home reads the operands
that it makes or that are its share, and writes in proportion; an operand that it makes is stored
as its piece of the concatenation only, whoever else reads it. A copy of which a group needs a part
reads as much as it needs.

On a partition this is `group_traffic` of every group.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fuseline.costs.traffic import Traffic
from fuseline.errors import InputError
from fuseline.graph import OUTSIDE, Flow, Graph, Kind, OpClass
from fuseline.plan import Group

_CALLS = frozenset({OpClass.CONTRACTION, OpClass.ATTENTION, OpClass.OPAQUE})
_PARTS = 1 << 40
"""Added to the number of an op that reads a part, to number its reads: above all other reads."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """One home's part of an op that is stored in pieces: the flows it reads whole, those it reads
    `divided` into `divisor` parts of which it has the one at `place`, and its share `part / of` of
    what is written, the first `before` of which is others'.
    """

    flows: tuple[Flow, ...]
    divided: tuple[Flow, ...]
    divisor: int
    place: int
    before: int
    part: int
    of: int


def cover_traffic(graph: Graph, groups: Sequence[Group]) -> tuple[Traffic, ...]:
    """What each of `groups` moves, in their order [bytes].

    Raises `InputError` where a group reads what no group stores, or an op is in no group.

    >>> from fuseline.graph import Builder, Kind, Role
    >>> build = Builder()
    >>> x = build.tensor("x", (16,), role=Role.INPUT)  # 64 bytes
    >>> y = build.op("shared", Kind.RELU, inputs=[x], shape=(16,))
    >>> ends = [build.op(name, Kind.RELU, inputs=[y], shape=(16,)) for name in ("a", "b")]
    >>> graph = build.finish(ends)
    >>> both = (Group(0, (0, 1), "", recomputed=(0,)), Group(1, (0, 2), "", recomputed=(0,)))
    >>> [traffic.nbytes for traffic in cover_traffic(graph, both)]  # each reads x, writes its own
    [128, 128]
    >>> apart = (Group(0, (0, 1), ""), Group(1, (2,), ""))  # the first stores `shared` for both
    >>> [traffic.nbytes for traffic in cover_traffic(graph, apart)]
    [192, 128]
    """
    held = [frozenset(group.ops) for group in groups]
    where: list[list[int]] = [[] for _ in graph.ops]
    homes: list[list[int]] = [[] for _ in graph.ops]
    for place, group in enumerate(groups):
        recomputed = frozenset(group.recomputed)
        for op in group.ops:
            where[op].append(place)
            if op not in recomputed:
                homes[op].append(place)
    if missing := next((op.name for op in graph.ops if not where[op.id]), ""):
        raise InputError(f"the cover has no group for '{missing}'")
    cover = _Cover(graph, held, where, homes, {})
    read = [_sources(graph, group.ops, homes) for group in groups]
    for op, places in enumerate(homes):
        if len(places) > 1:
            cover.pieces[op] = _cut(cover, op, read)
    return tuple(_traffic(cover, place) for place in range(len(groups)))


@dataclass(frozen=True, slots=True)
class _Cover:
    """A cover, by group and by op: the ops of each group, the groups and homes of each op, and by
    home the pieces of an op that has several.
    """

    graph: Graph
    held: Sequence[frozenset[int]]
    where: Sequence[Sequence[int]]
    homes: Sequence[Sequence[int]]
    pieces: dict[int, dict[int, _Piece]]

    def reads(self, op: int, place: int) -> tuple[Flow, ...]:
        """What `op` reads, whole, in the group at `place`."""
        piece = self.pieces.get(op, {}).get(place)
        return self.graph.flows.read_by[op] if piece is None else piece.flows

    def is_read_elsewhere(self, flow: Flow) -> bool:
        """Whether what `flow.writer` leaves must be in memory for `flow.reader`."""
        if flow.reader == OUTSIDE:
            return True
        pieces = self.pieces.get(flow.reader, {})
        for place in self.where[flow.reader]:
            piece = pieces.get(place)
            reads = piece is None or flow in piece.flows or flow in piece.divided
            if reads and flow.writer not in self.held[place]:
                return True
        return False


def _traffic(cover: _Cover, place: int) -> Traffic:
    graph, inside = cover.graph, cover.held[place]
    taken: dict[int, list[Flow]] = {}
    reads = parameters = writes = 0
    for op in inside:
        needed = _needed_nbytes(cover, op, place)
        for flow in cover.reads(op, place):
            if flow.writer not in inside:
                _check_stored(cover, flow)
                limited = flow if needed is None else flow.limited(_PARTS + op, needed)
                taken.setdefault(flow.storage, []).append(limited)
        piece = cover.pieces.get(op, {}).get(place)
        if piece is not None:
            nbytes = sum(graph.flows.nbytes([flow]) for flow in piece.divided)
            reads += _share(nbytes, piece.place, 1, piece.divisor)
            writes += _share(_stored_nbytes(cover, op), piece.before, piece.part, piece.of)
        elif place in cover.homes[op] and not _is_stored_as_piece(cover, op, place):
            writes += _stored_nbytes(cover, op)
    for storage, found in taken.items():
        nbytes = graph.flows.nbytes(found)
        if graph.storages[storage].is_held:
            parameters += nbytes
        else:
            reads += nbytes
    return Traffic(reads, parameters, writes)


def _needed_nbytes(cover: _Cover, op: int, place: int) -> int | None:
    """What the group at `place` needs of the result of a copy, where that is a part [bytes]."""
    if cover.graph.ops[op].op_class is not OpClass.COPY or len(cover.where[op]) == 1:
        return None
    if op in cover.pieces:
        return None
    flows = cover.graph.flows
    left = flows.written_by[op]
    used = [flow for flow in left if flow.reader in cover.held[place]]
    if cover.homes[op] == [place]:
        used += [flow for flow in left if cover.is_read_elsewhere(flow)]
    if not used or len({flow.storage for flow in left}) > 1:
        return None
    needed = flows.nbytes([flow._replace(limit=None) for flow in used])
    whole = flows.nbytes([flow._replace(limit=None) for flow in left])
    return needed if needed < whole else None


def _is_stored_as_piece(cover: _Cover, op: int, place: int) -> bool:
    """Whether the group at `place` writes the result of `op` into a concatenation, and nobody else
    who reads it is a library call, which wants it in a layout of its own.
    """
    ops = cover.graph.ops
    found = False
    for flow in cover.graph.flows.written_by[op]:
        if flow.reader == OUTSIDE or ops[flow.reader].op_class in _CALLS:
            return False
        piece = cover.pieces.get(flow.reader, {}).get(place)
        if piece is not None and ops[flow.reader].kind is Kind.CAT and flow in piece.flows:
            found = True
    return found


def _check_stored(cover: _Cover, flow: Flow) -> None:
    if flow.writer != OUTSIDE and not cover.homes[flow.writer]:
        reader, writer = (cover.graph.ops[op].name for op in (flow.reader, flow.writer))
        raise InputError(f"the cover stores '{writer}' nowhere, and '{reader}' reads it")


def _stored_nbytes(cover: _Cover, op: int) -> int:
    """What an op leaves in memory, in all of its homes together [bytes]."""
    flows = cover.graph.flows
    left: dict[int, list[Flow]] = {}
    for flow in flows.written_by[op]:
        if cover.is_read_elsewhere(flow):
            whole = flow if flow.limit is None else flow._replace(limit=None)
            left.setdefault(flow.storage, []).append(whole)
    total = 0
    for storage, found in left.items():
        nbytes = flows.nbytes(found)
        total += min(nbytes, flows.write_limits.get((storage, op), nbytes))
    return total


def _share(nbytes: int, before: int, part: int, of: int) -> int:
    """The bytes of one part, so that all parts add up to `nbytes`.

    >>> [_share(10, place, 1, 3) for place in range(3)]
    [3, 3, 4]
    """
    return nbytes * (before + part) // of - nbytes * before // of


_Source = tuple[int, int]
"""What a flow takes: (storage, writer)."""


def _sources(graph: Graph, ops: Iterable[int], homes: Sequence[Sequence[int]]) -> set[_Source]:
    """What the ops of a group read, those apart that are stored in pieces."""
    flows = graph.flows.read_by
    return {(f.storage, f.writer) for op in ops if len(homes[op]) < 2 for f in flows[op]}  # noqa: PLR2004


def _cut(cover: _Cover, op: int, read: Sequence[set[_Source]]) -> dict[int, _Piece]:
    """The pieces of `op`, by home; what they read is added to what each group is known to `read`.

    A home makes of the operands those that its own ops write, or else that it reads already; what
    is left goes to the homes that make none, one each in order, and to the last what is over.
    Where there is less than one each, they divide it.
    """
    homes = cover.homes[op]
    given, rest = _assign(cover, op, read)
    free = [home for home in homes if not given[home]] or [homes[-1]]
    divided: tuple[Flow, ...] = ()
    if len(rest) >= len(free):
        for number, flow in enumerate(rest):
            given[free[min(number, len(free) - 1)]].append(flow)
    else:
        divided = tuple(rest)
    for home in homes:
        read[home].update((flow.storage, flow.writer) for flow in given[home])
    weights = _weights(cover, homes, given, divided, free)
    return {
        home: _Piece(
            flows=tuple(given[home]),
            divided=divided if home in free else (),
            divisor=len(free),
            place=free.index(home) if home in free else 0,
            before=sum(weights[:number]),
            part=weights[number],
            of=sum(weights),
        )
        for number, home in enumerate(homes)
    }


def _assign(
    cover: _Cover, op: int, read: Sequence[set[_Source]]
) -> tuple[dict[int, list[Flow]], list[Flow]]:
    """What each home of `op` makes or reads anyhow of its operands, and what is left."""
    homes = cover.homes[op]
    given: dict[int, list[Flow]] = {home: [] for home in homes}
    rest: list[Flow] = []
    for flow in cover.graph.flows.read_by[op]:
        makers = [home for home in homes if flow.writer in cover.held[home]]
        readers = [home for home in homes if (flow.storage, flow.writer) in read[home]]
        found = makers or readers
        (given[found[0]] if found else rest).append(flow)
    return given, rest


def _weights(
    cover: _Cover,
    homes: Sequence[int],
    given: dict[int, list[Flow]],
    divided: Iterable[Flow],
    free: Sequence[int],
) -> list[int]:
    """How much of an op each home makes, as the bytes that it reads for it; alike where none."""
    flows = cover.graph.flows
    shared = sum(flows.nbytes([flow]) for flow in divided)
    weights = []
    for home in homes:
        own = sum(flows.nbytes([flow]) for flow in given[home])
        if home in free:
            own += _share(shared, free.index(home), 1, len(free))
        weights.append(own)
    return weights if sum(weights) else [1] * len(homes)
