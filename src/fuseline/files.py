"""Bytes on disk: whole or not at all; compressed where the name says so."""

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


_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def packed(content: bytes, path: Path, level: int = 3) -> bytes:
    """`content` as it is written to `path`: compressed (zstd) where the name ends in `.zst`."""
    if path.suffix != ".zst":
        return content
    import zstandard  # only where a compressed file is asked for

    return zstandard.compress(content, level)


def unpacked(content: bytes, origin: str) -> bytes:
    """What `packed` was given, whether it compressed it or not; `origin` names it in errors.

    Raises `InputError` for compressed content that is damaged or ends too early.

    >>> unpacked(packed(b"{}", Path("graph.json.zst")), "graph.json.zst")
    b'{}'
    """
    if not content.startswith(_ZSTD_MAGIC):
        return content
    import zstandard

    stream = zstandard.ZstdDecompressor().decompressobj()
    try:
        plain = stream.decompress(content)
    except zstandard.ZstdError as error:
        raise InputError(f"'{origin}' is damaged: {error}") from error
    if not stream.eof:
        raise InputError(f"'{origin}' is damaged: it ends too early")
    return plain


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
