"""Explanations as text in a terminal or a pipe."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from fuseline.hardware.sizes import needed_text
from fuseline.report.rows.explain import ExplanationRow, HomeRow, MissedPairRow, RemedyRow
from fuseline.report.terminal import print_pairs
from fuseline.report.units import count_of, megabytes

_OPS = 6  # ops of a group that are named
_STEPS = 8  # ops of a path that are named


def print_explanation(console: Console, row: ExplanationRow) -> None:
    """One question answered: a labelled line each."""
    where = "in one kernel" if row.together else "apart"
    title = f"{row.first} and {row.second}: {where} under '{row.strategy}'"
    print_pairs(console, title, _together(row) if row.together else _apart(row))


def _together(row: ExplanationRow) -> list[tuple[str, str]]:
    legal = f"rung {row.rules} and above" if row.rules else f"no rung short of M: {row.objection}"
    pairs = [("group", _group(row.groups[0])), *_elsewhere(row)]
    if row.on_chip_bytes is not None and row.rules is None:
        pairs.append(("M", f"needs {needed_text(row.on_chip_bytes)} on chip"))
    saved = f"{megabytes(row.saved_bytes)} MB over its ops alone"
    return [*pairs, ("saves", saved), ("allowed by", legal)]


def _apart(row: ExplanationRow) -> list[tuple[str, str]]:
    pairs = [("group", _group(home)) for home in row.groups] + _elsewhere(row)
    pairs += [
        ("refused", f"{refusal.from_} -> {refusal.to} ({refusal.rule}): {refusal.reason}")
        for refusal in row.refusals
    ]
    if not row.neighbours:
        pairs.append(("neighbours", "no: neither group takes what the other makes"))
        pairs.append(("way", _way(row.path) or "none: neither depends on the other"))
    if row.shared:
        pairs.append(("both read", ", ".join(row.shared)))
    if row.cycle:
        pairs.append(("cycle", _way(row.cycle)))
    pairs.append(("one kernel would save", f"{megabytes(row.saved_bytes)} MB"))
    if row.objection:
        pairs.append(("rung T objects", row.objection))
    return pairs + [("what it would take", _remedy(remedy)) for remedy in row.remedies]


def _elsewhere(row: ExplanationRow) -> list[tuple[str, str]]:
    return [("computed again in", _group(home)) for home in row.elsewhere]


def _group(home: HomeRow) -> str:
    named = ", ".join(home.ops[:_OPS]) + (", ..." if len(home.ops) > _OPS else "")
    return f"[{home.group}] {named} ({count_of(len(home.ops), 'op')})"


def _way(ops: Sequence[str]) -> str:
    if len(ops) <= _STEPS:
        return " -> ".join(ops)
    ends = (*ops[: _STEPS // 2], f"... {len(ops) - _STEPS} more ...", *ops[-_STEPS // 2 :])
    return " -> ".join(ends)


def _remedy(remedy: RemedyRow) -> str:
    saved = f" (saves {megabytes(remedy.saved_bytes)} MB)" if remedy.saved_bytes else ""
    return f"{remedy.sentence}{saved}"


def print_missed_pairs(console: Console, strategy: str, rows: Sequence[MissedPairRow]) -> None:
    """Pairs of groups apart, the one that costs most first."""
    title = f"Neighbouring groups apart under '{strategy}' (two that share a group do not add up)"
    if not rows:
        print_pairs(console, title, [("none", "one kernel for any two groups saves nothing")])
        return
    console.print(f"\n[bold]{escape(title)}[/bold]", soft_wrap=True)
    for number, row in enumerate(rows, start=1):
        legal = "a cycle" if row.cyclic else "one kernel" if row.legal else "no kernel"
        print_pairs(
            console,
            f"{number}. {row.from_} -> {row.to}",
            [
                ("one kernel would save", f"{megabytes(row.saved_bytes)} MB"),
                *(("group", _group(home)) for home in row.groups),
                ("refused", f"{row.rule}: {row.reason}"),
                ("under T, as they are", legal),
                ("what it would take", _remedy(row.remedy)),
            ],
        )
