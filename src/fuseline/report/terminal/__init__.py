"""Rows as tables in a terminal, or as plain text in a pipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fuseline.plan import UNCOUNTED
from fuseline.report.rows import GraphRow, MemberRow, PatternRow, PlanRow, Result
from fuseline.report.rows.best import best_searched
from fuseline.report.units import at_least, giga, intensity, megabytes, percent, ratio

_PIPE_WIDTH = 132  # a pipe has no width of its own
_LABEL = 24
_SHAPES = 4  # a cache has one a layer


def stdout_console() -> Console:
    """Where tables go: as wide as the terminal, without colour in a pipe."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in console._environ:  # noqa: SLF001
        return Console(highlight=False, width=_PIPE_WIDTH)
    return console


def print_table(
    console: Console,
    title: str,
    columns: Sequence[str],
    lines: Iterable[Sequence[str]],
    *,
    text_columns: int = 1,
) -> None:
    """One table: the first `text_columns` columns and sentences left, figures right."""
    console.print(f"\n[bold]{escape(title)}[/bold]")
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for place, column in enumerate(columns):
        sentence = column in ("reason", "example")
        left = place < text_columns or sentence
        table.add_column(
            escape(column),
            justify="left" if left else "right",
            no_wrap=not left,
            overflow="fold",
            ratio=None,
        )
    for line in lines:
        table.add_row(*(escape(cell) for cell in line))
    console.print(table)


def print_pairs(console: Console, title: str, pairs: Iterable[tuple[str, str]]) -> None:
    """Labelled figures, one a line."""
    console.print(f"\n[bold]{escape(title)}[/bold]", soft_wrap=True)
    for label, value in pairs:
        console.print(f"  {escape(label):<{_LABEL}} {escape(value)}", soft_wrap=True)


def print_header(console: Console, result: Result) -> None:
    """The model, the ledger, and what this level hides."""
    model, graph = result.model, result.graph
    sizes = ("x".join(map(str, shape)) or "scalar" for shape in model.input_shapes[:_SHAPES])
    shapes = ", ".join(sizes)
    if (more := len(model.input_shapes) - _SHAPES) > 0:
        shapes += f" and {more} more,"
    console.print(
        f"[bold]{escape(model.name)}[/bold]  {escape(model.source)}, input {shapes} "
        f"{model.dtype}, {model.mode} mode, via {model.via}",
        soft_wrap=True,
    )
    print_pairs(console, "Graph", graph_pairs(graph))
    for note in (*model.notes, *notes(result)):
        console.print(f"  note: {escape(note)}", soft_wrap=True)


def graph_pairs(graph: GraphRow) -> list[tuple[str, str]]:
    """The graph's own figures, the same under every strategy."""
    unknown = ", ".join(f"{row.count} x {row.target}" for row in graph.unknown_ops) or "none"
    said = [
        ("nodes / operators", f"{graph.nodes} / {graph.operators}"),
        (
            "ops",
            f"{graph.compute_ops} compute, {graph.views} views, {graph.control_ops} control",
        ),
        ("unknown ops", unknown),
        ("FLOPs", f"{graph.flops:,} ({giga(graph.flops)} GFLOP; 2 x multiply-accumulates)"),
        ("other FLOPs", f"{graph.other_flops:,} (elementwise, norms, softmax, pooling)"),
        ("parameters, buffers", f"{megabytes(graph.parameter_bytes)} MB"),
        ("compulsory traffic", f"{megabytes(graph.compulsory_bytes)} MB"),
    ]
    if graph.causal_flops != graph.flops:
        masked = f"{graph.causal_flops:,} where causal masks let attention look"
        said.insert(4, ("causal FLOPs", masked))
    if graph.folded_ops:
        count = sum(row.count for row in graph.folded_ops)
        shown = ", ".join(f"{row.count} x {row.target}" for row in graph.folded_ops[:4])
        more = ", ..." if len(graph.folded_ops) > 4 else ""  # noqa: PLR2004
        said.append(("folded", f"{count} constant ops, run once ({shown}{more})"))
    if graph.folded_flops:
        said.append(("folded FLOPs", f"{graph.folded_flops:,}, in FLOPs above and in no plan"))
    return said


