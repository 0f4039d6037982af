"""The rows of a result as tables, one for each thing that is asked: the input of every tabular
format. Totals over printed rows are the totals printed for the plan: kernels that compute no op of
the graph have a row of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from fuseline.report.rows.data import GraphRow, PlanRow, Result
from fuseline.report.rows.doubts import doubts
from fuseline.report.rows.fields import (
    GROUP,
    GROUP_IN_WORDS,
    GROUP_ON_DEVICE,
    PATTERN,
    PLAN,
    PLAN_ON_DEVICE,
    columns_of,
    values_of,
)
from fuseline.report.rows.missed import MissedRows
from fuseline.report.rows.table import Column, Measure, Table, Value
from fuseline.report.units import count_of

BESIDES = "(kernels besides the groups)"
"""Stands for kernels that compute no op of the graph, in the place of a pattern."""

_BY_PLAN = (
    Column("strategy", Measure.TEXT, "the plan that the row is of"),
    Column("rules", Measure.TEXT, "the rule set or rule file that its strategy was given"),
)


def plans_table(result: Result) -> Table:
    """One row a plan: the totals."""
    model = result.model
    table = plan_figures(result.plans)
    title = f"{model.name}: plans (batch {model.batch}, {model.dtype}, via {model.via})"
    return replace(table, title=title, notes=(*_left_out(result.graph), *table.notes))


def plan_figures(plans: tuple[PlanRow, ...]) -> Table:
    """The same of plans alone, for one who has no result."""
    fields = PLAN
    if any(plan.roofline for plan in plans):
        fields += PLAN_ON_DEVICE
    rows = tuple(values_of(fields, plan) for plan in plans)
    return Table("plans", "Plans", columns_of(fields), rows, tuple(_said_of(plans)), keys=2)


def groups_table(plan: PlanRow) -> Table:
    """One row a group, in the plan's order."""
    fields = (*GROUP, *(GROUP_ON_DEVICE if plan.roofline else ()), *GROUP_IN_WORDS)
    columns = columns_of(fields)
    rows = [values_of(fields, member) for member in plan.members]
    if plan.extra_launches:
        rows.append(_besides(columns, plan))
    return Table("groups", _title("Groups", plan), columns, tuple(rows), doubts(plan))


def patterns_table(plan: PlanRow) -> Table:
    """One row a pattern: the groups that it joined, the one that saves most first."""
    columns = columns_of(PATTERN)
    rows = [values_of(PATTERN, pattern) for pattern in plan.patterns]
    if plan.extra_launches:
        rows.append(_besides(columns, plan))
    return Table("patterns", _title("Patterns", plan), columns, tuple(rows), doubts(plan))


def refusals_table(plan: PlanRow) -> Table:
    """One row for two neighbours that were not joined: why, and what one kernel would save."""
    columns = (
        Column("from", Measure.TEXT, "the op whose result is taken"),
        Column("to", Measure.TEXT, "the op that takes it"),
        Column("rule", Measure.TEXT, "what refused"),
        Column("bytes", Measure.BYTES, "what one kernel for both groups would save"),
        Column("reason", Measure.TEXT, "why"),
    )
    rows = tuple((row.from_, row.to, row.rule, row.bytes, row.reason) for row in plan.refusals)
    return Table("refusals", _title("Refusals", plan), columns, rows, keys=2)


def missed_table(plan: PlanRow, missed: MissedRows) -> Table:
    """One row for neighbours that are apart in the same way, the costliest first. Their savings
    overlap: they do not add up.
    """
    columns = (
        Column("from", Measure.TEXT, "the op of the first group, of the first such pair"),
        Column("to", Measure.TEXT, "the op of the second"),
        Column("source", Measure.COUNT, "the group of the one"),
        Column("target", Measure.COUNT, "the group of the other"),
        Column("patterns", Measure.TEXT, "what joined the ops of the two groups"),
        Column("count", Measure.COUNT, "pairs that are apart in this way"),
        Column("saved_bytes", Measure.BYTES, "what one kernel for a pair would save"),
        Column("total_bytes", Measure.BYTES, "for all of them, where no two share a group"),
        Column("legal", Measure.YES, "whether rules T allow that kernel as it is"),
        Column("rule", Measure.TEXT, "what keeps them apart"),
        Column("reason", Measure.TEXT, "why"),
        Column("remedy", Measure.TEXT, "the least that would make them one kernel"),
    )
    rows = tuple(
        (
            row.from_,
            row.to,
            row.source,
            row.target,
            row.patterns,
            row.count,
            row.saved_bytes,
            row.total_bytes,
            row.legal,
            row.rule,
            row.reason,
            row.remedy,
        )
        for row in missed.rows
    )
    notes = ["saved_bytes is of one pair; rows overlap: they do not add up"]
    if missed.left_out:
        pairs = count_of(missed.left_out, "more pair")
        notes.append(f"{pairs} of other kinds would save at most {missed.left_out_bytes:,} bytes")
    return Table("missed", _title("Missed fusions", plan), columns, rows, tuple(notes), keys=2)


