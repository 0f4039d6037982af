"""The optimum again, by another road: a shortest path through the lattice of order ideals.

An ideal is a set of units that can have run: with each of its units all that it depends on. A
partition whose graph of groups is acyclic runs group by group, from the empty ideal to the full
one; what a step costs depends on its group alone. So the cheapest path is the optimum: no solver,
no bounds, and cycles cannot arise. The number of ideals limits it to graphs without much breadth.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from fuseline.fusion.compute import bits
from fuseline.fusion.optimal.candidates import Candidate
from fuseline.fusion.optimal.units import Units


def least_by_ideals(
    units: Units, candidates: Sequence[Candidate], most: int = 200_000
) -> tuple[int, int] | None:
    """The least (bytes, groups) of a partition into `candidates`; None beyond `most` ideals."""
    steps = _steps(units, candidates)
    every = (1 << len(units)) - 1
    best: dict[int, tuple[int, int]] = {0: (0, 0)}
    layers: dict[int, set[int]] = defaultdict(set)  # ideals by size: a step only enlarges
    layers[0].add(0)
    met = 1
    for size in range(len(units)):
        for ideal in layers.pop(size, ()):
            nbytes, groups = best.pop(ideal)
            for unit in bits(_ready(units, ideal)):
                for group, needs, cost in steps[unit]:
                    if group & ideal or needs & ~ideal:
                        continue
                    reached = ideal | group
                    price = nbytes + cost, groups + 1
                    if reached not in best:
                        met += 1
                        layers[reached.bit_count()].add(reached)
                    elif best[reached] <= price:
                        continue
                    best[reached] = price
        if met > most:
            return None
    return best[every]


def _steps(units: Units, candidates: Sequence[Candidate]) -> dict[int, list[tuple[int, int, int]]]:
    """(group, what it needs, bytes) by the first unit of each, which none of it precedes."""
    found: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for candidate in candidates:
        needs = 0
        for unit in bits(candidate.units):
            needs |= units.before[unit]
        first = (candidate.units & -candidate.units).bit_length() - 1
        found[first].append((candidate.units, needs & ~candidate.units, candidate.nbytes))
    return found


def _ready(units: Units, ideal: int) -> int:
    """Units outside `ideal` that need nothing but it."""
    ready = 0
    for unit in range(len(units)):
        if not ideal >> unit & 1 and units.before[unit] & ~ideal == 0:
            ready |= 1 << unit
    return ready
