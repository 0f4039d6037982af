"""Seconds from FLOPs, bytes and a device: which term bounds each group, and what they add up to.

    time(g) = max(FLOPs / peak(dtype), other FLOPs / vector peak, bytes / bandwidth) + launch

A lower bound, in three ways. Bytes are those of the whole-tensor model (a tiled kernel may re-read
operands). Peaks are those of a data sheet, which no kernel reaches. The units overlap completely:
where a device contracts a dtype on its vector units, both kinds of work share them in truth.
What composite ops of module level hide (`Graph.hidden_bytes`, several kernels) is not in it.

A calibrated device has measured rates, a row a class of kernels (`fuseline.hardware.rates`). A
group whose every compute op has a row is priced by them: its terms add up, nothing overlaps, and
no launch hides, as the cores that launch are those that work. Other groups are priced as above.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from fuseline.costs.cache import cache_hits
from fuseline.costs.dtypes import INTEGERS, computed_dtype, contracted_dtype
from fuseline.costs.plan_cost import GroupCost, PlanCost, cost, extra_cost
from fuseline.costs.rated import RatedTerms, rated_terms
from fuseline.graph import Graph, Kind, Op
from fuseline.hardware.device import Device, Peak
from fuseline.plan import Plan


class Bottleneck(Enum):
    """The largest term of a group's time."""

    COMPUTE = "compute"
    VECTOR = "vector"
    BANDWIDTH = "bandwidth"
    LAUNCH = "launch"
    UNKNOWN = "unknown"  # an op whose work no formula knows, or work whose rate no source gives


_WAITS = frozenset({Kind.HOST_READ, Kind.SELECT_IF, Kind.SUPPRESS})
"""After these the host has to wait for the device: it takes a value, or the size of a result."""


@dataclass(frozen=True, slots=True)
class UsedPeak:
    """The rate at which contractions of `dtype` were priced, and the units that reach it.

    `ridge_point` is the intensity [FLOP/byte] above which they are bound by compute.
    """

    dtype: str
    flops_per_second: float
    how: str
    ridge_point: float


@dataclass(frozen=True, slots=True)
class GroupTime:
    """The terms of one group's time [s].

    `vector_seconds` is None where the group has such work and no source gives the device's rate.
    `launch_seconds` is the overhead of its launch, `exposed_seconds` the part of it for which the
    device has nothing else to do. `unknown_ops` have work that no formula knows: the time is then
    a lower bound that leaves them out. A group without a compute op is not launched: all are 0.
    `is_rated` says that the terms are by measured rates, and add up.
    """

    dtype: str
    compute_seconds: float
    vector_seconds: float | None
    bandwidth_seconds: float
    launch_seconds: float
    exposed_seconds: float
    unknown_ops: int
    is_launch: bool
    is_rated: bool = False

    @property
    def device_seconds(self) -> float:
        """What the device takes, launch apart."""
        terms = (self.compute_seconds, self.vector_seconds or 0.0, self.bandwidth_seconds)
        return sum(terms) if self.is_rated else max(terms)

    @property
    def seconds(self) -> float:
        """Device time and launch overhead, nothing hidden: the formula's time(g)."""
        return self.device_seconds + self.launch_seconds

    @property
    def bottleneck(self) -> Bottleneck | None:
        """The largest term; the first of equals. None for a group that is not launched."""
        if not self.is_launch:
            return None
        if self.unknown_ops or self.vector_seconds is None:
            return Bottleneck.UNKNOWN
        terms = {
            Bottleneck.COMPUTE: self.compute_seconds,
            Bottleneck.VECTOR: self.vector_seconds,
            Bottleneck.BANDWIDTH: self.bandwidth_seconds,
            Bottleneck.LAUNCH: self.launch_seconds,
        }
        return max(terms, key=terms.__getitem__)


@dataclass(frozen=True, slots=True)
class Share:
    """Groups that one bottleneck bounds: how many, and their `GroupTime.seconds` together."""

    bottleneck: Bottleneck
    groups: int
    seconds: float


@dataclass(frozen=True, slots=True)
class CacheTier:
    """The last-level cache beside device memory, by the model of `fuseline.costs.cache`.

    `hit_nbytes` a group are read from the cache, `memory_nbytes` in all still cross to device
    memory. `pipelined_seconds` is None where no source gives the cache's bandwidth.
    """

    capacity_nbytes: int
    hit_nbytes: tuple[int, ...]
    memory_nbytes: int
    pipelined_seconds: float | None


