"""Options of how plans are made and timed, and the plans they ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps

import click

from fuseline.errors import InputError
from fuseline.fusion import READS_RULES, STRATEGIES, Settings
from fuseline.graph import Graph
from fuseline.hardware import load_device
from fuseline.hardware.sizes import parse_size
from fuseline.plan import Plan
from fuseline.report.jobs import jobs, settings_of
from fuseline.report.progress import SearchProgress
from fuseline.report.rows import Target

Command = Callable[..., object]


@dataclass(frozen=True, slots=True)
class Planning:
    """Settings of each rung asked for, and the devices plans are timed on."""

    settings: tuple[Settings, ...]
    targets: tuple[Target, ...]

    @property
    def target(self) -> Target | None:
        """The device, where at most one can be asked for."""
        return self.targets[0] if self.targets else None

    def plans(self, graph: Graph, strategies: tuple[str, ...]) -> tuple[Plan, ...]:
        """A plan by each strategy; `optimal` once for each rung. Says what none of them reads."""
        say_unread(self.settings, strategies)
        progress = SearchProgress()
        settings = tuple(replace(setting, progress=progress.tell) for setting in self.settings)
        try:
            return tuple(
                STRATEGIES[strategy](graph, setting)
                for strategy, setting in jobs(strategies, settings)
            )
        finally:
            progress.close()


def say_unread(settings: tuple[Settings, ...], strategies: tuple[str, ...]) -> None:
    """Name, on stderr, the options that were given and that none of `strategies` reads."""
    asked, plain = settings[0], Settings()
    given = {
        "--rules": (READS_RULES, tuple(s.rules for s in settings) != (plain.rules,)),
        "--on-chip": (READS_RULES, asked.on_chip is not None),
        "--objective": (READS_RULES, asked.objective != plain.objective),
        "--pair-rules": ({"pairs"}, asked.pair_rules != plain.pair_rules),
    }
    unread = [
        option
        for option, (readers, is_given) in given.items()
        if is_given and readers.isdisjoint(strategies)
    ]
    if unread:
        click.echo(f"note: {', '.join(unread)}: no strategy here reads it", err=True)


def planning_options(function: Command) -> Command:
    """Options of the search and of one device, handed to the command as one `Planning`."""
    return _planning_options(function, several=False)


def planning_options_of_several(function: Command) -> Command:
    """The same where `--device` repeats."""
    return _planning_options(function, several=True)


PARAMETERS = (
    "rules", "on_chip", "objective", "devices", "launch", "tf32", "time_limit", "pair_rules",
)  # fmt: skip
"""Names of these options' values in a command."""


def _planning_options(function: Command, *, several: bool) -> Command:
    @wraps(function)
    def gathered(
        *,
        rules: tuple[str, ...],
        on_chip: str | None,
        objective: str,
        devices: tuple[str, ...] | str | None,
        launch: str,
        tf32: bool,
        time_limit: float,
        pair_rules: str,
        **others: object,
    ) -> object:
        names = (devices,) if isinstance(devices, str) else devices or ()
        targets = tuple(Target(load_device(name), launch, tf32) for name in dict.fromkeys(names))
        for target in targets:
            target.device.launch_seconds(launch)  # an unknown mode is refused here
        if not targets and (launch != "eager" or tf32):
            raise InputError("--launch and --tf32 say how a device runs: add --device NAME")
        first = Settings(
            on_chip=None if on_chip is None else parse_size(on_chip),
            objective=objective,
            device=targets[0].device if targets else None,
            launch=launch,
            tf32=tf32,
            seconds=time_limit,
            pair_rules=pair_rules,
        )
        settings = settings_of(first, rules, "--on-chip SIZE")
        return function(planning=Planning(settings, targets), **others)

    command: Command = gathered
    for option in (
        click.option("--pair-rules", default="tflite-cpu", show_default=True, metavar="NAME|FILE",
                     help="Strategy pairs: a backend's rules, or a TOML file of your own."),
        click.option("--time-limit", type=float, default=60.0, show_default=True, metavar="S",
                     help="Seconds that one search may take."),
        click.option("--tf32", is_flag=True, help="float32 contractions run as tfloat32."),
        click.option("--launch", default="eager", show_default=True, metavar="eager|graph",
                     help="Kernels launched one by one, or replayed as a graph."),
        click.option("--device", "devices", multiple=several, metavar="NAME|FILE",
                     help="Time plans on a device (`fuseline devices`), or on your own TOML file"
                     + ("; repeat for several." if several else ".")),
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
