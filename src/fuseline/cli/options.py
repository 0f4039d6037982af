"""Options that commands share, and how their words become values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from fuseline.errors import InputError
from fuseline.frontends import capture, check_via
from fuseline.graph import Graph, load

_GRAPH_FILES = (".json", ".zst")
Command = TypeVar("Command", bound=Callable[..., object])


def capture_options(function: Command) -> Command:
    """How a model is captured: `--via --batch --dtype --input-shape`."""
    for option in (
        click.option("--input-shape", "input_shapes", multiple=True, metavar="N,C,H,W",
                     help="Shape of an input; repeat for more inputs."),
        click.option("--dtype", help="float32, float16, bfloat16 or float64."),
        click.option("--batch", type=int, help="First size of every input."),
        click.option("--via", default="module", show_default=True,
                     help="How the model is captured: module."),
    ):  # fmt: skip
        function = option(function)
    return function


def section_options(function: Command) -> Command:
    """What is printed: `--quantify --compare --visualize --max-nodes --analyze-balance`."""
    for option in (
        click.option("--analyze-balance", is_flag=True, help="Sizes, single ops, missed fusions."),
        click.option("--max-nodes", type=click.IntRange(min=1), default=60, show_default=True,
                     help="Ops that --visualize shows."),
        click.option("--visualize", is_flag=True, help="The graph beside its groups."),
        click.option("--compare", is_flag=True, help="Strategies side by side."),
        click.option("--quantify", is_flag=True,
                     help="Groups, FLOPs, traffic, patterns, bottlenecks."),
    ):  # fmt: skip
        function = option(function)
    return function


def parse_shape(text: str) -> tuple[int, ...]:
    """A shape as written on the command line.

    >>> parse_shape("1,3,224,224")
    (1, 3, 224, 224)
    """
    try:
        return tuple(int(size) for size in text.replace("x", ",").split(","))
    except ValueError as error:
        raise InputError(f"'{text}' is not a shape: write sizes as 1,3,224,224") from error


def find_graph(
    model: str, via: str, batch: int | None, dtype: str | None, input_shapes: tuple[str, ...]
) -> Graph:
    """A saved graph where `model` names a graph file, else a fresh capture."""
    shapes = tuple(parse_shape(text) for text in input_shapes)
    check_via(via)
    path = Path(model)
    if path.suffix not in _GRAPH_FILES:
        return capture(model, via=via, batch=batch, dtype=dtype, input_shapes=shapes)
    if batch is not None or dtype is not None or shapes:
        raise InputError(f"'{model}' is a saved graph: its batch, dtype and shapes are fixed")
    return load(path)