def notes(result: Result) -> list[str]:
    """What the figures leave out, beside the figures."""
    graph, said = result.graph, []
    if graph.unknown_ops:
        count = sum(row.count for row in graph.unknown_ops)
        said.append(f"FLOPs leave out {count} unknown ops; their bytes are inputs and outputs")
    if graph.hidden_bytes:
        said.append(
            "attention is one op at module level: at least "
            f"{megabytes(graph.hidden_bytes)} MB that move inside it are in no figure"
        )
    return said


def print_quantify(console: Console, plan: PlanRow, operators: int) -> None:
    """Groups, FLOPs, traffic, intensity, patterns and bottlenecks of one plan."""
    print_pairs(console, f"Strategy '{plan.strategy}'", plan_pairs(plan, operators))
    print_patterns(console, plan)
    print_bottlenecks(console, plan)
    if plan.illegal_groups:
        console.print(
            f"  note: {plan.illegal_count} groups break a rule that compilers keep to, "
            f"e.g. {escape(plan.illegal_groups[0].reason)}; they save "
            f"{megabytes(plan.illegal_saved_bytes)} of {megabytes(plan.saved_bytes)} MB, part of "
            "which smaller groups could save too",
            soft_wrap=True,
        )


def plan_pairs(plan: PlanRow, operators: int) -> list[tuple[str, str]]:
    """One plan's totals, each percentage beside what it is computed from."""
    singles = percent(plan.single_op_groups, plan.groups)
    return [
        ("groups", f"{plan.groups} of {operators} operators"),
        (
            "fusion efficiency",
            f"{ratio(plan.fusion_efficiency)} (operators / groups; mean group size)",
        ),
        ("single-op groups", f"{plan.single_op_groups} ({singles} of groups)"),
        (
            "launches",
            (
                f"{plan.launches} of {plan.unfused_launches} unfused "
                f"({percent(plan.unfused_launches - plan.launches, plan.unfused_launches)} fewer)"
            ),
        ),
        ("FLOPs", f"{at_least(giga(plan.flops), plan.unknown_ops)} GFLOP"),
        (
            "traffic",
            (
                f"{megabytes(plan.traffic_bytes)} MB of {megabytes(plan.unfused_traffic_bytes)} MB "
                f"unfused (memory reduction "
                f"{percent(plan.saved_bytes, plan.unfused_traffic_bytes)})"
            ),
        ),
        (
            "arithmetic intensity",
            (
                f"{at_least(intensity(plan.arithmetic_intensity), plan.unknown_ops)} FLOP/byte "
                "(other FLOPs apart)"
            ),
        ),
    ]


def print_patterns(console: Console, plan: PlanRow) -> None:
    """Groups by pattern, the one that saves most first."""
    print_table(
        console,
        "Patterns",
        ("pattern", "groups", "share", "ops", "GFLOP", "MB", "AI", "saved MB", "saved"),
        [_pattern_line(row, plan.groups) for row in plan.patterns],
    )


def _pattern_line(row: PatternRow, groups: int) -> tuple[str, ...]:
    """What lies beside the groups that are counted has no share of them."""
    return (
        row.name,
        str(row.count),
        "-" if row.name in UNCOUNTED else percent(row.count, groups),
        str(row.ops),
        at_least(giga(row.flops), row.unknown_ops),
        megabytes(row.traffic_bytes),
        at_least(intensity(row.arithmetic_intensity), row.unknown_ops),
        megabytes(row.saved_bytes),
        percent(row.saved_bytes, row.unfused_traffic_bytes),
    )


def print_bottlenecks(console: Console, plan: PlanRow) -> None:
    """What bounds the launches."""
    counts = plan.bottlenecks.counts
    launches = sum(counts.values())
    legend = "the largest term of each one's time"
    if plan.roofline is None:
        legend = ("compute-bound > 50 >= balanced > 10 >= memory-bound > 1 >= bandwidth-bound, "
                  "in FLOP/byte")  # fmt: skip
    print_table(
        console,
        f"Bottlenecks of {launches} launches, by {plan.bottlenecks.basis}: {legend}",
        ("bound", "launches", "share"),
        [(band, str(count), percent(count, launches)) for band, count in counts.items()],
    )


