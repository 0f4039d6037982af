"""What on-chip memory is worth: the optimum under the rules M, capacity by capacity.

Steps, each of which only improves on the one before:

    chains   all groups of chains, level by level; relaxed rules bound, working sets decide
    ops      the same with every op for itself, where a gap was left
    carry    the plan of a smaller memory, and unions of its groups: legal with more memory too
    bounds   what holds for a larger memory holds for a smaller one
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2
from time import monotonic

from fuseline.errors import InputError
from fuseline.fusion.ladder.rules import rule_set
from fuseline.fusion.optimal.columns import Chosen, Columns
from fuseline.fusion.optimal.levels import Grain, Growth, Sized, Sizes, chains, ops_alone
from fuseline.fusion.optimal.merge import merge
from fuseline.fusion.optimal.prices import Prices
from fuseline.fusion.optimal.search import Limits, search
from fuseline.fusion.optimal.units import Units
from fuseline.fusion.settings import Settings
from fuseline.graph import Graph

KB = 1 << 10
DEFAULT_CAPACITIES = tuple(64 * KB << doubling for doubling in range(11))
"""64 KB to 64 MB in powers of two [bytes]."""

_CHAINS_UNTIL, _OPS_UNTIL = 0.5, 0.85  # of the time limit, so that every step has its turn
_UNIONS = 20_000  # unions of a plan's groups that are looked at


@dataclass(frozen=True, slots=True)
class Point:
    """The least traffic with `on_chip` bytes of on-chip memory: what was found, what is proven.

    No legal partition moves fewer bytes than `bound`; where `is_optimal`, none moves fewer than
    `nbytes`, and `bound` is the same. `candidates` groups were weighed, in `seconds` [s]. `groups`
    are the plan's compute ops by id, a kernel each.
    """

    on_chip: int
    nbytes: int
    launches: int
    bound: int
    is_optimal: bool
    candidates: int
    seconds: float
    groups: tuple[tuple[int, ...], ...]

    @property
    def gap(self) -> float:
        """How much of its traffic the plan might be above the best: 0.01 is 1%."""
        return (self.nbytes - self.bound) / self.nbytes if self.nbytes else 0.0


@dataclass(frozen=True, slots=True)
class Knee:
    """Where more memory stops to pay: the smallest capacity with `SHARE` of all that the largest
    saves over the smallest. `steepest` is the pair of neighbours with the largest saving a
    doubling.
    """

    first: Point
    knee: Point
    last: Point
    steepest: tuple[Point, Point]


SHARE = 0.9
"""What share of the whole saving the knee has."""


def find_knee(points: Sequence[Point]) -> Knee | None:
    """The knee of a curve; None where more memory saves nothing."""
    first, last = points[0], points[-1]
    whole = first.nbytes - last.nbytes
    if whole <= 0:
        return None
    knee = next(p for p in points if first.nbytes - p.nbytes >= SHARE * whole)
    steepest = max(
        pairwise(points),
        key=lambda pair: (
            (pair[0].nbytes - pair[1].nbytes) / log2(pair[1].on_chip / pair[0].on_chip)
        ),
    )
    return Knee(first, knee, last, steepest)


def least_without_capacity(graph: Graph, rules: str = "T") -> tuple[int, int]:
    """(bytes, launches) of the optimum under `rules` where no capacity is asked about."""
    sizes = Sizes(graph, rule_set(rules), 1)
    plan = _Plan.of(sizes, _optimum(sizes, Settings(rules)))
    return plan.nbytes, len(plan.groups)


def capacity_curve(
    graph: Graph,
    capacities: Iterable[int] = DEFAULT_CAPACITIES,
    settings: Settings | None = None,
) -> tuple[Point, ...]:
    """The optimum for each of `capacities` [bytes], ascending: traffic never rises along it.

    `settings` gives rules (M where there are none), the time limit of the whole curve, and how many
    groups may be looked at. A point that is not proven within them says so by its bound, at worst
    the compulsory bytes. Raises `InputError` for a capacity that is not positive, or another
    objective than bytes.

    >>> from fuseline.graph import Builder, Kind, Role
    >>> build = Builder()
    >>> x = build.tensor("x", (64, 64), role=Role.INPUT)  # 16 KiB
    >>> for name in ("one", "two"):  # a weight of 16 KiB each, and a row of 256 bytes
    ...     w = build.tensor(f"w_{name}", (64, 64), role=Role.PARAMETER)
    ...     x = build.op(name, Kind.LINEAR, inputs=[x], parameters=[w], shape=(64, 64))
    >>> points = capacity_curve(build.finish([x]), (33_279, 33_280))
    >>> [(point.nbytes >> 10, point.launches, point.is_optimal) for point in points]
    [(96, 2, True), (64, 1, True)]
    """
    settings = settings or Settings("M")
    levels = sorted(set(capacities))
    if settings.objective != "bytes":
        raise InputError(f"a capacity curve is of bytes, not of {settings.objective}")
    if not levels:
        raise InputError("a capacity curve needs a capacity at least")
    if levels[0] <= 0:
        raise InputError(f"on-chip memory must be positive, not {levels[0]} bytes")
    curve = _Curve(graph, levels, settings)
    if curve.sizes.kernels.fits:
        curve.search_levels(chains(curve.sizes), curve.until(_CHAINS_UNTIL))
    if open_levels := curve.levels_to_refine():
        curve.search_levels(ops_alone(curve.sizes), curve.until(_OPS_UNTIL), open_levels)
    curve.carry_plans()
    curve.carry_bounds()
    return tuple(curve.point(level) for level in range(len(levels)))


@dataclass(frozen=True, slots=True)
class _Plan:
    """Groups (bitsets of compute ops), and the bytes they move."""

    groups: tuple[int, ...]
    nbytes: int

    @classmethod
    def of(cls, sizes: Sizes, groups: tuple[int, ...]) -> _Plan:
        prices = Prices(sizes.kernels.compute, [1 << op for op in range(len(sizes.kernels.ops))])
        return cls(groups, sum(map(prices.nbytes, groups)))

    @property
    def cost(self) -> tuple[int, int]:
        return self.nbytes, len(self.groups)


def _optimum(sizes: Sizes, settings: Settings) -> tuple[int, ...]:
    """The best groups (bitsets of compute ops) where no capacity is asked about."""
    units = Units(sizes.classes, merge(sizes.classes, chains=True))
    limits = Limits(settings.seconds, settings.most_groups)
    found = search(units, lambda group: group.nbytes, limits, settings.progress)
    return tuple(map(units.ops_of, found.groups))


def _bound(chosen: Chosen) -> int:
    """No choice among the same groups moves fewer bytes; 0 where nothing is known."""
    return chosen.nbytes if chosen.is_best else chosen.bound or 0


@dataclass(slots=True)
class _Level:
    """What is known at one capacity so far."""

    on_chip: int
    plan: _Plan
    bound: int
    is_met: bool = False  # whether all groups of chains that fit it were met
    is_optimal: bool = False
    candidates: int = 0
    seconds: float = 0.0


class _Curve:
    """The steps of `capacity_curve`, on what is known of each level."""

    def __init__(self, graph: Graph, capacities: list[int], settings: Settings) -> None:
        self._settings = settings
        self._began = monotonic()
        self.sizes = Sizes(graph, rule_set(settings.rules), capacities[-1])
        start = tuple(1 << op for op in range(len(self.sizes.kernels.ops)))
        if self.sizes.kernels.fits:
            start = _optimum(self.sizes, settings)  # legal whatever the memory
        plan = _Plan.of(self.sizes, start)
        self._levels = [_Level(s, plan, graph.compulsory_bytes) for s in capacities]

    def until(self, share: float) -> float:
        """When a share of the time has passed, on the clock of `time.monotonic`."""
        return self._began + share * self._settings.seconds

    def levels_to_refine(self) -> list[int]:
        """Levels that are not proven; where chains were tried, those alone that they got to."""
        tried = self.sizes.kernels.fits
        return [
            n
            for n, level in enumerate(self._levels)
            if not level.is_optimal and (level.is_met or not tried)
        ]

    def search_levels(
        self, grain: Grain, deadline: float, wanted: Sequence[int] | None = None
    ) -> None:
        """Choose among all groups of `grain`, at the levels `wanted` (all), until time runs out."""
        wanted = range(len(self._levels)) if wanted is None else wanted
        capacities = [level.on_chip for level in self._levels[: wanted[-1] + 1]]
        progress = self._settings.progress
        growth = Growth(
            grain, capacities, self._settings.most_groups, lambda count: progress("groups", count)
        )
        known: set[int] = set()
        for number in range(len(capacities)):
            began = monotonic()
            level = self._levels[number]
            if not growth.reach(number, deadline):
                break
            level.is_met = True
            if number in wanted and not level.is_optimal:
                share = monotonic() + (deadline - monotonic()) / 3  # the next ones want time too
                known.update(self._choose(grain, growth.found, level, known, share))
            level.seconds += monotonic() - began

    def _choose(
        self, grain: Grain, found: list[Sized], level: _Level, known: set[int], deadline: float
    ) -> tuple[int, ...]:
        """The best groups that fit; of chains, those that the relaxed rules allow are a bound."""
        allowed = [group for group in found if group.least <= level.on_chip]
        level.candidates = len(allowed)
        relaxed: tuple[int, ...] = ()
        if not grain.is_exact:
            chosen = self._solve(grain, allowed, known, deadline)
            level.bound = max(level.bound, _bound(chosen))
            relaxed = chosen.groups
            if all(self._fits(grain, group, level) for group in relaxed):
                self._offer(grain, chosen, level)
                level.is_optimal = chosen.is_best
                return relaxed
        fitting = [group for group in allowed if self._fits(grain, group.units, level)]
        chosen = self._solve(grain, fitting, {*known, *relaxed}, deadline)
        self._offer(grain, chosen, level)
        if grain.is_exact:
            level.bound = max(level.bound, _bound(chosen))
        level.is_optimal = level.plan.nbytes == level.bound
        return (*relaxed, *chosen.groups)

    def _solve(self, grain: Grain, groups: list[Sized], first: set[int], deadline: float) -> Chosen:
        columns = Columns(grain.units, [g.units for g in groups], [g.nbytes for g in groups])
        return columns.choose(first, deadline, self._settings.progress)

    def _fits(self, grain: Grain, units: int, level: _Level) -> bool:
        need = grain.need(units)
        return need is not None and need <= level.on_chip

    def _offer(self, grain: Grain, chosen: Chosen, level: _Level) -> None:
        """Take a choice where it is better than the plan so far."""
        plan = _Plan(tuple(map(grain.units.ops_of, chosen.groups)), chosen.nbytes)
        level.plan = min(level.plan, plan, key=lambda one: one.cost)

    def carry_plans(self) -> None:
        """Each level may do what the one before does, and join groups of that plan."""
        for before, level in pairwise(self._levels):
            if level.is_optimal and level.plan.cost <= before.plan.cost:
                continue
            began = monotonic()
            level.plan = min(before.plan, level.plan, key=lambda one: one.cost)
            if began < self.until(1):
                self._join_groups(level)
            level.seconds += monotonic() - began

    def _join_groups(self, level: _Level) -> None:
        grain = Grain(self.sizes, list(level.plan.groups))
        growth = Growth(grain, [level.on_chip], _UNIONS, lambda _: None)
        growth.reach(0, self.until(1))
        fitting = [group for group in growth.found if self._fits(grain, group.units, level)]
        level.candidates = max(level.candidates, len(fitting))
        remaining = self.until(1) - monotonic()
        self._offer(grain, self._solve(grain, fitting, set(), monotonic() + remaining / 2), level)

    def carry_bounds(self) -> None:
        """No level goes below what bounds a larger memory."""
        bound = 0
        for level in reversed(self._levels):
            bound = max(bound, level.bound, level.plan.nbytes if level.is_optimal else 0)
            level.bound = bound
            level.is_optimal = level.plan.nbytes == bound

    def point(self, number: int) -> Point:
        level = self._levels[number]
        groups = tuple(sorted(map(self.sizes.kernels.compute.ids, level.plan.groups)))
        return Point(
            level.on_chip, level.plan.nbytes, len(groups), level.bound, level.is_optimal,
            level.candidates, level.seconds, groups,
        )  # fmt: skip
