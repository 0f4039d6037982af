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
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

import msgspec

from fuseline.errors import InputError, did_you_mean
from fuseline.files import read_bytes

ZOOS = ("torchvision", "timm", "hf")
_SECONDS = 240
_BYTES = 14 * 2**30


@dataclass(frozen=True, slots=True)
class Job:
    """One model of one zoo; `task` is its family (torchvision) or head (transformers)."""

    zoo: str
    task: str
    model: str
    count: bool = False  # whether torch's own counter counts it too


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one job. `counted` is torch's figure; `torch` says why there is none."""

    zoo: str
    task: str
    model: str
    status: str  # recorded, small real tensors, unknown ops, failed
    reason: str
    flops: int
    ops: int
    seconds: float
    counted: int | None = None
    torch: str = ""

    @property
    def is_covered(self) -> bool:
        """Whether the model was captured and no FLOP is unknown."""
        return self.status in ("recorded", "small real tensors")


def jobs(zoos: tuple[str, ...], sample: int, seed: int = 0) -> tuple[Job, ...]:
    """Every job of these zoos; torch counts a random `sample` of them as well.

    torchvision: every model. timm: the smallest entrypoint of every architecture. transformers:
    every model type of every judged head.

    Raises `InputError` for an unknown zoo, or one that is not installed.
    """
    made: list[Job] = []
    for zoo in zoos:
        if zoo not in ZOOS:
            raise InputError(f"unknown zoo '{zoo}'{did_you_mean(zoo, ZOOS) or f': one of {ZOOS}'}")
        made += _JOBS_OF[zoo]()
    chosen = set(random.Random(seed).sample(range(len(made)), min(sample, len(made))))  # noqa: S311
    return tuple(replace(job, count=number in chosen) for number, job in enumerate(made))


def _torchvision_jobs() -> list[Job]:
    from fuseline.frontends.torchvision import family_of, model_names

    return [Job("torchvision", family_of(name), name) for name in model_names()]


def _timm_jobs() -> list[Job]:
    from fuseline.frontends.timm import architectures

    return [Job("timm", "image", name) for name in architectures()]


def _transformers_jobs() -> list[Job]:
    from fuseline.frontends.transformers import families

    return [Job("hf", task, model) for task, models in families().items() for model in models]


_JOBS_OF = {"torchvision": _torchvision_jobs, "timm": _timm_jobs, "hf": _transformers_jobs}


# --- one job --------------------------------------------------------------------------------


def cover(job: Job) -> Row:
    """Capture one model by the default frontend; in this process."""
    from fuseline.frontends.record import capture_record
    from fuseline.validate.flop_counter import count_by_torch

    started = time.process_time()
    row = Row(job.zoo, job.task, job.model, "failed", "", 0, 0, 0.0)
    try:
        graph = capture_record(_source(job))
    except InputError as error:
        return replace(row, reason=str(error), seconds=time.process_time() - started)
    unknown = sorted({op.target for op in graph.unknown_ops})
    real = [note for note in graph.source.notes if "small real tensors" in note]
    status = "unknown ops" if unknown else "small real tensors" if real else "recorded"
    row = replace(
        row,
        status=status,
        reason=", ".join(unknown) or "".join(real),
        flops=graph.flops,
        ops=len(graph.ops),
        seconds=time.process_time() - started,
    )
    if not job.count or not row.is_covered:
        return row
    try:
        return replace(row, counted=count_by_torch(_source(job), real=bool(real)))
    except InputError as error:
        return replace(row, torch=str(error))


def _source(job: Job):  # noqa: ANN202 - a Sourced, whose module imports torch
    from fuseline.frontends.sourced import Options
    from fuseline.frontends.sources import find_model

    if job.zoo != "hf":
        return find_model(job.model, Options())
    from fuseline.frontends.transformers import build_config
    from fuseline.frontends.transformers_small import small_config

    config = small_config(job.model)
    return build_config(config, f"hf/{job.model}", Options(), task=job.task)


# --- all of them ----------------------------------------------------------------------------


def cover_all(todo: tuple[Job, ...], done: Path | None) -> Iterator[Row]:
    """Rows as they come, those that the file `done` (JSON lines) has already first.

    The file is added to as jobs end, so that an interrupted run resumes.
    """
    known = _read(done)
    for job in todo:
        if job in known:
            yield known[job]
    rest = [job for job in todo if job not in known]
    with _Worker() as worker:
        for job in rest:
            row = worker.run(job)
            if done is not None:
                with done.open("ab") as file:
                    file.write(msgspec.json.encode((job, row)) + b"\n")
            yield row


def _read(done: Path | None) -> dict[Job, Row]:
    if done is None or not done.exists():
        return {}
    try:
        pairs = [
            msgspec.json.decode(line, type=tuple[Job, Row])
            for line in read_bytes(done).splitlines()
        ]
    except msgspec.DecodeError as error:
        raise InputError(f"'{done}' holds no coverage rows: {error}") from error
    return dict(pairs)


class _Worker:
    """A spawned process that does jobs one by one; a new one after a hang, a crash, or many."""

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run(self, job: Job) -> Row:
        """The job's row, whatever becomes of the process."""
        if self._process is None or not self._process.is_alive():
            self._start()
        assert self._pipe is not None  # noqa: S101 - just started
        self._pipe.send(job)
        failed = Row(job.zoo, job.task, job.model, "failed", "", 0, 0, 0.0)
        if not self._pipe.poll(_SECONDS):
            self._stop()
            return replace(failed, reason=f"not done after {_SECONDS} s", seconds=_SECONDS)
        try:
            row: Row = self._pipe.recv()
        except EOFError:
            self._stop()
            return replace(failed, reason="its process died")
        return row

    def _start(self) -> None:
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


# --- the page -------------------------------------------------------------------------------


def shares(rows: tuple[Row, ...]) -> list[tuple[str, str, int, int, int]]:
    """(zoo, task, models, covered, of them on small real tensors), and a row `all` a zoo."""
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        found[row.zoo, row.task].append(row)
        found[row.zoo, "all"].append(row)
    return [
        (
            zoo,
            task,
            len(members),
            sum(row.is_covered for row in members),
            sum(row.status == "small real tensors" for row in members),
        )
        for (zoo, task), members in sorted(found.items(), key=lambda item: ZOOS.index(item[0][0]))
    ]