def print_comparison(console: Console, result: Result) -> None:
    """Strategies side by side, then what each gains over the first."""
    print_table(
        console,
        "Strategies",
        ("strategy", "groups", "efficiency", "single-op", "launches", "GFLOP", "MB", "reduction",
         "AI", "illegal", "over best"),
        [
            (
                plan.label,
                str(plan.groups),
                ratio(plan.fusion_efficiency),
                str(plan.single_op_groups),
                str(plan.launches),
                at_least(giga(plan.flops), plan.unknown_ops),
                megabytes(plan.traffic_bytes),
                percent(plan.saved_bytes, plan.unfused_traffic_bytes),
                at_least(intensity(plan.arithmetic_intensity), plan.unknown_ops),
                "-" if plan.illegal_count is None else str(plan.illegal_count),
                _over_best(plan, result),
            )
            for plan in result.plans
        ],
    )  # fmt: skip
    if any(_over_best(plan, result).endswith("*") for plan in result.plans):
        console.print(
            "  * illegal groups, or ops computed twice: the least bytes of an optimum are no bound"
        )
    for plan in result.plans:
        if plan.proof is not None:
            console.print(f"  {escape(plan.label)}: {escape(plan.proof.sentence)}", soft_wrap=True)
        if plan.kind == "cover":
            console.print(
                f"  {escape(plan.label)}: a cover, where ops may be in several kernels; it may "
                "move less than any partition",
                soft_wrap=True,
            )
        if plan.extra_launches:
            console.print(
                f"  {escape(plan.label)}: with {plan.extra_launches} kernels, "
                f"{megabytes(plan.extra_traffic_bytes)} MB, that compute no op of the graph "
                "(copies into other layouts and the like)",
                soft_wrap=True,
            )
    first = result.plans[0]
    print_pairs(
        console,
        f"Gained over '{first.strategy}'",
        [
            (
                plan.label,
                (
                    f"{first.launches - plan.launches} launches, "
                    f"{megabytes(first.traffic_bytes - plan.traffic_bytes)} MB, AI "
                    f"{intensity(first.arithmetic_intensity)} -> "
                    f"{intensity(plan.arithmetic_intensity)} FLOP/byte; "
                    f"{megabytes(plan.traffic_bytes - result.graph.compulsory_bytes)} MB above "
                    "the compulsory traffic"
                ),
            )
            for plan in result.plans[1:]
        ],
    )


def _over_best(plan: PlanRow, result: Result) -> str:
    """Bytes above the least of the optimal plans shown; nothing where there is none."""
    searched = best_searched(result.plans)
    best = searched.traffic_bytes if searched else 0
    if not best:
        return "-"
    mark = "*" if plan.illegal_groups or plan.kind == "cover" else ""
    return f"{(plan.traffic_bytes - best) / best:+.1%}{mark}"


def print_picture(console: Console, plan: PlanRow, max_nodes: int) -> None:
    """The graph on the left in execution order, its groups on the right."""
    lines: list[tuple[str, str]] = []
    shown = 0
    for member in plan.members:
        if shown >= max_nodes:
            break
        ops = member.ops[: max_nodes - shown]
        shown += len(ops)
        details = _details(member)
        for place in range(max(len(ops), len(details))):
            left = ops[place] if place < len(ops) else ""
            lines.append((left, details[place] if place < len(details) else "|"))
    total = sum(len(member.ops) for member in plan.members)
    print_table(
        console,
        f"Partition by '{plan.strategy}': {shown} of {total} ops in execution order",
        ("op", "group"),
        lines,
        text_columns=2,
    )


def _details(member: MemberRow) -> list[str]:
    head = f"[{member.group}] {member.pattern}"
    if not member.launched:
        return [f"{head}: no launch"]
    flops = at_least(giga(member.flops), member.unknown_ops)
    figures = (
        f"{flops} GFLOP, {megabytes(member.traffic_bytes)} MB, saved "
        f"{megabytes(member.saved_bytes)} MB, AI {intensity(member.arithmetic_intensity)}, "
        f"{member.bottleneck}"
    )
    if len(member.ops) > 1 and not member.alone:
        return [f"{head}: {len(member.ops)} ops", f"| {figures}"]
    return [f"{head}: {figures}", *([f"| alone: {member.alone}"] if member.alone else [])]
