"""What the page says in words and figures without a script: text only, ready to be printed."""

from __future__ import annotations

from dataclasses import dataclass

from fuseline.report.cells import NOTHING
from fuseline.report.rows import PlanRow, Result
from fuseline.report.rows.best import best_searched
from fuseline.report.rows.device import RooflineRow
from fuseline.report.rows.missed import MissedRows
from fuseline.report.rows.report import PartitionRows, ReportRows
from fuseline.report.text import visible
from fuseline.report.units import (
    at_least,
    count_of,
    fraction,
    giga,
    intensity,
    megabytes,
    microseconds,
    percent,
)


@dataclass(frozen=True, slots=True)
class Tile:
    """A key figure: what it is, the figure with its unit, and what it stands beside."""

    label: str
    value: str
    unit: str
    note: str


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a static table: a name from the model, cells of figures, and a note."""

    name: str
    cells: tuple[str, ...]
    note: str = ""


def keys_of(partitions: tuple[PartitionRows, ...]) -> tuple[str, ...]:
    """A name for each plan that a link may hold: its label, with a number where two are alike."""
    labels = [partition.plan.label for partition in partitions]
    return tuple(
        label if labels.index(label) == place else f"{label} #{place + 1}"
        for place, label in enumerate(labels)
    )


def chosen_plan(partitions: tuple[PartitionRows, ...]) -> int:
    """The plan that a page opens with: the optimum where it was searched, else the last."""
    strategies = [partition.plan.strategy for partition in partitions]
    return strategies.index("optimal") if "optimal" in strategies else len(strategies) - 1


def facts(rows: ReportRows) -> tuple[tuple[str, str], ...]:
    """Which model this is, and how it was taken, as (what, text)."""
    result = rows.result
    model = result.model
    time = result.plans[0].roofline
    shapes = ", ".join("x".join(map(str, shape)) or "scalar" for shape in model.input_shapes)
    found = (
        ("source", model.source),
        ("input", shapes),
        ("dtype", model.dtype),
        ("batch", str(model.batch)),
        ("captured via", f"{model.via}, {model.mode} mode"),
        ("device", f"{time.device}, launches '{time.launch}'" if time else "none named"),
        ("made by", f"fuseline {result.fuseline}, torch {result.torch}"),
    )
    return tuple((what, visible(text)) for what, text in found if text)


def tiles(plan: PlanRow, result: Result) -> tuple[Tile, ...]:
    """The key figures of one plan."""
    unknown = plan.unknown_ops
    found = [
        Tile("launches", f"{plan.launches:,}", "", f"{plan.unfused_launches:,} unfused"),
        Tile(
            "memory traffic",
            megabytes(plan.traffic_bytes),
            "MB",
            f"{megabytes(plan.unfused_traffic_bytes)} MB unfused",
        ),
        _gap(plan, result),
        Tile(
            "FLOPs",
            at_least(giga(plan.flops), unknown),
            "GFLOP",
            f"{giga(plan.other_flops)} GFLOP of other work",
        ),
        Tile("FLOP/byte", intensity(plan.arithmetic_intensity), "", _ridge(plan)),
    ]
    if plan.roofline is not None:
        found.append(_time(plan.roofline))
    if plan.memory is not None:
        needed = megabytes(plan.memory.total_bytes)
        found.append(Tile("device memory", needed, "MB", plan.memory.sentence))
    said = "left out of FLOPs and time" if unknown else "every op is counted"
    return (*found, Tile("unknown ops", f"{unknown:,}", "", said))


def _time(time: RooflineRow) -> Tile:
    """Seconds, and what they are: a bound by the device's peaks, or an estimate by its rates."""
    unrated = time.launches_without_vector_rate
    said = f"{microseconds(time.summed_seconds)} µs kernel after kernel"
    if unrated:
        said = f"{count_of(unrated, 'launch', 'es')} in part: no source gives the rate"
    elif time.rated:
        said = "by rates measured on the device"
    elif not time.overlapped:
        said = "kernel after kernel"
    label = "time, predicted" if time.rated else "time, at least"
    return Tile(label, microseconds(time.pipelined_seconds), "µs", said)


def missed_rest(missed: MissedRows) -> str:
    """What the table of missed fusions leaves out."""
    if not missed.left_out:
        return ""
    pairs = count_of(missed.left_out, "more pair")
    return f"{pairs} of other kinds, each worth at most {missed.left_out_bytes:,} bytes."


def _ridge(plan: PlanRow) -> str:
    peaks = plan.roofline.peaks if plan.roofline else ()
    points = ", ".join(f"{intensity(peak.ridge_point)} for {peak.dtype}" for peak in peaks)
    return f"ridge point {points}" if points else "FLOPs / bytes moved"


