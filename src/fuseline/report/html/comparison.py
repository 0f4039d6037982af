"""The strategies compared, as a static table: each column in one unit, and a note on each plan."""

from __future__ import annotations

from dataclasses import dataclass

from fuseline.report.cells import NOTHING
from fuseline.report.html.scales import Scale, scale_of_bytes, scale_of_flops, scale_of_seconds
from fuseline.report.html.words import Line, broken, gap_tile
from fuseline.report.rows import PlanRow
from fuseline.report.rows.report import ReportRows
from fuseline.report.units import at_least, count_of, intensity

OVERLAPPED = (
    "a launch overlaps the device's work of the kernels before it; where the device waits for it, "
    "the wait is counted"
)
ONE_BY_ONE = "every kernel for itself, its launch in full: what the table of groups adds up to"


@dataclass(frozen=True, slots=True)
class Heading:
    """A column: its name, and what it is where the name does not say it."""

    name: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The table, and what belongs beside it in words."""

    headings: tuple[Heading, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Scales:
    moved: Scale
    flops: Scale
    seconds: Scale | None  # without a device there is no time


def comparison(rows: ReportRows) -> Comparison:
    """A line for each plan, in the order of the plans."""
    plans = rows.result.plans
    times = [plan.roofline for plan in plans if plan.roofline]
    scales = _Scales(
        scale_of_bytes(*(plan.traffic_bytes for plan in plans)),
        scale_of_flops(*(plan.flops for plan in plans)),
        scale_of_seconds(*(time.pipelined_seconds for time in times)) if times else None,
    )
    lines = tuple(_line(plan, rows, scales) for plan in plans)
    notes = ()
    if scales.seconds is not None:
        unit = scales.seconds.unit
        notes = (f"{unit} overlapped: {OVERLAPPED}. {unit} one by one: {ONE_BY_ONE}.",)
    return Comparison(_headings(scales), lines, notes)


def _headings(scales: _Scales) -> tuple[Heading, ...]:
    moved = scales.moved.unit
    found = [
        Heading("groups"),
        Heading("launches"),
        Heading(f"{moved} moved"),
        Heading(f"{moved} saved", "against no fusion"),
        Heading(scales.flops.unit, "of contractions and attention"),
        Heading("FLOP/byte"),
        Heading(f"bound {moved}", "proven: no partition legal under the plan's rules moves less"),
    ]
    if scales.seconds is not None:
        unit = scales.seconds.unit
        found += [
            Heading(f"{unit} overlapped", OVERLAPPED),
            Heading(f"{unit} one by one", ONE_BY_ONE),
        ]
    return (*found, Heading("gap", "to the optimum, in bytes"), Heading("notes"))


def _line(plan: PlanRow, rows: ReportRows, scales: _Scales) -> Line:
    bound, time = plan.lower_bound_bytes, plan.roofline
    cells = [
        f"{plan.groups:,}",
        f"{plan.launches:,}",
        scales.moved.text(plan.traffic_bytes),
        scales.moved.text(plan.saved_bytes),
        at_least(scales.flops.text(plan.flops), plan.unknown_ops),
        intensity(plan.arithmetic_intensity),
        scales.moved.text(bound) if bound is not None else NOTHING,
    ]
    if scales.seconds is not None:
        both = (time.pipelined_seconds, time.summed_seconds) if time else ()
        cells += [scales.seconds.text(seconds) for seconds in both] or [NOTHING, NOTHING]
    return Line(plan.label, (*cells, gap_tile(plan, rows.result).value), _note(plan))


def _note(plan: PlanRow) -> str:
    """What sets a plan apart from the others."""
    notes = []
    if plan.kind == "cover":
        notes.append("a cover: ops may be in several kernels")
    if plan.illegal_count:
        notes.append(broken(plan))
    if plan.extra_launches:
        notes.append(f"{count_of(plan.extra_launches, 'kernel')} besides the groups")
    if plan.proof is not None:
        of = "" if plan.proof.objective == "bytes" else f" in {plan.proof.objective}"
        proven = "proven optimal" if plan.proof.is_optimal else "not proven optimal"
        notes.append(f"{proven}{of}")
    return "; ".join(notes)
