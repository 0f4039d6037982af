"""What a command of many steps is at, as one line on stderr; nothing where it is no terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from rich.status import Status


class Steps:
    """A line that says which step is running. Used with `with`, so that it always goes again.

    >>> with Steps() as steps:  # no terminal in a doctest, so nothing is shown
    ...     steps.tell("capturing vit_b_16")
    """

    def __init__(self) -> None:
        self._status: Status | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def tell(self, sentence: str) -> None:
        """Say what is being done now."""
        from rich.text import Text

        if self._status is None:
            from rich.console import Console

            self._status = Console(stderr=True, force_jupyter=False).status("")
            self._status.start()
        self._status.update(Text(sentence))  # a name in brackets is no markup
