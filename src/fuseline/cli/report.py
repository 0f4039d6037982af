"""`fuseline report MODEL`: one model as a page, a picture, charts, a timeline or tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

import fuseline
from fuseline.cli import options
from fuseline.cli.partition import check_writable
from fuseline.cli.planning import Planning, planning_options
from fuseline.errors import InputError, did_you_mean
from fuseline.files import write_bytes
from fuseline.fusion import choose_strategies
from fuseline.report.formats import (
    CHARTS,
    FORMATS,
    OF_ONE_PLAN,
    TABLE_NAMES,
    Asked,
    Format,
    format_named,
    format_of,
)
from fuseline.report.progress import SearchProgress

_STDOUT = "-"


@click.command()
@click.argument("model")
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    help="As for `fuseline partition`; repeat for several. [default: all; for a picture optimal]",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Where to write; - is stdout. [default: MODEL.html; text goes to stdout]",
)
@click.option(
    "--format",
    "kind",
    metavar="FORMAT",
    help=f"{', '.join(FORMATS)}. [default: as FILE ends; html]",
)
@click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="TABLE",
    help=f"For a format of tables: {', '.join(TABLE_NAMES)}; repeat for several. [default: plans]",
)
@click.option("--chart", metavar="CHART", help=f"For svg and png: {', '.join(CHARTS)}.")
@click.option(
    "--max-nodes",
    type=click.IntRange(min=1),
    default=80,
    show_default=True,
    help="Boxes in a picture: modules are closed until they fit.",
)
@click.option(
    "--capacity-seconds",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    metavar="S",
    help="What the capacity curve may take; 0 leaves it out.",
)
@planning_options
@options.capture_options
def command(
    *,
    model: str,
    strategies: tuple[str, ...],
    output: str | None,
    kind: str | None,
    tables: tuple[str, ...],
    chart: str | None,
    max_nodes: int,
    capacity_seconds: float,
    planning: Planning,
    asked: options.Asked,
) -> None:
    """Write a report of MODEL (as for `fuseline partition`): by default a page with every strategy
    that opens offline in any browser.
    """
    kind = kind or _kind_of(output, tables, chart)
    made = format_named(kind)
    _check_parts(kind, made, tables, chart)
    names = _strategies(kind, made, chart, strategies, len(planning.settings))
    if kind == "trace" and planning.target is None:
        raise InputError("a timeline needs seconds: add --device NAME")
    if kind == "explorer" and output == _STDOUT:
        raise InputError("explorer is several files: name the first with -o FILE")
    path = output or (_STDOUT if made.is_text else _file_name(model, made))
    check_writable(path)
    graph = options.find_graph(model, asked)
    progress = SearchProgress()
    shown = Asked(
        graph,
        planning.plans(graph, names),
        fuseline.__version__,
        planning.target,
        tables or ("plans",),
        chart,
        max_nodes,
        capacity_seconds,
        gzipped=path.endswith(".gz"),
        width=_width() if kind == "terminal" and path == _STDOUT else None,
        progress=progress.tell,
    )
    try:
        content = made.write(shown)
    finally:
        progress.close()
    _write(path, content if isinstance(content, dict) else {"": content})


def _kind_of(output: str | None, tables: Sequence[str], chart: str | None) -> str:
    """The format that a file's name asks for, or else what is to be in it."""
    if output is not None and output != _STDOUT:
        return format_of(output)
    return "terminal" if tables else "svg" if chart else "html"


def _check_parts(kind: str, made: Format, tables: Sequence[str], chart: str | None) -> None:
    """Tables and charts there are, and in a format that holds them."""
    for table in tables:
        if table not in TABLE_NAMES:
            hint = did_you_mean(table, TABLE_NAMES) or f": one of {', '.join(TABLE_NAMES)}"
            raise InputError(f"unknown table '{table}'{hint}")
    if chart is not None and chart not in CHARTS:
        hint = did_you_mean(chart, CHARTS) or f": one of {', '.join(CHARTS)}"
        raise InputError(f"unknown chart '{chart}'{hint}")
    if tables and not made.is_table:
        raise InputError(f"{kind} holds no tables: drop --table, or --format markdown")
    if len(tables) > 1 and not made.holds_tables:
        raise InputError(f"{kind} holds one table: name one, or --format markdown")
    if chart is not None and not made.is_drawing:
        raise InputError(f"{kind} is no chart: drop --chart, or --format svg")


def _strategies(
    kind: str, made: Format, chart: str | None, asked: tuple[str, ...], rungs: int
) -> tuple[str, ...]:
    """The strategies shown: all unless some are named; in a picture of one plan the optimum. That
    of several rungs is several plans.
    """
    single = chart in OF_ONE_PLAN if chart is not None else made.is_of_one_plan
    names = choose_strategies(asked or (("optimal",) if single else ("all",)))
    what = f"the chart '{chart}'" if chart else kind
    if single and len(names) > 1:
        raise InputError(f"{what} shows one strategy: name one with --strategy")
    if single and "optimal" in names and rungs > 1:
        raise InputError(f"{what} shows one plan: name one rung with --rules")
    return names


def _file_name(model: str, made: Format) -> str:
    """A name in the current folder: `hf/llama` -> `hf-llama.html`."""
    stem = Path(model).stem if Path(model).suffix in (".json", ".zst", ".pt2") else model
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in stem) + made.endings[0]


def _width() -> int:
    from fuseline.report.terminal import stdout_console

    return stdout_console().width


def _write(path: str, files: dict[str, bytes]) -> None:
    """The file asked for, and those that belong beside it: `a.explorer.json`, `a.bytes.json`."""
    if path == _STDOUT:
        click.echo(files[""], nl=False)
        return
    for ending, content in files.items():
        place = Path(path)
        if ending:
            place = place.with_name(place.name.split(".")[0] + ending + ".json")
        write_bytes(place, content)
        click.echo(f"wrote {place} ({len(content):,} bytes)", err=True)
