"""Every group that an optimal partition might hold: legal, connected, convex.

Grown from single units along links. Where a neighbour is added, so is all that lies on paths
between it and the group; what may not share a kernel ends the growth. So every connected convex
group without a barred pair is met, and of those the legal ones are candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import NamedTuple

from fuseline.fusion.compute import bits
from fuseline.fusion.optimal.units import Units


@dataclass(frozen=True, slots=True)
class Candidate:
    """A group (a bitset of units) and the bytes it moves."""

    units: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Candidates:
    """All candidates of a set of units, or where `complete` is unset, only the first of them."""

    groups: tuple[Candidate, ...]
    complete: bool


_BETWEEN_LOOKS = 1024  # sets met between two looks at the clock


class _Room:
    """How many more sets may be looked at, and until when."""

    def __init__(self, most: int, deadline: float) -> None:
        self.left = most
        self._deadline = deadline

    def take(self) -> None:
        """Count one set; there is no room left when the time is up."""
        self.left -= 1
        if self.left % _BETWEEN_LOOKS == 0 and monotonic() > self._deadline:
            self.left = 0


def enumerate_candidates(
    units: Units, most: int, tick: Callable[[int], None], deadline: float = inf
) -> Candidates:
    """Every legal group of `units`, single ones first, unless more than `most` sets are met or
    the clock (`time.monotonic`) passes `deadline`.

    `tick` is called with the number of groups found so far, for progress.
    """
    found = [Candidate(1 << unit, units.prices[unit]) for unit in range(len(units))]
    room = _Room(most, deadline)
    for root in range(len(units)):
        _grow(units, root, room, found)
        if root % 64 == 0:
            tick(len(found))
    return Candidates(tuple(found), room.left > 0)


def _grow(units: Units, root: int, room: _Room, found: list[Candidate]) -> None:
    """Append the legal groups of two units or more whose first is `root`."""
    later = -1 << root  # a group is met from its first unit alone
    near = units.allowed[root] & later
    if not near:
        return
    seen = {1 << root}
    pending = [Grown(1 << root, near, units.barred[root], units.descendants[root],
                      units.ancestors[root], units.prices[root])]  # fmt: skip
    while pending and room.left > 0:
        group = pending.pop()
        for unit in bits(group.near & ~group.barred):
            larger = add_unit(units, group, unit, later)
            if larger is None or larger.units in seen:
                continue
            seen.add(larger.units)
            room.take()
            if units.may_grow(larger.units):
                pending.append(larger)
            if units.is_legal(larger.units):
                found.append(Candidate(larger.units, larger.nbytes))


class Grown(NamedTuple):
    """A connected convex group on the way: its neighbours, what may not join it, all that depends
    on it and all that it depends on, and the bytes it moves.
    """

    units: int
    near: int
    barred: int
    below: int
    above: int
    nbytes: int


def add_unit(units: Units, group: Grown, unit: int, later: int) -> Grown | None:
    """`group` with `unit` and all on paths between; None where one of them may not join."""
    _, near, barred, below, above, nbytes = group
    below |= units.descendants[unit]
    above |= units.ancestors[unit]
    added = 1 << unit | (below & above & ~group.units)
    if added & barred or added & ~later:
        return None
    for place in bits(added):
        near |= units.allowed[place]
        barred |= units.barred[place]
        below |= units.descendants[place]
        above |= units.ancestors[place]
    larger = group.units | added
    if larger & barred:
        return None
    nbytes = units.price_with(group.units, nbytes, added)
    return Grown(larger, near & ~larger & later, barred, below, above, nbytes)
