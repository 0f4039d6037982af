"""What a worker does with a task: capture, plan, price; an event for each step, told as it comes.

Runs in a process of its own (`limits.prepare_worker`), which a step may end: what was told by then
stands.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fuseline.errors import InputError, foreign_code
from fuseline.graph import Graph
from fuseline.hardware.sizes import needed_text
from fuseline.report.captures import graph_of, is_graph_file
from fuseline.report.compare import Planned, Subject, find_ways
from fuseline.report.jobs import Job
from fuseline.report.rows import PlanRow, Target
from fuseline.report.text import encodable
from fuseline.sweep import limits, schema
from fuseline.sweep.environment import difference, here
from fuseline.sweep.graphs import About, GraphCache, key_of
from fuseline.sweep.grids import Capture
from fuseline.sweep.schema import failed_rows, jobs_of, row_of, zoo_of
from fuseline.sweep.storable import storable
from fuseline.sweep.tasks import (
    LOADING,
    Began,
    Caching,
    Ended,
    Event,
    Made,
    Row,
    Status,
    Task,
    Uncaptured,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a step came to nothing."""

    status: Status
    reason: str


def work(task: Task) -> Iterator[Event]:
    """Do a task, telling each event as soon as it is so.

    Raises `InputError` where this process has other versions than the driver: its rows would be
    others. The same for a device or rule file that is not here.
    """
    if said := difference(task.environment, here()):
        raise InputError(f"a worker has other versions than the driver: {said}")
    planning = task.capture.planning
    units, targets = planning.units(), planning.targets
    meter = _Meter()
    yield Began(None)
    graph, cached = _graph(task)
    if isinstance(graph, Failure):
        yield Uncaptured(graph.status, graph.reason)
    else:
        for unit in task.units:
            yield Began(unit)
            rows = _rows(task, graph, unit, units[unit], targets)
            if isinstance(rows, Failure):
                failed = failed_rows(task.capture, unit, rows.status, rows.reason)
                yield Made(unit, rows.status, failed)
            else:
                yield Made(unit, Status.OK, rows)
    yield meter.ended(cached=cached)


# --- the graph ------------------------------------------------------------------------------


def _graph(task: Task) -> tuple[Graph | Failure, bool]:
    """The capture's graph or why there is none, and whether it was in the cache."""
    capture = task.capture
    store, key = _cache_of(task.caching), None
    if store is not None:
        key = key_of(capture.model, capture.how, task.environment)
    if store is not None and key is not None:
        try:
            with limits.step(task.limits):
                found = store.get(key)
        except (MemoryError, SystemError) as error:
            if not limits.is_out_of_memory(error, limited=True):
                raise
            return _too_large(task), True
        if found is not None:
            return found, True
    graph = _captured(task)
    if store is not None and key is not None and isinstance(graph, Graph):
        store.put(key, graph, About(capture.model, capture.how, task.environment))
    return graph, False


def _captured(task: Task) -> Graph | Failure:
    model = task.capture.model
    try:
        if not is_graph_file(model):
            with limits.step(LOADING):
                _import_zoo(model)
        limits.single_thread()
        with limits.step(task.limits), foreign_code(f"cannot capture '{model}'"):
            return graph_of(model, task.capture.how)
    except InputError as error:
        return _failure(error, task)


def _import_zoo(model: str) -> None:
    """What capturing imports, beforehand: what it takes is no model's, and is taken once."""
    from fuseline.frontends import record  # torch
    from fuseline.frontends.sources import zoos

    del record
    zoo = zoo_of(model)
    with suppress(InputError), foreign_code("importing failed"):  # capturing says it in full
        if zoo == "torchvision":
            from fuseline.frontends.sources import torchvision

            torchvision.import_models()
        elif zoo == "timm":
            from fuseline.frontends.sources import timm

            timm.import_timm()
        elif zoo == "hf" or zoos.is_transformers_config(Path(model)):
            from fuseline.frontends.sources.transformers import heads

            heads.import_transformers()


@cache
def _cache_of(caching: Caching) -> GraphCache | None:
    """One a process: it counts what was written."""
    if caching.folder is None:
        return None
    return GraphCache(Path(caching.folder), caching.most_nbytes)


# --- plans ----------------------------------------------------------------------------------


def _rows(
    task: Task, graph: Graph, unit: int, job: Job, targets: tuple[Target, ...]
) -> list[Row] | Failure:
    """A row for each device of one unit, or why there are none."""
    strategy, setting = job
    planned = Planned((strategy,), (setting,), targets)
    try:
        with limits.step(task.limits), foreign_code(f"{strategy} failed"):
            ways = find_ways((Subject(graph),), planned, _tell_nobody, kept=_as_it_is)
            jobs = _jobs_of_unit(task.capture, unit)
            pairs = zip(jobs, ways, strict=True)
            return [storable(job, row_of(job, way, graph)) for job, way in pairs]
    except InputError as error:
        return _failure(error, task)


def _jobs_of_unit(capture: Capture, unit: int) -> tuple[schema.Job, ...]:
    devices = len(capture.planning.devices_or_none)
    return jobs_of(capture)[unit * devices : (unit + 1) * devices]


def _as_it_is(row: PlanRow) -> PlanRow:
    """`row_of` reads patterns and refusals too."""
    return row


def _tell_nobody(said: str) -> None:
    del said


# --- what went wrong, and what it took ------------------------------------------------------


def _failure(error: InputError, task: Task) -> Failure:
    if limits.is_out_of_memory(error, limited=True):
        return _too_large(task)
    return Failure(Status.REFUSED, encodable(str(error)))


def _too_large(task: Task) -> Failure:
    allowed = needed_text(task.limits.nbytes)
    return Failure(Status.OUT_OF_MEMORY, f"it needs more than the {allowed} that a job may take")


class _Meter:
    """What a task takes, from now on."""

    def __init__(self) -> None:
        self._cpu, self._clock = time.process_time(), time.monotonic()
        limits.restart_peak()

    def ended(self, *, cached: bool) -> Ended:
        """The event that ends the task."""
        return Ended(
            time.process_time() - self._cpu, time.monotonic() - self._clock,
            limits.peak_nbytes(), cached,
        )  # fmt: skip
