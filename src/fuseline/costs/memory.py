"""Whether a plan fits in memory: parameters, inputs, and the most activations alive at once.

Groups run in the plan's order. An activation's storage is allocated, whole, from the group that
first writes it to the last that reads it; one that an output holds stays the whole run, as the
caller provides for it. A result that no other group reads and no output holds never leaves its
kernel and is not allocated. In-place ops and views share a storage and so cost nothing of their
own. Whatever is given as an input (a cache of keys and values too) is an input, counted once.

A lower bound: kernels' workspaces, fragmentation and the runtime's own memory come on top.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from fuseline.errors import InputError
from fuseline.graph import OUTSIDE, Flow, Graph, Op, Role
from fuseline.plan import Plan


@dataclass(frozen=True, slots=True)
class Lifetime:
    """An activation's storage, and the first and last position in the plan at which it is alive."""

    storage: int
    nbytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Fit:
    """Bytes that a plan needs, against what a device has.

    `parameters` are storages that the model holds and an op that runs (or an output) touches;
    what only folded ops read is not needed any more. `activations_peak` counts outputs too. The
    peak is first reached at position `peak_group` of the plan (0 where nothing is allocated).
    `capacity` is None where the device's memory is not known.
    """

    parameters: int
    activations_peak: int
    inputs: int
    peak_group: int
    capacity: int | None

    @property
    def total(self) -> int:
        """All of it together [bytes]."""
        return self.parameters + self.activations_peak + self.inputs

    @property
    def fits(self) -> bool | None:
        """Whether it fits; None where the capacity is not known."""
        return None if self.capacity is None else self.total <= self.capacity

    @property
    def sentence(self) -> str:
        """The answer in words; 1 GB is 10^9 bytes.

        >>> Fit(30_000_000_000, 2_000_000_000, 100_000_000, 7, 24_000_000_000).sentence
        'does not fit: needs 32.1 GB of 24.0 GB'
        >>> Fit(46_830_000, 9_634_816, 602_112, 0, None).sentence
        'needs 57.1 MB; the capacity is not known'
        """
        needed = _size(self.total)
        match self.fits:
            case None:
                return f"needs {needed}; the capacity is not known"
            case True:
                return f"fits: needs {needed} of {_size(self.capacity or 0)}"
            case _:
                return f"does not fit: needs {needed} of {_size(self.capacity or 0)}"


_UNITS = ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB"))


def _size(nbytes: int) -> str:
    for unit, name in _UNITS:
        if nbytes >= unit:
            return f"{nbytes / unit:.1f} {name}"
    return f"{nbytes} bytes"


def memory_fit(graph: Graph, plan: Plan, capacity: int | None = None) -> Fit:
    """What `plan` needs of a device's memory, against `capacity` [bytes].

    Raises `InputError` where the plan is not of this graph.

    >>> from fuseline.graph import Builder, Kind
    >>> from fuseline.plan import Group
    >>> build = Builder()
    >>> x = build.tensor("x", (4, 4), role=Role.INPUT)  # 64 bytes each
    >>> y = build.op("first", Kind.RELU, inputs=[x], shape=(4, 4))
    >>> graph = build.finish([build.op("second", Kind.RELU, inputs=[y], shape=(4, 4))])
    >>> apart = Plan("apart", (Group(0, (0,), "relu"), Group(1, (1,), "relu")), ())
    >>> memory_fit(graph, apart).activations_peak  # y and the output
    128
    >>> memory_fit(graph, Plan("one", (Group(0, (0, 1), "relu_relu"),), ())).activations_peak
    64
    """
    live = live_bytes(graph, plan)
    peak = max(live, default=0)
    touched = _touched(graph, graph.ops)
    held = sum(s.nbytes for s in graph.storages if s.is_held and s.id in touched)
    inputs = sum(s.nbytes for s in graph.storages if s.role is Role.INPUT)
    return Fit(held, peak, inputs, live.index(peak) if live else 0, capacity)


def _touched(graph: Graph, ops: Iterable[Op]) -> set[int]:
    """Storages that ops or the graph's outputs name."""
    tensors = set(graph.outputs)
    for op in ops:
        tensors.update(op.inputs, op.parameters, op.writes, op.outputs)
    return {graph.tensors[tensor].storage for tensor in tensors}


def live_bytes(graph: Graph, plan: Plan) -> list[int]:
    """Bytes of activations alive while each group runs, in the plan's order."""
    change = [0] * (len(plan.groups) + 1)
    for found in lifetimes(graph, plan):
        change[found.first] += found.nbytes
        change[found.last + 1] -= found.nbytes
    return list(accumulate(change[:-1]))


def lifetimes(graph: Graph, plan: Plan) -> tuple[Lifetime, ...]:
    """When each storage of activations is allocated; those that stay inside a group are left out.

    Raises `InputError` where the plan is not of this graph.
    """
    if sorted(op for group in plan.groups for op in group.ops) != list(range(len(graph.ops))):
        raise InputError("the plan is not of this graph: it does not hold each of its ops once")
    place = {op: number for number, group in enumerate(plan.groups) for op in group.ops}
    end = len(plan.groups) - 1
    alive: dict[int, tuple[int, int]] = {}  # storage -> first and last position

    def extend(storage: int, first: int, last: int) -> None:
        known = alive.get(storage, (first, last))
        alive[storage] = min(known[0], first), max(known[1], last)

    for flow in _crossing(graph, place):
        if flow.reader == OUTSIDE:
            extend(flow.storage, 0, end)
        else:
            reader = place[flow.reader]
            extend(flow.storage, place.get(flow.writer, reader), reader)
    return tuple(
        Lifetime(storage, graph.storages[storage].nbytes, first, last)
        for storage, (first, last) in sorted(alive.items())
    )


def _crossing(graph: Graph, place: dict[int, int]) -> Iterable[Flow]:
    """Flows of activations between groups, to outputs, or of memory that nobody wrote."""
    for flow in (*graph.flows.kept, *(f for flows in graph.flows.read_by for f in flows)):
        if graph.storages[flow.storage].role is Role.ACTIVATION and (
            OUTSIDE in (flow.reader, flow.writer) or place[flow.reader] != place[flow.writer]
        ):
            yield flow
