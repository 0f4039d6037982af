"""`fuseline cache`: the graphs that sweeps keep, to see and to clear."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from fuseline.cli.tables import chosen_format, show
from fuseline.errors import InputError, did_you_mean
from fuseline.hardware.sizes import parse_size
from fuseline.report.captures import Capturing
from fuseline.report.rows.table import Column, Measure, Table, Value
from fuseline.report.rows.ways import shapes_text
from fuseline.report.tabular import FORMATS
from fuseline.report.units import count_of
from fuseline.sweep.graphs import Entry, GraphCache, default_folder
from fuseline.sweep.schema import zoo_of
from fuseline.sweep.tasks import Caching

_ZOO = Column("zoo", Measure.TEXT, "where the models are from")
_BYTES = Column("bytes", Measure.BYTES, "on disk, compressed")
_BY_ZOO = (
    _ZOO,
    Column("entries", Measure.COUNT, "graphs"),
    _BYTES,
    Column("oldest_use", Measure.TEXT, "when the one unused for longest was used (UTC)"),
    Column("latest_use", Measure.TEXT, "when one was used last (UTC)"),
)
_LISTED = (
    Column("model", Measure.TEXT, "the model's name"),
    Column("batch", Measure.COUNT, "as asked"),
    Column("dtype", Measure.TEXT, "as asked"),
    Column("via", Measure.TEXT, "how it was captured"),
    Column("options", Measure.TEXT, "what else was asked"),
    Column("fuseline", Measure.TEXT, "its version, and a digest of its code"),
    Column("torch", Measure.TEXT, "its version"),
    _BYTES,
    Column("used", Measure.TEXT, "when last (UTC)"),
)


@click.command()
@click.option("--list", "listed", is_flag=True, help="A line for each graph.")
@click.option(
    "--clear",
    "pattern",
    is_flag=False,
    flag_value="*",
    metavar="[PATTERN]",
    help="Delete all graphs, or those of models that match, as 'timm/*'.",
)
@click.option("--limit", metavar="SIZE", help="Delete what is unused for longest above SIZE.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="The folder [default: $FUSELINE_CACHE/graphs, else ~/.cache/fuseline/graphs].",
)
@click.option(
    "--format",
    "format_",
    default="terminal",
    show_default=True,
    metavar="|".join(FORMATS),
    help="How it is printed.",
)
def command(
    *, listed: bool, pattern: str | None, limit: str | None, folder: Path | None, format_: str
) -> None:
    """Show what graphs sweeps keep, and what they take; or clear them.

    A graph is kept by its model, how it was captured and the versions that captured it. Whatever is
    deleted is captured again when it is needed.
    """
    format_ = chosen_format(format_, None)
    most = parse_size(limit, "--limit") if limit is not None else Caching(None).most_nbytes
    if folder is not None and not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise InputError(f"'{folder}' {what}: name a folder that graphs are kept in")
    cache = GraphCache(folder or default_folder(), most)
    if pattern is not None or limit is not None:
        gone = cache.clear(pattern) if pattern is not None else ()
        if pattern not in (None, "*") and not gone:
            raise _nothing_matches(pattern, cache)
        gone += cache.trim() if limit is not None else ()
        nbytes = sum(entry.nbytes for entry in gone)
        click.echo(f"deleted {count_of(len(gone), 'graph')}, {nbytes:,} bytes", err=True)
    entries = tuple(cache.entries())
    notes = [f"in {cache.folder}"]
    if limit is None:  # which sweeps do not know of
        notes.append(f"sweeps keep {most:,} bytes at most, unless told otherwise (--cache-limit)")
    table = _list(cache, entries) if listed else _by_zoo(entries, tuple(notes))
    show((table,), format_)


def _nothing_matches(pattern: str, cache: GraphCache) -> InputError:
    models = {entry.about.model for entry in cache.entries() if entry.about}
    hint = did_you_mean(pattern, models) or ": 'fuseline cache --list' says which there are"
    return InputError(f"no graph kept is of '{pattern}'{hint}")


def _by_zoo(entries: Sequence[Entry], notes: tuple[str, ...]) -> Table:
    """What each zoo's graphs take, and all together."""
    by_zoo: dict[str, list[Entry]] = {}
    for entry in entries:
        about = entry.about
        by_zoo.setdefault(zoo_of(about.model) if about else "unknown", []).append(entry)
    rows = [_sums(zoo, by_zoo[zoo]) for zoo in sorted(by_zoo)]
    return Table("cache", "Graphs kept", _BY_ZOO, (*rows, _sums("all", entries)), notes)


def _sums(zoo: str, entries: Iterable[Entry]) -> tuple[Value, ...]:
    found = list(entries)
    used = [entry.used for entry in found]
    times = (_when(min(used)), _when(max(used))) if used else (None, None)
    return zoo, len(found), sum(entry.nbytes for entry in found), *times


def _list(cache: GraphCache, entries: Iterable[Entry]) -> Table:
    """Every graph: models in order, of each the one used last first."""
    told = [(entry, entry.about) for entry in sorted(entries, key=lambda entry: -entry.used)]
    rows: list[tuple[Value, ...]] = []
    for entry, about in sorted(told, key=lambda each: each[1].model if each[1] else ""):
        end: tuple[Value, ...] = (entry.nbytes, _when(entry.used))
        if about is None:
            rows.append((f"? {entry.path.name}", *(None,) * 6, *end))
            continue
        how, versions = about.how, about.environment
        ours = f"{versions.get('fuseline', '?')} {versions.get('code', '')}".rstrip()
        shown = (how.batch, how.dtype, how.via or "record", _options(how))
        rows.append((about.model, *shown, ours, versions.get("torch"), *end))
    return Table("graphs", "Graphs kept", _LISTED, tuple(rows), (f"in {cache.folder}",))


def _options(how: Capturing) -> str | None:
    """What was asked that has no column of its own.

    >>> _options(Capturing(decode=128, attention="decomposed"))
    'decode 128, decomposed attention'
    """
    told = (
        f"seq_len {how.seq_len}" if how.seq_len is not None else "",
        f"decode {how.decode}" if how.decode is not None else "",
        "train" if how.train else "",
        f"{how.attention} attention" if how.attention else "",
        f"inputs {shapes_text(how.input_shapes)}" if how.input_shapes else "",
    )
    return ", ".join(filter(None, told)) or None


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
