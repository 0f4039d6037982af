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
from fuseline.fusion.optimal.search import Problem, Progress, Scale, Solver
from fuseline.fusion.optimal.units import Units

_FEW = 3_000  # groups that the solver takes at once
_ADDED = 1_500  # groups added a round
_ROUND = 2.0  # s that a round may take
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
        self._singles = [place for place, group in enumerate(groups) if group & (group - 1) == 0]
        self._scale = Scale(gcd(*nbytes) or 1, len(units))
        self._costs = [self._scale.cost(moved) for moved in nbytes]
        members = [list(bits(group)) for group in groups]
        self._flat = np.array([unit for m in members for unit in m], dtype=np.int64)
        sizes = np.array([len(m) for m in members], dtype=np.int64)
        self._starts = np.cumsum(sizes) - sizes

    def choose(self, first: Iterable[int], deadline: float, progress: Progress) -> Chosen:
        """The cheapest choice, until `deadline` (`time.monotonic`). Groups in `first` are looked at
        from the start.
        """
        if not self._groups:
            return Chosen((), 0, 0, is_best=True)
        active, certificate = self._converge(first, deadline, progress)
        halfway = monotonic() + (deadline - monotonic()) / 2
        best, found, proven = self._solve(active, halfway, progress)
        certificate = certificate or found
        if certificate is None:
            return self._answer(best, None, is_best=False)
        certificate = self._repaired(certificate)
        bound = self._scale.least(certificate.bound)
        gap = self._cost(best) - certificate.bound
        if gap <= 0:
            return self._answer(best, bound, is_best=True)
        close = np.flatnonzero(self._lacks(certificate) < gap * _STEPS).tolist()
        if not (proven and set(close) <= set(active)):
            chosen, _, proven = self._solve(sorted({*close, *best}), deadline, progress)
            best = min((best, chosen), key=self._cost)
        return self._answer(best, bound, is_best=proven)

    def _converge(
        self, first: Iterable[int], deadline: float, progress: Progress
    ) -> tuple[list[int], Certificate | None]:
        """Few groups, and prices of units that hold for all, or did when time ran out for most."""
        active, certificate = self._begin(first), None
        while len(active) < len(self._groups) and monotonic() < deadline:
            soon = min(deadline, monotonic() + _ROUND)  # a choice may wait, prices are enough
            _, found, _ = self._solve(active, soon, progress)
            if found is None:
                break
            certificate = found
            lacks = self._lacks(certificate)
            wrong = np.flatnonzero(lacks < 0)
            if not len(wrong):
                break
            worst = wrong[np.argsort(lacks[wrong], kind="stable")[:_ADDED]]
            active = sorted({*active, *worst.tolist()})
        return active, certificate

    def _repaired(self, certificate: Certificate) -> Certificate:
        """Where a group is worth more than it costs, its first unit gives way."""
        prices = list(certificate.prices)
        for place in np.flatnonzero(self._lacks(certificate) < 0).tolist():
            group = self._groups[place]
            worth = Certificate(tuple(prices), certificate.cuts, certificate.penalties).worth(group)
            over = worth - self._costs[place] * _STEPS
            if over > 0:
                prices[next(iter(bits(group)))] -= over
        return Certificate(tuple(prices), certificate.cuts, certificate.penalties)

    def _cost(self, places: list[int]) -> int:
        return sum(self._costs[place] for place in places)

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
        active = sorted({*self._singles, *active})  # what the solver falls back on
        groups = [self._groups[place] for place in active]
        costs = [self._costs[place] for place in active]
        solver = Solver(self._units, Problem(groups, costs, self._scale), deadline, progress)
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
