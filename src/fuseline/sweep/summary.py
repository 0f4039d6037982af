"""What a finished sweep came to, read from its files, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fuseline.sweep.tasks import Status

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Cost:
    """What the captures of a folder took, over all runs; those that died in every attempt told
    nothing, and are not among them.
    """

    captures: int
    cpu_seconds: float
    peak_nbytes: int
    cached: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A job that failed: its model and how it was asked for, in words, and the reason."""

    status: str
    job: str
    reason: str


_TELLING = {
    "model": "", "batch": "batch", "dtype": "", "seq_len": "seq-len", "decode": "decode",
    "attention": "attention", "via": "via", "mode": "", "strategy": "", "rules": "rules",
    "device": "",
}  # fmt: skip
"""Columns that tell jobs apart, with the word before each."""
_USUAL = {"attention": "fused", "via": "record", "mode": "eval", "rules": "T"}


def cost_of(folder: Path) -> Cost:
    """The sums over `folder/captures`, and the most memory that a worker had."""
    captures = peak = cached = 0
    seconds = 0.0
    for table in _tables(folder / "captures", ["cpu_seconds", "peak_bytes", "cached"]):
        told = table.drop_null()
        captures += told.num_rows
        seconds += sum(told["cpu_seconds"].to_pylist())
        peak = max(peak, *told["peak_bytes"].to_pylist(), 0)
        cached += sum(table["cached"].to_pylist())
    return Cost(captures, seconds, peak, cached)


def first_failures(folder: Path, failed: Mapping[str, int], most: int) -> tuple[Failure, ...]:
    """The first jobs of each status in `failed`, `most` of each, one a reason.

    A reason that many models share, but for a name in it, counts each time.
    """
    found: dict[str, dict[str, Failure]] = {status: {} for status in failed}
    for table in _tables(folder / "results", [*_TELLING, "status", "reason"]):
        if all(len(reasons) >= min(most, failed[status]) for status, reasons in found.items()):
            break
        for row in table.to_pylist():
            if row["status"] == Status.OK.value:
                continue
            reasons = found.setdefault(row["status"], {})
            if len(reasons) < most and row["reason"] not in reasons:
                reasons[row["reason"]] = Failure(row["status"], _job(row), row["reason"])
    return tuple(failure for reasons in found.values() for failure in reasons.values())


def _job(row: Mapping[str, object]) -> str:
    """The job in words: what was not asked for is left out."""
    words = (
        f"{label} {row[name]}".lstrip()
        for name, label in _TELLING.items()
        if row[name] is not None and row[name] != _USUAL.get(name)
    )
    return " ".join(words)


def _tables(folder: Path, columns: list[str]) -> Iterator[pa.Table]:
    import pyarrow.parquet as pq

    for path in sorted(folder.glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            yield file.read(columns=columns)
