"""What a strategy may be told besides the graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fuseline.errors import InputError, did_you_mean
from fuseline.hardware import Device


def _silent(step: str, count: int) -> None:
    """Progress told to nobody."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of a partition; each strategy reads those that concern it.

    Of `optimal`: `rules` is a rung of the ladder, `on_chip` the on-chip memory of a kernel [bytes]
    (None: no limit), `objective` what is to be least, `bytes` or `seconds` on `device`, launched by
    `launch` (`eager` or `graph`), float32 contractions as tfloat32 where `tf32`. It may search for
    `seconds` [s] and look at `most_groups` groups; `progress` is told each step by name and count.
    Of `pairs`: `pair_rules` names a rule file.
    """

    rules: str = "T"
    on_chip: int | None = None
    objective: str = "bytes"
    device: Device | None = None
    launch: str = "eager"
    tf32: bool = False
    seconds: float = 60.0
    most_groups: int = 1_000_000
    progress: Callable[[str, int], None] = _silent
    pair_rules: str = "tflite-cpu"

    def __post_init__(self) -> None:
        if self.on_chip is not None and self.on_chip <= 0:
            raise InputError(f"on-chip memory must be positive, not {self.on_chip} bytes")
        if self.objective not in OBJECTIVES:
            hint = did_you_mean(self.objective, OBJECTIVES) or ": one of " + ", ".join(OBJECTIVES)
            raise InputError(f"unknown objective '{self.objective}'{hint}")
        if self.objective == "seconds" and self.device is None:
            raise InputError("the objective seconds needs a device")
        if not self.seconds > 0:
            raise InputError(f"a time limit must be positive, not {self.seconds} s")


OBJECTIVES = ("bytes", "seconds")
"""What `optimal` can minimise."""
