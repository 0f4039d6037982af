"""`fuseline sweep`: thousands of jobs, on the cores of this machine or on a cluster."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from importlib.util import find_spec
from pathlib import Path
from time import monotonic

import click
from click.core import ParameterSource

from fuseline.cli.comparing import plans_options
from fuseline.cli.planning import PARAMETERS, Command
from fuseline.cli.sweeping import Bar, show_left, show_plan, show_summary
from fuseline.errors import InputError, did_you_mean
from fuseline.hardware.sizes import needed_text, parse_size
from fuseline.report.compare import Planned
from fuseline.sweep.asked import Asked, sweep_of
from fuseline.sweep.begun import check_same, look
from fuseline.sweep.declared import read_jobs
from fuseline.sweep.graphs import GraphCache, default_folder
from fuseline.sweep.grids import Sweep
from fuseline.sweep.limits import usable_cores
from fuseline.sweep.tasks import Caching, Executor, Limits

_EXECUTORS = ("local", "ray")
_NEEDED = {"local": ("pebble", "pyarrow"), "ray": ("pebble", "pyarrow", "ray")}
_JOBS = (
    "models", "without", "batch", "dtype", "via", "seq_len", "decode", "train", "attention",
    "strategies", *PARAMETERS,
)  # fmt: skip
"""Options that say which jobs there are, by the names of their values."""


_MOST_SECONDS = 1_000_000_000  # more overflows timers
_LEAST_NBYTES = 64 * 2**20  # less is not enough for anything, the interpreter itself included


@dataclass(frozen=True, slots=True)
class Running:
    """How jobs are run, in the words of the command line."""

    executor: str
    address: str | None
    workers: int | None
    job_seconds: float
    job_memory: str
    cache_limit: str
    no_cache: bool

    def check(self) -> None:
        """Refuse what cannot be, before any work is done."""
        if self.executor not in _EXECUTORS:
            hint = did_you_mean(self.executor, _EXECUTORS) or f": {' or '.join(_EXECUTORS)}"
            raise InputError(f"unknown executor '{self.executor}'{hint}")
        if self.address is not None and self.executor != "ray":
            raise InputError("--address is a cluster's: add --executor ray")
        if self.workers is not None and self.executor == "ray":
            raise InputError("--workers are of this machine; a cluster has its own cores")
        if not 0 < self.job_seconds <= _MOST_SECONDS:
            raise InputError(
                f"--job-seconds must be positive and at most {_MOST_SECONDS:,}, not "
                f"{self.job_seconds:g}"
            )
        if self.limits.nbytes < _LEAST_NBYTES:
            least = needed_text(_LEAST_NBYTES)
            raise InputError(f"--job-memory must be at least {least}, not '{self.job_memory}'")
        _ = self.caching

    @property
    def limits(self) -> Limits:
        """What a step may take."""
        return Limits(self.job_seconds, parse_size(self.job_memory, "--job-memory"))

    @property
    def caching(self) -> Caching:
        """Where graphs are kept: on a cluster, on each machine, whose homes may differ."""
        most_nbytes = parse_size(self.cache_limit, "--cache-limit")
        folder, home = default_folder(), Path.home()
        if self.executor == "ray" and folder.is_relative_to(home):
            folder = "~" / folder.relative_to(home)
        return Caching(None if self.no_cache else str(folder), most_nbytes)

    @property
    def slots(self) -> int:
        """Worker processes on this machine: one a core that this process may use."""
        return self.workers or usable_cores()

    def begin(self, folder: Path, sweep: Sweep) -> Executor:
        """The executor, which is entered by `drive`."""
        if self.executor == "ray":
            from fuseline.sweep.cluster import RayExecutor

            return RayExecutor(self.address, sweep.files, tell=partial(click.echo, err=True))
        from fuseline.sweep.local import LocalExecutor

        return LocalExecutor(self.slots, folder / "running")

    @property
    def in_words(self) -> str:
        """Where it ran."""
        if self.executor == "ray":
            return "ray"
        return f"{self.slots} worker" + ("" if self.slots == 1 else "s")


def _running_options(function: Command) -> Command:
    """How jobs are run: handed to the command as one `Running`."""

    @wraps(function)
    def gathered(
        *,
        executor: str,
        address: str | None,
        workers: int | None,
        job_seconds: float,
        job_memory: str,
        cache_limit: str,
        no_cache: bool,
        **others: object,
    ) -> object:
        running = Running(
            executor, address, workers, job_seconds, job_memory, cache_limit, no_cache
        )
        running.check()
        return function(running=running, **others)

    command: Command = gathered
    for option in (
        click.option("--no-cache", is_flag=True, help="Keep no graphs and use none."),
        click.option("--cache-limit", default="2GB", show_default=True, metavar="SIZE",
                     help="Graphs kept for other sweeps (`fuseline cache`)."),
        click.option("--job-memory", default="8GB", show_default=True, metavar="SIZE",
                     help="Memory that a step (a capture, a plan) may add to its worker's; 1GB is "
                     "2^30 bytes."),
        click.option("--job-seconds", type=float, default=600.0, show_default=True, metavar="S",
                     help="Time that a step may take."),
        click.option("--workers", type=click.IntRange(min=1), metavar="N",
                     help="Processes of the local executor [default: one a core]."),
        click.option("--address", metavar="ADDRESS",
                     help="The Ray cluster: auto, or HOST:PORT [default: $RAY_ADDRESS, else a Ray "
                     "of its own]."),
        click.option("--executor", default="local", show_default=True, metavar="|".join(_EXECUTORS),
                     help="Where jobs run."),
    ):  # fmt: skip
        command = option(command)
    return command


def _capture_options(function: Command) -> Command:
    """Which models, and how they are captured."""
    command = function
    for option in (
        click.option("--attention", metavar="fused|decomposed",
                     help="Attention as one op [default], or as its steps."),
        click.option("--train", is_flag=True, help="The forward pass in train mode."),
        click.option("--decode", type=int, multiple=True, metavar="KV",
                     help="Models of transformers: the step that makes one token after KV cached "
                     "ones; repeat for several."),
        click.option("--seq-len", type=int, multiple=True, metavar="N",
                     help="Models of transformers: tokens of a sequence; repeat for several."),
        click.option("--via", multiple=True, metavar="record|module|export",
                     help="How models are captured [default: record]; repeat for several."),
        click.option("--dtype", multiple=True, metavar="DTYPE",
                     help="float32, float16, bfloat16 or float64; repeat for several."),
        click.option("--batch", type=int, multiple=True, metavar="N",
                     help="First size of every input; repeat for several."),
        click.option("--without", multiple=True, metavar="NAME|PATTERN",
                     help="But not these of them; repeat."),
        click.option("--models", multiple=True, metavar="NAME|PATTERN|FILE",
                     help="A model as `partition` takes it, or a pattern ('timm/*'); repeat."),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command()
@_capture_options
@plans_options
@click.option("--jobs", "jobs_file", metavar="FILE",
              help="Jobs from a TOML file: a [[sweep]] table a grid, keys named as the "
              "options.")  # fmt: skip
@_running_options
@click.option("--retry-failed", is_flag=True, help="Do again what failed before.")
@click.option("--dry-run", is_flag=True,
              help="Say which jobs there are, and with -o what is left of them; do and write "
              "nothing.")  # fmt: skip
@click.option("-o", "--output", metavar="FOLDER",
              help="Where rows go (required). Named again, it goes on where it "
              "stopped.")  # fmt: skip
@click.pass_context
def command(
    context: click.Context,
    *,
    planned: Planned,
    models: tuple[str, ...],
    without: tuple[str, ...],
    batch: tuple[int, ...],
    dtype: tuple[str, ...],
    via: tuple[str, ...],
    seq_len: tuple[int, ...],
    decode: tuple[int, ...],
    train: bool,
    attention: str | None,
    jobs_file: str | None,
    running: Running,
    retry_failed: bool,
    dry_run: bool,
    output: str | None,
) -> None:
    """Analyse every model in every batch and dtype, under every strategy, on every device.

    A row a job goes to FOLDER/results/*.parquet (`fuseline query FOLDER`). A sweep that was stopped
    or killed goes on with the same command, or with -o FOLDER alone. A model is captured once, for
    all its strategies and devices. A job that fails, hangs or takes too much memory is a row with
    its reason, and the others go on. Exits with 1 where a job failed.
    """
    planning = context.params  # `planned` is these, checked
    del planned
    asked = Asked(
        models=models, without=without, batch=batch, dtype=dtype, via=via, seq_len=seq_len,
        decode=decode, train=train, attention=attention, strategy=planning["strategies"],
        device=planning["devices"], rules=planning["rules"], on_chip=planning["on_chip"],
        objective=planning["objective"], launch=planning["launch"], tf32=planning["tf32"],
        time_limit=planning["time_limit"], pair_rules=planning["pair_rules"],
    )  # fmt: skip
    sweep = _sweep_of(context, asked, jobs_file, output)
    if dry_run:
        _dry_run(sweep, None if output is None else Path(output))
        return
    if output is None:
        raise InputError("Missing option '-o': name the folder that rows go to")
    _check_needed(_NEEDED[running.executor])
    context.exit(_run(sweep, Path(output), running, retry_failed=retry_failed))


def _dry_run(sweep: Sweep | None, folder: Path | None) -> None:
    """Say what would be done, with what the folder holds of it already."""
    done = None
    if folder is not None and (folder / "state.sqlite").exists():
        begun, done = look(folder)
        if sweep is not None:
            check_same(begun, sweep, folder)
        sweep = begun
    if sweep is None:
        raise InputError("--dry-run says which jobs there are: add --models or --jobs, or -o")
    show_plan(sweep)
    if done is not None:
        show_left(sweep, done)


def _sweep_of(
    context: click.Context, asked: Asked, jobs_file: str | None, output: str | None
) -> Sweep | None:
    """The jobs of the file or of the options; None where there are none, to go on with."""
    given = [
        option.opts[0]
        for option in context.command.params
        if option.name in _JOBS
        and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    ]
    if jobs_file is not None:
        if given:
            raise InputError(f"--jobs names every job: leave out {', '.join(given)}")
        return sweep_of(read_jobs(Path(jobs_file)), jobs_file)
    if asked.models:
        return sweep_of([asked])
    if given:
        raise InputError(
            f"{', '.join(given)}: of which models? Add --models NAME; or leave it out, to go on "
            f"with what '{output or 'FOLDER'}' was begun with"
        )
    if output is not None and not (Path(output) / "state.sqlite").exists():
        raise InputError(
            f"'{output}' holds no sweep to go on with: name models, as --models resnet50"
        )
    return None


def _check_needed(packages: Iterable[str]) -> None:
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        extras = "sweep,ray" if "ray" in missing else "sweep"
        raise InputError(f"a sweep needs {' and '.join(missing)}: pip install 'fuseline[{extras}]'")


def _run(sweep: Sweep | None, folder: Path, running: Running, *, retry_failed: bool) -> int:
    """Do what is to be done; the exit code."""
    from fuseline.sweep.drive import drive
    from fuseline.sweep.environment import here
    from fuseline.sweep.store import Store

    if running.executor == "ray":
        from fuseline.sweep.cluster import check_cluster

        check_cluster(running.address)
    environment, caching = here(), running.caching
    with _stopped_by_sigterm(), Store.open(folder, sweep, environment) as store:
        if store.warning:
            click.echo(f"warning: {store.warning}", err=True)
        if retry_failed:
            click.echo(f"{store.forget_failed():,} jobs are done again", err=True)
        if running.executor == "local":
            _warn_of_cache(caching)
        before, began = store.counts(), monotonic()
        try:
            with Bar(before) as bar:
                executor = running.begin(folder, store.sweep)
                drive(
                    store, executor, limits=running.limits, caching=caching,
                    environment=environment, tell=bar.tell,
                )  # fmt: skip
        except KeyboardInterrupt:
            counts = store.counts()
            click.echo(
                f"stopped: {counts.done_jobs:,} of {counts.jobs:,} jobs are done; the same command "
                "goes on",
                err=True,
            )
            return 130
        counts, seconds = store.counts(), monotonic() - began
    show_summary(folder, before, counts, seconds, executor=running.in_words)
    return 1 if counts.failed else 0


def _warn_of_cache(caching: Caching) -> None:
    """A cache that cannot be written costs time and no row: it is said once, here."""
    if caching.folder is None:
        return
    if fault := GraphCache(Path(caching.folder), caching.most_nbytes).fault():
        click.echo(f"warning: graphs are not kept: {fault}", err=True)


@contextmanager
def _stopped_by_sigterm() -> Generator[None]:
    """End as by Ctrl-C where the machine or a scheduler asks for it."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
