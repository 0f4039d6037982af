"""What a strategy may be told besides the graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _silent(step: str, count: int) -> None:
    """Progress told to nobody."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of a partition; each strategy reads those that concern it.

    Of `optimal`: `rules` is a rung of the ladder, `on_chip` the on-chip memory of a kernel [bytes]
    (None: no limit), `seconds` how long it may search, `most_groups` how many groups it may look
    at, `progress` is told each step by name and count.
    """

    rules: str = "T"
    on_chip: int | None = None
    seconds: float = 60.0
    most_groups: int = 1_000_000
    progress: Callable[[str, int], None] = _silent
