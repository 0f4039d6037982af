"""A plan as a picture: which boxes and frames are drawn for a budget of boxes, and their arrows.

What repeats is drawn once: a box inside stands for the kernel at its place in every copy. Where
boxes are too many the deepest modules are closed, each into one box that says how many kernels it
holds. So every launched group is in exactly one box, and their figures add up to the plan's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from fuseline.errors import InputError
from fuseline.graph import Graph, Role
from fuseline.plan import Group, Plan
from fuseline.report.rows.data import MemberRow, PlanRow
from fuseline.report.rows.edges import INPUT, OUTPUT, edge_rows
from fuseline.report.rows.ops import tensor_text
from fuseline.report.rows.outline import Piece, outline
from fuseline.report.rows.pieces import groups_in, is_of_modules, joined


@dataclass(frozen=True, slots=True)
class Totals:
    """Figures of the kernels of one copy: their number, what they do and move, and how much of the
    traffic is by kernels that each bottleneck bounds, the most first.
    """

    launches: int
    flops: int
    other_flops: int
    traffic_bytes: int
    seconds: float | None
    unknown_ops: int
    bottlenecks: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Box:
    """One box: a kernel (`ops` are the targets of its compute ops), or a closed module.

    `copies` has the groups that it stands for, copy by copy: one kernel each, or all of a module's.
    """

    id: int
    kind: Literal["kernel", "closed"]
    name: str
    ops: tuple[str, ...]
    copies: tuple[tuple[int, ...], ...]
    totals: Totals

    @property
    def groups(self) -> tuple[int, ...]:
        """Every group that it stands for."""
        return tuple(group for copy in self.copies for group in copy)


@dataclass(frozen=True, slots=True)
class Frame:
    """A module drawn around what is in it, or `count` copies of which one is drawn.

    The totals are of one copy. `handed_bytes` are distinct bytes that a copy leaves for the next,
    the most of any: no arrow shows them.
    """

    name: str
    count: int
    children: tuple[Frame | Box, ...]
    totals: Totals
    handed_bytes: int


@dataclass(frozen=True, slots=True)
class Port:
    """What enters or leaves: tensors as text, and their number."""

    tensors: tuple[str, ...]
    count: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Arrow:
    """Distinct bytes that box `source` leaves for box `target`, once: between copies alike the most
    that any pair hands on. `INPUT` and `OUTPUT` stand for the model's inputs and outputs.
    """

    source: int
    target: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn. `closed` boxes hold `hidden` kernels; `boxes` are in the order drawn."""

    root: Frame
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    inputs: Port
    outputs: Port
    closed: int
    hidden: int


MAX_NODES = 200
"""Boxes that a reader, and Graphviz, can take."""

_ARROWS = 3  # a box, on average: with more nobody sees where they go
_FEW_ARROWS = 40  # are fine whatever the number of boxes


