"""`fuseline doctor`: is this installation well, and what would cure it?"""

from __future__ import annotations

import click


@click.command()
def command() -> None:
    """Check Python, torch and the zoos; name what does not fit together, and the cure."""
    from fuseline.frontends.doctor import examine

    for finding in examine():
        mark = "ok  " if finding.well else "warn"
        click.echo(f"{mark} {finding.subject}: {finding.found}")
        if finding.cure:
            click.echo(f"     cure: {finding.cure}")
