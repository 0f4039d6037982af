"""One sweep a folder: a lock that the kernel gives back when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from fuseline.errors import InputError


class FolderLock:
    """The lock of a sweep's folder, held from here to `close`. Its file says by whom, and stays: to
    delete it would let two sweeps hold locks of two files of one name.

    Raises `InputError` where another process holds it, `OSError` where it cannot be written.
    """

    __slots__ = ("_file",)

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._file, 256).decode("utf-8", "replace").strip()
            os.close(self._file)
            said = f" ({holder})" if holder else ""
            raise InputError(f"'{folder}/' is in use by another sweep{said}") from None
        except OSError:
            os.close(self._file)
            raise
        os.ftruncate(self._file, 0)
        os.write(self._file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())

    def close(self) -> None:
        """Give it back. Once is enough, twice does no harm."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
