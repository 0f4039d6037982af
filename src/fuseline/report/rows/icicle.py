"""Traffic by module, as an icicle: modules over what is in them, as wide as the bytes they move.

What repeats is one rectangle as wide as all its copies, over the content of one of them, which
stands for the same in all. Neighbours too narrow to be seen are one rectangle together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from fuseline.report.rows.data import MemberRow
from fuseline.report.rows.outline import Piece
from fuseline.report.rows.pieces import is_of_modules, kernel_label, seconds_of

NARROW = 0.001
"""Of the whole width: what is narrower is joined with its neighbours."""


@dataclass(frozen=True, slots=True)
class RectRow:
    """One rectangle, from `start` to `end` [bytes] at `depth` levels below the model.

    Its figures are of all that it stands for: `count` copies of `launches` kernels in all.
    `groups` are the ids of a kernel's copies, `bottleneck` what bounds them; of others empty.
    """

    kind: Literal["model", "module", "repeat", "kernel", "rest"]
    name: str
    module: str
    start: int
    end: int
    depth: int
    count: int
    launches: int
    flops: int
    seconds: float | None
    groups: tuple[int, ...]
    bottleneck: str

    @property
    def traffic_bytes(self) -> int:
        """Its width."""
        return self.end - self.start


def icicle_rows(tree: Piece, members: Sequence[MemberRow]) -> tuple[RectRow, ...]:
    """Lay out an outline, a level at a time within each module; the first is the model."""
    return tuple(_Layout(tree, members).rects())


class _Layout:
    def __init__(self, tree: Piece, members: Sequence[MemberRow]) -> None:
        self.tree = tree
        self.members = {member.group: member for member in members}
        self.least = NARROW * tree.traffic_bytes

    def rects(self) -> Iterator[RectRow]:
        whole = self.tree
        yield RectRow(
            "model", whole.name, "", 0, whole.traffic_bytes, 0, 1, whole.launches, whole.flops,
            whole.seconds, (), "",
        )  # fmt: skip
        yield from self.inside((whole,), whole.name, 0, 1)

    def inside(
        self, twins: Sequence[Piece], path: str, start: int, depth: int
    ) -> Iterator[RectRow]:
        """What is in the first of `twins`, pieces alike, standing for the same in all of them."""
        places = list(zip(*(piece.children for piece in twins), strict=True))
        for narrow, run in groupby(places, key=lambda place: self.width(place) < self.least):
            found = list(run)
            if narrow and len(found) > 1:
                yield self.rest(found, path, start, depth)
                start += sum(map(self.width, found))
                continue
            for place in found:
                yield from self.rect(place, path, start, depth)
                start += self.width(place)

    def rect(self, twins: Sequence[Piece], path: str, start: int, depth: int) -> Iterator[RectRow]:
        """One piece that stands for its twins, and what is in it."""
        piece, opened = twins[0], twins
        name = piece.name
        if piece.kind == "repeat":
            opened = [copy for each in twins for copy in each.children]
            named = is_of_modules(opened[0])
            path, name = _below(path, opened[0].name if named else ""), name if named else ""
        elif piece.kind == "module":
            path = _below(path, name)
        yield self.row(twins, name, path, start, depth)
        yield from self.inside(opened, path, start, depth + 1)

    def row(self, twins: Sequence[Piece], name: str, path: str, start: int, depth: int) -> RectRow:
        piece = twins[0]
        groups = tuple(each.group for each in twins if each.group is not None)
        first = self.members[groups[0]] if groups else None
        if first is not None:
            name, path = kernel_label(first), first.module
        return RectRow(
            kind="kernel" if first else "repeat" if piece.kind == "repeat" else "module",
            name=name,
            module=path,
            start=start,
            end=start + self.width(twins),
            depth=depth,
            count=len(twins) * piece.count,
            launches=sum(each.launches for each in twins),
            flops=sum(each.flops for each in twins),
            seconds=seconds_of(twins),
            groups=groups,
            bottleneck=first.bottleneck if first else "",
        )

    def rest(self, found: Sequence[Sequence[Piece]], path: str, start: int, depth: int) -> RectRow:
        """Neighbours that are too narrow."""
        pieces = [piece for twins in found for piece in twins]
        launches = sum(piece.launches for piece in pieces)
        return RectRow(
            kind="rest",
            name=f"{launches} kernels that move little",
            module=path,
            start=start,
            end=start + self.width(pieces),
            depth=depth,
            count=1,
            launches=launches,
            flops=sum(piece.flops for piece in pieces),
            seconds=seconds_of(pieces),
            groups=(),
            bottleneck="",
        )

    @staticmethod
    def width(twins: Sequence[Piece]) -> int:
        return sum(piece.traffic_bytes for piece in twins)


def _below(path: str, name: str) -> str:
    return ".".join(filter(None, (path, name)))
