"""`fuseline run MODEL`: run plans, prove that they compute the model, and time them."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fuseline.cli.options import Asked, capture_options, parse_shape
from fuseline.cli.partition import check_writable
from fuseline.cli.planning import Planning, planning_options
from fuseline.cli.running_rows import Measured, lay_out
from fuseline.errors import InputError, did_you_mean
from fuseline.files import write_bytes
from fuseline.frontends import ATTENTIONS, VIAS, check_via
from fuseline.fusion import STRATEGIES, choose_strategies
from fuseline.plan import Plan
from fuseline.report.captures import is_graph_file
from fuseline.report.rows.run import RunResult, encode_run

if TYPE_CHECKING:
    from rich.status import Status

    from fuseline.frontends.sources.sourced import Sourced
    from fuseline.runtime.compare import Checked, Prepared
    from fuseline.runtime.measure import Clock

_INPUTS = 2  # that differ: outputs that do not differ with them prove nothing
_SEED = 0
_TORCH_DEVICES = ("cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be run, in the words of the command line."""

    strategies: tuple[str, ...]
    compiled: bool
    whole_graph: bool
    check_only: bool
    rounds: int
    per_group: int
    torch_device: str
    threads: int | None


@click.command()
@click.argument("model")
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    default=("fusion",),
    show_default=True,
    help=f"{', '.join(STRATEGIES)}, or all; repeat for several.",
)
@click.option("--compiled", is_flag=True, help="Each plan also compiled group by group.")
@click.option(
    "--whole-graph/--no-whole-graph",
    default=True,
    show_default=True,
    help="Time the whole model under torch.compile too.",
)
@click.option("--check-only", is_flag=True, help="Hold outputs against the model; time nothing.")
@click.option("--rounds", type=click.IntRange(min=1), default=10, show_default=True, metavar="N",
              help="Rounds that count, each running everything once.")  # fmt: skip
@click.option("--per-group", type=click.IntRange(min=0), metavar="N",
              help="Show the N slowest groups of a plan [default: 10 with --device].")  # fmt: skip
@click.option("--torch-device", default="cpu", show_default=True, metavar="cpu|cuda",
              help="Where to run.")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), metavar="N",
              help="Threads of torch [default: as torch chooses].")  # fmt: skip
@click.option("--nsight", is_flag=True,
              help="Count bytes of device memory and L2 by Nsight Compute (NVIDIA).")  # fmt: skip
@click.option("--nsight-worker", is_flag=True, hidden=True)
@click.option("--json", "json_path", metavar="FILE", help="Write the result; - is stdout.")
@planning_options
@capture_options
@click.pass_context
def command(
    context: click.Context,
    *,
    model: str,
    strategies: tuple[str, ...],
    compiled: bool,
    whole_graph: bool,
    check_only: bool,
    rounds: int,
    per_group: int | None,
    torch_device: str,
    threads: int | None,
    nsight: bool,
    nsight_worker: bool,
    json_path: str | None,
    planning: Planning,
    asked: Asked,
) -> None:
    """Run plans of MODEL with random weights, hold their outputs against the model's, and time
    them. MODEL is a name, a transformers config.json, or FILE.py:FACTORY (runs the file).

    Exits with 1 where a plan does not give what the model gives.
    """
    if torch_device not in _TORCH_DEVICES:
        hint = did_you_mean(torch_device, _TORCH_DEVICES) or ": one of cpu, cuda"
        raise InputError(f"unknown torch device '{torch_device}'{hint}")
    if per_group is None:
        per_group = 10 if planning.target is not None or nsight else 0
    wanted = Wanted(
        choose_strategies(strategies), compiled, whole_graph and not check_only, check_only,
        rounds, per_group, torch_device, threads,
    )  # fmt: skip
    check_has_code(model)
    check_writable(json_path)
    if nsight_worker:
        _work_for_nsight(model, wanted, planning, asked)
        return
    counted = _count_bytes(model, wanted) if nsight else {}
    result = _run(model, wanted, planning, asked, counted)
    if json_path == "-":
        click.echo(encode_run(result), nl=False)
    else:
        if json_path is not None:
            write_bytes(Path(json_path), encode_run(result))
            click.echo(f"wrote {json_path}", err=True)
        from fuseline.report.terminal import stdout_console
        from fuseline.report.terminal.run import print_run

        print_run(stdout_console(), result)
    if not result.passes:
        context.exit(1)