def bottlenecks_table(plan: PlanRow) -> Table:
    """One row a bottleneck: the launches that it bounds, on a device with their seconds."""
    columns = [
        Column("bottleneck", Measure.TEXT, "what bounds them"),
        Column("launches", Measure.COUNT, "how many it bounds"),
    ]
    rows: list[tuple[Value, ...]] = list(plan.bottlenecks.counts.items())
    besides = plan.launches - sum(plan.bottlenecks.counts.values())
    if besides:  # a band is of groups alone
        rows.append((BESIDES, besides))
    if plan.roofline is not None:
        columns.append(Column("seconds", Measure.SECONDS, "their time, launches in full"))
        rows = [(row.bottleneck, row.launches, row.seconds) for row in plan.roofline.shares]
    title = _title(f"Bottlenecks by {plan.bottlenecks.basis}", plan)
    return Table("bottlenecks", title, tuple(columns), tuple(rows), doubts(plan))


def illegal_table(plan: PlanRow) -> Table:
    """One row for a group that breaks a rule which compilers keep to."""
    columns = (
        Column("group", Measure.COUNT, "its number in the plan; -1: the plan as a whole"),
        Column("pattern", Measure.TEXT, "what joined its ops"),
        Column("rule", Measure.TEXT, "the rule that it breaks"),
        Column("reason", Measure.TEXT, "how"),
    )
    rows = tuple((row.group, row.pattern, row.rule, row.reason) for row in plan.illegal_groups)
    notes = []
    if rows:
        notes.append(f"together these groups save {plan.illegal_saved_bytes:,} bytes")
    if plan.kind == "cover":
        notes.append("a cover, where ops may be in several kernels: no rule of ours judges it")
    return Table("illegal", _title("Illegal groups", plan), columns, rows, tuple(notes))


def ledger_table(result: Result) -> Table:
    """The graph's own figures, the same under every strategy; what no formula knows op by op."""
    graph = result.graph
    columns = (
        Column("figure", Measure.TEXT, "the key of the JSON result"),
        Column("target", Measure.TEXT, "the one op that a row is of"),
        Column("value", Measure.COUNT, "exact"),
        Column("unit", Measure.TEXT, "of the value"),
    )
    rows: list[tuple[Value, ...]] = []
    for name, unit in _LEDGER:
        rows.append((name, None, _total(graph, name), unit))
        rows += [(name, target, value, unit) for target, value in _parts(graph, name)]
    title = f"{result.model.name}: ledger"
    notes = (*result.model.notes, *_left_out(graph))
    return Table("ledger", title, columns, tuple(rows), notes, keys=2)


_LEDGER = (
    ("nodes", "nodes"),
    ("operators", "ops"),
    ("compute_ops", "ops"),
    ("views", "ops"),
    ("control_ops", "ops"),
    ("unknown_ops", "ops"),
    ("flops", "FLOP"),
    ("causal_flops", "FLOP"),
    ("other_flops", "FLOP"),
    ("parameter_bytes", "bytes"),
    ("compulsory_bytes", "bytes"),
    ("hidden_bytes", "bytes"),
    ("folded_ops", "ops"),
    ("folded_flops", "FLOP"),
)


def _total(graph: GraphRow, name: str) -> int:
    if name == "unknown_ops":
        return sum(row.count for row in graph.unknown_ops)
    if name == "folded_ops":
        return sum(row.count for row in graph.folded_ops)
    return getattr(graph, name)


