"""What pictures and charts ask of kernels, and of the pieces of an outline."""

from __future__ import annotations

from collections.abc import Sequence

from fuseline.plan import METHOD_CALL, UNFUSED
from fuseline.report.rows.data import MemberRow
from fuseline.report.rows.outline import Piece


def kernel_label(member: MemberRow) -> str:
    """What a kernel is called: its pattern, or its first op where nothing was joined."""
    return member.ops[0] if member.pattern in (UNFUSED, METHOD_CALL) else member.pattern


def groups_in(piece: Piece) -> tuple[int, ...]:
    """Ids of all groups inside, copies too, in order."""
    if piece.group is not None:
        return (piece.group,)
    return tuple(group for child in piece.children for group in groups_in(child))


def is_of_modules(copy: Piece) -> bool:
    """Whether a copy is a module, or several; else it is kernels, which have no name of their own.

    A copy of one module has the module's name, another those of its first and last piece.
    """
    first, last = copy.children[0], copy.children[-1]
    names = {first.name, f"{first.name} … {last.name}"}
    return copy.name not in names or first.kind == last.kind == "module"


def seconds_of(pieces: Sequence[Piece]) -> float | None:
    """Seconds of all together; None where none has any."""
    seconds = [piece.seconds for piece in pieces if piece.seconds is not None]
    return sum(seconds) if seconds else None


def joined(pieces: Sequence[Piece]) -> Piece:
    """Pieces that follow each other as one, called after the first and the last."""
    return Piece(
        kind="module",
        name=f"{pieces[0].name} … {pieces[-1].name}",
        group=None,
        children=tuple(pieces),
        launches=sum(piece.launches for piece in pieces),
        flops=sum(piece.flops for piece in pieces),
        other_flops=sum(piece.other_flops for piece in pieces),
        traffic_bytes=sum(piece.traffic_bytes for piece in pieces),
        saved_bytes=sum(piece.saved_bytes for piece in pieces),
        seconds=seconds_of(pieces),
    )