def check_has_code(model: str) -> None:
    """Refuse what holds a graph and nothing that runs.

    >>> check_has_code("net.json.zst")
    Traceback (most recent call last):
    fuseline.errors.InputError: 'net.json.zst' is a saved graph: it holds no code to run; ...
    """
    path = Path(model)
    if path.suffix == ".pt2":
        raise InputError(
            f"'{model}' is an exported program, read as data and never run: name the model "
            "(NAME, timm/NAME, hf/FAMILY, FILE.py:FACTORY)"
        )
    if is_graph_file(model):
        raise InputError(
            f"'{model}' is a saved graph: it holds no code to run; name the model (NAME, "
            "timm/NAME, hf/FAMILY, FILE.py:FACTORY)"
        )


# --- steps ------------------------------------------------------------------------------------


def _run(
    model: str,
    wanted: Wanted,
    planning: Planning,
    asked: Asked,
    counted: Mapping[str, Mapping[int, tuple[int, int]]],
) -> RunResult:
    """Check everything, then time what is to be timed."""
    from fuseline.runtime import measure

    clock = measure.find_clock(wanted.torch_device)
    notes: list[str] = []
    with measure.threads(wanted.threads) as threads, _status() as status:
        prepared = _prepare(model, wanted, asked, status)
        checked = list(_check_plans(prepared, wanted, planning, asked, status))
        if wanted.whole_graph:
            status.update("compiling the whole graph")
            try:
                checked.append(_check_whole(prepared))
            except InputError as error:
                notes.append(f"whole graph not measured: {error}")
        timings = _time(prepared, checked, wanted, clock, status)
        groups = _time_groups(prepared, checked, wanted, clock, status)
    measured = Measured(prepared, tuple(checked), timings, groups, counted, threads, tuple(notes))
    return lay_out(measured, wanted.torch_device, wanted.rounds, planning.target)


def _prepare(model: str, wanted: Wanted, asked: Asked, status: Status) -> Prepared:
    from fuseline.runtime.compare import prepare_run

    status.update(f"building {model}")
    return prepare_run(
        _find(model, asked),
        asked.via or VIAS[0],
        asked.attention or ATTENTIONS[0],
        torch_device=wanted.torch_device,
        inputs=_INPUTS,
        seed=_SEED,
    )


def _find(model: str, asked: Asked) -> Sourced:
    if asked.via is not None:
        check_via(asked.via)
    attention = asked.attention or ATTENTIONS[0]
    if attention not in ATTENTIONS:
        hint = did_you_mean(attention, ATTENTIONS) or f": one of {', '.join(ATTENTIONS)}"
        raise InputError(f"unknown attention '{attention}'{hint}")
    if attention == "decomposed" and asked.via == "module":
        raise InputError("module level shows attention as one op: decompose it via record")
    from fuseline.frontends.sources.find import Options, find_model

    shapes = tuple(parse_shape(text) for text in asked.input_shapes)
    options = Options(asked.batch, asked.dtype, shapes, asked.seq_len, asked.decode, asked.train)
    return find_model(model, options)


def _plans(prepared: Prepared, wanted: Wanted, planning: Planning) -> list[tuple[str, Plan]]:
    """Every plan with a name of its own."""
    plans = planning.plans(prepared.script.graph, wanted.strategies)
    several = len(planning.settings) > 1
    return [
        (f"{plan.strategy} {plan.rules}" if several and plan.proof else plan.strategy, plan)
        for plan in plans
    ]


def _check_plans(
    prepared: Prepared, wanted: Wanted, planning: Planning, asked: Asked, status: Status
) -> Iterator[Checked]:
    from fuseline.runtime.compare import check_one

    status.update("partitioning")
    exact = asked.attention != "decomposed"
    for name, plan in _plans(prepared, wanted, planning):
        status.update(f"checking {name}")
        yield check_one(prepared, plan, name, exact=exact, compiled=False)
        if wanted.compiled:
            status.update(f"compiling {name} group by group")
            yield check_one(prepared, plan, f"{name}, compiled", exact=False, compiled=True)


