"""`fuseline validate seed`: the seed document's figures, reproduced, and the right ones."""

from __future__ import annotations

from pathlib import Path

import click

from fuseline.cli.partition import check_writable
from fuseline.errors import InputError, did_you_mean
from fuseline.files import write_bytes

_AGAINST = ("seed",)


@click.command()
@click.argument("against", metavar="seed")
@click.option("--model", "models", multiple=True, help="Only these of the document's models.")
@click.option("-o", "--output", metavar="FILE", help="Write the Markdown page.")
@click.option("--json", "json_path", metavar="FILE", help="Write the figures; - is stdout.")
def command(
    *, against: str, models: tuple[str, ...], output: str | None, json_path: str | None
) -> None:
    """Recompute the seed document's tables under its accounting, beside the right figures."""
    if against not in _AGAINST:
        raise InputError(f"cannot validate against '{against}'{did_you_mean(against, _AGAINST)}")
    from fuseline.validate.document import MODELS

    for model in models:
        if model not in MODELS:
            raise InputError(f"'{model}' is not in the document{did_you_mean(model, MODELS)}")
    check_writable(output)
    check_writable(json_path)
    _validate(models or MODELS, output, json_path)


def _validate(models: tuple[str, ...], output: str | None, json_path: str | None) -> None:
    from rich.console import Console
    from rich.progress import track

    from fuseline.report.terminal import print_table, stdout_console
    from fuseline.validate.seed import validate_model
    from fuseline.validate.seed_page import encode, page

    progress = track(models, "Recomputing", console=Console(stderr=True), transient=True)
    results = tuple(validate_model(model) for model in progress)
    if output is not None:
        write_bytes(Path(output), page(results).encode())
    if json_path is not None and json_path != "-":
        write_bytes(Path(json_path), encode(results))
    if json_path == "-":
        click.echo(encode(results), nl=False)
        return
    console = stdout_console()
    for result in results:
        print_table(
            console,
            result.model,
            ("figure", "document", "reproduced", "right"),
            [(f.name, f.stated, f.reproduced, f.right) for f in result.figures],
            text_columns=4,
        )
    for path in (output, json_path):
        if path is not None:
            click.echo(f"wrote {path}", err=True)
