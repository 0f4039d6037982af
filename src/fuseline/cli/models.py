"""`fuseline models [PATTERN]`: names that `partition` and `capture` take."""

from __future__ import annotations

from fnmatch import fnmatch

import click

from fuseline.errors import InputError, did_you_mean
from fuseline.frontends import model_names


@click.command()
@click.argument("pattern", required=False)
def command(*, pattern: str | None) -> None:
    """List torchvision's classifiers, or those whose name holds or matches PATTERN."""
    names = model_names()
    if pattern is None:
        found = names
    else:
        found = [name for name in names if pattern in name or fnmatch(name, pattern)]
    if not found:
        raise InputError(f"no model matches '{pattern}'{did_you_mean(str(pattern), names)}")
    for name in found:
        click.echo(name)
