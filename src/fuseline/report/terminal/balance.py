"""The balance analysis as text: one printed section for each of its parts."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from fuseline.report.rows.balance import OVER_LARGE, Balance
from fuseline.report.terminal import (
    plan_pairs,
    print_bottlenecks,
    print_pairs,
    print_patterns,
    print_table,
)
from fuseline.report.units import count_of, megabytes, percent, ratio

_SHOWN = 12
_BAR = 40


def print_balance(console: Console, balance: Balance) -> None:
    """Every section, in the order a reader asks."""
    plan = balance.plan
    print_pairs(
        console, f"Balance of '{plan.strategy}': totals", plan_pairs(plan, balance.operators)
    )
    _print_sizes(console, balance)
    _print_singles(console, balance)
    _print_large(console, balance)
    print_patterns(console, plan)
    print_bottlenecks(console, plan)
    _print_traffic(console, balance)
    _print_missed(console, balance)
    _print_baseline(console, balance)
    console.print("\n[bold]Recommendations[/bold]")
    for number, said in enumerate(balance.recommendations, start=1):
        console.print(f"  {number}. {escape(said)}", soft_wrap=True)


def _print_sizes(console: Console, balance: Balance) -> None:
    most = max((row.groups for row in balance.sizes), default=1)
    print_table(
        console,
        f"Group sizes: min {balance.smallest}, max {balance.largest}, mean {balance.mean:.2f}, "
        f"median {balance.median:g}",
        ("ops", "groups", "histogram"),
        [
            (str(row.ops), str(row.groups), "#" * max(1, round(_BAR * row.groups / most)))
            for row in balance.sizes
        ],
        text_columns=3,
    )


def _print_singles(console: Console, balance: Balance) -> None:
    print_table(
        console,
        f"Single-op groups: {balance.structural_singles} structural (views, control ops), "
        f"{balance.fusible_singles} potentially fusible",
        ("type", "sort", "kept apart by", "groups", "example"),
        [
            (
                row.target,
                "structural" if row.structural else "fusible",
                row.rule,
                str(row.count),
                row.example,
            )
            for row in balance.singles
        ],
        text_columns=3,
    )


def _print_large(console: Console, balance: Balance) -> None:
    pairs = [(f"over {OVER_LARGE} ops", ", ".join(balance.over_large) or "none")]
    broken = count_of(len(balance.illegal), "group") if balance.illegal else "none"
    pairs.append(("break a rule", broken))
    pairs += [(f"  group {row.group}", row.reason) for row in balance.illegal[:3]]
    print_pairs(console, "Over-large groups", pairs)


def _print_traffic(console: Console, balance: Balance) -> None:
    plan = balance.plan
    print_pairs(
        console,
        "Traffic",
        [
            ("without fusion", f"{megabytes(plan.unfused_traffic_bytes)} MB"),
            ("with fusion", f"{megabytes(plan.traffic_bytes)} MB"),
            (
                "saved",
                (
                    f"{megabytes(plan.saved_bytes)} MB "
                    f"({percent(plan.saved_bytes, plan.unfused_traffic_bytes)})"
                ),
            ),
            ("compulsory", f"{megabytes(balance.compulsory_bytes)} MB"),
        ],
    )


def _print_missed(console: Console, balance: Balance) -> None:
    hidden = len(balance.missed) - _SHOWN
    print_table(
        console,
        "Missed opportunities (each alone; two that share a group do not add up)"
        + (f", the largest {_SHOWN} of {len(balance.missed)}" if hidden > 0 else ""),
        ("pattern", "kept apart by", "one kernel?", "places", "saves MB", "reason"),
        [
            (
                row.pattern,
                row.rule,
                "possible" if row.legal else "no",
                str(row.count),
                megabytes(row.saved_bytes),
                row.example,
            )
            for row in balance.missed[:_SHOWN]
        ],
        text_columns=3,
    )


def _print_baseline(console: Console, balance: Balance) -> None:
    print_table(
        console,
        "Against plain sequential chains (any ops in a row without fork or join; not all legal)",
        ("plan", "groups", "efficiency", "launches", "MB", "illegal"),
        [
            (
                plan.strategy,
                str(plan.groups),
                ratio(plan.fusion_efficiency),
                str(plan.launches),
                megabytes(plan.traffic_bytes),
                str(len(plan.illegal_groups)),
            )
            for plan in (balance.plan, balance.baseline)
        ],
    )
