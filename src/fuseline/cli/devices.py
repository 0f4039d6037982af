"""`fuseline devices [NAME]`: what the hardware catalogue says, and on whose word."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from fuseline.cli.partition import check_writable
from fuseline.files import write_bytes
from fuseline.hardware import DEVICES, Device, load_device
from fuseline.hardware.rows import (
    COLUMNS,
    FIGURE_COLUMNS,
    LEGEND,
    RATE_COLUMNS,
    RUNS_COLUMNS,
    device_line,
    device_row,
    figure_line,
    rate_line,
    runs_lines,
    source_text,
    sources_of,
)

LIST_SCHEMA = "fuseline.devices/1"
SCHEMA = "fuseline.device/1"


@click.command()
@click.argument("name", required=False)
@click.option("--json", "json_path", metavar="FILE", help="Write the figures; - is stdout.")
def command(*, name: str | None, json_path: str | None) -> None:
    """List the devices known, or every figure of NAME (or of a TOML file) with its source."""
    check_writable(json_path)
    if name is None:
        devices = tuple(load_device(known) for known in DEVICES)
        rows = [device_row(device) for device in devices]
        _write(json_path, {"schema": LIST_SCHEMA, "devices": rows})
        if json_path != "-":
            short = [f"{alias} ({row.name})" for row in rows for alias in row.aliases]
            _print_list([device_line(row) for row in rows], short)
        return
    device = load_device(name)
    _write(json_path, {"schema": SCHEMA, "device": device})
    if json_path != "-":
        _print_device(device)


def _write(path: str | None, document: dict[str, object]) -> None:
    if path is None:
        return
    content = msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
    if path == "-":
        click.echo(content, nl=False)
        return
    write_bytes(Path(path), content)
    click.echo(f"wrote {path}", err=True)


def _print_list(lines: list[tuple[str, ...]], short: list[str]) -> None:
    from fuseline.report.terminal import print_table, stdout_console

    console = stdout_console()
    print_table(console, "Devices", COLUMNS, lines)
    console.print(f"\n{LEGEND}", soft_wrap=True)
    console.print(f"Short names: {', '.join(short)}.", soft_wrap=True)


def _print_device(device: Device) -> None:
    from rich.markup import escape

    from fuseline.report.terminal import print_table, stdout_console

    console = stdout_console()
    said = f"{device.title}: {device.architecture} {device.kind} by {device.vendor}, {device.year}"
    console.print(f"[bold]{escape(device.name)}[/bold]  {escape(said)}", soft_wrap=True)
    if device.aliases:
        console.print(f"  also {', '.join(device.aliases)}", soft_wrap=True)
    for note in device.notes:
        console.print(f"  note: {escape(note)}", soft_wrap=True)
    lines = [figure_line(figure) for figure in device.figures]
    print_table(console, "Figures", FIGURE_COLUMNS, lines, text_columns=5)
    runs = runs_lines(device)
    print_table(console, "How contractions run", RUNS_COLUMNS, runs, text_columns=3)
    if device.rates:
        rates = [rate_line(rate) for rate in device.rates]
        print_table(console, "Measured rates", RATE_COLUMNS, rates, text_columns=2)
    console.print("\n[bold]Sources[/bold]")
    for source in sources_of(device):
        console.print(f"  {escape(source_text(source))}", soft_wrap=True)