def _parts(graph: GraphRow, name: str) -> list[tuple[str, int]]:
    """A figure by target, where it is kept so: the parts of the total above them."""
    if name == "unknown_ops":
        return [(row.target, row.count) for row in graph.unknown_ops]
    if name == "folded_ops":
        return [(row.target, row.count) for row in graph.folded_ops]
    if name == "folded_flops":
        return [(row.target, row.flops) for row in graph.folded_ops if row.flops]
    return []


def _title(what: str, plan: PlanRow) -> str:
    return f"{what} of '{plan.label}'"


def _besides(columns: Iterable[Column], plan: PlanRow) -> tuple[Value, ...]:
    """The kernels besides the groups as one row: what they add to each total, else nothing."""
    known: dict[str, Value] = {
        "pattern": BESIDES,
        "count": plan.extra_launches,
        "counted": False,
        "ops": 0,
        "launched": True,
        "launches": plan.extra_launches,
        "flops": 0,
        "other_flops": 0,
        "traffic_bytes": plan.extra_traffic_bytes,
        "unfused_traffic_bytes": 0,
        "saved_bytes": -plan.extra_traffic_bytes,
        "arithmetic_intensity": 0.0,
        "unknown_ops": 0,
    }
    if plan.seconds is not None:
        known["seconds"] = plan.seconds - sum(member.seconds or 0.0 for member in plan.members)
    return tuple(known.get(column.name) for column in columns)


def _left_out(graph: GraphRow) -> list[str]:
    """What the figures leave out, beside the figures."""
    said = _unknown(sum(row.count for row in graph.unknown_ops))
    if graph.hidden_bytes:
        said.append(
            f"attention is one op at module level: at least {graph.hidden_bytes:,} bytes that move "
            "inside it are in no figure"
        )
    return said


def _unknown(count: int) -> list[str]:
    if not count:
        return []
    ops = count_of(count, "unknown op")
    return [f"FLOPs leave out {ops}, whose bytes are those of inputs and outputs"]


def _said_of(plans: tuple[PlanRow, ...]) -> Iterable[str]:
    """What belongs beside the totals of each plan."""
    for plan in plans:
        if plan.proof is not None:
            yield f"{plan.label}: {plan.proof.sentence}"
        if plan.kind == "cover":
            yield (
                f"{plan.label}: a cover, where ops may be in several kernels; it may move less "
                "than any partition"
            )
        if plan.roofline is not None:
            unknown = plan.roofline.unknown_ops
            unrated = plan.roofline.launches_without_vector_rate
            if unknown:
                work = count_of(unknown, "unknown op")
                yield f"{plan.label}: seconds leave out the work of {work}"
            if unrated:
                work = count_of(unrated, "launch", "es")
                yield f"{plan.label}: seconds leave out other work of {work} that no source rates"


def _stacked(title: str, make: Callable[[PlanRow], Table]) -> Callable[[Result], Table]:
    """The tables of all plans of a result as one, each row under its strategy and rules."""

    def table(result: Result) -> Table:
        return stacked(
            f"{result.model.name}: {title}", [(plan, make(plan)) for plan in result.plans]
        )

    return table


def stacked(title: str, made: Sequence[tuple[PlanRow, Table]]) -> Table:
    """The same table of several plans as one: each row under its plan's strategy and rules."""
    first = made[0][1]
    notes = dict.fromkeys(f"{plan.label}: {note}" for plan, table in made for note in table.notes)
    return Table(
        first.name,
        title,
        (*_BY_PLAN, *first.columns),
        tuple((plan.strategy, plan.rules, *row) for plan, table in made for row in table.rows),
        tuple(notes),
        keys=len(_BY_PLAN) + first.keys,
    )


TABLES: dict[str, Callable[[Result], Table]] = {
    "plans": plans_table,
    "groups": _stacked("groups", groups_table),
    "patterns": _stacked("patterns", patterns_table),
    "refusals": _stacked("refusals", refusals_table),
    "bottlenecks": _stacked("bottlenecks", bottlenecks_table),
    "illegal": _stacked("illegal groups", illegal_table),
    "ledger": ledger_table,
}
"""Every table of a result by name; those of plans hold all plans, each row under its strategy."""
