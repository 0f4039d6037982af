"""What a file system or sqlite refuses, in one line: what, where, and the cure."""

from __future__ import annotations

import errno
import resource
import shutil
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from fuseline.errors import InputError

_FEW_NBYTES = 256 * 1024  # what sqlite wants at once: less is as good as none

_SYSTEM = {
    errno.ENOSPC: "its disk is full: make room, and the same command goes on",
    errno.EDQUOT: "your quota there is used up: make room, and the same command goes on",
    errno.EFBIG: "files may not grow so large (ulimit -f): raise that, and go on",
}
_SQLITE = {
    sqlite3.SQLITE_FULL: _SYSTEM[errno.ENOSPC],
    sqlite3.SQLITE_BUSY: "another program is at work on its state.sqlite: end that first",
    sqlite3.SQLITE_LOCKED: "another program is at work on its state.sqlite: end that first",
    sqlite3.SQLITE_READONLY: "its state.sqlite may not be written",
    sqlite3.SQLITE_CANTOPEN: "its state.sqlite may not be opened",
    sqlite3.SQLITE_PERM: "its state.sqlite may not be opened",
}
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})


@contextmanager
def saving(folder: Path) -> Generator[None]:
    """What cannot be written or read in a sweep's folder becomes an `InputError`.

    >>> with saving(Path("zoo")):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    fuseline.errors.InputError: cannot write 'zoo/': its disk is full: make room, and the same command goes on
    """  # noqa: E501 - the line that users see
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:  # our own misuse of sqlite
            raise
        raise InputError(_of_sqlite(folder, error, code & 0xFF)) from error
    except OSError as error:
        why = _SYSTEM.get(error.errno or 0) or _plain(error)
        raise InputError(f"cannot write '{folder}/': {why}") from error


def damaged(folder: Path, why: str) -> InputError:
    """The error for a state that does not tell what is done."""
    return InputError(
        f"'{folder}/state.sqlite' is damaged ({why}): what is in results/ can still be queried; "
        "sweep anew into another folder"
    )


def _of_sqlite(folder: Path, error: sqlite3.Error, code: int) -> str:
    if code in _DAMAGED:
        return str(damaged(folder, str(error)))
    if code == sqlite3.SQLITE_IOERR:  # some of its calls do not tell why
        if shutil.disk_usage(folder).free < _FEW_NBYTES:
            return f"cannot write '{folder}/': {_SYSTEM[errno.ENOSPC]}"
        if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
            return f"cannot write '{folder}/': {_SYSTEM[errno.EFBIG]}"
    why = _SQLITE.get(code) or f"{error} ({error.sqlite_errorname})"
    return f"cannot write '{folder}/': {why}"


def _plain(error: OSError) -> str:
    name = f"'{error.filename}': " if error.filename else ""
    return f"{name}{error.strerror or error}"
