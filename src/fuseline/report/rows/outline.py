"""A partition as people see it: modules inside modules, and what repeats drawn once, with a count.

Groups stand under the module that they belong to, in the plan's order. Neighbours that are alike
in every figure follow each other as one `repeat`: its copies are there all the same, so that a
picture may draw the first and say "x12", or all of them. Only launched groups are in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fuseline.report.rows.data import MemberRow
from fuseline.report.rows.repeats import Run, find_runs

_SPARED = 3  # boxes: a repeat that spares fewer is easier to read spelled out

PieceKind = Literal["group", "module", "repeat", "copy"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A node of the outline, with the totals of all that is inside it.

    `group` (kind `group`): its id, and `name` is its pattern. `module`: `name` is the path below
    the module above. `repeat`: the children are `copy` pieces, alike in every figure, and `name`
    says from which to which; `copy`: one of them.
    """

    kind: PieceKind
    name: str
    group: int | None
    children: tuple[Piece, ...]
    launches: int
    flops: int
    other_flops: int
    traffic_bytes: int
    saved_bytes: int
    seconds: float | None

    @property
    def count(self) -> int:
        """How often it follows itself: copies of a repeat, else 1."""
        return len(self.children) if self.kind == "repeat" else 1


def outline(members: Sequence[MemberRow]) -> Piece:
    """The launched groups of a plan as a tree; its root is the model.

    >>> made = outline(())
    >>> made.kind, made.children, made.launches
    ('module', (), 0)
    """
    root = _Module()
    signatures: dict[object, int] = {}
    for member in members:
        if member.launched:
            place = root
            for part in filter(None, member.module.split(".")):
                place = place.below(part)
            place.entries.append(member)
    return _module("", root, signatures)[0]


class _Module:
    """A module while the tree grows: groups and modules inside, in order of first appearance."""

    __slots__ = ("entries", "modules")

    def __init__(self) -> None:
        self.entries: list[MemberRow | tuple[str, _Module]] = []
        self.modules: dict[str, _Module] = {}

    def below(self, name: str) -> _Module:
        """The module of that name inside this one, made at need."""
        if name not in self.modules:
            self.modules[name] = _Module()
            self.entries.append((name, self.modules[name]))
        return self.modules[name]


_Signed = tuple[Piece, int]
"""A piece, and a number that it shares with the pieces alike in every figure."""


def _module(name: str, module: _Module, signatures: dict[object, int]) -> _Signed:
    """A module as a piece. One that only holds another, or one group, is not a level of its own."""
    children = [
        _group(entry, signatures)
        if isinstance(entry, MemberRow)
        else _module(entry[0], entry[1], signatures)
        for entry in module.entries
    ]
    if len(children) == 1:
        only, number = children[0]
        if only.kind == "module" and only.children:
            path = f"{name}.{only.name}" if name else only.name
            return _total("module", path, only.children), number
        if name:
            return only, number
    number = _number(("module", *(number for _, number in children)), signatures)
    return _total("module", name, _folded(children)), number


def _group(member: MemberRow, signatures: dict[object, int]) -> _Signed:
    figures = (
        member.pattern, len(member.ops), member.flops, member.other_flops, member.read_bytes,
        member.parameter_bytes, member.written_bytes, member.saved_bytes, member.unknown_ops,
        member.bottleneck, member.seconds,
    )  # fmt: skip
    piece = Piece(
        "group", member.pattern, member.group, (), 1, member.flops, member.other_flops,
        member.traffic_bytes, member.saved_bytes, member.seconds,
    )  # fmt: skip
    return piece, _number(figures, signatures)


def _number(figures: object, signatures: dict[object, int]) -> int:
    return signatures.setdefault(figures, len(signatures))


def _folded(children: Sequence[_Signed]) -> tuple[Piece, ...]:
    """Neighbours with what repeats among them folded, and again inside each copy."""
    pieces: list[Piece] = []
    for run in find_runs([number for _, number in children]):
        inside = children[run.start : run.start + run.period * run.count]
        if not _is_worth(run, inside):
            pieces.extend(piece for piece, _ in inside)
            continue
        copies = [inside[start : start + run.period] for start in range(0, len(inside), run.period)]
        pieces.append(
            _total(
                "repeat",
                f"{inside[0][0].name} … {inside[-1][0].name}",
                tuple(_copy(copy) for copy in copies),
            )
        )
    return tuple(pieces)


def _is_worth(run: Run, inside: Sequence[_Signed]) -> bool:
    spared = sum(piece.launches for piece, _ in inside[run.period :])
    return run.count > 1 and spared >= _SPARED


def _copy(pieces: Sequence[_Signed]) -> Piece:
    """One copy of a repeat: of a single module, what is in it."""
    if len(pieces) == 1:
        only = pieces[0][0]
        return _total("copy", only.name, only.children or (only,))
    name = f"{pieces[0][0].name} … {pieces[-1][0].name}"
    return _total("copy", name, _folded(pieces))


def _total(kind: PieceKind, name: str, children: tuple[Piece, ...]) -> Piece:
    """A piece with the sums over what is inside."""
    seconds = [child.seconds for child in children if child.seconds is not None]
    return Piece(
        kind=kind,
        name=name,
        group=None,
        children=children,
        launches=sum(child.launches for child in children),
        flops=sum(child.flops for child in children),
        other_flops=sum(child.other_flops for child in children),
        traffic_bytes=sum(child.traffic_bytes for child in children),
        saved_bytes=sum(child.saved_bytes for child in children),
        seconds=sum(seconds) if seconds else None,
    )
