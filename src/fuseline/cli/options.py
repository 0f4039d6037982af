"""Options that commands share, and how their words become values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from fuseline.errors import InputError
from fuseline.frontends import check_via
from fuseline.graph import Graph
from fuseline.report.captures import Capturing, graph_of, is_graph_file

if TYPE_CHECKING:
    from fuseline.frontends.sources.sourced import Sourced

Command = TypeVar("Command", bound=Callable[..., object])


@dataclass(frozen=True, slots=True)
class Asked:
    """How a model is to be captured, in the words of the command line."""

    via: str | None
    batch: int | None
    dtype: str | None
    input_shapes: tuple[str, ...]
    seq_len: int | None
    decode: int | None
    train: bool
    attention: str | None

    @property
    def capturing(self) -> Capturing:
        """The same as values. Raises `InputError` for a shape that is none."""
        shapes = tuple(parse_shape(text) for text in self.input_shapes)
        return Capturing(
            self.via, self.batch, self.dtype, shapes, self.seq_len, self.decode, self.train,
            self.attention,
        )  # fmt: skip


def capture_options(function: Callable[..., object]) -> Callable[..., object]:
    """How a model is captured: options of the command, handed to it as one `Asked`."""

    @wraps(function)
    def gathered(
        *,
        via: str | None,
        batch: int | None,
        dtype: str | None,
        input_shapes: tuple[str, ...],
        seq_len: int | None,
        decode: int | None,
        train: bool,
        attention: str | None,
        **others: object,
    ) -> object:
        asked = Asked(via, batch, dtype, input_shapes, seq_len, decode, train, attention)
        return function(asked=asked, **others)

    return _with_capture_options(gathered, several=False)


def several_capture_options(function: Callable[..., object]) -> Callable[..., object]:
    """The same for several frontends, batches and dtypes: handed to the command as a tuple of
    `Capturing`, every combination once.
    """

    @wraps(function)
    def gathered(
        *,
        via: tuple[str, ...],
        batch: tuple[int, ...],
        dtype: tuple[str, ...],
        input_shapes: tuple[str, ...],
        seq_len: int | None,
        decode: int | None,
        train: bool,
        attention: str | None,
        **others: object,
    ) -> object:
        wanted = product(via or (None,), dtype or (None,), batch or (None,))
        how = tuple(
            Asked(each, size, kind, input_shapes, seq_len, decode, train, attention).capturing
            for each, kind, size in dict.fromkeys(wanted)
        )
        return function(how=how, **others)

    return _with_capture_options(gathered, several=True)


def _with_capture_options(
    command: Callable[..., object], *, several: bool
) -> Callable[..., object]:
    """The options themselves; of which `several` say that three repeat."""
    repeat = "; repeat for several" if several else ""
    for option in (
        click.option("--attention", metavar="fused|decomposed",
                     help="Attention as one op [default], or as its steps."),
        click.option("--train", is_flag=True, help="The forward pass in train mode."),
        click.option("--decode", type=click.IntRange(min=1), metavar="KV",
                     help="The step that makes one token after KV cached ones."),
        click.option("--seq-len", type=click.IntRange(min=1), metavar="N",
                     help="Tokens of a sequence."),
        click.option("--input-shape", "input_shapes", multiple=True, metavar="N,C,H,W",
                     help="Shape of an input; repeat for more inputs."),
        click.option("--dtype", multiple=several, metavar="DTYPE",
                     help=f"float32, float16, bfloat16 or float64{repeat}."),
        click.option("--batch", type=int, multiple=several, metavar="N",
                     help=f"First size of every input{repeat}."),
        click.option("--via", multiple=several, metavar="record|module|export",
                     help="How the model is captured: every aten op of one run [default: record], "
                     f"one op a torch.nn module, or torch.export{repeat}."),
    ):  # fmt: skip
        command = option(command)
    return command


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


def find_graph(model: str, asked: Asked) -> Graph:
    """A saved graph where `model` names a graph file, else a fresh capture."""
    return graph_of(model, asked.capturing)


def source_model(model: str, asked: Asked) -> Sourced:
    """The model itself, ready to capture, for commands that do more than read its graph.

    Raises `InputError` for a saved graph and an exported program, which hold no code to run.
    """
    from fuseline.frontends.sources.find import find_model
    from fuseline.frontends.sources.sourced import Options

    is_graph = is_graph_file(model)
    if is_graph or Path(model).suffix == ".pt2":
        what = "a saved graph" if is_graph else "an exported program"
        raise InputError(f"'{model}' is {what} and holds no code to run: name the model it is of")
    if asked.via is not None:
        check_via(asked.via)
    shapes = tuple(parse_shape(text) for text in asked.input_shapes)
    options = Options(asked.batch, asked.dtype, shapes, asked.seq_len, asked.decode, asked.train)
    return find_model(model, options)
