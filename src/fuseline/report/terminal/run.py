"""A run as tables: one row a plan, then its slowest groups."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from fuseline.report.rows.run import GroupRunRow, OutputRow, RunResult, RunRow, SecondsRow
from fuseline.report.terminal import print_table
from fuseline.report.units import count_of, megabytes

_OPS = 3  # of a group that are named


def print_run(console: Console, result: RunResult) -> None:
    """The table of plans, the slowest groups, and what was not measured."""
    model = result.model
    console.print(
        f"[bold]{escape(model.name)}[/bold]  {escape(model.source)}, batch {model.batch}, "
        f"{model.dtype}, {model.mode} mode, via {model.via}; on {result.torch_device}, "
        f"{count_of(result.threads, 'thread')}, torch {result.torch}",
        soft_wrap=True,
    )
    for note in model.notes:
        console.print(f"  note: {escape(note)}", soft_wrap=True)
    timed = any(row.seconds is not None for row in result.runs)
    columns = ["run", "groups", "launches", "output", "max diff"]
    if timed:
        columns += ["min ms", "quartiles ms", "vs eager"]
    if result.device is not None:
        columns.append("predicted ms")
    lines = [_line(row, timed=timed, predicted=result.device is not None) for row in result.runs]
    rounds = f", {count_of(result.rounds, 'round')} that take turns" if timed else ""
    print_table(console, f"Random weights, {result.inputs} inputs{rounds}", columns, lines)
    if result.groups:
        _print_groups(console, result)
    for row in result.runs:
        if row.output is not None and row.output.reason:
            console.print(f"  {escape(row.name)}: {escape(row.output.reason)}", soft_wrap=True)
    if any(row.output is not None and row.output.verdict == "close" for row in result.runs):
        console.print(f"  close: within {result.tolerance}", soft_wrap=True)
    for note in result.notes:
        console.print(f"  note: {escape(note)}", soft_wrap=True)


def _line(row: RunRow, *, timed: bool, predicted: bool) -> list[str]:
    cells = [
        row.name,
        _or_dash(row.groups),
        _or_dash(row.launches),
        row.output.verdict if row.output else "-",
        _difference(row.output),
    ]
    if timed:
        cells += ["-", "-", "-"] if row.seconds is None else [
            _milliseconds(row.seconds.least),
            _quartiles(row.seconds),
            "-" if row.relative is None else f"{row.relative:.3f}x",
        ]  # fmt: skip
    if predicted:
        seconds = row.predicted_seconds
        cells.append("-" if seconds is None else _milliseconds(seconds))
    return cells


def _print_groups(console: Console, result: RunResult) -> None:
    counted = any(row.dram_bytes is not None for row in result.groups)
    predicted = result.device is not None
    columns = ["group", "ops", "min ms", "median ms", "MB"]
    columns += ["predicted ms", "measured / predicted"] * predicted + ["DRAM MB", "L2 MB"] * counted
    for plan in dict.fromkeys(row.plan for row in result.groups):
        found = [row for row in result.groups if row.plan == plan]
        lines = [_group_line(row, predicted=predicted, counted=counted) for row in found]
        print_table(console, f"Slowest groups of '{plan}'", columns, lines, text_columns=2)


def _group_line(row: GroupRunRow, *, predicted: bool, counted: bool) -> list[str]:
    shown = " ".join(row.ops[:_OPS]) + (" ..." if len(row.ops) > _OPS else "")
    cells = [
        str(row.group),
        shown,
        _milliseconds(row.seconds.least),
        _milliseconds(row.seconds.median),
        megabytes(row.traffic_bytes),
    ]
    if predicted:
        seconds = row.predicted_seconds
        cells += ["-", "-"] if not seconds else [
            _milliseconds(seconds), f"{row.seconds.least / seconds:.2f}"
        ]  # fmt: skip
    if counted:
        cells += [
            "-" if nbytes is None else megabytes(nbytes)
            for nbytes in (row.dram_bytes, row.l2_bytes)
        ]
    return cells


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3f}"


def _quartiles(seconds: SecondsRow) -> str:
    quartiles = (seconds.lower_quartile, seconds.median, seconds.upper_quartile)
    return " ".join(_milliseconds(each) for each in quartiles)


def _or_dash(count: int | None) -> str:
    return "-" if count is None else str(count)


def _difference(output: OutputRow | None) -> str:
    if output is None or output.max_difference is None:
        return "-"
    return f"{output.max_difference:.2g}"
