"""Groups met once for many capacities: in the order of the on-chip memory that they take.

A group that fits some memory is reached through groups that hold no more (`resident` only grows).
So growth goes level by level: all that a capacity allows is met before anything larger, and where
time or room run out, the levels that were completed stay exact.

Units may be whole chains of streaming ops. Whether a group of them fits is then asked twice:

* `least`: by what its other ops hold at once. Moving a streaming op to the other end of its chain
  changes nothing of this, so merging is exact under these rules (`merge.py` has the reasons); and
  as they allow all that the true ones do, what is least under them is a lower bound.
* `need`: by its working set, as it is. What fits is a kernel, and makes a plan.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from time import monotonic
from typing import NamedTuple

from fuseline.costs.working_set import WorkingSets
from fuseline.fusion.compute import bits
from fuseline.fusion.ladder.kernel import Kernels
from fuseline.fusion.ladder.rules import STREAMS, RuleSet
from fuseline.fusion.optimal.candidates import Grown, add_unit
from fuseline.fusion.optimal.merge import merge
from fuseline.fusion.optimal.units import Units
from fuseline.graph import Graph


class Sized(NamedTuple):
    """A group (a bitset of units), the bytes it moves, and the on-chip memory [bytes] below which
    the relaxed rules do not allow it; 0 where they do whatever the memory.
    """

    units: int
    nbytes: int
    least: int


class Sizes:
    """What on-chip memory a group of compute ops takes to be one kernel, under `rules`.

    `most` is the largest memory that is asked about [bytes].
    """

    def __init__(self, graph: Graph, rules: RuleSet, most: int) -> None:
        self.kernels = Kernels(graph, rules, most)
        self.classes = Kernels(graph, rules)  # what the rules allow whatever the memory
        self._sets = self.kernels.working_sets or WorkingSets(graph)

    def is_open(self, ops: int) -> bool:
        """Whether a larger group might be a kernel whatever the memory."""
        kernels = self.kernels
        if not kernels.fits:
            return True
        if any(kernels.class_barred[place] & ops for place in bits(ops)):
            return False
        cores = list(bits(kernels.cores & ops))
        return len(cores) <= 1 or kernels.templates.get(cores[0], 0) >> cores[1] & 1 == 1

    def is_kernel(self, ops: int) -> bool:
        """Whether the rules allow `ops` by what they are, whatever they hold."""
        return self.is_open(ops) and self.classes.find_fault(ops) is None

    def need(self, ops: int) -> int | None:
        """The on-chip memory from which `ops` are a kernel [bytes]; None where they never are."""
        if ops & (ops - 1) == 0:
            return 0  # an op alone tiles
        ids = self.kernels.compute.ids(ops)
        if not self.kernels.fits:
            return self._sets.tile_nbytes(ids) if self.is_kernel(ops) else None
        return 0 if self.is_kernel(ops) else self._sets.nbytes(ids)

    def resident(self, ops: int) -> int:
        """What any group with `ops` in it holds at least [bytes]."""
        return self._sets.resident(self.kernels.compute.ids(ops))


class Grain:
    """A graph in units, none of which is taken apart."""

    def __init__(self, sizes: Sizes, members: list[int]) -> None:
        self.sizes = sizes
        self.units = Units(sizes.kernels, members)
        self._needs: dict[int, int | None] = {}
        self._moved = 0  # streaming ops of chains: the relaxed rules leave out what they hold
        for ops in members:
            if ops & (ops - 1):
                streams = (op for op in bits(ops) if sizes.kernels.parts[op] in STREAMS)
                self._moved |= sum(1 << op for op in streams)
        self.is_exact = len(members) == len(sizes.kernels.ops)  # no group is out of reach

    def need(self, units: int) -> int | None:
        """The on-chip memory from which a group is a kernel [bytes]; None where it never is."""
        if units not in self._needs:
            self._needs[units] = self.sizes.need(self.units.ops_of(units))
        return self._needs[units]

    def resident(self, units: int) -> int:
        """What a group holds at least under the relaxed rules [bytes]."""
        return self.sizes.resident(self.units.ops_of(units) & ~self._moved)


def ops_alone(sizes: Sizes) -> Grain:
    """Every op a unit."""
    return Grain(sizes, [1 << op for op in range(len(sizes.kernels.ops))])


def chains(sizes: Sizes) -> Grain:
    """Chains of streaming ops as units. For rules that allow whatever fits."""
    kernels = Kernels(sizes.kernels.graph, sizes.kernels.rules)
    kernels.allowed = sizes.kernels.allowed  # any link may join two ops that fit
    return Grain(sizes, merge(kernels, chains=True))


class Growth:
    """All groups of a grain, level by level of `capacities` [bytes, ascending]."""

    def __init__(
        self, grain: Grain, capacities: Sequence[int], most: int, tick: Callable[[int], None]
    ) -> None:
        self._grain = grain
        self._capacities = capacities
        self._left = most
        self._tick = tick
        self._seen: set[int] = set()
        self._pending: list[list[Grown]] = [[] for _ in capacities]
        units = grain.units
        self.found = [Sized(1 << unit, price, 0) for unit, price in enumerate(units.prices)]
        for unit, price in enumerate(units.prices):
            later = units.allowed[unit] & (-1 << unit)
            if later:
                lone = Grown(1 << unit, later, units.barred[unit], units.descendants[unit],
                              units.ancestors[unit], price)  # fmt: skip
                self._pending[0].append(lone)

    def reach(self, level: int, deadline: float) -> bool:
        """Meet all that fit this level, after those below it; False where room or time ran out."""
        pending = self._pending[level]
        while pending:
            if self._left <= 0 or monotonic() > deadline:
                return False
            self._grow(pending.pop(), level)
        return True

    def _grow(self, group: Grown, level: int) -> None:
        grain = self._grain
        root = group.units & -group.units
        for unit in bits(group.near & ~group.barred):
            larger = add_unit(grain.units, group, unit, -root)
            if larger is None or larger.units in self._seen:
                continue
            self._seen.add(larger.units)
            self._left -= 1
            if self._left % 1024 == 0:
                self._tick(len(self._seen))
            self._place(larger, level)

    def _place(self, group: Grown, level: int) -> None:
        """Keep a group as a candidate, and to grow from, if any capacity allows either."""
        grain, sizes = self._grain, self._grain.sizes
        ops = grain.units.ops_of(group.units)
        is_open = sizes.is_open(ops)
        if not sizes.kernels.fits:
            least = grain.need(group.units)
        elif is_open and sizes.is_kernel(ops):
            least = 0
        else:
            least = grain.resident(group.units)
        if is_open:
            self._pending[level].append(group)
        elif least is not None and least <= self._capacities[-1]:
            place = bisect_left(self._capacities, least)
            self._pending[max(place, level)].append(group)
        if least is not None and least <= self._capacities[-1]:
            self.found.append(Sized(group.units, group.nbytes, least))
