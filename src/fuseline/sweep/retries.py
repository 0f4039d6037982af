"""One capture under way: its rows so far, and what is tried again when a step fails or dies.

A step is the capture (None) or a unit (its number). One that dies, or is out of time or memory, is
tried once more; what else there is to do goes first, so that it cannot be dragged along twice.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fuseline.sweep.grids import Capture
from fuseline.sweep.schema import COLUMNS, failed_rows
from fuseline.sweep.store import Finished
from fuseline.sweep.tasks import (
    RETRIED,
    Began,
    Death,
    Ended,
    Event,
    Made,
    Outcome,
    Row,
    Status,
    Uncaptured,
)

TRIES = 2
"""How often a step is tried."""

MOST_LOST = 10
"""How often a task may be lost through no fault of its own, and bring nothing."""

_REASON = [column.name for column in COLUMNS].index("reason")


@dataclass(slots=True)
class Progress:
    """What came of a capture so far. `failures` counts by step; `lost`: tasks that brought nothing
    and blame no step. Attempts that died told no times: what they took is in no sum.
    """

    capture: Capture
    rows: dict[int, list[Row]] = field(default_factory=dict)
    failures: Counter[int | None] = field(default_factory=Counter)
    lost: int = 0
    attempts: int = 0
    cpu_seconds: float = 0.0
    seconds: float = 0.0
    peak_nbytes: int = 0
    cached: bool | None = None  # as the first attempt that ended found it

    @property
    def units(self) -> tuple[int, ...]:
        """The units that are to be done, those that failed before last."""
        every = range(len(self.capture.planning.unit_names))
        left = [unit for unit in every if unit not in self.rows]
        return tuple(sorted(left, key=lambda unit: self.failures[unit]))

    def take(self, outcome: Outcome) -> None:
        """Note what came of a task of this capture."""
        self.attempts += 1
        before = len(self.rows), self.failures.total()
        for event in outcome.events:
            self._note(event)
        last, death = outcome.events[-1] if outcome.events else None, outcome.death
        if not self.units:
            return
        if death is not None and death.is_blamed and isinstance(last, Began):
            self._blame(last.unit, death.status, death.reason)
        elif before == (len(self.rows), self.failures.total()):
            self._lose(death or Death(Status.DIED, "its task ended without rows"))

    def _note(self, event: Event) -> None:
        match event:
            case Began():
                pass
            case Made(unit, status, rows) if status in RETRIED:
                self._blame(unit, status, str(rows[0][_REASON]))
            case Made(unit, _, rows):
                self.rows[unit] = rows
            case Uncaptured(status, reason) if status in RETRIED:
                self._blame(None, status, reason)
            case Uncaptured(status, reason):
                self._fail(self.units, status, reason)
            case Ended(cpu_seconds, seconds, peak_nbytes, cached):
                self.cpu_seconds += cpu_seconds
                self.seconds += seconds
                self.peak_nbytes = max(self.peak_nbytes, peak_nbytes)
                self.cached = cached if self.cached is None else self.cached

    def _blame(self, step: int | None, status: Status, reason: str) -> None:
        """A step failed in a way that another try may mend: for good the last time."""
        self.failures[step] += 1
        if self.failures[step] >= TRIES:
            name = "capture" if step is None else self.capture.planning.unit_names[step][0]
            units = self.units if step is None else (step,)
            self._fail(units, status, f"{name}: {reason}; tried twice")

    def _lose(self, death: Death) -> None:
        """Nothing came, and no step is to blame: as before, but not for ever."""
        self.lost += 1
        if self.lost >= MOST_LOST:
            self._fail(self.units, death.status, f"{death.reason}; tried {MOST_LOST} times")

    def _fail(self, units: tuple[int, ...], status: Status, reason: str) -> None:
        for unit in units:
            self.rows[unit] = failed_rows(self.capture, unit, status, reason)

    @property
    def finished(self) -> Finished:
        """All of it, once no unit is left to do."""
        return Finished(
            rows=tuple(row for unit in sorted(self.rows) for row in self.rows[unit]),
            attempts=self.attempts,
            cpu_seconds=self.cpu_seconds,
            seconds=self.seconds,
            peak_nbytes=self.peak_nbytes,
            cached=bool(self.cached),
        )