def picture(graph: Graph, plan: Plan, row: PlanRow, max_nodes: int | None = MAX_NODES) -> Picture:
    """Lay out `plan`, whose figures are `row`, in at most `max_nodes` boxes, and three arrows a
    box (None: no limit to either). Inputs and outputs are no boxes.

    Raises `InputError` where `max_nodes` is under 1.
    """
    if max_nodes is not None and max_nodes < 1:
        raise InputError(f"a picture has at least one box, not {max_nodes}")
    tree = _Drawn(((outline(row.members), ()),), 0)
    boxes, handed = max_nodes, _handed(graph, plan, tree)
    while True:
        if boxes is not None:
            _close(tree, boxes)
        maker = _Maker(graph, plan, row.members, handed)
        root = maker.frame(tree, "")
        arrows = _arrows(graph, plan, maker)
        if max_nodes is None or len(arrows) <= max(_ARROWS * len(maker.boxes), _FEW_ARROWS):
            break
        boxes = max(1, len(maker.boxes) * 7 // 8)
    closed = [box for box in maker.boxes if box.kind == "closed"]
    return Picture(
        root=root,
        boxes=tuple(maker.boxes),
        arrows=arrows,
        inputs=_port(graph, [found.id for found in graph.tensors if found.role is Role.INPUT]),
        outputs=_port(graph, graph.outputs),
        closed=len(closed),
        hidden=sum(len(box.groups) for box in closed),
    )


_Place = tuple[tuple[int, int], ...]
"""Where a copy is: for each repeat around it, outermost first, which repeat and which copy."""


class _Drawn:
    """A piece of the outline as it is drawn, open or closed. `twins` are the pieces it stands for,
    each with its place; the first is the one that is seen.
    """

    __slots__ = ("children", "depth", "is_closed", "twins")

    def __init__(self, twins: tuple[tuple[Piece, _Place], ...], depth: int) -> None:
        self.twins = twins
        self.depth = depth
        self.is_closed = False
        self.children = [_Drawn(inside, depth + 1) for inside in self._inside()]

    @property
    def piece(self) -> Piece:
        """What is seen."""
        return self.twins[0][0]

    @property
    def traffic_bytes(self) -> int:
        """Of all that it stands for."""
        return self.piece.traffic_bytes * len(self.twins)

    def _inside(self) -> Iterator[tuple[tuple[Piece, _Place], ...]]:
        """For each piece inside the pieces it stands for. All copies have the same shape."""
        opened = self.twins
        if self.piece.kind == "repeat":
            opened = tuple(
                (copy, (*place, (id(self), number)))
                for piece, place in self.twins
                for number, copy in enumerate(piece.children)
            )
        yield from zip(
            *([(child, place) for child in piece.children] for piece, place in opened), strict=True
        )

    def count_boxes(self) -> int:
        """How many boxes are drawn of it."""
        if self.is_closed or not self.children:
            return 1
        return sum(child.count_boxes() for child in self.children)

    def walk(self) -> Iterator[_Drawn]:
        """This and everything inside, outermost first."""
        yield self
        for child in self.children:
            yield from child.walk()


def _close(tree: _Drawn, most: int) -> None:
    """Close modules, the deepest first and of those the ones that move least, until few enough
    boxes are left; at last join what follows each other in the model itself.
    """
    inside = [node for node in tree.walk() if node.depth and node.children]
    boxes = tree.count_boxes()
    for node in sorted(inside, key=lambda node: (-node.depth, node.traffic_bytes)):
        spared = node.count_boxes() - 1
        if boxes > most and spared:
            node.is_closed = True
            boxes -= spared
    if boxes > most:
        pieces = tree.piece.children
        cuts = [len(pieces) * number // most for number in range(most + 1)]
        tree.children = [_span(pieces[start:end]) for start, end in pairwise(cuts)]


def _span(pieces: Sequence[Piece]) -> _Drawn:
    """Several pieces of the model itself as one that is closed; a single one stays as it is."""
    drawn = _Drawn(((joined(pieces) if len(pieces) > 1 else pieces[0], ()),), 1)
    drawn.is_closed = bool(drawn.children)
    return drawn


class _Maker:
    """Makes boxes and frames, and keeps which groups each box stands for in which copy."""

    def __init__(
        self, graph: Graph, plan: Plan, members: Sequence[MemberRow], handed: dict[int, int]
    ) -> None:
        self.graph = graph
        self.handed = handed
        self.groups = {group.id: group for group in plan.groups}
        self.members = {member.group: member for member in members}
        self.boxes: list[Box] = []
        self.places: list[tuple[_Place, ...]] = []

    def frame(self, drawn: _Drawn, path: str) -> Frame:
        """A module or repeat with what is inside; `path` is that of the modules around it."""
        piece = drawn.piece
        copy = piece.children[0] if piece.kind == "repeat" else piece
        is_named = piece.kind == "module" or is_of_modules(copy)
        inside = f"{path}{copy.name}." if is_named and copy.name else path
        return Frame(
            name=piece.name if is_named else "",
            count=piece.count,
            children=tuple(
                self.box(child, inside)
                if child.is_closed or not child.children
                else self.frame(child, inside)
                for child in drawn.children
            ),
            totals=self.totals(groups_in(copy)),
            handed_bytes=self.handed.get(id(drawn), 0),
        )

    def box(self, drawn: _Drawn, path: str) -> Box:
        """A kernel, or a closed module."""
        copies = tuple(groups_in(piece) for piece, _ in drawn.twins)
        if drawn.piece.kind == "group":
            name = _below(self.members[copies[0][0]].module, path)
            ops = self.ops(copies[0][0])
        else:
            name, ops = drawn.piece.name, ()
            if drawn.piece.kind == "repeat":
                name += f" x{drawn.piece.count}"
        kind = "kernel" if drawn.piece.kind == "group" else "closed"
        box = Box(len(self.boxes), kind, name, ops, copies, self.totals(copies[0]))
        self.boxes.append(box)
        self.places.append(tuple(place for _, place in drawn.twins))
        return box

    def ops(self, group: int) -> tuple[str, ...]:
        """Targets of a group's compute ops."""
        ops = (self.graph.ops[op] for op in self.groups[group].ops)
        return tuple(op.target for op in ops if op.is_compute)

    def totals(self, groups: Sequence[int]) -> Totals:
        """Sums over groups."""
        members = [self.members[group] for group in groups]
        bounds: Counter[str] = Counter()
        for member in members:
            bounds[member.bottleneck] += member.traffic_bytes
        seconds = [member.seconds for member in members if member.seconds is not None]
        return Totals(
            launches=len(members),
            flops=sum(member.flops for member in members),
            other_flops=sum(member.other_flops for member in members),
            traffic_bytes=sum(member.traffic_bytes for member in members),
            seconds=sum(seconds) if seconds else None,
            unknown_ops=sum(member.unknown_ops for member in members),
            bottlenecks=tuple(sorted(bounds.items(), key=lambda item: (-item[1], item[0]))),
        )


def _below(module: str, path: str) -> str:
    """A module's name inside a frame; a number in a sequence has the name before it.

    >>> _below("net.mlp.0", "net."), _below("net.mlp.0", "net.mlp."), _below("net.mlp", "net.mlp.")
    ('mlp.0', 'mlp.0', '')
    """
    name = f"{module}.".removeprefix(path).removesuffix(".")
    return ".".join(module.split(".")[-2:]) if name.isdigit() else name


def _arrows(graph: Graph, plan: Plan, maker: _Maker) -> tuple[Arrow, ...]:
    """Arrows between boxes. Every box in every copy is taken for one group, and its edges asked
    for; those from one copy of a repeat to another are the same box's, or go back: left out.
    """
    copies = [
        (box.id, place, copy)
        for box, places in zip(maker.boxes, maker.places, strict=True)
        for place, copy in zip(places, box.copies, strict=True)
    ]
    whole = _together(plan, [copy for _, _, copy in copies])
    found: dict[tuple[int, int], int] = defaultdict(int)
    for edge in edge_rows(graph, whole):
        if max(edge.source, edge.target) >= len(copies):
            continue
        source, here = copies[edge.source][:2] if edge.source != INPUT else (INPUT, ())
        target, there = copies[edge.target][:2] if edge.target != OUTPUT else (OUTPUT, ())
        if source != target and not _is_other_copy(here, there):
            found[source, target] = max(found[source, target], edge.bytes)
    return tuple(Arrow(*ends, nbytes) for ends, nbytes in sorted(found.items()))


def _is_other_copy(here: _Place, there: _Place) -> bool:
    """Whether two places are in different copies of one repeat."""
    for (repeat, copy), (other, its_copy) in zip(here, there, strict=False):
        if repeat != other:
            return False
        if copy != its_copy:
            return True
    return False


def _handed(graph: Graph, plan: Plan, tree: _Drawn) -> dict[int, int]:
    """Repeat, by its `id` -> the most bytes that any of its copies leaves for the next.

    Repeats inside as many others are asked about together: they have no group in common.
    """
    levels: dict[int, list[_Drawn]] = defaultdict(list)
    for node in tree.walk():
        if node.piece.kind == "repeat":
            levels[len(node.twins[0][1])].append(node)
    most: dict[int, int] = defaultdict(int)
    for repeats in levels.values():
        copies = [
            (id(node), twin, number, groups_in(copy))
            for node in repeats
            for twin, (piece, _) in enumerate(node.twins)
            for number, copy in enumerate(piece.children)
        ]
        for edge in edge_rows(graph, _together(plan, [copy[3] for copy in copies])):
            if 0 <= edge.source < len(copies) and 0 <= edge.target < len(copies):
                node, twin, number, _ = copies[edge.source]
                if copies[edge.target][:3] == (node, twin, number + 1):
                    most[node] = max(most[node], edge.bytes)
    return most


def _together(plan: Plan, parts: Sequence[Sequence[int]]) -> Plan:
    """The plan with the groups of each part as one, numbered in the order of `parts`; then the
    others.
    """
    groups = {group.id: group for group in plan.groups}
    owned = {group for part in parts for group in part}
    joined = [[groups[group] for group in part] for part in parts]
    joined += [[group] for group in plan.groups if group.id not in owned]
    return replace(plan, groups=tuple(_join(number, each) for number, each in enumerate(joined)))


def _join(number: int, groups: Sequence[Group]) -> Group:
    """Groups as one. What one of them recomputes and another stores is stored."""
    ops = sorted({op for group in groups for op in group.ops})
    stored = {op for group in groups for op in group.ops if op not in group.recomputed}
    return Group(number, tuple(ops), "", tuple(op for op in ops if op not in stored))


def _port(graph: Graph, tensors: Sequence[int]) -> Port:
    kept = tuple(dict.fromkeys(tensors))
    text = tuple(tensor_text(graph.tensors[tensor]) for tensor in kept)
    return Port(text, len(kept), sum(graph.tensors[tensor].nbytes for tensor in kept))
