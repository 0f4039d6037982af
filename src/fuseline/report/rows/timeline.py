"""When each kernel of a plan would be launched and run on a device, and what is in memory then.

The schedule is the one that `PlanTime.pipelined_seconds` ends: where a host launches kernel by
kernel it issues ahead of the device, in order, and waits for it only where it needs a value. Each
kernel starts as soon as it is issued and the one before has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fuseline.costs import PlanTime, cost, memory_fit, roofline
from fuseline.costs.memory import live_bytes
from fuseline.costs.roofline import GroupTime
from fuseline.errors import InputError
from fuseline.graph import Graph
from fuseline.plan import Plan
from fuseline.report.rows.data import MemberRow, PlanRow, Target
from fuseline.report.rows.ops import kernel_name
from fuseline.report.rows.plans import plan_row
from fuseline.report.units import count_of

OVERLAPPED = "each kernel is issued while the device works on the ones before it"
IN_TURN = "no launch overlaps a kernel"


@dataclass(frozen=True, slots=True)
class KernelRow:
    """One kernel: when its launch is issued, and when the device works on it [s from the start].

    `member` holds the figures of its group. A kernel besides the groups has none: it computes no
    op, `purpose` says what it is for, and it moves `traffic_bytes`.
    """

    name: str
    purpose: str
    launch_start_seconds: float
    launch_seconds: float
    exposed_seconds: float
    start_seconds: float
    device_seconds: float
    dtype: str
    traffic_bytes: int
    bottleneck: str
    member: MemberRow | None


@dataclass(frozen=True, slots=True)
class LiveRow:
    """From `start_seconds` on so many bytes of activations are allocated."""

    start_seconds: float
    activation_bytes: int


@dataclass(frozen=True, slots=True)
class TimelineRows:
    """A plan's kernels in the order they run. `seconds` is when the last one ends: the plan's
    `pipelined_seconds`. `launches` names the track of launches, `notes` say what the times leave
    out. `live` is empty of a cover: what it allocates is not told. `held_bytes` are parameters and
    inputs, in memory all the time; None where `live` is empty.
    """

    model: str
    plan: PlanRow
    device: str
    title: str
    launch: str
    schedule: str
    launches: str
    seconds: float
    kernels: tuple[KernelRow, ...]
    live: tuple[LiveRow, ...]
    held_bytes: int | None
    notes: tuple[str, ...]


def timeline_rows(
    graph: Graph, plan: Plan, target: Target | None, row: PlanRow | None = None
) -> TimelineRows:
    """The kernels of `plan` in time on the device of `target`; `row` are the plan's figures there,
    where they are known already.

    Raises `InputError` without a device, and as `roofline` does.
    """
    if target is None:
        raise InputError("a timeline needs seconds: add --device NAME")
    row = row or plan_row(graph, plan, cost(graph, plan), target)
    time = roofline(graph, plan, target.device, launch=target.launch, tf32=target.tf32)
    schedule = _schedule(time.groups)
    overlapped = target.launch == "eager" and not target.device.rates
    return TimelineRows(
        model=graph.source.name,
        plan=row,
        device=target.device.name,
        title=target.device.title,
        launch=target.launch,
        schedule=OVERLAPPED if overlapped else IN_TURN,
        launches="host: launches" if overlapped else "launch overhead",
        seconds=schedule.end,
        kernels=_kernels(graph, plan, row, time, schedule),
        live=() if plan.is_cover else _live(graph, plan, schedule.starts),
        held_bytes=_held(graph, plan),
        notes=_notes(plan, time, graph.hidden_bytes),
    )


@dataclass(frozen=True, slots=True)
class _Schedule:
    """When each kernel's launch is issued, when it starts, and when the last one ends [s]."""

    issues: tuple[float, ...]
    starts: tuple[float, ...]
    end: float


def _schedule(groups: Sequence[GroupTime]) -> _Schedule:
    """A launch that the device idles for ends as its kernel starts; another follows the launch
    before. What is not launched takes no time.
    """
    issues, starts = [], []
    host = end = 0.0
    for group in groups:
        start = end + group.exposed_seconds
        if group.exposed_seconds:
            host = max(host, start - group.launch_seconds)  # later where it waited for the device
        issues.append(host)
        starts.append(start)
        host += group.launch_seconds
        end = start + group.device_seconds
    return _Schedule(tuple(issues), tuple(starts), end)


def _kernels(
    graph: Graph, plan: Plan, row: PlanRow, time: PlanTime, schedule: _Schedule
) -> tuple[KernelRow, ...]:
    """Launched groups, then the kernels besides."""
    subjects = [
        (kernel_name(graph, group), "", member.traffic_bytes, member)
        for group, member in zip(plan.groups, row.members, strict=True)
    ]
    subjects += [(extra.name, extra.purpose, extra.nbytes, None) for extra in plan.extras]
    placed = zip(subjects, time.groups, schedule.starts, schedule.issues, strict=True)
    return tuple(
        KernelRow(
            name=name,
            purpose=purpose,
            launch_start_seconds=issue,
            launch_seconds=group.launch_seconds,
            exposed_seconds=group.exposed_seconds,
            start_seconds=start,
            device_seconds=group.device_seconds,
            dtype=group.dtype,
            traffic_bytes=nbytes,
            bottleneck=group.bottleneck.value if group.bottleneck else "",
            member=member,
        )
        for (name, purpose, nbytes, member), group, start, issue in placed
        if group.is_launch
    )


def _live(graph: Graph, plan: Plan, starts: Sequence[float]) -> tuple[LiveRow, ...]:
    """Bytes of activations from each group on, where they change; memory is taken as a kernel
    starts, not as it is launched.
    """
    found: list[LiveRow] = []
    for nbytes, start in zip(live_bytes(graph, plan), starts, strict=False):  # extras come after
        if not found or found[-1].activation_bytes != nbytes:
            found.append(LiveRow(start, nbytes))
    return tuple(found)


def _held(graph: Graph, plan: Plan) -> int | None:
    if plan.is_cover:
        return None
    fit = memory_fit(graph, plan)
    return fit.parameters + fit.inputs


def _notes(plan: Plan, time: PlanTime, hidden: int) -> tuple[str, ...]:
    """What these times leave out or assume, plan by plan."""
    said = ["times are lower bounds, by a roofline of the device"]
    if any(group.is_rated for group in time.groups):
        said = ["times are by rates measured on the device, no lower bounds"]
    if time.unknown_ops:
        said.append(f"work of {count_of(time.unknown_ops, 'op')} that no formula knows is left out")
    if time.groups_without_vector_rate:
        kernels = count_of(time.groups_without_vector_rate, "kernel")
        said.append(f"other work of {kernels} is left out: no source gives the device's rate")
    if plan.extras:
        kernels = count_of(len(plan.extras), "kernel")
        verbs = ("comes", "it runs") if len(plan.extras) == 1 else ("come", "they run")
        said.append(f"{kernels} besides the groups {verbs[0]} last: where {verbs[1]} is not told")
    if hidden:
        said.append(f"at least {hidden:,} bytes that move inside attention are in no figure")
    if plan.is_cover:
        said.append("live memory is not told of a plan that computes ops more than once")
    return tuple(said)
