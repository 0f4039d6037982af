"""`fuseline validate MODEL --against COMPILER`: our plan beside the kernels a compiler makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

import fuseline
from fuseline.cli.options import Asked, capture_options, source_model
from fuseline.cli.partition import check_writable
from fuseline.errors import InputError, did_you_mean
from fuseline.files import write_bytes
from fuseline.fusion import choose_strategies, partition
from fuseline.graph import Graph
from fuseline.plan import Plan
from fuseline.report.rows import Result, rows

if TYPE_CHECKING:
    from rich.console import Console

    from fuseline.frontends.sources.sourced import Sourced
    from fuseline.validate.against import PlanAgreement
    from fuseline.validate.inductor.agreement import Agreement
    from fuseline.validate.inductor.read import Schedule

Held = TypeVar("Held")

COMPILERS = ("inductor", "tvm", "onnxruntime")
"""What a plan can be held against, each with the strategy of its rules."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """Strategies to lay beside, how many kernels to list, and where the document goes."""

    others: tuple[str, ...]
    kernels: int
    json_path: str | None


@click.command("MODEL", hidden=True)
@click.argument("model")
@click.option(
    "--against", "compiler", required=True, metavar="|".join(COMPILERS), help="Whose kernels."
)
@click.option(
    "--schedule",
    "target",
    default="cpu",
    show_default=True,
    metavar="cpu|triton|cuda",
    help="Inductor's schedule: for the CPU, for Triton, for a CUDA device (none needed).",
)
@click.option(
    "--device", metavar="NAME", help="The CUDA device whose schedule is read [default: h100-sxm]."
)
@click.option(
    "--layout-optimization/--no-layout-optimization",
    "layout",
    default=None,
    help="Whether Inductor may lay convolutions out anew [default: Inductor's].",
)
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    help="Other strategies to lay beside; repeat for several.",
)
@click.option(
    "--kernels",
    type=click.IntRange(min=0),
    default=12,
    show_default=True,
    metavar="N",
    help="Kernels to list, those first that differ most.",
)
@click.option("--json", "json_path", metavar="FILE", help="Write the result; - is stdout.")
@capture_options
def command(
    *,
    model: str,
    compiler: str,
    target: str,
    device: str | None,
    layout: bool | None,
    strategies: tuple[str, ...],
    kernels: int,
    json_path: str | None,
    asked: Asked,
) -> None:
    """Lay our plan for MODEL beside the kernels that a compiler makes of it."""
    if compiler not in COMPILERS:
        hint = did_you_mean(compiler, COMPILERS) or f": one of {', '.join(COMPILERS)}"
        raise InputError(f"cannot hold a model against '{compiler}'{hint}")
    if compiler != "inductor" and (target != "cpu" or device or layout is not None):
        raise InputError(
            "--schedule, --device and --layout-optimization say what Inductor compiles for: "
            f"{compiler} has one schedule"
        )
    if device is not None and target != "cuda":
        raise InputError("--device is a CUDA device: add --schedule cuda")
    others = choose_strategies(strategies) if strategies else ()
    check_writable(json_path)
    sourced = source_model(model, asked)
    if compiler == "inductor":
        from fuseline.validate.inductor.read import DEVICE, Schedule

        asked_for = Schedule(target, device or DEVICE, layout)
        _against_inductor(sourced, asked_for, asked, _Shown(others, kernels, json_path))
    else:
        _against_plan(sourced, compiler, asked, _Shown(others, kernels, json_path))


def _against_inductor(
    sourced: Sourced,
    schedule: Schedule,
    asked: Asked,
    shown: _Shown,
) -> None:
    from fuseline.validate.against import hold_against_inductor
    from fuseline.validate.against_terminal import print_agreement

    held = _told(
        f"reading Inductor's {schedule.target} schedule",
        lambda: hold_against_inductor(sourced, schedule, *_captured(asked)),
    )
    plans = (held.ours, held.real.plan, *_planned(held.graph, shown.others))
    result = rows(held.graph, plans, fuseline.__version__)
    if _write(shown.json_path, result, held.agreement):
        return
    console = _print(result)
    console.print(
        "  Above, kernels are priced by our accounting; below, Inductor's as Inductor counts them",
        soft_wrap=True,
    )
    print_agreement(console, held.agreement, held.real.removed, shown.kernels)


def _against_plan(
    sourced: Sourced,
    compiler: str,
    asked: Asked,
    shown: _Shown,
) -> None:
    from fuseline.validate.against import hold_against_plan
    from fuseline.validate.against_terminal import print_plan_agreement

    held = _told(
        f"reading {compiler}'s kernels",
        lambda: hold_against_plan(sourced, compiler, *_captured(asked)),
    )
    plans = (held.ours, held.real, *_planned(held.graph, shown.others))
    result = rows(held.graph, plans, fuseline.__version__)
    if _write(shown.json_path, result, held.agreement):
        return
    console = _print(result)
    print_plan_agreement(console, held.agreement, shown.kernels)


def _captured(asked: Asked) -> tuple[str, str]:
    if asked.via == "module":
        raise InputError(
            "module level shows a module as one op, which a compiler splits: use --via record"
        )
    return asked.via or "record", asked.attention or "fused"


def _told(what: str, work: Callable[[], Held]) -> Held:
    """Do some seconds of work, and say so on stderr meanwhile."""
    from rich.console import Console

    with Console(stderr=True).status(what):
        return work()


def _planned(graph: Graph, strategies: tuple[str, ...]) -> tuple[Plan, ...]:
    return tuple(partition(graph, strategy) for strategy in strategies)


def _write(path: str | None, result: Result, agreement: Agreement | PlanAgreement) -> bool:
    """Write the result where it is asked for; whether it went to stdout."""
    if path is None:
        return False
    from fuseline.report.result import encode
    from fuseline.validate.against_terminal import agreement_document

    document = encode(result, agreement=agreement_document(agreement))
    if path == "-":
        click.echo(document, nl=False)
        return True
    write_bytes(Path(path), document)
    return False


def _print(result: Result) -> Console:
    from fuseline.report import terminal

    console = terminal.stdout_console()
    terminal.print_header(console, result)
    terminal.print_comparison(console, result)
    return console