def _check_whole(prepared: Prepared) -> Checked:
    """The whole graph; where it breaks the error says what breaks it, and where."""
    from fuseline.runtime.compare import check_whole
    from fuseline.validate.inductor.breaks import check_one_graph

    check_one_graph(prepared.sourced)
    return check_whole(prepared, "whole graph")


def _time(
    prepared: Prepared, checked: Sequence[Checked], wanted: Wanted, clock: Clock, status: Status
) -> Mapping[str, tuple[float, ...]]:
    """Seconds in every round of the model and all that was checked, by name."""
    from fuseline.runtime.compare import eager
    from fuseline.runtime.measure import time_plans

    if wanted.check_only:
        return {}
    found = time_plans(
        (eager(prepared), *(each.contender for each in checked)),
        rounds=wanted.rounds,
        clock=clock,
        tell=lambda done, all_: status.update(f"timing: round {done} of {all_}"),
    )
    return {timing.name: timing.seconds for timing in found}


def _time_groups(
    prepared: Prepared, checked: Sequence[Checked], wanted: Wanted, clock: Clock, status: Status
) -> Mapping[str, Mapping[int, tuple[float, ...]]]:
    """Seconds of every launched group of each plan, by its place."""
    from fuseline.runtime.measure import time_groups

    found: dict[str, Mapping[int, tuple[float, ...]]] = {}
    for each in checked:
        if each.executable is None or not wanted.per_group or wanted.check_only:
            continue
        status.update(f"timing groups of {each.name}")
        timings = time_groups(
            each.executable, prepared.inputs[0], rounds=wanted.rounds, clock=clock
        )
        slowest = sorted(timings, key=lambda group: -group.timing.least)[: wanted.per_group]
        found[each.name] = {group.place: group.timing.seconds for group in slowest}
    return found


@contextmanager
def _status() -> Generator[Status]:
    """A line on stderr that says what is being done; nothing where stderr is no terminal."""
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield status


# --- Nsight Compute ---------------------------------------------------------------------------


def _count_bytes(model: str, wanted: Wanted) -> Mapping[str, Mapping[int, tuple[int, int]]]:
    """Bytes of device memory and of L2 that each group moves, by strategy and place: this very
    command again, one strategy at a time, under Nsight Compute.
    """
    import sys

    from fuseline.runtime.measure import find_clock
    from fuseline.runtime.nsight import join, profile

    if wanted.torch_device != "cuda":
        raise InputError("Nsight Compute counts what a GPU moves: add --torch-device cuda")
    find_clock("cuda")
    rest = _without(sys.argv[sys.argv.index(model) :], "--strategy")
    found = {}
    for strategy in wanted.strategies:
        again = [*rest, "--strategy", strategy, "--nsight-worker"]
        start = "from fuseline.cli import main; main()"
        moved = join(profile([sys.executable, "-c", start, "run", *again]))
        found[strategy] = {place: (g.dram_nbytes, g.l2_nbytes) for place, g in moved.items()}
    return found


def _without(words: Sequence[str], option: str) -> list[str]:
    """A command line without an option and its values.

    >>> _without(["vit_b_16", "--strategy", "tvm", "--batch", "2"], "--strategy")
    ['vit_b_16', '--batch', '2']
    """
    kept: list[str] = []
    following = iter(words)
    for word in following:
        if word == option:
            next(following, None)
        elif not word.startswith(f"{option}="):
            kept.append(word)
    return kept


def _work_for_nsight(model: str, wanted: Wanted, planning: Planning, asked: Asked) -> None:
    from fuseline.runtime.execute import execute_script
    from fuseline.runtime.nsight import run_marked

    with _status() as status:
        prepared = _prepare(model, wanted, asked, status)
    for _, plan in _plans(prepared, wanted, planning):
        executable = execute_script(plan, prepared.script, prepared.sourced.model)
        run_marked(executable, prepared.inputs[0])
