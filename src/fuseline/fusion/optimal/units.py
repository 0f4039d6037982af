"""What the search places: compute ops, or groups of them that it need not take apart."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from fuseline.fusion.compute import bits, closure, transposed
from fuseline.fusion.ladder.kernel import Kernels
from fuseline.fusion.optimal.prices import Prices


class Units:
    """Disjoint groups of compute ops, numbered in an order that runs, and what holds among them.

    `members` are bitsets over compute ops; every other bitset is one over units.
    """

    def __init__(self, kernels: Kernels, members: list[int]) -> None:
        members = _in_order(kernels, members)
        self.members = members
        self.kernels = kernels
        self._prices = Prices(kernels.compute, members)
        home = _homes(members)
        before = [0] * len(members)
        self.allowed, self.barred = [0] * len(members), [0] * len(members)
        cores, alone = _lifted(kernels.cores, home), _lifted(kernels.alone, home)
        for unit, ops in enumerate(members):
            barred = alone
            for op in bits(ops):
                before[unit] |= _lifted(kernels.compute.before[op], home)
                self.allowed[unit] |= _lifted(kernels.allowed[op], home)
                barred |= _lifted(kernels.barred[op], home)
                if kernels.cores >> op & 1 and not kernels.fits:
                    barred |= cores & ~_lifted(kernels.templates.get(op, 0), home)
            self.barred[unit] = barred & ~(1 << unit)
            self.allowed[unit] &= ~(1 << unit)
            before[unit] &= ~(1 << unit)
        self.before = before
        self.after = transposed(before)
        self.ancestors = closure(before)
        self.descendants = _descendants(self.after)
        self.prices = [self._prices.nbytes(1 << unit) for unit in range(len(members))]

    def __len__(self) -> int:
        return len(self.members)

    def ops_of(self, units: int) -> int:
        """The compute ops of a set of units."""
        ops = 0
        for unit in bits(units):
            ops |= self.members[unit]
        return ops

    def is_legal(self, units: int) -> bool:
        """Whether they are one kernel together."""
        return self.kernels.find_fault(self.ops_of(units)) is None

    def may_grow(self, units: int) -> bool:
        """Whether a larger group might still be legal."""
        return self.kernels.may_grow(self.ops_of(units)) if self.kernels.fits else True

    def price_with(self, units: int, nbytes: int, more: int) -> int:
        """Bytes of `units` with `more`, those of `units` alone being `nbytes`."""
        return self._prices.added(units, nbytes, more)


def _homes(members: list[int]) -> dict[int, int]:
    return {op: unit for unit, ops in enumerate(members) for op in bits(ops)}


def _in_order(kernels: Kernels, members: list[int]) -> list[int]:
    """Groups in an order that runs, as near to the program's as can be."""
    home = _homes(members)
    before = [0] * len(members)
    for unit, ops in enumerate(members):
        for op in bits(ops):
            before[unit] |= _lifted(kernels.compute.before[op], home)
        before[unit] &= ~(1 << unit)
    after = transposed(before)
    waits = [mask.bit_count() for mask in before]
    ready = [(ops & -ops, unit) for unit, ops in enumerate(members) if not waits[unit]]
    heapify(ready)
    order = []
    while ready:
        _, unit = heappop(ready)
        order.append(members[unit])
        for later in bits(after[unit]):
            waits[later] -= 1
            if not waits[later]:
                heappush(ready, (members[later] & -members[later], later))
    return order


def _lifted(ops: int, home: dict[int, int]) -> int:
    units = 0
    for op in bits(ops):
        units |= 1 << home[op]
    return units


def _descendants(after: list[int]) -> list[int]:
    found = [0] * len(after)
    for place in reversed(range(len(after))):
        below = after[place]
        for later in bits(after[place]):
            below |= found[later]
        found[place] = below
    return found
