"""The files in `captures/`: a row for each capture that is done, with what it took. That differs
from run to run, and so is not in the results.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from fuseline.report.rows.table import Column, Measure, Value
from fuseline.report.text import encodable
from fuseline.sweep.grids import Sweep
from fuseline.sweep.schema import zoo_of
from fuseline.sweep.shards import arrow_schema
from fuseline.sweep.state import Kept
from fuseline.sweep.tasks import Row

if TYPE_CHECKING:
    import pyarrow as pa

CAPTURES = (
    Column("capture", Measure.COUNT, "its number in the sweep"),
    Column("model", Measure.TEXT, "the model's name"),
    Column("zoo", Measure.TEXT, "torchvision, timm, hf or file"),
    Column("batch", Measure.COUNT, "as asked; null: the model's default"),
    Column("dtype", Measure.TEXT, "as asked; null: the model's own"),
    Column("seq_len", Measure.COUNT, "tokens of a sequence, as asked"),
    Column("decode", Measure.COUNT, "cached tokens before the one that is made"),
    Column("attention", Measure.TEXT, "fused or decomposed"),
    Column("via", Measure.TEXT, "how it was captured"),
    Column("mode", Measure.TEXT, "eval or train"),
    Column("jobs", Measure.COUNT, "rows in the results"),
    Column("failed_jobs", Measure.COUNT, "of these, not ok"),
    Column("attempts", Measure.COUNT, "how often it was begun"),
    Column(
        "cpu_seconds",
        Measure.SECONDS,
        "of the workers that did it, without attempts that died; null: all died",
    ),
    Column("seconds", Measure.SECONDS, "in the workers, likewise"),
    Column("peak_bytes", Measure.BYTES, "most memory that a worker held, likewise"),
    Column("cached", Measure.YES, "whether the graph was there already"),
)
"""One row a capture."""


def capture_schema(environment: Mapping[str, str]) -> pa.Schema:
    """Of the files in `captures/`."""
    return arrow_schema(CAPTURES, (), environment)


def capture_rows(
    sweep: Sweep, kept: Iterable[tuple[Kept, int]]
) -> Iterator[tuple[int, tuple[Row, ...]]]:
    """By capture, its one row; `kept` with the number of its failed jobs."""
    for each, failed_jobs in kept:
        yield each.number, (_row(sweep, each, failed_jobs),)


def _row(sweep: Sweep, kept: Kept, failed_jobs: int) -> tuple[Value, ...]:
    capture = sweep.capture(kept.number)
    how = capture.how
    # A worker holds something: 0 is that no attempt ended, so that none told what it took.
    told = (kept.cpu_seconds, kept.seconds, kept.peak_nbytes)
    took = told if kept.peak_nbytes else (None, None, None)
    return (
        kept.number, encodable(capture.model), zoo_of(capture.model),
        how.batch, how.dtype, how.seq_len, how.decode,
        how.attention or "fused", how.via or "record", "train" if how.train else "eval",
        kept.jobs, failed_jobs,
        kept.attempts, *took, kept.cached,
    )  # fmt: skip
