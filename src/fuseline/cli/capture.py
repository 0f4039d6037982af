"""`fuseline capture MODEL -o FILE`: write a model's graph, to partition later without torch."""

from __future__ import annotations

import click

from fuseline.cli.options import Asked, capture_options, find_graph
from fuseline.cli.partition import check_writable
from fuseline.errors import InputError
from fuseline.graph import save


@click.command()
@click.argument("model")
@click.option("-o", "--output", required=True, metavar="FILE", help="graph.json, or .json.zst.")
@capture_options
def command(
    *,
    model: str,
    output: str,
    asked: Asked,
) -> None:
    """Capture MODEL and write its graph to FILE (versioned JSON; .zst compresses)."""
    if not output.endswith((".json", ".zst")):
        raise InputError(f"'{output}' has no known ending: name a graph .json or .json.zst")
    check_writable(output)
    graph = find_graph(model, asked)
    save(graph, output)
    click.echo(
        f"{output}: {graph.source.name}, {len(graph.ops)} ops, {len(graph.tensors)} tensors",
        err=True,
    )
