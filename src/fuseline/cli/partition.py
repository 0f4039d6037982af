"""`fuseline partition MODEL`: group the model's ops into kernels and print what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

import fuseline
from fuseline.cli.options import Asked, capture_options, find_graph, section_options
from fuseline.errors import InputError, did_you_mean
from fuseline.files import write_bytes
from fuseline.fusion import STRATEGIES, partition
from fuseline.graph import Graph
from fuseline.report.rows import Result, rows


@dataclass(frozen=True, slots=True)
class Sections:
    """What to print; with none of them, the summary that `quantify` prints."""

    quantify: bool = False
    compare: bool = False
    visualize: bool = False
    analyze_balance: bool = False
    max_nodes: int = 60


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
@section_options
@click.option(
    "--json",
    "json_path",
    metavar="FILE",
    help="Write the result (graph, plans, refusals); - is stdout.",
)
@capture_options
def command(
    *,
    model: str,
    strategies: tuple[str, ...],
    quantify: bool,
    compare: bool,
    visualize: bool,
    max_nodes: int,
    analyze_balance: bool,
    json_path: str | None,
    asked: Asked,
) -> None:
    """Partition MODEL: the name of a torchvision model, timm/NAME, hf/FAMILY or a transformers
    config.json, FILE.py:FACTORY (runs the file), an exported program (.pt2), or a saved graph
    (.json, .json.zst; runs no code).
    """  # fmt: skip
    sections = Sections(quantify, compare, visualize, analyze_balance, max_nodes)
    wanted = choose_strategies(strategies)
    check_writable(json_path)
    graph = find_graph(model, asked)
    show(graph, wanted, sections, json_path)


def choose_strategies(names: tuple[str, ...]) -> tuple[str, ...]:
    """The strategies named, `all` being every one; an unknown one is refused here."""
    if "all" in names:
        return tuple(STRATEGIES)
    for name in names:
        if name not in STRATEGIES:
            known = (*STRATEGIES, "all")
            hint = did_you_mean(name, known) or f": one of {', '.join(known)}"
            raise InputError(f"unknown strategy '{name}'{hint}")
    return tuple(dict.fromkeys(names))


def check_writable(path: str | None) -> None:
    """Refuse an output that cannot be written before any work is done."""
    if path is None or path == "-":
        return
    if Path(path).is_dir():
        raise InputError(f"cannot write '{path}': it is a directory")
    parent = Path(path).parent
    if not parent.is_dir():
        raise InputError(f"cannot write '{path}': '{parent}' is not a directory")


def show(
    graph: Graph, strategies: tuple[str, ...], sections: Sections, json_path: str | None
) -> None:
    """Partition by every strategy, print the sections, write the result."""
    if sections.compare:  # there is always something to gain over
        strategies = tuple(dict.fromkeys(("unfused", *strategies)))
    plans = tuple(partition(graph, strategy) for strategy in strategies)
    result = rows(graph, plans, fuseline.__version__)
    if json_path is not None:
        from fuseline.report.result import encode

        if json_path == "-":
            click.echo(encode(result), nl=False)
            return
        write_bytes(Path(json_path), encode(result))
    print_sections(graph, result, sections)


def print_sections(graph: Graph, result: Result, sections: Sections) -> None:
    """The tables asked for, on stdout."""
    from fuseline.report import terminal

    console = terminal.stdout_console()
    terminal.print_header(console, result)
    chosen = sections.compare or sections.visualize or sections.analyze_balance
    if sections.compare:
        terminal.print_comparison(console, result)
    for plan in result.plans:
        if sections.quantify or not chosen:
            terminal.print_quantify(console, plan, result.graph.operators)
        if sections.visualize:
            terminal.print_picture(console, plan, sections.max_nodes)
        if sections.analyze_balance and (plan.strategy != "unfused" or len(result.plans) == 1):
            from fuseline.report.balance import analyse_balance
            from fuseline.report.balance_terminal import print_balance

            print_balance(console, analyse_balance(graph, plan.strategy))
