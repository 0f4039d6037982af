"""Baseline files: figures, and the graph and groups they are of, so that a later check can say op
by op what changed. Versioned JSON, zstd-compressed where the name ends in `.zst`.

Reading decodes data and runs none of it; what does not hold together is refused whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fuseline.budgets.entries import Entry
from fuseline.budgets.figures import BY_NAME
from fuseline.budgets.measure import Measured
from fuseline.budgets.priced import Priced
from fuseline.errors import InputError
from fuseline.files import read_bytes, write_bytes
from fuseline.graph.files import find_fault

SCHEMA = "fuseline.baseline/1"
_FAMILY = SCHEMA.partition("/")[0]
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Kept:
    """One entry as it was when the baseline was written."""

    entry: Entry
    torch: str
    figures: dict[str, int | float | None]
    priced: Priced


@dataclass(frozen=True, slots=True)
class Baseline:
    """All entries of a file, and the version of Fuseline that priced them."""

    fuseline: str
    entries: tuple[Kept, ...]

    def find(self, label: str) -> Kept | None:
        """The entry of a label, if it is there."""
        return next((kept for kept in self.entries if kept.entry.label == label), None)


@dataclass(frozen=True, slots=True)
class _Document:
    schema: str
    fuseline: str
    entries: tuple[Kept, ...]


class _Head(msgspec.Struct):
    schema: str = ""


def save_baseline(found: Iterable[Measured], path: Path, version: str) -> None:
    """Write what was measured to `path`, atomically; `version` is that of Fuseline.

    Raises `InputError` where the place cannot be written.
    """
    kept = tuple(Kept(each.entry, each.torch, each.figures, each.priced) for each in found)
    content = msgspec.json.encode(_Document(SCHEMA, version, kept))
    if path.suffix == ".zst":
        import zstandard  # only where a compressed file is asked for

        content = zstandard.compress(content, 9)
    write_bytes(path, content)


def load_baseline(path: Path) -> Baseline:
    """Read what `save_baseline` wrote.

    Raises `InputError` for a file that is missing, damaged, foreign or of another version.
    """
    content = _plain(read_bytes(path), path)
    try:
        schema = msgspec.json.decode(content, type=_Head).schema
    except _UNREADABLE as error:
        raise InputError(f"'{path}' is no baseline: {error}") from error
    if schema.partition("/")[0] != _FAMILY:
        raise InputError(f"'{path}' is no baseline: its schema is '{schema}', not '{SCHEMA}'")
    if schema != SCHEMA:
        raise InputError(
            f"'{path}' has schema '{schema}'; this version reads '{SCHEMA}': save it again"
        )
    try:
        document = msgspec.json.decode(content, type=_Document)
    except _UNREADABLE as error:
        raise InputError(f"'{path}' is damaged: {error}") from error
    for kept in document.entries:
        if fault := _fault(kept):
            raise InputError(f"'{path}' is damaged: {kept.entry.label}: {fault}")
    return Baseline(document.fuseline, document.entries)


def _plain(content: bytes, path: Path) -> bytes:
    if not content.startswith(_ZSTD_MAGIC):
        return content
    import zstandard

    stream = zstandard.ZstdDecompressor().decompressobj()
    try:
        plain = stream.decompress(content)
    except zstandard.ZstdError as error:
        raise InputError(f"'{path}' is damaged: {error}") from error
    if not stream.eof:
        raise InputError(f"'{path}' is damaged: it ends too early")
    return plain


def _fault(kept: Kept) -> str | None:
    """Why an entry does not hold together, or None where it does."""
    graph = kept.priced.graph
    if fault := find_fault(graph):
        return fault
    if any(not 0 <= op < len(graph.ops) for group in kept.priced.groups for op in group.ops):
        return "a group holds an op that is not there"
    unknown = [name for name in kept.figures if name not in BY_NAME]
    return f"unknown figure '{unknown[0]}'" if unknown else None
