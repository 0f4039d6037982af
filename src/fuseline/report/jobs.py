"""Which plans are made where strategies and rungs of the rule ladder are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from fuseline.errors import InputError
from fuseline.fusion import READS_RULES, Settings

_Rung = TypeVar("_Rung")

Job = tuple[str, Settings]
"""A strategy, and what it is told."""


def jobs(strategies: Iterable[str], rungs: Sequence[_Rung]) -> tuple[tuple[str, _Rung], ...]:
    """Every strategy with each rung, by name or as settings; one that reads no rules with the
    first alone.

    >>> rungs = settings_of(Settings(), ["A", "T"])
    >>> [(strategy, setting.rules) for strategy, setting in jobs(["tvm", "optimal"], rungs)]
    [('tvm', 'A'), ('optimal', 'A'), ('optimal', 'T')]
    """
    return tuple(
        (strategy, rung)
        for strategy in strategies
        for rung in (rungs if strategy in READS_RULES else rungs[:1])
    )


def settings_of(
    first: Settings, rules: Iterable[str], cure: str = "on_chip"
) -> tuple[Settings, ...]:
    """The same settings for each rung of the ladder.

    Raises `InputError` for rung M without on-chip memory; `cure` is how its size is given.
    """
    wanted = tuple(dict.fromkeys(rules))
    if "M" in wanted and first.on_chip is None:
        raise InputError(f"rules M allow what fits on chip: add {cure}")
    return tuple(replace(first, rules=name) for name in wanted)
