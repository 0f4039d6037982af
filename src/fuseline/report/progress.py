"""Progress of a search on stderr: silent while it is quick, and where stderr is no terminal."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.status import Status

_QUICK = 1.0  # s


class SearchProgress:
    """A line that says what a search is at. It shows itself after a second."""

    def __init__(self) -> None:
        self._began = monotonic()
        self._status: Status | None = None

    def tell(self, step: str, count: int) -> None:
        """Say that `step` (groups found, parts chosen) has come to `count`."""
        if monotonic() - self._began < _QUICK:
            return
        if self._status is None:
            from rich.console import Console

            self._status = Console(stderr=True, force_jupyter=False).status("")
            self._status.start()
        self._status.update(f"searching: {count:,} {step}")

    def close(self) -> None:
        """Take the line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None
