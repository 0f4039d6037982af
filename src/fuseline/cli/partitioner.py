"""The seed document's command: `partitioner.py --model M --strategy S ...`, word for word."""

from __future__ import annotations

from typing import NoReturn

import click

from fuseline.cli import start
from fuseline.cli.options import section_options
from fuseline.cli.partition import Sections, show
from fuseline.cli.planning import Planning
from fuseline.frontends import capture
from fuseline.fusion import Settings, choose_strategies

DOCUMENTED = ("unfused", "fusion")
"""The strategies that the document's `all` compares."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--model", required=True, help="A torchvision classifier.")
@click.option("--strategy", default="fusion", show_default=True, help="unfused, fusion or all.")
@section_options
@click.option(
    "--input-shape",
    nargs=4,
    type=int,
    default=(1, 3, 224, 224),
    show_default=True,
    help="Batch, channels, height, width.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(
    *,
    model: str,
    strategy: str,
    quantify: bool,
    compare: bool,
    visualize: bool,
    max_nodes: int,
    analyze_balance: bool,
    input_shape: tuple[int, int, int, int],
    debug: bool,
) -> None:
    """Partition a torchvision model at module level, as the seed document's commands do."""
    del debug
    wanted = DOCUMENTED if strategy == "all" else choose_strategies((strategy,))
    graph = capture(model, via="module", input_shapes=(input_shape,))
    sections = Sections(quantify, compare, visualize, analyze_balance, max_nodes)
    show(graph, wanted, sections, None, planning=Planning((Settings(),), ()))


def main() -> NoReturn:
    """Entry point of `cli/partitioner.py`."""
    start(command)