@dataclass(frozen=True, slots=True)
class PlanTime:
    """A plan's time on a device, group by group in the plan's order. Totals are sums over these.

    Launched from a host one by one (`eager`) kernels overlap with the host's work on the next:
    `summed_seconds` adds every overhead, `pipelined_seconds` only what the device waits for.
    """

    device: str
    launch: str
    groups: tuple[GroupTime, ...]
    peaks: tuple[UsedPeak, ...]
    cache: CacheTier | None

    @property
    def device_seconds(self) -> float:
        """Time that the device works [s]."""
        return sum(group.device_seconds for group in self.groups)

    @property
    def summed_seconds(self) -> float:
        """The sum of the groups' times, every launch overhead in full [s]."""
        return sum(group.seconds for group in self.groups)

    @property
    def pipelined_seconds(self) -> float:
        """From the first launch to the end of the last kernel, launches hidden where they can be
        [s]. Replayed as a graph nothing is hidden: it is then `summed_seconds`.
        """
        return sum(group.device_seconds + group.exposed_seconds for group in self.groups)

    @property
    def unknown_ops(self) -> int:
        """Ops whose work the times leave out."""
        return sum(group.unknown_ops for group in self.groups)

    @property
    def groups_without_vector_rate(self) -> int:
        """Groups with work that the times leave out because no source gives its rate."""
        return sum(group.vector_seconds is None for group in self.groups)

    @property
    def attained_fraction(self) -> float:
        """Time that contractions would take at their peak / `pipelined_seconds`: in a graph of one
        dtype FLOPs / (seconds x peak), the model's bound on "MFU". Of rated groups the peak is the
        rate of their class.
        """
        total = self.pipelined_seconds
        return sum(group.compute_seconds for group in self.groups) / total if total else 0.0

    @property
    def shares(self) -> tuple[Share, ...]:
        """Launched groups by bottleneck; those that bound none are left out."""
        found = []
        for bottleneck in Bottleneck:
            bound = [group for group in self.groups if group.bottleneck is bottleneck]
            if bound:
                found.append(Share(bottleneck, len(bound), sum(group.seconds for group in bound)))
        return tuple(found)


def exposed_launches(
    device_seconds: Sequence[float], issue_seconds: float, waits: Sequence[bool] = ()
) -> list[float]:
    """How long the device idles before each kernel: a host issues one every `issue_seconds` [s],
    and the device works them off in order.

    Where `waits` is set the host issues nothing more until that kernel has ended.

    >>> exposed_launches([5.0, 1.0, 1.0, 1.0], issue_seconds=2.0)  # issued at 2, 4, 6, 8
    [2.0, 0.0, 0.0, 0.0]
    >>> exposed_launches([1.0, 1.0], issue_seconds=2.0)  # ends at 3, issued at 4
    [2.0, 1.0]
    >>> exposed_launches([5.0, 1.0], issue_seconds=2.0, waits=[True, False])
    [2.0, 2.0]
    """
    exposed: list[float] = []
    host = end = 0.0
    for number, work in enumerate(device_seconds):
        host += issue_seconds
        start = max(host, end)
        exposed.append(start - end)
        end = start + work
        if waits and waits[number]:
            host = end
    return exposed


def roofline(
    graph: Graph,
    plan: Plan,
    device: Device,
    *,
    launch: str = "eager",
    tf32: bool = False,
    price: PlanCost | None = None,
) -> PlanTime:
    """Time of `plan` on `device`; `price` is its `cost`, where the caller has it already.

    `launch` is `eager` (a host launches kernel by kernel) or `graph` (replayed: a smaller overhead
    for every kernel, none of it hidden). `tf32` lets float32 contractions run as tfloat32. Kernels
    besides the groups come after them in `PlanTime.groups`: they move bytes, and are launched.

    Raises `InputError` where the plan is not of this graph, the launch mode is unknown, or the
    device cannot contract a dtype of the graph.
    """
    rates = _Rates(device, tf32=tf32)
    kernels = [
        _kernel(graph, [graph.ops[op] for op in group.ops], group_cost, rates)
        for group, group_cost in zip(plan.groups, (price or cost(graph, plan)).groups, strict=True)
    ]
    kernels += [
        _Kernel(extra_cost(extra), graph.source.dtype, 0.0, 0.0, host_waits=False)
        for extra in plan.extras
    ]
    memory = [kernel.price.nbytes / device.bandwidth for kernel in kernels]
    groups = _timed(kernels, memory, device, launch)
    tier = None
    told = not (plan.is_cover or plan.extras)  # of a compiler's plan: which copy is resident
    if device.cache_nbytes is not None and told:
        tier = _cache_tier(kernels, cache_hits(graph, plan, device.cache_nbytes), device, launch)
    used = (
        UsedPeak(dtype, peak.flops_per_second, peak.how, peak.flops_per_second / device.bandwidth)
        for dtype, peak in rates.contracted.items()
    )
    return PlanTime(device.name, launch, groups, tuple(used), tier)


@dataclass(frozen=True, slots=True)
class _Kernel:
    """A group's price, and the terms of its time that no tier of memory changes [s]."""

    price: GroupCost
    dtype: str
    compute_seconds: float
    vector_seconds: float | None
    host_waits: bool
    rated: RatedTerms | None = None