def _gap(plan: PlanRow, result: Result) -> Tile:
    """How far from the best known: by a proof, or a search beside it; else from the least."""
    label = "gap to optimal"
    proof = plan.proof
    if proof is not None and proof.gap is not None:
        said = "proven" if proof.is_optimal else "at most; not proven optimal"
        of = "" if proof.objective == "bytes" else f" {proof.objective}"
        return Tile(f"{label}{of}", fraction(proof.gap), "", f"{said}, rules {proof.rules}")
    best = best_searched(result.plans)
    if best is not None and best.traffic_bytes:
        above = plan.traffic_bytes - best.traffic_bytes
        sign = "+" if above >= 0 else "-"
        share = percent(abs(above), best.traffic_bytes)
        beside = f"of {megabytes(best.traffic_bytes)} MB, {best.label}"
        proven = best.proof is not None and best.proof.is_optimal
        return Tile(label if proven else "above the best found", f"{sign}{share}", "", beside)
    least = result.graph.compulsory_bytes
    share = f"+{percent(plan.traffic_bytes - least, least)}" if least else NOTHING
    return Tile("above the compulsory", share, "", f"of {megabytes(least)} MB")


STRATEGY_COLUMNS = (
    "groups", "launches", "MB moved", "MB saved", "GFLOP", "FLOP/byte", "bound MB", "µs", "gap",
    "notes",
)  # fmt: skip
"""Of the strategies compared, after the name."""


def strategy_lines(rows: ReportRows) -> tuple[Line, ...]:
    """The strategies compared, a line each."""
    return tuple(_strategy(partition.plan, rows.result) for partition in rows.partitions)


def _strategy(plan: PlanRow, result: Result) -> Line:
    notes = []
    if plan.kind == "cover":
        notes.append("a cover: ops may be in several kernels")
    if plan.illegal_groups:
        count = plan.illegal_count
        notes.append(f"{count} groups break a rule")
    if plan.extra_launches:
        notes.append(f"{plan.extra_launches} kernels besides the groups")
    if plan.proof is not None:
        of = "" if plan.proof.objective == "bytes" else f" in {plan.proof.objective}"
        proven = "proven optimal" if plan.proof.is_optimal else "not proven optimal"
        notes.append(f"{proven}{of}")
    bound = plan.lower_bound_bytes
    time = plan.roofline
    cells = (
        f"{plan.groups:,}",
        f"{plan.launches:,}",
        megabytes(plan.traffic_bytes),
        megabytes(plan.saved_bytes),
        at_least(giga(plan.flops), plan.unknown_ops),
        intensity(plan.arithmetic_intensity),
        megabytes(bound) if bound is not None else NOTHING,
        microseconds(time.summed_seconds) if time else NOTHING,
        _gap(plan, result).value,
    )
    return Line(plan.label, cells, "; ".join(notes))


def ledger_lines(rows: ReportRows) -> tuple[Line, ...]:
    """The graph's own figures: the same under every strategy."""
    graph = rows.result.graph
    unknown = sum(row.count for row in graph.unknown_ops)
    folded = sum(row.count for row in graph.folded_ops)
    return (
        Line("nodes", (f"{graph.nodes:,}",), "of the captured graph"),
        Line("operators", (f"{graph.operators:,}",), "what groups are counted by"),
        Line("compute ops", (f"{graph.compute_ops:,}",), "read or write device memory"),
        Line("views", (f"{graph.views:,}",), "no bytes, no launch"),
        Line("control ops", (f"{graph.control_ops:,}",), "on the host, in no launch"),
        Line("unknown ops", (f"{unknown:,}",), "no formula knows their FLOPs; listed below"),
        Line("FLOPs", (at_least(f"{graph.flops:,}", unknown),), "of contractions and attention"),
        Line(
            "FLOPs, masks heeded",
            (f"{graph.causal_flops:,}",),
            "causal attention counted as far as it looks",
        ),
        Line(
            "other FLOPs",
            (at_least(f"{graph.other_flops:,}", unknown),),
            "elementwise, norms, pooling",
        ),
        Line("parameter bytes", (f"{graph.parameter_bytes:,}",), "of distinct storages read"),
        Line("compulsory bytes", (f"{graph.compulsory_bytes:,}",), "that any partition must move"),
        Line(
            "hidden bytes", (f"{graph.hidden_bytes:,}",), "move inside attention, in no figure here"
        ),
        Line("folded ops", (f"{folded:,}",), "need no input: run once, ahead of time"),
        Line("folded FLOPs", (f"{graph.folded_flops:,}",), "in the model's FLOPs, in no plan's"),
    )
