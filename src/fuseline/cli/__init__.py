"""The command line: arguments in, text out. A command's module is imported when it is called."""

from __future__ import annotations

import gc
import importlib
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import NoReturn

import click

from fuseline.errors import InputError, did_you_mean

_COMMANDS = {
    "partition": "Partition a model and price the plan.",
    "report": "Write a page, a picture, charts, a timeline or tables of a model.",
    "compare": "Lay models, strategies, devices, dtypes and batches side by side.",
    "check": "Fail where a model got worse than its budget or a baseline.",
    "sweep": "Analyse thousands of models, batches, devices and strategies; resume.",
    "query": "Ask the rows of a sweep, in SQL.",
    "cache": "Show and clear the graphs that sweeps keep.",
    "capacity": "Say what on-chip memory is worth: the least traffic for each size.",
    "run": "Run plans, prove that they compute the model, and time them.",
    "capture": "Write a model's graph to a file.",
    "models": "List the models known by name.",
    "devices": "List devices, or a device's figures with their sources.",
    "calibrate": "Measure this machine, and write it as a device.",
    "validate": "Hold figures against the seed document.",
    "doctor": "Check what this installation can do.",
}

_MODULES = {"run": "running"}
"""Modules that do not bear their command's name: `run` is a function here."""


class _Commands(click.Group):
    """Commands by name, each in a module of its own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module = _MODULES.get(cmd_name, cmd_name)
        command: click.Command = importlib.import_module(f"fuseline.cli.{module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            raise InputError(f"unknown command '{args[0]}'{did_you_mean(args[0], _COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fuseline")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(*, debug: bool) -> None:
    """Say which operators of a PyTorch model fuse into which kernels, and what that costs."""
    del debug  # read by `run`, before anything can fail


def run(command: click.Command, arguments: Sequence[str] | None = None) -> int:
    """Run a command; bad input is one line on stderr and exit code 2."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    if debug and arguments[0] != "--debug":  # taken anywhere on the line
        arguments = ["--debug", *(word for word in arguments if word != "--debug")]
    warnings.showwarning = _show_warning
    try:
        code = command.main(arguments, standalone_mode=False)
    except (InputError, click.ClickException) as error:
        if debug:
            traceback.print_exc()
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"error: {' '.join(message.split())}", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # the reader has seen enough
            sys.stderr.close()
            return 141
        click.echo(f"error: cannot print: {error.strerror}", err=True)
        return 2
    return code if isinstance(code, int) else 0  # a command that found a failure says 1


def _show_warning(  # noqa: PLR0917 - the signature of `warnings.showwarning`
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    del category, filename, lineno, file, line
    click.echo(f"warning: {message}", err=True)


def start(command: click.Command) -> NoReturn:
    """Run a command as the whole process.

    A command makes many records that live to its end and few cycles: collecting as often as
    Python does by default walks them again and again, about a tenth of the time of a run.
    """
    gc.set_threshold(100_000, 50, 50)
    sys.exit(run(command))


def main() -> NoReturn:
    """Entry point of `fuseline`."""
    start(cli)
