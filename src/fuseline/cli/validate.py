"""`fuseline validate`: our figures held against the seed document, or an independent count."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import click

from fuseline.cli.partition import check_writable
from fuseline.errors import InputError, did_you_mean
from fuseline.files import write_bytes

_AGAINST = ("seed", "flops")


@click.command()
@click.argument("against", metavar="seed|flops")
@click.option("--model", "models", multiple=True, help="Only these models; repeat for several.")
@click.option("-o", "--output", metavar="FILE", help="Write the Markdown page.")
@click.option("--json", "json_path", metavar="FILE", help="Write the figures; - is stdout.")
def command(
    *, against: str, models: tuple[str, ...], output: str | None, json_path: str | None
) -> None:
    """Recompute the seed document's tables beside the right figures (seed), or hold the FLOPs of
    torchvision's classifiers against torch's own counter (flops).
    """
    if against not in _AGAINST:
        hint = did_you_mean(against, _AGAINST) or f": one of {', '.join(_AGAINST)}"
        raise InputError(f"cannot validate against '{against}'{hint}")
    check_writable(output)
    check_writable(json_path)
    if against == "seed":
        _validate_seed(models, output, json_path)
    else:
        _validate_flops(models, output, json_path)


def _validate_seed(models: tuple[str, ...], output: str | None, json_path: str | None) -> None:
    from fuseline.validate.document import MODELS

    for model in models:
        if model not in MODELS:
            raise InputError(f"'{model}' is not in the document{did_you_mean(model, MODELS)}")
    from fuseline.validate.seed import validate_model
    from fuseline.validate.seed_page import encode, page

    results = tuple(validate_model(model) for model in _progress(models or MODELS))
    _write(output, lambda: page(results).encode())
    _write(json_path, lambda: encode(results))
    if json_path == "-":
        return
    from fuseline.report.terminal import print_table, stdout_console

    console = stdout_console()
    for result in results:
        print_table(
            console,
            result.model,
            ("figure", "document", "reproduced", "right"),
            [(f.name, f.stated, f.reproduced, f.right) for f in result.figures],
            text_columns=4,
        )


def _validate_flops(models: tuple[str, ...], output: str | None, json_path: str | None) -> None:
    import msgspec

    from fuseline.frontends.zoos import torchvision_names
    from fuseline.report.terminal import print_table, stdout_console
    from fuseline.validate.flop_counter import compare_flops, page

    classifiers = tuple(torchvision_names(""))
    rows = tuple(compare_flops(model) for model in _progress(models or classifiers))
    _write(output, lambda: page(rows).encode())
    _write(json_path, lambda: msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n")
    if json_path == "-":
        return
    print_table(
        stdout_console(),
        "FLOPs, 2 x multiply-accumulates",
        ("model", "ours", "torch", "difference", "unknown ops"),
        [
            (r.model, f"{r.ours:,}", f"{r.counted:,}", f"{r.difference:,}", str(r.unknown_ops))
            for r in rows
        ],
    )


def _progress(models: tuple[str, ...]) -> Iterable[str]:
    """The models one by one, with progress on stderr."""
    from rich.console import Console
    from rich.progress import track

    return track(models, "Recomputing", console=Console(stderr=True), transient=True)


def _write(path: str | None, content: Callable[[], bytes]) -> None:
    if path is None:
        return
    if path == "-":
        click.echo(content(), nl=False)
        return
    write_bytes(Path(path), content())
    click.echo(f"wrote {path}", err=True)
