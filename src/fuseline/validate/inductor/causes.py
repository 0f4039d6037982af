"""Why two plans of one program differ: regions of kernels that belong together, each with a cause.

    kernels that store an op in common                    -->  one region
    a kernel of ours or of the compiler's that has none   -->  a region of its own

Every kernel of either side is in exactly one region. So what the regions differ by, in bytes and in
launches, adds up to what the plans differ by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations

from fuseline.graph import OpClass
from fuseline.validate.inductor.owners import Besides


class Cause(Enum):
    """Why the kernels of a region are not the same on both sides."""

    LAYOUT = "layout copies"
    BIAS = "bias unfusing"
    TEMPLATE = "attention in steps, templates"
    CONSTANT = "constants made at run time"
    REMOVED = "removed ops"
    DECOMPOSITION = "decomposition"
    RECOMPUTATION = "recomputation"
    COUNTING = "counting"
    LOOPS = "loops"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class SideKernel:
    """One kernel of either side: the compute ops it computes, those that it stores, ops of which it
    computes a part, all by name; and what it moves [bytes].

    `besides` says what a kernel is for that computes no op of the graph.
    """

    name: str
    computes: frozenset[str]
    stores: frozenset[str]
    parts: frozenset[str]
    nbytes: int
    besides: Besides | None = None


@dataclass(frozen=True, slots=True)
class Region:
    """Kernels of both sides that belong together, and why they differ; None where they do not."""

    ours: tuple[SideKernel, ...]
    real: tuple[SideKernel, ...]
    cause: Cause | None = None

    @property
    def nbytes(self) -> int:
        """Ours less the compiler's [bytes]."""
        return sum(k.nbytes for k in self.ours) - sum(k.nbytes for k in self.real)

    @property
    def launches(self) -> int:
        """Ours less the compiler's."""
        return len(self.ours) - len(self.real)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the program's ops, by name: their classes, and which of them the compiler
    made nothing of.
    """

    classes: dict[str, OpClass]
    removed: frozenset[str]


def find_regions(
    ours: Sequence[SideKernel], real: Sequence[SideKernel], facts: Facts
) -> tuple[Region, ...]:
    """Every kernel of both sides in one region, each region with its cause.

    >>> ops = frozenset("a"), frozenset("ab")
    >>> one, both = (SideKernel("k", held, held, frozenset(), 8) for held in ops)
    >>> facts = Facts({}, frozenset({"b"}))
    >>> [region.cause for region in find_regions([both], [one], facts)]
    [<Cause.REMOVED: 'removed ops'>]
    """
    return tuple(
        Region(region.ours, region.real, _cause_of(region, facts))
        for region in _together(ours, real)
    )


def _together(ours: Sequence[SideKernel], real: Sequence[SideKernel]) -> list[Region]:
    """The connected components of kernels by the ops they store, or compute a part of."""
    kernels = [*ours, *real]
    leader = list(range(len(kernels)))

    def find(place: int) -> int:
        while leader[place] != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    first: dict[str, int] = {}
    for place, kernel in enumerate(kernels):
        for op in sorted(kernel.stores | kernel.parts):
            leader[find(place)] = find(first.setdefault(op, place))
    found: dict[int, tuple[list[SideKernel], list[SideKernel]]] = {}
    for place, kernel in enumerate(kernels):
        sides = found.setdefault(find(place), ([], []))
        sides[place >= len(ours)].append(kernel)
    return [Region(tuple(one), tuple(other)) for one, other in found.values()]


# --- causes -----------------------------------------------------------------------------------

_STEPWISE = frozenset({OpClass.REDUCTION})


def _cause_of(region: Region, facts: Facts) -> Cause | None:
    """The first cause that is true of a region; None where both sides have the same kernels."""
    if region.launches == region.nbytes == 0 and (
        _sets(region.ours) == _sets(region.real) or _pairs(region.ours) == _pairs(region.real)
    ):
        return None
    return next((cause for is_true, cause in _CAUSES if is_true(region, facts)), Cause.OTHER)


def _sets(kernels: Iterable[SideKernel]) -> Counter[frozenset[str]]:
    return Counter(kernel.computes for kernel in kernels)


def _pairs(kernels: Iterable[SideKernel]) -> set[tuple[str, str]]:
    """The pairs of ops that share a kernel: the steps of an op in kernels of its own add none."""
    return {pair for kernel in kernels for pair in combinations(sorted(kernel.computes), 2)}


def _copies_alone(region: Region, _: Facts) -> bool:
    """Nothing but copies into another layout."""
    return _is_besides(region, Besides.LAYOUT)


def _made_at_run_time(region: Region, _: Facts) -> bool:
    return _is_besides(region, Besides.CONSTANT)


def _is_besides(region: Region, besides: Besides) -> bool:
    return all(kernel.besides is besides for kernel in (*region.ours, *region.real))


def _of_attention(region: Region, facts: Facts) -> bool:
    """An attention that one side, or both, has in more than one kernel."""
    ops = _ops(region)
    is_there = any(facts.classes.get(op) is OpClass.ATTENTION for op in ops)
    return is_there and max(len(region.ours), len(region.real)) > 1


def _has_bias_apart(region: Region, _: Facts) -> bool:
    return any(kernel.besides is Besides.PART for kernel in region.real)


def _removes(region: Region, facts: Facts) -> bool:
    """Apart from what the compiler removed, both sides have the same kernels."""
    removed = facts.removed
    if removed.isdisjoint(_ops(region)):
        return False
    sides = (
        Counter(left for kernel in kernels if (left := kernel.computes - removed))
        for kernels in (region.ours, region.real)
    )
    return next(sides) == next(sides)


def _counts_otherwise(region: Region, _: Facts) -> bool:
    return _sets(region.ours) == _sets(region.real)


def _recomputes(region: Region, _: Facts) -> bool:
    """The same results stored, kernel by kernel, and others computed on the way."""
    return Counter(k.stores for k in region.ours) == Counter(k.stores for k in region.real)


def _takes_apart(region: Region, facts: Facts) -> bool:
    """One side has the steps of one op in more kernels than the other."""
    ours, real = (
        Counter(op for kernel in kernels for op in kernel.stores | kernel.parts)
        for kernels in (region.ours, region.real)
    )
    return any(
        ours[op] != real[op] and max(ours[op], real[op]) > 1 and ours[op] and real[op]
        for op in {**ours, **real}
    ) or any(
        facts.classes.get(op) in _STEPWISE and _count(region.ours, op) != _count(region.real, op)
        for op in _ops(region)
    )


def _has_other_borders(region: Region, _: Facts) -> bool:
    """The same ops, divided among kernels otherwise."""
    return bool(region.ours and region.real)


def _ops(region: Region) -> set[str]:
    return {op for kernel in (*region.ours, *region.real) for op in kernel.computes}


def _count(kernels: Iterable[SideKernel], op: str) -> int:
    return sum(op in kernel.computes for kernel in kernels)


_CAUSES: tuple[tuple[Callable[[Region, Facts], bool], Cause], ...] = (
    # what is true of a region --> its cause; the first row that is true
    (_copies_alone, Cause.LAYOUT),
    (_made_at_run_time, Cause.CONSTANT),
    (_has_bias_apart, Cause.BIAS),
    (_of_attention, Cause.TEMPLATE),
    (_removes, Cause.REMOVED),
    (_counts_otherwise, Cause.COUNTING),
    (_recomputes, Cause.RECOMPUTATION),
    (_takes_apart, Cause.DECOMPOSITION),
    (_has_other_borders, Cause.LOOPS),
)
