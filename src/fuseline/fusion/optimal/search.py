"""The search: candidates, a choice for each part that shares no group with another, cuts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import gcd
from time import monotonic

from fuseline.fusion.compute import bits
from fuseline.fusion.ladder.kernel import Kernels
from fuseline.fusion.ladder.rules import RULE_SETS
from fuseline.fusion.optimal.candidates import Candidate, Candidates, enumerate_candidates
from fuseline.fusion.optimal.certificate import Certificate, certify
from fuseline.fusion.optimal.cuts import Cut, cut_cycle, find_cycle
from fuseline.fusion.optimal.master import Choice, choose
from fuseline.fusion.optimal.units import Units

Progress = Callable[[str, int], None]
"""Told the step the search is at, and how far: groups found, or parts chosen."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the search may take [s], and how many groups it may look at."""

    seconds: float = 60.0
    groups: int = 2_000_000


@dataclass(frozen=True, slots=True)
class Scale:
    """Costs as whole numbers: objective / `unit`, and one launch as the smallest step.

    With `launches` above 0 a group costs `objective / unit * (launches + 1) + 1`: the objective
    first, then the number of groups, of which there are at most `launches`.
    """

    unit: int
    launches: int

    def cost(self, objective: int) -> int:
        """The cost of one group."""
        return objective // self.unit * (self.launches + 1) + (1 if self.launches else 0)

    def least(self, cost: int) -> int:
        """The least objective of a partition that costs at least `cost`."""
        return self.unit * -((self.launches - cost) // (self.launches + 1))


@dataclass(frozen=True, slots=True)
class Found:
    """The groups chosen (bitsets of units), and what is proven about them.

    `bound` is the least objective that any legal partition can have; None where not every group was
    looked at. `proven` says that no partition is better. `objective` is what the groups have.
    """

    groups: tuple[int, ...]
    objective: int
    bound: int | None
    proven: bool
    candidates: int
    certificate: Certificate | None
    cuts: int
    scale: Scale


def search(
    units: Units, objective: Callable[[Candidate], int], limits: Limits, progress: Progress,
    *, count_launches: bool = True,
) -> Found:  # fmt: skip
    """The partition of `units` into legal groups with the least sum of `objective`."""
    deadline = monotonic() + limits.seconds
    found = _candidates(units, limits, progress)
    objectives = [objective(candidate) for candidate in found.groups]
    scale = Scale(gcd(*objectives) or 1, len(units) if count_launches else 0)
    problem = Problem(
        [candidate.units for candidate in found.groups],
        [scale.cost(value) for value in objectives],
        scale,
    )
    solver = Solver(units, problem, deadline, progress)
    chosen, certificate, proven = solver.run()
    price = dict(zip(problem.groups, objectives, strict=True))
    total = sum(price[group] for group in chosen)
    bound = scale.least(certificate.bound) if found.complete and certificate else None
    return Found(
        tuple(chosen), total, bound, proven and found.complete, len(found.groups), certificate,
        solver.cuts_made,
        scale,
    )  # fmt: skip


def _candidates(units: Units, limits: Limits, progress: Progress) -> Candidates:
    """All legal groups. Where there are too many, those of a lower rung and the best of what can be
    met in half of the time: a plan, but no bound.
    """
    half = monotonic() + limits.seconds / 2
    found = enumerate_candidates(
        units, limits.groups, lambda count: progress("groups", count), half
    )
    if found.complete:
        return found
    base = _lower_rungs(units, limits)
    known = {group.units for group in base}

    def saved(candidate: Candidate) -> int:
        return sum(units.prices[unit] for unit in bits(candidate.units)) - candidate.nbytes

    others = (group for group in found.groups if group.units not in known)
    more = sorted(others, key=saved, reverse=True)
    return Candidates((*base, *more[:_MOST_UNPROVEN]), complete=False)


def _lower_rungs(units: Units, limits: Limits) -> list[Candidate]:
    """All groups of the highest rung below that can be met at all; at least each unit alone."""
    kernels = units.kernels
    names = list(RULE_SETS)
    below = names[: names.index(kernels.rules.name)]
    for name in reversed(below):
        rung = Units(Kernels(kernels.graph, RULE_SETS[name]), units.members)
        found = enumerate_candidates(
            rung, limits.groups // 10, lambda _: None, monotonic() + limits.seconds / 10
        )
        if found.complete:
            return list(found.groups)
    return [Candidate(1 << unit, units.prices[unit]) for unit in range(len(units))]


_MOST_UNPROVEN = 20_000
"""Groups beyond those of a lower rung that are chosen among where not all can be: the best ones."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Candidates (bitsets of units) and their costs."""

    groups: list[int]
    costs: list[int]
    scale: Scale


class Solver:
    """Chooses part by part; parts whose choices make a cycle are joined and chosen again."""

    def __init__(self, units: Units, problem: Problem, deadline: float, progress: Progress) -> None:
        self._units = units
        self._problem = problem
        self._deadline = deadline
        self._progress = progress
        self._known: dict[object, Choice] = {}
        self.cuts_made = 0

    def run(self) -> tuple[list[int], Certificate | None, bool]:
        """The groups chosen, prices for every unit, and whether no choice is better."""
        parts = _parts(len(self._units), self._problem.groups)
        solved = []
        for number, part in enumerate(parts):
            solved.append(self._solve(part, ()))
            self._progress("parts", number)
        after = self._units.after
        while cycle := find_cycle(
            groups := [group for part in solved for group in part.chosen], after
        ):
            if monotonic() > self._deadline:
                return self._untangled(groups), _joined(len(self._units), solved), False
            cut = cut_cycle(cycle, groups, after)
            touched = 0
            for pair in cut.pairs:
                touched |= pair
            involved = [part for part in solved if part.units & touched]
            solved = [part for part in solved if not part.units & touched]
            merged = [column for part in involved for column in part.columns]
            cuts = (*(old for part in involved for old in part.cuts), cut)
            self.cuts_made += 1
            solved.append(self._solve(sorted(merged), cuts))
        return groups, _joined(len(self._units), solved), all(part.proven for part in solved)

    def _solve(self, columns: list[int], cuts: tuple[Cut, ...]) -> _Solved:
        groups = [self._problem.groups[column] for column in columns]
        costs = [self._problem.costs[column] for column in columns]
        every = 0
        for group in groups:
            every |= group
        places = {unit: place for place, unit in enumerate(bits(every))}
        local = [_moved(group, places) for group in groups]
        local_cuts = tuple(Cut(tuple(_moved(pair, places) for pair in cut.pairs)) for cut in cuts)
        choice = self._choose(len(places), local, costs, local_cuts)
        chosen = [groups[place] for place in choice.chosen] or [1 << unit for unit in places]
        certificate = certify(
            [dual * (self._problem.scale.launches + 1) for dual in choice.unit_duals],
            [dual * (self._problem.scale.launches + 1) for dual in choice.cut_duals],
            local_cuts, local, costs,
        ) if choice.unit_duals else None  # fmt: skip
        return _Solved(every, columns, chosen, cuts, certificate, choice.proven)

    def _choose(
        self, units: int, groups: list[int], costs: list[int], cuts: tuple[Cut, ...]
    ) -> Choice:
        if len(groups) == units:  # nothing to choose
            return Choice(tuple(range(units)), tuple(map(float, costs)), (), proven=True)
        key = (tuple(groups), tuple(costs), cuts)
        if key not in self._known:
            step = self._problem.scale.launches + 1
            self._known[key] = choose(
                units, groups, [cost / step for cost in costs], cuts, self._deadline - monotonic()
            )
        return self._known[key]

    def _untangled(self, groups: list[int]) -> list[int]:
        """The groups with those on cycles taken apart."""
        while cycle := find_cycle(groups, self._units.after):
            largest = max((groups[place] for place in cycle), key=int.bit_count)
            groups = [group for group in groups if group != largest]
            groups += [1 << unit for unit in bits(largest)]
        return groups


@dataclass(frozen=True, slots=True)
class _Solved:
    """One part: its units, its candidates, the groups chosen, and its prices in order of units."""

    units: int
    columns: list[int]
    chosen: list[int]
    cuts: tuple[Cut, ...]
    certificate: Certificate | None
    proven: bool


def _parts(units: int, groups: Sequence[int]) -> list[list[int]]:
    """Candidates by parts: two that hold one unit are in one part."""
    home = list(range(units))

    def find(unit: int) -> int:
        while home[unit] != unit:
            home[unit] = home[home[unit]]
            unit = home[unit]
        return unit

    for group in groups:
        first, *others = bits(group)
        for unit in others:
            home[find(unit)] = find(first)
    found: dict[int, list[int]] = {}
    for column, group in enumerate(groups):
        found.setdefault(find((group & -group).bit_length() - 1), []).append(column)
    return list(found.values())


def _moved(group: int, places: dict[int, int]) -> int:
    moved = 0
    for unit in bits(group):
        moved |= 1 << places[unit]
    return moved


def _joined(units: int, solved: Sequence[_Solved]) -> Certificate | None:
    """The certificates of all parts as one."""
    prices = [0] * units
    cuts: list[Cut] = []
    penalties: list[int] = []
    for part in solved:
        if part.certificate is None:
            return None
        for unit, price in zip(bits(part.units), part.certificate.prices, strict=True):
            prices[unit] = price
        cuts += part.cuts
        penalties += part.certificate.penalties
    return Certificate(tuple(prices), tuple(cuts), tuple(penalties))
