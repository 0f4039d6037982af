"""What-ifs in a terminal."""

from __future__ import annotations

from rich.console import Console

from fuseline.report.rows import Result
from fuseline.report.rows.what_if import WhatIfRow, what_if_row
from fuseline.report.terminal import print_table
from fuseline.report.units import megabytes, microseconds, percent


def print_what_ifs(console: Console, result: Result, changed: tuple[WhatIfRow, ...]) -> None:
    """The model as it was captured, then each change, strategy by strategy."""
    first = what_if_row("as captured", result)
    before = {plan.strategy: plan for plan in first.plans}
    lines = []
    for row in (first, *changed):
        for plan in row.plans:
            least = before[plan.strategy].traffic_bytes
            lines.append(
                (
                    row.change,
                    plan.strategy,
                    megabytes(row.parameter_bytes),
                    str(plan.launches),
                    megabytes(plan.traffic_bytes),
                    percent(plan.traffic_bytes, least),
                    "-" if plan.seconds is None else microseconds(plan.seconds),
                    "-" if plan.memory is None else plan.memory.sentence,
                )
            )
    columns = ("change", "strategy", "weights MB", "launches", "MB", "of captured", "us", "memory")
    print_table(console, "What if", columns, lines, text_columns=2)
