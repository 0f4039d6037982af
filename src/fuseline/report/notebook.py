"""What a notebook shows: tables as HTML that takes the notebook's own colours, light or dark, with
Markdown and plain text for those that show no HTML.

Importing this registers how a `Plan` shows itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from html import escape

from fuseline.costs import cost
from fuseline.errors import InputError
from fuseline.graph import Graph
from fuseline.plan import DISPLAYS, Plan
from fuseline.report.cells import LIMIT, shown, upright
from fuseline.report.rows.data import PlanRow
from fuseline.report.rows.plans import plan_row
from fuseline.report.rows.table import Column, Measure, Table
from fuseline.report.rows.tables import bottlenecks_table, patterns_table, plan_figures
from fuseline.report.text import shortened, visible

ROWS = 200
"""Rows of a table that a notebook shows; the rest is counted."""

_STYLE = """<style>
.fuseline table { border-collapse: collapse; margin: 0.3em 0 1em 0; }
.fuseline caption { caption-side: top; text-align: left; font-weight: bold; white-space: nowrap; }
.fuseline th, .fuseline td {
  border-bottom: 1px solid rgba(128, 128, 128, 0.35); padding: 0.2em 0.8em; vertical-align: top;
}
.fuseline th.text, .fuseline td.text { text-align: left; }
.fuseline th.figure, .fuseline td.figure {
  text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums;
}
</style>
"""
"""No colour of a text or a ground: the notebook has its own, light or dark."""


def mimebundle(
    tables: Iterable[Table],
    include: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    *,
    heading: str = "",
) -> dict[str, str]:
    """Tables under a heading as `text/html`, `text/markdown` and `text/plain`: what
    `_repr_mimebundle_` gives. `include` and `exclude` are what the notebook asks for.
    """
    from fuseline.report.markdown import markdown_document
    from fuseline.report.terminal.table import table_text

    few = tuple(_first_rows(table) for table in tables)
    said = _line(heading)
    plain = [f"{said}\n"] if said else []
    bundle = {
        "text/html": tables_html(few, heading=heading),
        "text/markdown": markdown_document(few, title=said, level=3),
        "text/plain": "\n".join((*plain, *(table_text(table) for table in few))),
    }
    wanted = set(bundle) if include is None else set(include)
    wanted -= set(exclude or ())
    return {kind: content for kind, content in bundle.items() if kind in wanted}


def tables_html(tables: Iterable[Table], *, heading: str = "") -> str:
    """Tables under a heading as one piece of HTML, which needs nothing from elsewhere."""
    said = f"<p><strong>{escape(_line(heading))}</strong></p>\n" if heading else ""
    body = "".join(table_html(table) for table in tables)
    return f'<div class="fuseline">\n{_STYLE}{said}{body}</div>\n'


def table_html(table: Table) -> str:
    """One table and its notes, without a style; the title of a column's head says what it means.

    >>> columns = (Column("op", Measure.TEXT), Column("launches", Measure.COUNT))
    >>> print(table_html(Table("ops", "Ops", columns, (("<script>", 1),))), end="")
    <div style="overflow-x: auto">
    <table>
    <caption>Ops</caption>
    <thead>
    <tr><th scope="col" class="text">op</th><th scope="col" class="figure">launches</th></tr>
    </thead>
    <tbody>
    <tr><td class="text">&lt;script&gt;</td><td class="figure">1</td></tr>
    </tbody>
    </table>
    </div>
    """
    said = shown(_first_rows(table))
    kinds = ["text" if is_text else "figure" for is_text in said.is_text]
    heads = "".join(
        f'<th scope="col" class="{kind}"{_tip(column.meaning)}>{escape(name)}</th>'
        for name, kind, column in zip(said.headings, kinds, table.columns, strict=True)
    )
    rows = "".join(f"<tr>{_cells(row, kinds)}</tr>\n" for row in said.rows)
    notes = "".join(f"<li>{escape(note)}</li>\n" for note in said.notes)
    return (
        '<div style="overflow-x: auto">\n<table>\n'
        f"<caption>{escape(said.title)}</caption>\n"
        f"<thead>\n<tr>{heads}</tr>\n</thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n"
        + (f"<ul>\n{notes}</ul>\n" if notes else "")
    )


def _cells(row: Sequence[str], kinds: Sequence[str]) -> str:
    return "".join(
        f'<td class="{kind}">{escape(cell)}</td>' for cell, kind in zip(row, kinds, strict=True)
    )


def _line(text: str) -> str:
    return shortened(visible(text), 3 * LIMIT)


def _tip(meaning: str) -> str:
    return f' title="{escape(visible(meaning))}"' if meaning else ""


def _first_rows(table: Table) -> Table:
    """The table, or its first rows and how many more there are."""
    more = len(table.rows) - ROWS
    if more <= 0:
        return table
    notes = (f"{more:,} more rows are not shown", *table.notes)
    return replace(table, rows=table.rows[:ROWS], notes=notes)


def plan_bundle(
    plan: Plan, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
) -> dict[str, str]:
    """A plan's figures, patterns and bottlenecks; of a plan without its graph what it groups."""
    heading, tables = _plan_tables(plan)
    return mimebundle(tables, include, exclude, heading=heading)


def _plan_tables(plan: Plan) -> tuple[str, tuple[Table, ...]]:
    if plan.graph is None:
        return _without_figures(plan, "figures need its graph: partition(graph, ...) keeps it")
    try:
        row = plan_row(plan.graph, plan, cost(plan.graph, plan))
    except InputError as error:
        return _without_figures(plan, f"no figures: {error}")
    figures = replace(upright(plan_figures((row,))), title="Figures")
    return _heading(plan.graph, row), (figures, patterns_table(row), bottlenecks_table(row))


def _heading(graph: Graph, row: PlanRow) -> str:
    model = graph.source
    return (
        f"{row.kind.capitalize()} '{row.label}' of {model.name} (batch {model.batch}, "
        f"{model.dtype}): {row.launches:,} launches of {row.unfused_launches:,} unfused, "
        f"{row.traffic_bytes:,} bytes of {row.unfused_traffic_bytes:,} unfused"
    )


def _without_figures(plan: Plan, why: str) -> tuple[str, tuple[Table, ...]]:
    pattern = Column("pattern", Measure.TEXT, "what joined the ops")
    count = Column("count", Measure.COUNT, "groups of this pattern")
    found = Counter(group.pattern for group in plan.groups)
    patterns = Table("patterns", "Patterns", (pattern, count), tuple(found.most_common()))
    groups = Table(
        "groups",
        "Groups",
        (
            Column("group", Measure.COUNT, "its number in the plan"),
            pattern,
            Column("ops", Measure.COUNT, "ops it holds"),
        ),
        tuple((group.id, group.pattern, len(group.ops)) for group in plan.groups),
    )
    kind = "Cover" if plan.is_cover else "Partition"
    label = f"{plan.strategy} ({plan.rules})" if plan.rules else plan.strategy
    heading = f"{kind} '{label}' into {len(plan.groups):,} groups; {why}"
    return heading, (patterns, groups)


DISPLAYS[Plan] = plan_bundle
