"""Which models of the zoos can be captured, and why the others cannot.

A model counts as covered only if its FLOPs leave out no op. Every job runs in a worker process: one
that hangs, dies or runs out of memory costs its own row.
"""

from __future__ import annotations

import multiprocessing
import random
import resource
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

import msgspec

from fuseline.errors import InputError, did_you_mean, foreign_code
from fuseline.files import read_bytes, write_bytes
from fuseline.graph import Graph

ZOOS = ("torchvision", "timm", "hf")
REAL = "small real tensors"
COVERED = ("recorded", REAL)
_SECONDS = 240
_BYTES = 14 * 2**30
_JOBS = 100  # a worker's memory does not grow for longer than this


@dataclass(frozen=True, slots=True)
class Job:
    """One model of one zoo; `task` is its family (torchvision) or head (transformers)."""

    zoo: str
    task: str
    model: str
    count: bool = False  # whether torch's own counter counts it too


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one job.

    `status` is one of `COVERED`, `unknown ops` or `failed`. `sampled` says whether the lot fell on
    it. `counted` is torch's figure; `torch` says why there is none. `uncounted` are our FLOPs by
    what torch's counter has no formula for.
    """

    zoo: str
    task: str
    model: str
    status: str
    reason: str
    flops: int
    ops: int
    seconds: float
    sampled: bool = False
    counted: int | None = None
    torch: str = ""
    uncounted: dict[str, int] = field(default_factory=dict)

    @property
    def is_covered(self) -> bool:
        """Whether the model was captured and no FLOP is unknown."""
        return self.status in COVERED


def jobs(zoos: tuple[str, ...], sample: int, seed: int = 0) -> tuple[Job, ...]:
    """Every job of these zoos; torch counts a random `sample` of them as well.

    torchvision: every model. timm: the smallest entrypoint of every architecture. transformers:
    every model type of every judged head. A job's lot depends on nothing but its name, so that a
    sample hardly changes when a zoo grows.

    Raises `InputError` for an unknown zoo, or one that is not installed.
    """
    made: list[Job] = []
    for zoo in zoos:
        if zoo not in ZOOS:
            raise InputError(f"unknown zoo '{zoo}'{did_you_mean(zoo, ZOOS) or f': one of {ZOOS}'}")
        made += _JOBS_OF[zoo]()
    lots = {job: random.Random(f"{seed} {job}").random() for job in made}  # noqa: S311
    chosen = set(sorted(made, key=lambda job: lots[job])[:sample])
    return tuple(replace(job, count=job in chosen) for job in made)


def _torchvision_jobs() -> list[Job]:
    from fuseline.frontends.sources.torchvision import family_of, model_names

    return [Job("torchvision", family_of(name) or "classification", name) for name in model_names()]


def _timm_jobs() -> list[Job]:
    from fuseline.frontends.sources.timm import architectures

    return [Job("timm", "image", name) for name in architectures()]


def _transformers_jobs() -> list[Job]:
    from fuseline.frontends.sources.transformers import families

    return [Job("hf", task, model) for task, models in families().items() for model in models]


_JOBS_OF = {"torchvision": _torchvision_jobs, "timm": _timm_jobs, "hf": _transformers_jobs}


# --- one job --------------------------------------------------------------------------------


def cover(job: Job) -> Row:
    """Capture one model by the default frontend; in this process."""
    started = time.process_time()
    row = Row(job.zoo, job.task, job.model, "failed", "", 0, 0, 0.0, job.count)
    try:
        with foreign_code(f"'{job.model}'"):
            graph = _capture(job)
    except InputError as error:
        return replace(row, reason=str(error), seconds=time.process_time() - started)
    unknown = sorted({op.target for op in graph.unknown_ops})
    real = [note for note in graph.source.notes if REAL in note]
    row = replace(
        row,
        status="unknown ops" if unknown else REAL if real else "recorded",
        reason=", ".join(unknown) or "".join(real),
        flops=graph.flops,
        ops=len(graph.ops),
        seconds=time.process_time() - started,
    )
    return _counted(row, job, graph) if job.count and row.is_covered else row


def _capture(job: Job) -> Graph:
    from fuseline.frontends.record import capture_record

    return capture_record(_source(job))


def _counted(row: Row, job: Job, graph: Graph) -> Row:
    """The row with torch's figure beside ours."""
    from fuseline.validate.flop_counter import count_by_torch, uncounted_by_torch

    try:
        with foreign_code(f"'{job.model}'"):
            counted = count_by_torch(_source(job), real=row.status == REAL)
    except InputError as error:
        return replace(row, torch=str(error))
    return replace(row, counted=counted, uncounted=uncounted_by_torch(graph))


def _source(job: Job):  # noqa: ANN202 - a Sourced, whose module imports torch
    from fuseline.frontends.sources.find import find_model
    from fuseline.frontends.sources.sourced import Options

    if job.zoo != "hf":
        return find_model(job.model, Options())
    from fuseline.frontends.sources.transformers import build_config
    from fuseline.frontends.sources.transformers.small import small_config

    config = small_config(job.model)
    return build_config(config, f"hf/{job.model}", Options(), task=job.task)


# --- all of them ----------------------------------------------------------------------------


def cover_all(todo: tuple[Job, ...], done: Path | None) -> Iterator[Row]:
    """Rows as they come, those that the file `done` (JSON lines) has already first.

    The file is added to as jobs end, so that an interrupted run resumes.
    """
    known = _read(done)
    rest = []
    for job in todo:
        row = known.get((job.zoo, job.task, job.model))
        if row is None or (job.count and row.is_covered and row.counted is None and not row.torch):
            rest.append(job)
        else:
            yield (
                replace(row, sampled=True)
                if job.count
                else replace(row, sampled=False, counted=None, torch="", uncounted={})
            )
    with _Worker() as worker:
        for job in rest:
            row = worker.run(job)
            if done is not None:
                with done.open("ab") as file:
                    file.write(msgspec.json.encode(row) + b"\n")
            yield row


def _read(done: Path | None) -> dict[tuple[str, str, str], Row]:
    """Rows by job, a later one in place of an earlier. A last line cut short is left out."""
    if done is None or not done.exists():
        return {}
    lines = read_bytes(done).splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        write_bytes(done, b"".join(lines[:-1]))
        lines.pop()
    try:
        rows = [msgspec.json.decode(line, type=Row) for line in lines]
    except msgspec.DecodeError as error:
        raise InputError(f"'{done}' holds no coverage rows: {error}") from error
    return {(row.zoo, row.task, row.model): row for row in rows}


class _Worker:
    """A spawned process that does jobs one by one; a new one after a hang, a crash, or many."""

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None
        self._jobs = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run(self, job: Job) -> Row:
        """The job's row, whatever becomes of the process."""
        if self._process is None or not self._process.is_alive() or self._jobs == _JOBS:
            self._start()
        self._jobs += 1
        assert self._pipe is not None  # noqa: S101 - just started
        self._pipe.send(job)
        failed = Row(job.zoo, job.task, job.model, "failed", "", 0, 0, 0.0, job.count)
        if not self._pipe.poll(_SECONDS):
            self._stop()
            return replace(failed, reason=f"not done after {_SECONDS} s", seconds=_SECONDS)
        try:
            row: Row = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._stop()
            return replace(failed, reason="its process died")
        return row

    def _start(self) -> None:
        self._stop()
        self._jobs = 0
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None


def _serve(pipe: Connection) -> None:
    """Do jobs until the pipe closes. Memory is limited: a job that needs more fails alone."""
    import warnings

    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        pipe.send(cover(job))
