"""What a check says: Markdown for a pull request, JSON for a program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from fuseline.budgets.changes import difference_tables, left_out, summary
from fuseline.budgets.difference import Difference
from fuseline.budgets.offenders import offenders
from fuseline.budgets.verdicts import Checked, Held, Verdict
from fuseline.report.cells import cell_text
from fuseline.report.markdown import escape, markdown_table
from fuseline.report.rows.doubts import doubts
from fuseline.report.rows.table import Column, Measure, Table, Value
from fuseline.report.text import encodable, visible
from fuseline.report.units import count_of

SCHEMA = "fuseline.check/1"
_ALL = 1_000_000_000
"""Rows of a table for programs: every one."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A whole check: what was checked, models that could not be measured (label, why), and models
    of the baseline that were not checked: renamed, left out, or not asked for.
    """

    checked: tuple[Checked, ...]
    failed: tuple[tuple[str, str], ...] = ()
    not_checked: tuple[str, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether every model was measured, and none is over budget or worse."""
        return not self.failed and not any(each.fails for each in self.checked)

    @property
    def sentence(self) -> str:
        """The outcome in a few words."""
        worse = sum(each.fails for each in self.checked) + len(self.failed)
        count = len(self.checked) + len(self.failed)
        said = f"{count_of(count, 'model')} within bounds"
        if worse:
            said = f"{worse} of {count_of(count, 'model')} out of bounds"
        better = sum(Verdict.BETTER in held.verdicts for each in self.checked for held in each.held)
        new = sum(each.is_new for each in self.checked)
        left = len(self.not_checked)
        more = (
            (better, f"{count_of(better, 'figure')} better than the baseline"),
            (new, f"{new:,} not in the baseline"),
            (left, f"{left:,} of the baseline not checked"),
        )
        return ", ".join([said, *(words for count, words in more if count)])


# --- Markdown ---------------------------------------------------------------------------------


def markdown(outcome: Outcome) -> str:
    """The outcome as GitHub's Markdown, whatever names a model has."""
    lines = [f"## Fuseline check: {'passed' if outcome.passes else 'failed'}\n\n"]
    lines.append(f"{outcome.sentence[:1].upper()}{outcome.sentence[1:]}.\n")
    lines.extend(
        f"\n- **{escape(visible(label))}** could not be measured: {escape(visible(why))}\n"
        for label, why in outcome.failed
    )
    table = figure_table(outcome.checked)
    if table.rows:
        lines.append("\n" + markdown_table(table))
    for checked in outcome.checked:
        lines.extend(_details(checked))
    if outcome.not_checked:
        names = ", ".join(escape(visible(label)) for label in outcome.not_checked)
        lines.append(f"\nIn the baseline, and not checked: {names}.\n")
    return "".join(lines)


def figure_table(checked: Sequence[Checked]) -> Table:
    """Figures that have a limit or differ from the baseline, one row each."""
    columns = [
        Column("model", Measure.TEXT, "what was checked"),
        Column("figure", Measure.TEXT, "bytes, FLOPs and seconds as their names say"),
        Column("now", Measure.TEXT, "what it comes to"),
    ]
    rows = [(each, held) for each in checked for held in each.held if _is_told(held)]
    limited = any(held.limit is not None for _, held in rows)
    based = any(held.baseline is not None for _, held in rows)
    lines = []
    for each, held in rows:
        line: list[Value] = [each.entry.label, held.figure, _text(held.now, held)]
        line += [_text(held.limit, held)] if limited else []
        if based:
            line += [_text(held.baseline, held), _text(held.change, held), _part(held)]
        lines.append((*line, "; ".join(verdict.value for verdict in held.verdicts)))
    columns += [Column("limit", Measure.TEXT, "its budget")] if limited else []
    if based:
        columns += [
            Column("baseline", Measure.TEXT, "what it came to"),
            Column("change", Measure.TEXT, "now less the baseline"),
            Column("change_fraction", Measure.TEXT, "change / baseline"),
        ]
    columns.append(Column("verdict", Measure.TEXT, "what follows"))
    same = sum(
        held.baseline is not None and not _is_told(held) for each in checked for held in each.held
    )
    notes = (f"{count_of(same, 'figure')} as in the baseline, without a limit",) if same else ()
    return Table("figures", "Figures", tuple(columns), tuple(lines), notes, keys=2)


def _is_told(held: Held) -> bool:
    return held.limit is not None or held.verdicts != (Verdict.GOOD,)


def _text(value: float | None, held: Held) -> str:
    return cell_text(value, held.measure)


def _part(held: Held) -> str:
    part = held.change_fraction
    return (
        cell_text(part, Measure.FRACTION)
        if part is None or part <= 0
        else (f"+{cell_text(part, Measure.FRACTION)}")
    )


def _details(checked: Checked) -> Iterable[str]:
    """What changed in one model; or, without a baseline, what a failing figure is made of."""
    tables: list[Table] = []
    found = checked.difference
    words = [*checked.remarks, *_left_out(checked)]
    if checked.is_new:
        words.append("it is not in the baseline, and was compared with nothing: save it again")
    if found is not None and found.changes:
        words.append(f"since the baseline: {summary(found)}")
        tables.extend(difference_tables(found))
    else:
        failing = [held.figure for held in checked.held if held.fails]
        made = (offenders(checked.measured, figure) for figure in failing)
        tables.extend(table for table in made if table is not None and table.rows)
    if words or tables:
        yield f"\n### {escape(visible(checked.entry.label))}\n"
    for sentence in words:
        yield f"\n{_sentence(sentence)}\n"
    for table in tables:
        yield "\n" + markdown_table(table, level=4)


def _left_out(checked: Checked) -> tuple[str, ...]:
    """What no figure has in it; beside a baseline, of both."""
    found = checked.difference
    return doubts(checked.measured.plan) if found is None else left_out(found)


def _sentence(words: str) -> str:
    said = visible(words)
    return escape(f"{said[:1].upper()}{said[1:]}.")


# --- JSON -------------------------------------------------------------------------------------


def json_document(outcome: Outcome, version: str) -> bytes:
    """The outcome as an indented JSON document (UTF-8); `version` is that of Fuseline."""
    document = {
        "schema": SCHEMA,
        "fuseline": version,
        "passes": outcome.passes,
        "models": [_model(checked) for checked in outcome.checked],
        "failed": [
            {"label": encodable(label), "reason": encodable(why)} for label, why in outcome.failed
        ],
        "not_checked": [encodable(label) for label in outcome.not_checked],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _model(checked: Checked) -> dict[str, object]:
    return {
        "label": encodable(checked.entry.label),
        "name": encodable(checked.entry.name),
        "passes": not checked.fails,
        "is_new": checked.is_new,
        "remarks": [encodable(remark) for remark in (*checked.remarks, *_left_out(checked))],
        "figures": [
            {
                "figure": held.figure,
                "measure": held.measure.value,
                "now": held.now,
                "limit": held.limit,
                "baseline": held.baseline,
                "allowed": held.allowed,
                "change": held.change,
                "change_fraction": held.change_fraction,
                "passes": not held.fails,
                "verdicts": [verdict.value for verdict in held.verdicts],
            }
            for held in checked.held
        ],
        "difference": None if checked.difference is None else _difference(checked.difference),
    }


def _difference(found: Difference) -> dict[str, object]:
    tables = difference_tables(found, _ALL)
    return {
        "summary": encodable(summary(found)),
        **{
            table.name: [
                {
                    column.name: encodable(value) if isinstance(value, str) else value
                    for column, value in zip(table.columns, row, strict=True)
                }
                for row in table.rows
            ]
            for table in tables
        },
    }
