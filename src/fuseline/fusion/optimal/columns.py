"""The choice among very many groups: solved on few of them, proven on all.

Prices of units that hold for some groups say which of the others might improve on them: those
worth more than they cost. They are added until there are none. Then the prices are a lower bound
over all groups, and one that costs more than its worth by the gap, or by more than that, is in no
better choice: an exact choice among the rest is exact among all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import gcd
from time import monotonic

import numpy as np

from fuseline.fusion.compute import bits
from fuseline.fusion.optimal.certificate import Certificate
from fuseline.fusion.optimal.search import Progress, Scale, _Problem, _Solver
from fuseline.fusion.optimal.units import Units

_FEW = 3_000  # groups that the solver takes at once
_ADDED = 1_500  # groups added a round
_STEPS = 1 << 10  # of a unit of cost in which a certificate states its prices


@dataclass(frozen=True, slots=True)
class Chosen:
    """The cheapest choice found: groups (bitsets of units), the bytes they move, and the bytes that
    no choice among the groups given can go below (None: not known). `is_best`: none has fewer
    bytes, or as many and fewer groups.
    """

    groups: tuple[int, ...]
    nbytes: int
    bound: int | None
    is_best: bool


class Columns:
    """Groups (bitsets of units, all single units among them) and the bytes that each moves."""

    def __init__(self, units: Units, groups: Sequence[int], nbytes: Sequence[int]) -> None:
        self._units = units
        self._groups = groups
        self._nbytes = nbytes
        self._scale = Scale(gcd(*nbytes) or 1, len(units))
        self._costs = [self._scale.cost(moved) for moved in nbytes]
        members = [list(bits(group)) for group in groups]
        self._flat = np.concatenate([np.array(m, dtype=np.int64) for m in members])
        sizes = np.array([len(m) for m in members], dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])

    def choose(self, first: Iterable[int], deadline: float, progress: Progress) -> Chosen:
        """The cheapest choice, until `deadline` (`time.monotonic`). Groups in `first` are looked at
        from the start.
        """
        active = self._begin(first)
        while True:
            chosen, certificate, proven = self._solve(active, deadline, progress)
            if certificate is None or monotonic() > deadline:
                return self._answer(chosen, None, is_best=False)
            lacks = self._lacks(certificate)
            wrong = np.flatnonzero(lacks < 0)
            if not len(wrong):
                break
            worst = wrong[np.argsort(lacks[wrong], kind="stable")[:_ADDED]]
            active = sorted({*active, *worst.tolist()})
        bound = self._scale.least(certificate.bound)
        gap = sum(self._costs[place] for place in chosen) - certificate.bound
        if gap <= 0:
            return self._answer(chosen, bound, is_best=True)
        close = np.flatnonzero(lacks < gap * _STEPS).tolist()
        if set(close) <= set(active):
            return self._answer(chosen, bound, is_best=proven)
        better, _, proven = self._solve(sorted({*close, *chosen}), deadline, progress)
        return self._answer(better, bound, is_best=proven)

    def _begin(self, first: Iterable[int]) -> list[int]:
        if len(self._groups) <= _FEW:
            return list(range(len(self._groups)))
        wanted = set(first)
        return [
            place
            for place, group in enumerate(self._groups)
            if group in wanted or group.bit_count() <= 2  # noqa: PLR2004 - singles and pairs
        ]

    def _solve(
        self, active: list[int], deadline: float, progress: Progress
    ) -> tuple[list[int], Certificate | None, bool]:
        """Places of the groups chosen among `active`, prices of units, whether none is better."""
        groups = [self._groups[place] for place in active]
        costs = [self._costs[place] for place in active]
        solver = _Solver(self._units, _Problem(groups, costs, self._scale), deadline, progress)
        chosen, certificate, proven = solver.run()
        place_of = dict(zip(groups, active, strict=True))
        return [place_of[group] for group in chosen], certificate, proven

    def _lacks(self, certificate: Certificate) -> np.ndarray:
        """What each group costs beyond what its units are worth [1/1024 of a unit of cost]."""
        prices = np.array(certificate.prices, dtype=np.int64)
        worth = np.add.reduceat(prices[self._flat], self._starts)
        for penalty, cut in zip(certificate.penalties, certificate.cuts, strict=True):
            if penalty:
                weights = [cut.weight(group) for group in self._groups]
                worth -= penalty * np.array(weights, dtype=np.int64)
        return np.array(self._costs, dtype=np.int64) * _STEPS - worth

    def _answer(self, chosen: list[int], bound: int | None, *, is_best: bool) -> Chosen:
        groups = tuple(self._groups[place] for place in chosen)
        return Chosen(groups, sum(self._nbytes[place] for place in chosen), bound, is_best)
