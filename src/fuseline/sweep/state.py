"""The state of a sweep in sqlite: what it is, what is done, and rows that are in no file yet.

A capture is done where it has a row in `captures`. Its rows are in `pending`, or in the file of its
shard, or in both: they are the same then. No order of deaths of the process changes that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_BUSY_SECONDS = 30.0
_TABLES = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE captures (
        number INTEGER PRIMARY KEY, jobs INTEGER NOT NULL, failed TEXT, attempts INTEGER NOT NULL,
        cpu_seconds REAL NOT NULL, seconds REAL NOT NULL, peak_nbytes INTEGER NOT NULL,
        cached INTEGER NOT NULL)""",
    "CREATE TABLE pending (number INTEGER PRIMARY KEY, rows BLOB NOT NULL)",
    # digests of the file in results/: as it is, and as it is about to be; of that in captures/
    """CREATE TABLE shards (
        shard INTEGER PRIMARY KEY, digest TEXT, next_digest TEXT, about_digest TEXT,
        is_stale INTEGER NOT NULL)""",
)


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a capture that is done. `failed` is JSON: jobs by status, None for none."""

    number: int
    jobs: int
    failed: str | None
    attempts: int
    cpu_seconds: float
    seconds: float
    peak_nbytes: int
    cached: bool


@dataclass(frozen=True, slots=True)
class Shard:
    """What is known of a file. `is_stale`: it holds what is no longer so."""

    shard: int
    digest: str | None
    next_digest: str | None
    about_digest: str | None


class State:
    """The database of one sweep. Every method may raise `sqlite3.Error`; `add` and what changes
    files' records happen in a transaction that `commit` ends.
    """

    __slots__ = ("_base",)

    def __init__(self, path: Path) -> None:
        self._base = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=FULL")  # commits are few, and survive power cuts
        except sqlite3.Error:
            self._base.close()
            raise

    def close(self) -> None:
        """Let go; what is not committed is forgotten."""
        with suppress(sqlite3.Error):  # a full disk is told where it was met
            self._base.close()

    def fault(self) -> str:
        """What is wrong with the file itself; empty where nothing is."""
        (found,) = self._base.execute("PRAGMA quick_check(1)").fetchone()
        return "" if found == "ok" else str(found)

    def begin(self) -> None:
        """Begin a transaction, if none is under way."""
        if not self._base.in_transaction:
            self._base.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make durable what came since `begin`."""
        if self._base.in_transaction:
            self._base.execute("COMMIT")

    # --- what the sweep is

    def create(self, meta: Mapping[str, str]) -> None:
        """The tables, with what the sweep is: all or nothing."""
        self.begin()
        for table in _TABLES:
            self._base.execute(table)
        self._base.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        self.commit()

    def tables(self) -> frozenset[str]:
        """The names of its tables: none in a database that was never begun."""
        found = self._base.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        return frozenset(name for (name,) in found)

    def meta(self) -> dict[str, str]:
        """What `create` was given."""
        return dict(self._base.execute("SELECT name, value FROM meta"))

    # --- what is done

    def tally(self, captures_a_shard: int) -> Iterator[tuple[int, str | None, int, int]]:
        """Shard, failures, captures, jobs: sums over what is done."""
        yield from self._base.execute(
            "SELECT number / ?, failed, count(*), sum(jobs) FROM captures GROUP BY 1, 2",
            (captures_a_shard,),
        )

    def done(self, numbers: range) -> list[int]:
        """Which of these captures are done, ascending."""
        found = self._base.execute(
            "SELECT number FROM captures WHERE number >= ? AND number < ? ORDER BY 1",
            (numbers.start, numbers.stop),
        )
        return [number for (number,) in found]

    def kept(self, numbers: range) -> Iterator[Kept]:
        """What is known of those that are done."""
        found = self._base.execute(
            "SELECT * FROM captures WHERE number >= ? AND number < ? ORDER BY 1",
            (numbers.start, numbers.stop),
        )
        for number, jobs, failed, attempts, cpu_seconds, seconds, peak_nbytes, cached in found:
            yield Kept(
                number,
                jobs,
                failed,
                attempts,
                cpu_seconds,
                seconds,
                peak_nbytes,
                cached=bool(cached),
            )

    def pending(self, numbers: range) -> Iterator[tuple[int, bytes]]:
        """Their rows, of those that may be in no file yet."""
        yield from self._base.execute(
            "SELECT number, rows FROM pending JOIN captures USING (number)"
            " WHERE number >= ? AND number < ? ORDER BY 1",
            (numbers.start, numbers.stop),
        )

    def add(self, kept: Kept, rows: bytes) -> None:
        """A capture is done. Raises `ValueError` where it was already: our own fault."""
        if self.done(range(kept.number, kept.number + 1)):
            raise ValueError(f"capture {kept.number} is done already")
        # In this order: an interrupt in between leaves rows of a capture that is not done.
        self._base.execute("INSERT OR REPLACE INTO pending VALUES (?, ?)", (kept.number, rows))
        self._base.execute(
            "INSERT INTO captures VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (kept.number, kept.jobs, kept.failed, kept.attempts, kept.cpu_seconds, kept.seconds,
             kept.peak_nbytes, kept.cached),
        )  # fmt: skip

    def forget(self, shard: int, numbers: range) -> int:
        """A file is lost: what was in it alone is to do again, so many captures."""
        self._base.execute("DELETE FROM shards WHERE shard = ?", (shard,))
        return self._base.execute(
            "DELETE FROM captures WHERE number >= ? AND number < ?"
            " AND number NOT IN (SELECT number FROM pending)",
            (numbers.start, numbers.stop),
        ).rowcount

    def forget_failed(self, captures_a_shard: int) -> None:
        """Captures with a failed job are to do again. Any first part of this alone does no harm."""
        self._base.execute(
            "UPDATE shards SET is_stale = 1 WHERE shard IN"
            " (SELECT number / ? FROM captures WHERE failed IS NOT NULL)",
            (captures_a_shard,),
        )
        self._base.execute("DELETE FROM captures WHERE failed IS NOT NULL")
        self._base.execute("DELETE FROM pending WHERE number NOT IN (SELECT number FROM captures)")

    # --- files

    def shards(self) -> list[Shard]:
        """Every file that there is, or is about to be."""
        found = self._base.execute(
            "SELECT shard, digest, next_digest, about_digest FROM shards ORDER BY 1"
        )
        return [Shard(*values) for values in found]

    def unwritten(self, captures_a_shard: int) -> list[int]:
        """Shards whose file is not what it should be."""
        found = self._base.execute(
            "SELECT number / ? FROM pending JOIN captures USING (number)"
            " UNION SELECT shard FROM shards WHERE is_stale ORDER BY 1",
            (captures_a_shard,),
        )
        return [shard for (shard,) in found]

    def digests(self, shard: int) -> tuple[str, ...]:
        """What the shard's file may be: what was recorded, and what it was about to be."""
        found = self._base.execute(
            "SELECT digest, next_digest FROM shards WHERE shard = ?", (shard,)
        ).fetchone()
        return tuple(filter(None, found or ()))

    def intend(self, shard: int, digest: str) -> None:
        """Say what the file is about to be, so that it is known however the process ends."""
        self._base.execute(
            "INSERT INTO shards VALUES (?, NULL, ?, NULL, 1)"
            " ON CONFLICT DO UPDATE SET next_digest = excluded.next_digest",
            (shard, digest),
        )

    def promote(self, shard: int) -> None:
        """The file is what it was about to be."""
        self._base.execute(
            "UPDATE shards SET digest = next_digest, is_stale = 1 WHERE shard = ?", (shard,)
        )

    def spoil(self, shard: int) -> None:
        """The file is to be written again, though its rows are good."""
        self._base.execute("UPDATE shards SET is_stale = 1 WHERE shard = ?", (shard,))

    def record(self, shard: int, about_digest: str, numbers: range) -> None:
        """Both files are there, with all that was pending."""
        self._base.execute(
            "UPDATE shards SET digest = next_digest, about_digest = ?, is_stale = 0"
            " WHERE shard = ?",
            (about_digest, shard),
        )
        self._base.execute(
            "DELETE FROM pending WHERE number >= ? AND number < ?", (numbers.start, numbers.stop)
        )
