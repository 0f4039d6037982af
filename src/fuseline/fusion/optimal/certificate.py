"""A lower bound that needs no trust in the solver: integer prices of units.

Give each unit a price so that no candidate group costs less than its units are worth together.
Then no partition into candidates costs less than all units are worth: its groups hold each unit
once. Cuts, where there are any, may lift prices by what breaking them costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

from fuseline.fusion.compute import bits
from fuseline.fusion.optimal.cuts import Cut

_FINE = 1 << 10  # prices are told in this many parts of a cost unit: rounding loses next to nothing


@dataclass(frozen=True, slots=True)
class Certificate:
    """Prices of units and penalties of cuts, in 1/1024 of the unit of cost."""

    prices: tuple[int, ...]
    cuts: tuple[Cut, ...] = ()
    penalties: tuple[int, ...] = ()

    @property
    def bound(self) -> int:
        """No partition costs less [units of cost]."""
        paid = sum(p * cut.most for p, cut in zip(self.penalties, self.cuts, strict=True))
        return -((paid - sum(self.prices)) // _FINE)

    def worth(self, group: int) -> int:
        """What the units of a group are worth, less the penalties of what it holds."""
        worth = sum(self.prices[unit] for unit in bits(group))
        for penalty, cut in zip(self.penalties, self.cuts, strict=True):
            if penalty:
                worth -= penalty * cut.weight(group)
        return worth

    def holds(self, groups: Sequence[int], costs: Sequence[int]) -> bool:
        """Whether no group is worth more than it costs: in integers, without any solver."""
        return all(penalty >= 0 for penalty in self.penalties) and all(
            self.worth(group) <= cost * _FINE for group, cost in zip(groups, costs, strict=True)
        )


def certify(
    duals: Sequence[float],
    cut_duals: Sequence[float],
    cuts: Sequence[Cut],
    groups: Sequence[int],
    costs: Sequence[int],
) -> Certificate:
    """Round duals [units of cost] to prices that hold for every one of `groups`.

    Where rounding has left a group worth more than it costs, its units give way in turn.
    """
    prices = [floor(dual * _FINE) for dual in duals]
    penalties = tuple(max(0, ceil(-dual * _FINE)) for dual in cut_duals)
    charged = [(p, cut) for p, cut in zip(penalties, cuts, strict=True) if p]
    for group, cost in zip(groups, costs, strict=True):
        paid = sum(penalty * cut.weight(group) for penalty, cut in charged)
        over = sum(prices[unit] for unit in bits(group)) - paid - cost * _FINE
        if over > 0:
            prices[next(iter(bits(group)))] -= over
    return Certificate(tuple(prices), tuple(cuts), penalties)
