"""What went wrong with the user's input, in one line."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from difflib import get_close_matches


class InputError(Exception):
    """Input that Fuseline cannot use. The message is one line: what, where, the nearest cure."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that ends an "unknown ..." message, or nothing when no name comes near.

    >>> did_you_mean("vit_b16", ["vit_b_16", "vit_b_32", "resnet50"])
    ": did you mean 'vit_b_16'?"
    >>> did_you_mean("zzz", ["vit_b_16"])
    ''
    """
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f": did you mean '{near[0]}'?" if near else ""


@contextmanager
def foreign_code(
    what: str, *, passing: Callable[[BaseException], bool] | None = None
) -> Generator[None]:
    """Run code we do not own: whatever it raises becomes one line that begins with `what`.

    The one place where every kind of exception is expected: a user's model may raise anything. An
    error that `passing` knows, or that was raised because of one, passes as it is.

    >>> with foreign_code("'net.py:make' failed"):
    ...     raise KeyError("width")
    Traceback (most recent call last):
    fuseline.errors.InputError: 'net.py:make' failed: KeyError: 'width'
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        cause: BaseException | None = error
        while passing is not None and cause is not None:
            if passing(cause):
                raise cause from error
            cause = cause.__cause__ or cause.__context__
        lines = str(error).strip().splitlines() or [""]
        said = lines[0] if not lines[0].endswith(":") else " ".join(lines[:2])
        raise InputError(f"{what}: {type(error).__name__}: {said}") from error
    except SystemExit as error:
        raise InputError(f"{what}: it exits ({error.code})") from error