class _Rates:
    """A device's peaks, and which of them contractions were priced at."""

    def __init__(self, device: Device, *, tf32: bool) -> None:
        self.device = device
        self.tf32 = tf32
        self.contracted: dict[str, Peak] = {}

    def contraction(self, dtype: str) -> float:
        """FLOP/s of contractions of `dtype`."""
        if dtype not in self.contracted:
            on_vector_units = dtype in INTEGERS
            self.contracted[dtype] = (
                self.device.vector_peak(dtype)
                if on_vector_units
                else self.device.matrix_peak(dtype, tf32=self.tf32)
            )
        return self.contracted[dtype].flops_per_second

    def vector(self, dtype: str) -> float | None:
        """Operations/s of other work; None where no source gives it."""
        peak = self.device.find_vector_peak(dtype)
        return peak.flops_per_second if peak else None


def op_seconds(
    graph: Graph, device: Device, *, tf32: bool = False
) -> tuple[tuple[float, float], ...]:
    """For each op the seconds of its contractions, and of its other work where its rate is known.

    The terms of a group are their sums. Raises `InputError` as `roofline` does.
    """
    rates = _Rates(device, tf32=tf32)
    return tuple(_op_seconds(graph, op, rates)[:2] for op in graph.ops)


def _op_seconds(graph: Graph, op: Op, rates: _Rates) -> tuple[float, float, bool]:
    """Seconds of contractions and of other work, and whether the rate of the latter is known."""
    compute = vector = 0.0
    rate: float | None = 1.0
    if op.work.flops:
        compute = op.work.flops / rates.contraction(contracted_dtype(graph, op))
    if op.work.other_flops:
        rate = rates.vector(computed_dtype(graph, op))
        vector = op.work.other_flops / rate if rate else 0.0
    return compute, vector, rate is not None


def _kernel(graph: Graph, ops: list[Op], price: GroupCost, rates: _Rates) -> _Kernel:
    """Work by op: each at the rate of its own dtype."""
    terms = [_op_seconds(graph, op, rates) for op in ops]
    compute = sum(term[0] for term in terms)
    vector = sum(term[1] for term in terms)
    is_rated = all(term[2] for term in terms)
    heaviest = max(ops, key=lambda op: op.work.flops)
    dtype = (
        contracted_dtype(graph, heaviest)
        if price.flops
        else next((computed_dtype(graph, op) for op in ops if op.is_compute), graph.source.dtype)
    )
    waits = any(op.kind in _WAITS for op in ops)
    rated = rated_terms(graph, ops, price, rates.device) if rates.device.rates else None
    return _Kernel(price, dtype, compute, vector if is_rated else None, waits, rated)


def _timed(
    kernels: Sequence[_Kernel], memory_seconds: Sequence[float], device: Device, launch: str
) -> tuple[GroupTime, ...]:
    """The groups' times, given the seconds that memory takes where no measured rate says."""
    overhead = device.launch_seconds(launch)
    groups = [
        _group_time(kernel, seconds, overhead)
        for kernel, seconds in zip(kernels, memory_seconds, strict=True)
    ]
    if launch == "graph" or device.rates:
        return tuple(groups)
    launched = [number for number, group in enumerate(groups) if group.is_launch]
    exposed = exposed_launches(
        [groups[number].device_seconds for number in launched],
        overhead,
        [kernels[number].host_waits for number in launched],
    )
    for number, seconds in zip(launched, exposed, strict=True):
        groups[number] = replace(groups[number], exposed_seconds=seconds)
    return tuple(groups)


def _group_time(kernel: _Kernel, memory_seconds: float, overhead: float) -> GroupTime:
    """A group's terms, by measured rates where it has them; its launch not hidden."""
    rated = kernel.rated
    launch = (rated.launch_seconds if rated else overhead) if kernel.price.is_launch else 0.0
    return GroupTime(
        dtype=kernel.dtype,
        compute_seconds=rated.compute_seconds if rated else kernel.compute_seconds,
        vector_seconds=rated.vector_seconds if rated else kernel.vector_seconds,
        bandwidth_seconds=rated.memory_seconds if rated else memory_seconds,
        launch_seconds=launch,
        exposed_seconds=launch,
        unknown_ops=kernel.price.unknown_ops,
        is_launch=kernel.price.is_launch,
        is_rated=rated is not None,
    )


def _cache_tier(
    kernels: Sequence[_Kernel], hits: tuple[int, ...], device: Device, launch: str
) -> CacheTier:
    """The second tier. All bytes pass the cache, those that miss also device memory; the two
    overlap, as all terms of a roofline do.
    """
    moved = [kernel.price.nbytes for kernel in kernels]
    left = [nbytes - hit for nbytes, hit in zip(moved, hits, strict=True)]
    seconds = None
    if (
        device.cache_bandwidth is not None and not device.rates
    ):  # measured rates have caches in them
        memory = [
            max(missed / device.bandwidth, nbytes / device.cache_bandwidth)
            for missed, nbytes in zip(left, moved, strict=True)
        ]
        groups = _timed(kernels, memory, device, launch)
        seconds = sum(group.device_seconds + group.exposed_seconds for group in groups)
    return CacheTier(device.cache_nbytes or 0, hits, sum(left), seconds)
