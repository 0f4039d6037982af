"""Options of how plans are made and timed, and the plans they ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps

import click

from fuseline.hardware.sizes import parse_size
from fuseline.errors import InputError
from fuseline.fusion import STRATEGIES, Settings
from fuseline.graph import Graph
from fuseline.hardware import load_device
from fuseline.plan import Plan
from fuseline.report.progress import SearchProgress
from fuseline.report.rows import Target


@dataclass(frozen=True, slots=True)
class Planning:
    """Settings of each rung asked for, and the device plans are timed on."""

    settings: tuple[Settings, ...]
    target: Target | None

    def plans(self, graph: Graph, strategies: tuple[str, ...]) -> tuple[Plan, ...]:
        """A plan by each strategy; `optimal` once for each rung. Says what none of them reads."""
        say_unread(self.settings, strategies)
        progress = SearchProgress()
        settings = tuple(replace(setting, progress=progress.tell) for setting in self.settings)
        try:
            return tuple(
                STRATEGIES[strategy](graph, setting)
                for strategy in strategies
                for setting in (settings if strategy == "optimal" else settings[:1])
            )
        finally:
            progress.close()


def say_unread(settings: tuple[Settings, ...], strategies: tuple[str, ...]) -> None:
    """Name, on stderr, the options that were given and that none of `strategies` reads."""
    asked, plain = settings[0], Settings()
    given = {
        "--rules": ("optimal", tuple(s.rules for s in settings) != (plain.rules,)),
        "--on-chip": ("optimal", asked.on_chip is not None),
        "--objective": ("optimal", asked.objective != plain.objective),
        "--pair-rules": ("pairs", asked.pair_rules != plain.pair_rules),
    }
    unread = [
        option
        for option, (reader, is_given) in given.items()
        if is_given and reader not in strategies
    ]
    if unread:
        click.echo(f"note: {', '.join(unread)}: no strategy here reads it", err=True)


def planning_options(function: Callable[..., object]) -> Callable[..., object]:
    """Options of the search and of the device, handed to the command as one `Planning`."""

    @wraps(function)
    def gathered(
        *,
        rules: tuple[str, ...],
        on_chip: str | None,
        objective: str,
        device: str | None,
        launch: str,
        tf32: bool,
        time_limit: float,
        pair_rules: str,
        **others: object,
    ) -> object:
        target = None
        if device is not None:
            target = Target(load_device(device), launch, tf32)
            target.device.launch_seconds(launch)  # an unknown mode is refused here
        elif launch != "eager" or tf32:
            raise InputError("--launch and --tf32 say how a device runs: add --device NAME")
        first = Settings(
            on_chip=None if on_chip is None else parse_size(on_chip),
            objective=objective,
            device=target.device if target else None,
            launch=launch,
            tf32=tf32,
            seconds=time_limit,
            pair_rules=pair_rules,
        )
        if "M" in rules and on_chip is None:
            raise InputError("rules M allow what fits on chip: add --on-chip SIZE")
        settings = tuple(replace(first, rules=name) for name in dict.fromkeys(rules))
        return function(planning=Planning(settings, target), **others)

    command: Callable[..., object] = gathered
    for option in (
        click.option("--pair-rules", default="tflite-cpu", show_default=True, metavar="NAME|FILE",
                     help="Strategy pairs: a backend's rules, or a TOML file of your own."),
        click.option("--time-limit", type=float, default=60.0, show_default=True, metavar="S",
                     help="Seconds that a search may take."),
        click.option("--tf32", is_flag=True, help="float32 contractions run as tfloat32."),
        click.option("--launch", default="eager", show_default=True, metavar="eager|graph",
                     help="Kernels launched one by one, or replayed as a graph."),
        click.option("--device", metavar="NAME|FILE",
                     help="Time plans on a device (`fuseline devices`), or on your own TOML file."),
        click.option("--objective", default="bytes", show_default=True, metavar="bytes|seconds",
                     help="Strategy optimal: what is to be least."),
        click.option("--on-chip", metavar="SIZE",
                     help="Strategy optimal: on-chip memory of a kernel, as 256KB or 24MB."),
        click.option("--rules", multiple=True, default=("T",), show_default=True,
                     metavar="R0|A|B|T|M",
                     help="Strategy optimal: what a kernel may hold; repeat for several."),
    ):  # fmt: skip
        command = option(command)
    return command
