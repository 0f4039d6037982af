"""`fuseline capacity MODEL`: what on-chip memory is worth, capacity by capacity."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

import fuseline
from fuseline.cli.options import Asked, capture_options, find_graph
from fuseline.cli.partition import check_writable
from fuseline.errors import InputError
from fuseline.files import write_bytes
from fuseline.fusion import Settings
from fuseline.fusion.ladder.rules import rule_set
from fuseline.fusion.optimal.curve import capacity_curve, least_without_capacity
from fuseline.hardware.sizes import parse_size
from fuseline.report.progress import SearchProgress
from fuseline.report.rows.capacity import CapacityRows, capacity_rows
from fuseline.report.terminal.capacity import print_capacity


@click.command()
@click.argument("model")
@click.option(
    "--from",
    "smallest",
    default="64KB",
    show_default=True,
    metavar="SIZE",
    help="The smallest on-chip memory, as 65536, 256KB or 1.5MB.",
)
@click.option(
    "--to",
    "largest",
    default="64MB",
    show_default=True,
    metavar="SIZE",
    help="The largest; the ones between are doublings of the smallest.",
)
@click.option(
    "--rules",
    default="M",
    show_default=True,
    metavar="R0|A|B|T|M",
    help="What a kernel may hold: M is whatever fits.",
)
@click.option(
    "--time-limit",
    type=float,
    default=60.0,
    show_default=True,
    metavar="S",
    help="Seconds for the whole curve; what is not proven by then says so.",
)
@click.option("--json", "json_path", metavar="FILE", help="Write the points; - is stdout.")
@capture_options
def command(
    *,
    model: str,
    smallest: str,
    largest: str,
    rules: str,
    time_limit: float,
    json_path: str | None,
    asked: Asked,
) -> None:
    """The least traffic of MODEL for each on-chip memory, from the smallest to the largest."""
    capacities = doublings(parse_size(smallest), parse_size(largest))
    rule_set(rules)  # an unknown one is refused before any work is done
    progress = SearchProgress()
    settings = Settings(rules, seconds=time_limit, progress=progress.tell)
    check_writable(json_path)
    graph = find_graph(model, asked)
    try:
        base = least_without_capacity(graph)
        points = capacity_curve(graph, capacities, settings)
    finally:
        progress.close()
    rows = capacity_rows(graph, points, base, rules, fuseline.__version__)
    _write(json_path, rows)
    if json_path != "-":
        from fuseline.report.terminal import stdout_console

        print_capacity(stdout_console(), rows)


def doublings(smallest: int, largest: int) -> tuple[int, ...]:
    """`smallest`, twice that and so on, and `largest` [bytes].

    >>> doublings(64, 300)
    (64, 128, 256, 300)
    """
    if largest < smallest:
        raise InputError(f"--to must not be below --from: {largest:,} < {smallest:,} bytes")
    found = [smallest]
    while found[-1] * 2 < largest:
        found.append(found[-1] * 2)
    return tuple(dict.fromkeys((*found, largest)))


def _write(path: str | None, rows: CapacityRows) -> None:
    if path is None:
        return
    content = msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n"
    if path == "-":
        click.echo(content, nl=False)
        return
    write_bytes(Path(path), content)
    click.echo(f"wrote {path}", err=True)
