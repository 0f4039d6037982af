"""How plans are asked for in `compare`: by several strategies, under several rules, on several
devices at once.
"""

from __future__ import annotations

from functools import wraps

import click
from click.core import ParameterSource

from fuseline.cli.planning import (
    PARAMETERS,
    Command,
    Planning,
    planning_options_of_several,
    say_unread,
)
from fuseline.fusion import STRATEGIES, choose_strategies
from fuseline.report.compare import Planned


def plans_options(function: Command) -> Command:
    """How plans are made and timed: handed to the command as one `Planned`."""

    @wraps(function)
    def gathered(*, strategies: tuple[str, ...], planning: Planning, **others: object) -> object:
        planned = Planned(choose_strategies(strategies), planning.settings, planning.targets)
        say_unread(planning.settings, planned.strategies)
        return function(planned=planned, **others)

    strategy = click.option(
        "--strategy",
        "strategies",
        multiple=True,
        default=("fusion",),
        show_default=True,
        metavar="NAME",
        help=f"{', '.join(STRATEGIES)}, or all; repeat for several.",
    )
    return strategy(planning_options_of_several(gathered))


def says_how_to_plan(context: click.Context) -> bool:
    """Whether any of these options was given, be it as it is by default."""
    return any(
        context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        for name in ("strategies", *PARAMETERS)
    )
