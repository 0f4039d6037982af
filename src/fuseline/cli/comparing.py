"""Options of `compare`: several strategies, rules, devices, dtypes and batches at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from itertools import product

import click

from fuseline.cli.options import parse_shape
from fuseline.cli.planning import say_unread
from fuseline.hardware.sizes import parse_size
from fuseline.errors import InputError
from fuseline.fusion import STRATEGIES, Settings, choose_strategies
from fuseline.hardware import load_device
from fuseline.report.captures import Capturing
from fuseline.report.compare import Planned
from fuseline.report.rows import Target

Command = Callable[..., object]


def capturing_options(function: Command) -> Command:
    """How models are captured: handed to the command as a tuple of `Capturing`."""

    @wraps(function)
    def gathered(
        *,
        via: tuple[str, ...],
        batches: tuple[int, ...],
        dtypes: tuple[str, ...],
        input_shapes: tuple[str, ...],
        seq_len: int | None,
        decode: int | None,
        train: bool,
        attention: str | None,
        **others: object,
    ) -> object:
        shapes = tuple(parse_shape(text) for text in input_shapes)
        wanted = product(via or (None,), dtypes or (None,), batches or (None,))
        how = tuple(
            Capturing(frontend, batch, dtype, shapes, seq_len, decode, train, attention)
            for frontend, dtype, batch in dict.fromkeys(wanted)
        )
        return function(how=how, **others)

    command: Command = gathered
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
        click.option("--via", multiple=True, metavar="record|module|export",
                     help="How models are captured; repeat for several [default: record]."),
        click.option("--batch", "batches", multiple=True, type=int, metavar="N",
                     help="First size of every input; repeat for several."),
        click.option("--dtype", "dtypes", multiple=True, metavar="DTYPE",
                     help="float32, float16, bfloat16 or float64; repeat for several."),
    ):  # fmt: skip
        command = option(command)
    return command


def plans_options(function: Command) -> Command:
    """How plans are made and timed: handed to the command as one `Planned`."""

    @wraps(function)
    def gathered(
        *,
        strategies: tuple[str, ...],
        rules: tuple[str, ...],
        on_chip: str | None,
        objective: str,
        devices: tuple[str, ...],
        launch: str,
        tf32: bool,
        time_limit: float,
        pair_rules: str,
        **others: object,
    ) -> object:
        targets = tuple(Target(load_device(name), launch, tf32) for name in dict.fromkeys(devices))
        for target in targets:
            target.device.launch_seconds(launch)  # an unknown mode is refused here
        if not targets and (launch != "eager" or tf32):
            raise InputError("--launch and --tf32 say how a device runs: add --device NAME")
        if "M" in rules and on_chip is None:
            raise InputError("rules M allow what fits on chip: add --on-chip SIZE")
        first = Settings(
            on_chip=None if on_chip is None else parse_size(on_chip),
            objective=objective,
            device=targets[0].device if targets else None,
            launch=launch,
            tf32=tf32,
            seconds=time_limit,
            pair_rules=pair_rules,
        )
        settings = tuple(replace(first, rules=name) for name in dict.fromkeys(rules))
        planned = Planned(choose_strategies(strategies), settings, targets)
        say_unread(settings, planned.strategies)
        return function(planned=planned, **others)

    command: Command = gathered
    for option in (
        click.option("--pair-rules", default="tflite-cpu", show_default=True, metavar="NAME|FILE",
                     help="Strategy pairs: a backend's rules, or a TOML file of your own."),
        click.option("--time-limit", type=float, default=60.0, show_default=True, metavar="S",
                     help="Seconds that one search may take."),
        click.option("--tf32", is_flag=True, help="float32 contractions run as tfloat32."),
        click.option("--launch", default="eager", show_default=True, metavar="eager|graph",
                     help="Kernels launched one by one, or replayed as a graph."),
        click.option("--objective", default="bytes", show_default=True, metavar="bytes|seconds",
                     help="Strategy optimal: what is to be least."),
        click.option("--on-chip", metavar="SIZE",
                     help="Strategy optimal: on-chip memory of a kernel, as 256KB or 24MB."),
        click.option("--device", "devices", multiple=True, metavar="NAME|FILE",
                     help="Time plans on a device (`fuseline devices`); repeat for several."),
        click.option("--rules", multiple=True, default=("T",), show_default=True,
                     metavar="R0|A|B|T|M",
                     help="Strategy optimal: what a kernel may hold; repeat for several."),
        click.option("--strategy", "strategies", multiple=True, default=("fusion",),
                     show_default=True, metavar="NAME",
                     help=f"{', '.join(STRATEGIES)}, or all; repeat for several."),
    ):  # fmt: skip
        command = option(command)
    return command
