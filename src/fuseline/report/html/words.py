"""What the page says in words and figures without a script: text only, ready to be printed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fuseline.report.cells import NOTHING
from fuseline.report.html.scales import scale_of_bytes, scale_of_flops, scale_of_seconds
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
    intensity,
    percent,
    size_in_words,
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
        ("device", f"{time.device}, {_launched(time)}" if time else "none named"),
        ("made by", f"fuseline {result.fuseline}, torch {result.torch}"),
    )
    return tuple((what, visible(text)) for what, text in found if text)


def _launched(time: RooflineRow) -> str:
    if time.launch == "eager":
        return "launches one by one (eager)"
    return (
        "launches replayed as a graph" if time.launch == "graph" else f"launches by {time.launch}"
    )


def tiles(plan: PlanRow, result: Result) -> tuple[Tile, ...]:
    """The key figures of one plan."""
    unknown = plan.unknown_ops
    moved, work = scale_of_bytes(plan.traffic_bytes), scale_of_flops(plan.flops)
    other = scale_of_flops(plan.other_flops).whole(plan.other_flops)
    least, beside = (">= ", f" + {unknown:,} unknown") if unknown else ("", "")
    found = [
        Tile("launches", f"{plan.launches:,}", "", f"{plan.unfused_launches:,} unfused"),
        Tile(
            "memory traffic",
            moved.text(plan.traffic_bytes),
            moved.unit,
            f"{size_in_words(plan.unfused_traffic_bytes)} unfused",
        ),
        gap_tile(plan, result),
        Tile(
            "FLOPs",
            f"{least}{work.text(plan.flops)}",
            f"{work.unit}{beside}",
            f"{other} of other work",
        ),
        Tile("FLOP/byte", _intensity(plan), "", _ridge(plan)),
    ]
    if plan.roofline is not None:
        found.append(_time(plan.roofline))
    if plan.memory is not None:
        needed = scale_of_bytes(plan.memory.total_bytes)
        figure = needed.text(plan.memory.total_bytes)
        found.append(Tile("device memory", figure, needed.unit, plan.memory.sentence))
    said = "left out of FLOPs and time" if unknown else "every op is counted"
    return (*found, Tile("unknown ops", f"{unknown:,}", "", said))


def _intensity(plan: PlanRow) -> str:
    """FLOPs are at least what is counted, so FLOPs a byte are too."""
    figure = intensity(plan.arithmetic_intensity)
    return f">= {figure}" if plan.unknown_ops else figure


def _time(time: RooflineRow) -> Tile:
    """Seconds, and what they are: a bound by the device's peaks, or an estimate by its rates."""
    unrated = time.launches_without_vector_rate
    scale = scale_of_seconds(time.pipelined_seconds)
    said = f"{scale.whole(time.summed_seconds)} one by one, launches in full"
    if unrated:
        said = f"{count_of(unrated, 'launch', 'es')} in part: no source gives the rate"
    elif time.rated:
        said = "by rates measured on the device"
    elif not time.overlapped:
        said = "kernel after kernel"
    label = "time, predicted" if time.rated else "time, at least"
    return Tile(label, scale.text(time.pipelined_seconds), scale.unit, said)


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


def gap_tile(plan: PlanRow, result: Result) -> Tile:
    """How far from the best known, and whether the comparison is of equals."""
    tile = _gap(plan, result)
    if not plan.illegal_count:
        return tile
    return replace(tile, note=f"{tile.note}; {broken(plan)}")


def _gap(plan: PlanRow, result: Result) -> Tile:
    """By a proof, or a search beside it; else from the least that any must move."""
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
        beside = f"of {size_in_words(best.traffic_bytes)}, {best.label}"
        proven = best.proof is not None and best.proof.is_optimal
        return Tile(label if proven else "above the best found", f"{sign}{share}", "", beside)
    least = result.graph.compulsory_bytes
    share = f"+{percent(plan.traffic_bytes - least, least)}" if least else NOTHING
    return Tile("above the compulsory", share, "", f"of {size_in_words(least)}")


def judged_by(plan: PlanRow) -> str:
    """The rules that say whether a group is a kernel: those it was searched under, else T."""
    return plan.proof.rules if plan.proof is not None else "T"


def broken(plan: PlanRow) -> str:
    """How many groups are no kernel, and by whose rules."""
    count = plan.illegal_count or 0
    are = "is" if count == 1 else "are"
    return f"{count_of(count, 'group')} {are} no kernel under rules {judged_by(plan)}"


RUNGS = (
    ("R0", "one op"),
    (
        "A",
        (
            "a contraction with an elementwise epilogue of its own domain; or one loop over one "
            "domain, with reductions of the same rows; copies stream"
        ),
    ),
    (
        "B",
        (
            "also what feeds a contraction elementwise or row by row and goes nowhere else, and a "
            "row reduction after it"
        ),
    ),
    ("T", "also an attention in steps: scores, mask, softmax, values"),
    ("M", "also any acyclic group whose working set fits the on-chip memory"),
)
"""What one kernel may hold under each rung of the rules; a rung allows all that those before do."""

_ON_CHIP = (
    ("on_chip.cores", "{} cores"),
    ("on_chip.registers_nbytes_per_core", "{} of registers a core"),
    ("on_chip.shared_nbytes_per_core", "{} of L1 and shared memory a core"),
    ("on_chip.scratchpad_nbytes", "{} of scratchpad"),
    ("cache.capacity_nbytes", "{} of last-level cache"),
)


def on_chip(rows: ReportRows) -> str:
    """What the device has on chip, to hold beside what a kernel would need; empty if unknown."""
    time = rows.result.plans[0].roofline
    known = {figure.name: figure.value for figure in rows.device}
    parts = [form.format(known[name]) for name, form in _ON_CHIP if name in known]
    return f"On chip {time.device} has {', '.join(parts)}." if time and parts else ""


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
        Line("unknown ops", (f"{unknown:,}",), "no formula knows their FLOPs; listed beside"),
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
