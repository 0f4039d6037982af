"""Neighbours that some optimal partition keeps together, merged before the search.

Each step is exact: every partition that keeps the two apart has another, legal and no dearer, that
does not. So the optimum over what is left is that over ops, at a fraction of the candidates.

* *leaf*: an op that takes only what `p` makes, and that could share a kernel with nothing but
  `p`. It is alone or with `p`; joined, `p`'s result is read once less.
* *root*: the same upstream: all that depends on it is one op, its only possible company.
* *chain*: the result of `p` goes into `c` alone, which needs nothing else and makes no more bytes
  than it reads. Cut after `c` instead of before it, no byte more crosses the cut.

They hold where a group may grow by a streaming op at its edge and stay legal: under A, B and T
without a capacity, and for bytes. For seconds a leaf and a root still hold: what one kernel moves
and computes is no more than two do. A chain does not: its work would change sides.
"""

from __future__ import annotations

from fuseline.fusion.compute import bits
from fuseline.fusion.ladder.kernel import Kernels
from fuseline.fusion.ladder.rules import ENGINES, PROLOGUE, STREAMS
from fuseline.fusion.optimal.prices import Prices, Value


def merge(kernels: Kernels, *, chains: bool) -> list[int]:
    """Compute ops that need not be taken apart, as disjoint bitsets, in no order."""
    merging = _Merging(kernels, chains=chains)
    while merging.run_once():
        pass
    return [ops for ops in merging.members if ops]


class _Merging:
    """Units named by one of their ops, with dependences and links; `members` is 0 if gone."""

    def __init__(self, kernels: Kernels, *, chains: bool) -> None:
        count = len(kernels.ops)
        self.members = [1 << op for op in range(count)]
        self._kernels = kernels
        self._chains = chains
        self._before = list(kernels.compute.before)
        self._after = list(kernels.compute.after)
        self._allowed = list(kernels.allowed)
        self._streams = [part in STREAMS for part in kernels.parts]
        self._prices = Prices(kernels.compute, self.members)

    def run_once(self) -> bool:
        """Merge what can be merged, in program order; whether anything was."""
        changed = False
        for unit in range(len(self.members)):
            if self.members[unit] and (pair := self._company(unit)) is not None:
                self._join(*pair)
                changed = True
        return changed

    def _company(self, unit: int) -> tuple[int, int] | None:
        """(who stays, who joins it) where `unit` is a leaf, a root or the end of a chain."""
        if not self._streams[unit]:
            return None
        before, after, allowed = self._before[unit], self._after[unit], self._allowed[unit]
        if _is_one(before) and before & allowed:
            p = before.bit_length() - 1
            if (allowed == before or self._ends_chain(p, unit)) and self._is_one_loop(p, unit):
                return p, unit
        if _is_one(after) and after == allowed and not self.members[unit] & self._kernels.kept:
            c = after.bit_length() - 1
            if self._may_precede(unit, c) and self._is_one_loop(unit, c):
                return c, unit
        return None

    def _may_precede(self, u: int, c: int) -> bool:
        """Whether `u` is no hindrance to `c` as a prologue: it may be one, or `c` cannot be."""
        parts = self._kernels.parts
        both = self.members[u], self.members[c]
        ours, theirs = (all(parts[op] in PROLOGUE for op in bits(ops)) for ops in both)
        return ours or not theirs

    def _ends_chain(self, p: int, c: int) -> bool:
        """Whether a cut after `c` is no dearer than one between `p` and `c`."""
        after = self._after[c]
        if not self._chains or self._after[p] != 1 << c or after & (after - 1):
            return False
        if self._allowed[c] & ~(1 << p) & ~after or self.members[p] & self._kernels.kept:
            return False
        balance = 0  # bytes more that cross the cut
        touched = {item for op in bits(self.members[c]) for item in self._prices.touching[op]}
        for place in touched:
            item = self._prices.items[place]
            if not isinstance(item, Value):
                return False
            if item.writer & self.members[p]:
                balance -= item.nbytes
            elif item.writer & self.members[c]:
                if item.kept or item.readers & ~self.members[c]:
                    balance += item.nbytes
            elif item.readers & ~self.members[c]:  # read on both sides of the new cut
                balance += item.nbytes
        return balance <= 0

    def _is_one_loop(self, p: int, c: int) -> bool:
        """Whether one link joins the two into a kernel, over all of one domain or operand."""
        kernels, theirs = self._kernels, self.members[c]
        links = [
            (reader, kernels.links[op, reader])
            for op in bits(self.members[p])
            for reader in bits(kernels.readers[op] & theirs)
        ]
        if len(links) != 1:
            return False
        reader, link = links[0]
        if not link.whole or not (link.fills or kernels.parts[reader] in ENGINES):
            return False
        return kernels.find_fault(self.members[p] | theirs) is None

    def _join(self, stays: int, gone: int) -> None:
        bit, old = 1 << stays, 1 << gone
        for edges, back in (
            (self._before, self._after), (self._after, self._before),
            (self._allowed, self._allowed),
        ):  # fmt: skip
            for other in bits(edges[gone]):
                back[other] = (back[other] & ~old) | bit
            edges[stays] = (edges[stays] | edges[gone]) & ~old & ~bit
            edges[gone] = 0
        for edges in (self._before, self._after, self._allowed):
            edges[stays] &= ~bit
        self.members[stays] |= self.members[gone]
        self.members[gone] = 0
        self._streams[stays] &= self._streams[gone]


def _is_one(mask: int) -> bool:
    return mask > 0 and mask & (mask - 1) == 0
