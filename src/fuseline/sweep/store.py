"""A sweep's folder: what is done is kept here, and comes out as Parquet.

A capture is done or it is not: its rows are kept together. They go to sqlite first (`state`), and
when every capture of a shard is done to the shard's file (`shards`); also from time to time before,
so that a sweep that still runs can be queried. The steps are such that the process may end between
any two of them: `Store.open` finds what the last one was.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from fuseline.errors import InputError
from fuseline.sweep import shards
from fuseline.sweep.begun import Begun, begun_of, check_begun, check_folder
from fuseline.sweep.captured import capture_rows, capture_schema
from fuseline.sweep.grids import Capture, Sweep
from fuseline.sweep.lock import FolderLock
from fuseline.sweep.schema import COLUMNS, jobs_of
from fuseline.sweep.shards import Layout, file_name
from fuseline.sweep.state import Kept, Shard, State
from fuseline.sweep.storable import fitting, storable
from fuseline.sweep.tasks import Row, Status
from fuseline.sweep.trouble import damaged, saving

_COMMIT_SECONDS = 0.25
_COMMIT_CAPTURES = 500
_FLUSH_SECONDS = 60.0
_FLUSH_SHARE = 20  # of the time, one part for writing what is not complete
_STATUS = [column.name for column in COLUMNS].index("status")


@dataclass(frozen=True, slots=True)
class Finished:
    """A capture that is done: every row of it, in the order of its jobs, and what it took."""

    rows: tuple[Row, ...]
    attempts: int
    cpu_seconds: float
    seconds: float
    peak_nbytes: int
    cached: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """How far a sweep is. `failed`: jobs by status, of those that came to no plan."""

    captures: int
    jobs: int
    done_captures: int
    done_jobs: int
    failed: Mapping[str, int]


class Store:
    """One sweep's folder, held by this process until `close`; used by one thread.

    `warning` says in a line what `open` found missing and takes for not done; empty as a rule.
    What cannot be written raises `InputError`. Nothing more is written then, and `open` goes on
    from what was kept.
    """

    def __init__(self, folder: Path, begun: Begun, lock: FolderLock, state: State) -> None:
        self.folder = folder
        self.sweep = begun.sweep
        self.warning = ""
        self._environment = begun.environment
        self._lock = lock
        self._state = state
        self._layout = Layout.of(begun.sweep)
        self._is_broken = False  # or closed: nothing may be written
        self._waiting = 0  # captures since the last commit
        self._committed = self._flushed = time.monotonic()
        self._flush_seconds = _FLUSH_SECONDS
        self._jobs, self._done_jobs = begun.sweep.jobs, 0
        self._done: Counter[int] = Counter()  # captures by shard
        self._failed: Counter[str] = Counter()

    @classmethod
    def open(cls, folder: Path, sweep: Sweep | None, environment: Mapping[str, str]) -> Self:
        """Begin in a new or empty folder, or go on; `sweep` None: with what it was begun with.

        Raises `InputError` where the folder is another's, another sweep's, in use, damaged, or may
        not be written, and where what the sweep depends on has changed.
        """
        shards.check_pyarrow()
        with saving(folder):
            check_folder(folder, is_new=sweep is not None)
            for part in ("results", "captures"):
                (folder / part).mkdir(parents=True, exist_ok=True)
            lock = FolderLock(folder)
            state = None
            try:
                state = State(folder / "state.sqlite")
                begun = _begun(folder, state, sweep, environment)
                store = cls(folder, begun, lock, state)
                store._take_up()
            except BaseException:
                if state is not None:
                    state.close()
                lock.close()
                raise
        return store

    def todo(self) -> Iterator[int]:
        """The captures that are not done, ascending. Those of one file are looked up at once, as
        the first of them is asked for.
        """
        for shard in range(self._layout.shards):
            numbers = self._layout.numbers(shard)
            if self._done[shard] == len(numbers):
                continue
            with self._writing():
                done = frozenset(self._state.done(numbers))
            yield from (number for number in numbers if number not in done)

    def keep(self, capture: Capture, finished: Finished) -> None:
        """A capture is done. Durable within a quarter of a second if `beat` is called; a row with
        a figure beyond 64 bits is kept as failed, with that for a reason.

        Raises `ValueError` where the rows are not one for each job, or the capture is done already.
        """
        if len(finished.rows) != capture.planning.jobs:
            raise ValueError(f"capture {capture.number} has {capture.planning.jobs} jobs, "
                             f"not {len(finished.rows)}")  # fmt: skip
        rows = _fitting(capture, finished.rows)
        failed = Counter(str(row[_STATUS]) for row in rows)
        del failed[Status.OK.value]
        kept = Kept(
            capture.number, len(rows), msgspec.json.encode(failed).decode() if failed else None,
            finished.attempts, finished.cpu_seconds, finished.seconds, finished.peak_nbytes,
            finished.cached,
        )  # fmt: skip
        shard = capture.number // self._layout.captures_a_shard
        with self._writing():
            self._state.begin()
            self._state.add(kept, msgspec.msgpack.encode(rows))
            self._waiting += 1
            self._done_jobs += len(rows)
            self._failed += failed
            self._done[shard] += 1
            if self._done[shard] == len(self._layout.numbers(shard)):
                self._write(shard)
        self.beat()

    def beat(self) -> None:
        """Do what is due: whoever waits between two `keep`s calls this now and then."""
        now = time.monotonic()
        due = self._waiting >= _COMMIT_CAPTURES or now - self._committed >= _COMMIT_SECONDS
        if self._waiting and due:
            self._commit()
        if now - self._flushed >= self._flush_seconds:
            self.flush()
            spent = time.monotonic() - now
            self._flush_seconds = max(_FLUSH_SECONDS, _FLUSH_SHARE * spent)

    def flush(self) -> None:
        """Everything that is kept is in the files."""
        self._commit()
        with self._writing():
            for shard in self._state.unwritten(self._layout.captures_a_shard):
                self._write(shard)
        self._flushed = time.monotonic()

    def counts(self) -> Counts:
        """How far the sweep is; costs next to nothing."""
        return Counts(
            captures=self._layout.captures,
            jobs=self._jobs,
            done_captures=self._done.total(),
            done_jobs=self._done_jobs,
            failed=dict(self._failed),
        )

    def forget_failed(self) -> int:
        """How many jobs are to do again: all those of captures with one that failed. Their rows go
        from the files at the next flush.
        """
        before = self._done_jobs
        with self._writing():
            self._state.begin()
            self._state.forget_failed(self._layout.captures_a_shard)
            self._state.commit()
            self._count()
        return before - self._done_jobs

    def close(self) -> None:
        """Flush, unless writing failed before, and let go of the folder."""
        try:
            if not self._is_broken:
                self.flush()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of the folder as it is, as the end of the process would: what is not durable is
        forgotten. `close` does nothing after it.
        """
        self._is_broken = True
        self._state.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- inside

    @contextmanager
    def _writing(self) -> Generator[None]:
        try:
            with saving(self.folder):
                yield
        except InputError:
            self._is_broken = True
            raise

    def _commit(self) -> None:
        with self._writing():
            self._state.commit()
        self._waiting = 0
        self._committed = time.monotonic()

    def _path(self, part: str, shard: int) -> Path:
        return self.folder / part / file_name(shard)

    def _write(self, shard: int) -> None:
        """Write a shard's files anew, of all that is done in it."""
        self._commit()
        numbers = self._layout.numbers(shard)
        content = self._content(shard, numbers)
        about = self._about(numbers)
        path, about_path = self._path("results", shard), self._path("captures", shard)
        shards.write_scratch(path, content)
        shards.write_scratch(about_path, about)
        self._state.begin()
        self._state.intend(shard, sha256(content).hexdigest())
        self._state.commit()  # known before it is there: whoever finds it will know it
        shards.place(path)
        shards.place(about_path)
        self._state.begin()
        self._state.record(shard, sha256(about).hexdigest(), numbers)
        self._state.commit()

    def _content(self, shard: int, numbers: range) -> bytes:
        schema = shards.results_schema(self._environment)
        fresh = shards.filed(
            (
                (number, msgspec.msgpack.decode(rows, type=list[Row]))
                for number, rows in self._state.pending(numbers)
            ),
            schema,
        )
        done = self._state.done(numbers)
        if list(fresh.captures) == done:
            return shards.encoded(fresh)
        path = self._path("results", shard)
        content = path.read_bytes() if path.exists() else b""
        if sha256(content).hexdigest() not in self._state.digests(shard):
            raise InputError(f"'{path}' was changed while the sweep ran: give the command again")
        before = shards.read_filed(content)
        return shards.encoded(shards.merged(before, fresh, done, self._jobs_of, schema))

    def _about(self, numbers: range) -> bytes:
        kept = (
            (each, sum(msgspec.json.decode(each.failed, type=dict[str, int]).values())
             if each.failed else 0)
            for each in self._state.kept(numbers)
        )  # fmt: skip
        schema = capture_schema(self._environment)
        return shards.encoded(shards.filed(capture_rows(self.sweep, kept), schema))

    def _jobs_of(self, number: int) -> int:
        return self.sweep.capture(number).planning.jobs

    # --- going on

    def _take_up(self) -> None:
        """Find out how the last process ended: which files are good, and so what is done."""
        for part in ("results", "captures"):
            for scratch in (self.folder / part).glob("*.new"):
                scratch.unlink()
        known = {shard.shard: shard for shard in self._state.shards()}
        self._check_strangers(known.keys())
        lost = [shard.shard for shard in known.values() if self._is_lost(shard)]
        if lost:
            more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            self.warning = (
                f"'{self._path('results', lost[0])}'{more} changed or gone since the sweep wrote "
                "it: those captures are done again"
            )
        self._count()

    def _check_strangers(self, shards_known: Collection[int]) -> None:
        """Raises `InputError` for a file beside ours that queries would take for one of them."""
        ours = {file_name(shard) for shard in shards_known}
        for part in ("results", "captures"):
            for path in sorted((self.folder / part).glob("*.parquet")):
                if path.name not in ours:
                    raise InputError(
                        f"'{path}' is not of this sweep, and queries would count it: move it away"
                    )

    def _is_lost(self, shard: Shard) -> bool:
        """Whether the shard's file is not what was written: what was in it is not done then."""
        path = self._path("results", shard.shard)
        digest = _digest(path)
        is_good = digest == shard.digest
        is_next = digest is not None and digest == shard.next_digest
        self._state.begin()
        if is_next and not is_good:
            self._state.promote(shard.shard)
        elif not is_good:
            self._state.forget(shard.shard, self._layout.numbers(shard.shard))
            if digest is not None:  # kept, where no query looks
                path.replace(path.with_name(f"{path.name}.damaged"))
        elif _digest(self._path("captures", shard.shard)) != shard.about_digest:
            self._state.spoil(shard.shard)
        self._state.commit()
        return not (is_good or is_next)

    def _count(self) -> None:
        """Sum up what is done."""
        self._done.clear()
        self._failed.clear()
        self._done_jobs = 0
        for shard, failed, captures, jobs in self._state.tally(self._layout.captures_a_shard):
            self._done[shard] += captures
            self._done_jobs += jobs
            if failed is not None:
                for status, count in msgspec.json.decode(failed, type=dict[str, int]).items():
                    self._failed[status] += count * captures


def _begun(
    folder: Path, state: State, sweep: Sweep | None, environment: Mapping[str, str]
) -> Begun:
    """What the folder was begun with, which may be now. Raises `InputError` where it does not go
    with what is asked.
    """
    tables = state.tables()
    if tables:
        if "meta" not in tables:
            raise damaged(folder, "its tables are no sweep's")
        begun = begun_of(state.meta(), folder)
        if fault := state.fault():
            raise damaged(folder, fault)
        check_begun(begun, sweep, environment, folder)
        return begun
    if any((folder / "results").iterdir()):
        raise damaged(folder, "it is empty")
    if sweep is None:
        raise InputError(f"'{folder}/' holds no sweep to go on with")
    begun = Begun(sweep, dict(environment))
    state.create(begun.meta())
    return begun


def _fitting(capture: Capture, rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows as the files can hold them."""
    cells = [fitting(row) for row in rows]
    if not any(beyond for _, beyond in cells):
        return tuple(row for row, _ in cells)
    return tuple(storable(job, row) for job, row in zip(jobs_of(capture), rows, strict=True))


def _digest(path: Path) -> str | None:
    """SHA-256 of a file; None where there is none."""
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
