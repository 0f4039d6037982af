"""Cuts that keep the graph of groups acyclic.

Each group of a partition may be convex and two of them still depend on each other. A cut forbids
what made one cycle, and all that would make it in the same way: for each group on it, that the op
by which the cycle enters and the op by which it leaves share a group. If each pair did, and not
all pairs the same group, the cycle would be there again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fuseline.fusion.compute import bits


@dataclass(frozen=True, slots=True)
class Cut:
    """At most `most` of these pairs (bitsets of units) may be held by groups, unless one group
    holds them all. `ways` are the same as (entry, exit).
    """

    pairs: tuple[int, ...]
    ways: tuple[tuple[int, int], ...] = ()

    @property
    def most(self) -> int:
        """One pair less than there are."""
        return len(self.pairs) - 1

    def weight(self, group: int) -> int:
        """How many of the pairs `group` holds; all of them count as one less: no cycle is left."""
        return min(sum(pair & ~group == 0 for pair in self.pairs), self.most)


def is_valid(cut: Cut, descendants: Sequence[int]) -> bool:
    """Whether its ways do lead round: each exit to the next entry. Then a partition that held all
    the pairs, and not all in one group, would be cyclic.
    """
    following = (*cut.ways[1:], cut.ways[0])
    return len(cut.ways) == len(cut.pairs) and all(
        pair == 1 << entry | 1 << leave and bool(descendants[leave] >> target & 1)
        for pair, (entry, leave), (target, _) in zip(cut.pairs, cut.ways, following, strict=True)
    )


def find_cycle(groups: Sequence[int], after: Sequence[int]) -> list[int]:
    """Places in `groups` of a shortest cycle among them, in order; empty where there is none.

    `after` are the direct dependents of each unit.
    """
    home = {unit: place for place, group in enumerate(groups) for unit in bits(group)}
    following = []
    for place, group in enumerate(groups):
        reached = 0
        for unit in bits(group):
            reached |= after[unit]
        following.append({home[unit] for unit in bits(reached & ~group)} - {place})
    cyclic = _cyclic(following)
    return min(
        (_round_trip(start, following, cyclic) for start in sorted(cyclic)), key=len, default=[]
    )


def _cyclic(following: Sequence[set[int]]) -> set[int]:
    """Places that are on or behind a cycle: those left when all that can run has run."""
    waits = [0] * len(following)
    for places in following:
        for place in places:
            waits[place] += 1
    ready = [place for place, count in enumerate(waits) if not count]
    left = set(range(len(following)))
    while ready:
        place = ready.pop()
        left.discard(place)
        for later in following[place]:
            waits[later] -= 1
            if not waits[later]:
                ready.append(later)
    return left


def _round_trip(start: int, following: Sequence[set[int]], within: set[int]) -> list[int]:
    """A shortest way from `start` back to it."""
    came_from: dict[int, int] = {}
    pending = [start]
    for place in pending:
        for later in sorted(following[place] & within):
            if later == start:
                path = [place]
                while path[-1] != start:
                    path.append(came_from[path[-1]])
                return path[::-1]
            if later not in came_from:
                came_from[later] = place
                pending.append(later)
    return list(range(len(following) + 1))  # behind a cycle, not on one


def cut_cycle(cycle: Sequence[int], groups: Sequence[int], after: Sequence[int]) -> Cut:
    """The cut that forbids `cycle`."""
    entries: list[int] = []
    leaves: list[int] = []
    for place, following in zip(cycle, (*cycle[1:], cycle[0]), strict=True):
        leave, entry = next(
            (unit, min(bits(after[unit] & groups[following])))
            for unit in bits(groups[place])
            if after[unit] & groups[following]
        )
        leaves.append(leave)
        entries.append(entry)
    entries = [entries[-1], *entries[:-1]]
    ways = tuple(zip(entries, leaves, strict=True))
    return Cut(tuple(1 << entry | 1 << leave for entry, leave in ways), ways)
