"""Bytes on disk: whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fuseline.errors import InputError


def read_bytes(path: Path) -> bytes:
    """The file's bytes; an `InputError` where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a neighbour, then rename it over `path`: a reader never sees half a file.

    Raises `InputError` where the place cannot be written; then nothing is left behind.
    """
    if path.is_dir():
        raise InputError(f"cannot write '{path}': it is a directory")
    scratch = None
    try:
        if path.exists() and not path.is_file():  # a device or pipe: there is nothing to rename
            path.write_bytes(content)
            return
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=".fuseline-", delete=False
        ) as file:
            scratch = Path(file.name)
            file.write(content)
        scratch.chmod(0o666 & ~_umask())
        scratch.replace(path)
    except OSError as error:
        if scratch is not None:
            scratch.unlink(missing_ok=True)
        raise InputError(f"cannot write '{path}': {error.strerror}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
