"""`fuseline partition MODEL`: group the model's ops into kernels and print what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

import fuseline
from fuseline.cli.options import Asked, capture_options, find_graph, section_options
from fuseline.cli.planning import Planning, planning_options
from fuseline.errors import InputError
from fuseline.files import write_bytes
from fuseline.fusion import STRATEGIES, choose_strategies
from fuseline.graph import Graph
from fuseline.report.rows import Result, rows
from fuseline.report.rows.explain import (
    ExplanationRow,
    MissedPairRow,
    explanation_row,
    missed_pair_rows,
)
from fuseline.report.rows.what_if import Change, WhatIfRow, parse_change, what_if_row


@dataclass(frozen=True, slots=True)
class Sections:
    """What to print; with none of them, the summary that `quantify` prints."""

    quantify: bool = False
    compare: bool = False
    visualize: bool = False
    analyze_balance: bool = False
    max_nodes: int = 60
    explain: tuple[tuple[str, str], ...] = ()
    missed: int = 0


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
    "--explain",
    nargs=2,
    multiple=True,
    metavar="A B",
    help="Why two ops (names, or paths of modules) share no kernel, and what it would take.",
)
@click.option(
    "--missed",
    type=click.IntRange(min=1),
    metavar="N",
    help="The N pairs of neighbouring groups that one kernel would save most.",
)
@click.option(
    "--what-if",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Ask again with dtype=bfloat16, weights=int8 or int4, batch=8, layout=channels_last; "
    "with commas several at once; repeat for more.",
)
@click.option(
    "--json",
    "json_path",
    metavar="FILE",
    help="Write the result (graph, plans, refusals); - is stdout.",
)
@planning_options
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
    explain: tuple[tuple[str, str], ...],
    missed: int | None,
    changes: tuple[str, ...],
    json_path: str | None,
    planning: Planning,
    asked: Asked,
) -> None:
    """Partition MODEL: the name of a torchvision model, timm/NAME, hf/FAMILY or a transformers
    config.json, FILE.py:FACTORY (runs the file), an exported program (.pt2), or a saved graph
    (.json, .json.zst; runs no code).
    """  # fmt: skip
    sections = Sections(
        quantify, compare, visualize, analyze_balance, max_nodes, explain, missed or 0
    )
    wanted = choose_strategies(strategies)
    asked_changes = tuple(parse_change(change) for change in changes)
    check_writable(json_path)
    graph = find_graph(model, asked)
    show(graph, wanted, sections, json_path, planning=planning, changes=asked_changes)


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
    graph: Graph,
    strategies: tuple[str, ...],
    sections: Sections,
    json_path: str | None,
    *,
    planning: Planning,
    changes: tuple[Change, ...] = (),
) -> None:
    """Partition by every strategy, print the sections, write the result."""
    if sections.compare:  # there is always something to gain over
        strategies = tuple(dict.fromkeys(("unfused", *strategies)))
    plans = planning.plans(graph, strategies)
    result = rows(graph, plans, fuseline.__version__, planning.target)
    explained = tuple(
        explanation_row(graph, plan, *pair) for pair in sections.explain for plan in plans
    )
    missed = tuple(
        (plan.strategy, missed_pair_rows(graph, plan, sections.missed))
        for plan in plans
        if sections.missed and plan.strategy != "unfused"
    )
    what_ifs = tuple(_what_if(graph, change, strategies, planning) for change in changes)
    if json_path is not None:
        from fuseline.report.result import encode

        document = encode(result, explained, missed, what_ifs)
        if json_path == "-":
            click.echo(document, nl=False)
            return
        write_bytes(Path(json_path), document)
    print_sections(graph, result, sections)
    print_answers(result, explained, missed, what_ifs)


def _what_if(
    graph: Graph, change: Change, strategies: tuple[str, ...], planning: Planning
) -> WhatIfRow:
    """The same strategies on the graph as it would be."""
    changed = change.apply(graph)
    plans = planning.plans(changed, strategies)
    return what_if_row(change.text, rows(changed, plans, fuseline.__version__, planning.target))


def print_answers(
    result: Result,
    explained: tuple[ExplanationRow, ...],
    missed: tuple[tuple[str, tuple[MissedPairRow, ...]], ...],
    what_ifs: tuple[WhatIfRow, ...],
) -> None:
    """What was asked about pairs of ops, missed fusions, and changes."""
    from fuseline.report import terminal
    from fuseline.report.terminal.explain import print_explanation, print_missed_pairs
    from fuseline.report.terminal.what_if import print_what_ifs

    console = terminal.stdout_console()
    for row in explained:
        print_explanation(console, row)
    for strategy, pairs in missed:
        print_missed_pairs(console, strategy, pairs)
    if what_ifs:
        print_what_ifs(console, result, what_ifs)


def print_sections(graph: Graph, result: Result, sections: Sections) -> None:
    """The tables asked for, on stdout."""
    from fuseline.report import terminal
    from fuseline.report.terminal import device as device_terminal

    console = terminal.stdout_console()
    terminal.print_header(console, result)
    chosen = sections.compare or sections.visualize or sections.analyze_balance
    asked = chosen or sections.explain or sections.missed
    if sections.compare:
        terminal.print_comparison(console, result)
        device_terminal.print_times(console, result)
    for plan in result.plans:
        if sections.quantify or not asked:
            terminal.print_quantify(console, plan, result.graph.operators)
            device_terminal.print_device(console, plan)
        if sections.visualize:
            terminal.print_picture(console, plan, sections.max_nodes)
        if (
            sections.analyze_balance
            and plan.kind == "partition"
            and (plan.strategy not in ("unfused", "optimal") or len(result.plans) == 1)
        ):
            from fuseline.report.rows.balance import analyse_balance
            from fuseline.report.terminal.balance import print_balance

            print_balance(console, analyse_balance(graph, plan.strategy))
