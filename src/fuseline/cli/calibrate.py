"""`fuseline calibrate`: measure this machine and write it as a device file."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Self

import click

from fuseline.cli.partition import check_writable
from fuseline.errors import InputError
from fuseline.files import write_bytes


@click.command()
@click.option("-o", "--output", metavar="FILE.toml", default="calibrated-cpu.toml",
              show_default=True, help="Where the device file goes; - is stdout.")  # fmt: skip
@click.option("--dtype", "dtypes", multiple=True, metavar="T",
              help="What to measure: float32 (the default), bfloat16, float16, float64; repeat for "
              "several.")  # fmt: skip
@click.option("--threads", type=int, metavar="N", help="Threads that torch runs on; its own "
              "default without.")  # fmt: skip
def command(*, output: str, dtypes: tuple[str, ...], threads: int | None) -> None:
    """Measure this CPU with microbenchmarks, about half a minute a dtype, and write a device file.

    `--device FILE.toml` then prices plans for this machine.
    """
    if output != "-" and not output.endswith(".toml"):
        raise InputError(f"'{output}' is no device file: its name has to end in .toml")
    check_writable(output)
    from fuseline.hardware.load import parse_device
    from fuseline.runtime.calibrate import calibrate
    from fuseline.runtime.calibrate_toml import device_toml

    with _Progress() as progress:
        found = calibrate(dtypes or ("float32",), threads, report=progress.report)
    text = device_toml(found, datetime.now().astimezone().date().isoformat())
    try:
        parse_device(text.encode(), output)
    except InputError as error:
        raise InputError(
            f"this machine is too busy to be measured ({error}): try again when it is idle, or "
            "with --threads 1; nothing was written"
        ) from error
    if output == "-":
        click.echo(text, nl=False)
        return
    write_bytes(Path(output), text.encode())
    click.echo(f"wrote {output}", err=True)


class _Progress:
    """What is being measured, on stderr."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._bars = Progress(console=Console(stderr=True), transient=True)
        self._task = self._bars.add_task("measuring", total=1.0)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._bars.stop()

    def report(self, what: str, share: float) -> None:
        """Show that so much of it is done."""
        self._bars.update(self._task, description=f"measuring {what}", completed=share)
