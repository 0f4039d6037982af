"""`fuseline models [PATTERN]`: names that `partition` and `capture` take."""

from __future__ import annotations

import click

from fuseline.errors import InputError, did_you_mean
from fuseline.frontends.sources import zoos

_GLOB = frozenset("*?[")


@click.command()
@click.argument("pattern", required=False, default="")
def command(*, pattern: str) -> None:
    """List models by name: those that hold or match PATTERN.

    A plain PATTERN searches torchvision; 'timm/...' and 'hf/...' search timm and transformers.
    """
    zoo, slash, rest = pattern.partition("/")
    zoo, rest = (zoo, rest) if slash else (zoos.ZOOS[0], pattern)
    found = zoos.matching(zoo, rest)
    if not found:
        hint = _hint(zoo, rest, elsewhere=not slash)
        raise InputError(f"no {zoo} model matches '{rest}'{hint}")
    for name in found:
        click.echo(name)
    if not pattern:
        click.echo("these are torchvision's; 'timm/*' and 'hf/*' list the other zoos", err=True)


def _hint(zoo: str, pattern: str, *, elsewhere: bool) -> str:
    """The first other zoo that has matches, or the nearest name in this one."""
    glob = pattern if _GLOB & set(pattern) else f"*{pattern}*"
    for other in zoos.ZOOS if elsewhere else ():
        if other != zoo and zoos.installed(other) and (found := zoos.matching(other, pattern)):
            return f": '{other}/{glob}' has {len(found)}"
    prefix = "" if zoo == zoos.ZOOS[0] else f"{zoo}/"
    return did_you_mean(prefix + pattern, zoos.names(zoo))
