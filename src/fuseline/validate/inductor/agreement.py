"""Our plan beside the one a real compiler made: launches, bytes, pairs, and every difference."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fuseline.costs.cover import cover_traffic
from fuseline.graph import Graph
from fuseline.plan import Extra, Plan
from fuseline.validate.inductor.causes import Cause, Facts, Region, SideKernel, find_regions
from fuseline.validate.inductor.owners import Besides
from fuseline.validate.inductor.plan import RealPlan
from fuseline.validate.pairs import PairAgreement, compare_pairs, kernel_pairs

_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class CauseRow:
    """What one cause makes of the difference, ours less the compiler's.

    `kernels` are those of the compiler's concerned, `examples` some of them with their ops.
    """

    cause: Cause
    regions: int
    kernels: int
    launches: int
    nbytes: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KernelRow:
    """One kernel of the compiler's beside our kernels for its ops, by names of ops.

    `ours_nbytes` is what our kernels of its region move, `real_nbytes` what it moves. `launches`
    and `nbytes` are what the difference costs, ours less the compiler's: told in the first row of
    each region, 0 in others, so that they add up.
    """

    kernel: str
    ops: tuple[str, ...]
    ours: tuple[tuple[str, ...], ...]
    real_nbytes: int
    ours_nbytes: int
    cause: Cause | None
    launches: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far our plan and the compiler's agree.

    `real_nbytes` is the compiler's own count less what no loop can touch, `counted_nbytes` with it.
    """

    ours_launches: int
    real_launches: int
    ours_nbytes: int
    real_nbytes: int
    counted_nbytes: int
    pairs: PairAgreement
    causes: tuple[CauseRow, ...]
    kernel_rows: tuple[KernelRow, ...]

    @property
    def launches_ratio(self) -> float:
        """Our launches in those of the compiler."""
        return self.ours_launches / self.real_launches

    @property
    def bytes_ratio(self) -> float:
        """Our bytes in those of the compiler."""
        return self.ours_nbytes / self.real_nbytes

    @property
    def pair_precision(self) -> float:
        """Of our pairs of ops that share a kernel the part that the compiler has."""
        return self.pairs.precision

    @property
    def pair_recall(self) -> float:
        """Of the compiler's pairs the part that we have."""
        return self.pairs.recall


def agreement(
    graph: Graph, ours: Plan, real: RealPlan, *, planned: Graph | None = None
) -> Agreement:
    """Hold `ours` against `real`, a plan of `graph`.

    `ours` is a plan of `planned` where that is given: `graph` with ops of its own added, such as
    copies into another layout. Ops are the same where their names are.
    """
    planned = planned or graph
    ops = frozenset(op.name for op in graph.ops if op.is_compute)
    own = _our_kernels(graph, planned, ours)
    theirs = _real_kernels(graph, real, ops | {op.name for op in planned.ops if op.is_compute})
    regions = find_regions(own, theirs, _facts(graph, real))
    own_pairs = frozenset(
        pair for pair in kernel_pairs(planned, ours) if pair[0] in ops and pair[1] in ops
    )
    return Agreement(
        ours_launches=len(own),
        real_launches=real.launches,
        ours_nbytes=sum(kernel.nbytes for kernel in own),
        real_nbytes=real.nbytes,
        counted_nbytes=real.counted_nbytes,
        pairs=compare_pairs(own_pairs, kernel_pairs(graph, real.plan)),
        causes=_cause_rows(regions),
        kernel_rows=tuple(row for region in regions for row in _kernel_rows(region)),
    )


def _facts(graph: Graph, real: RealPlan) -> Facts:
    return Facts(
        classes={op.name: op.op_class for op in graph.ops},
        removed=frozenset(real.removed),
    )


def _our_kernels(graph: Graph, planned: Graph, plan: Plan) -> list[SideKernel]:
    """The kernels of our plan, those of its groups first."""
    own = {op.name for op in graph.ops}
    folded = {op.name for op in graph.folded}
    found = []
    for group, traffic in zip(plan.groups, cover_traffic(planned, plan.groups), strict=True):
        names = frozenset(planned.ops[op].name for op in group.ops if planned.ops[op].is_compute)
        if not names:
            continue
        again = frozenset(planned.ops[op].name for op in group.recomputed)
        besides = None
        if names.isdisjoint(own):
            besides = Besides.LAYOUT if names.isdisjoint(folded) else Besides.CONSTANT
        found.append(
            SideKernel(
                name=f"group {group.id}",
                computes=names - folded or names,
                stores=names - again or names,
                parts=frozenset(),
                nbytes=traffic.nbytes,
                besides=besides,
            )
        )
    return [*found, *map(_extra, plan.extras)]


def _extra(extra: Extra) -> SideKernel:
    """A step of an op, in a kernel of its own."""
    name = frozenset({extra.name})
    return SideKernel(extra.name, name, name, frozenset(), extra.nbytes)


def _real_kernels(graph: Graph, real: RealPlan, known: frozenset[str]) -> list[SideKernel]:
    """The compiler's kernels, those besides its groups last; `known` are the ops that compute."""
    found = []
    for group, kernel in zip(real.plan.groups, real.kernels, strict=True):
        if kernel is None:
            continue
        names = _names(graph, group.ops) & known
        again = _names(graph, group.recomputed)
        found.append(
            SideKernel(
                name=kernel.node.name,
                computes=names,
                stores=names - again or names,
                parts=frozenset(),
                nbytes=kernel.nbytes,
                besides=None if names else Besides.LAYOUT,
            )
        )
    return [
        *found,
        *(
            SideKernel(
                name=kernel.node.name,
                computes=frozenset(),
                stores=frozenset(),
                parts=_names(graph, kernel.parts) & known,
                nbytes=kernel.nbytes,
                besides=kernel.besides,
            )
            for kernel in real.besides
        ),
    ]


def _names(graph: Graph, ops: Iterable[int]) -> frozenset[str]:
    return frozenset(graph.ops[op].name for op in ops)


def _cause_rows(regions: Iterable[Region]) -> tuple[CauseRow, ...]:
    """One row a cause that there is, the dearest first."""
    by_cause: dict[Cause, list[Region]] = {}
    for region in regions:
        if region.cause is not None:
            by_cause.setdefault(region.cause, []).append(region)
    rows = [
        CauseRow(
            cause=cause,
            regions=len(found),
            kernels=sum(len(region.real) for region in found),
            launches=sum(region.launches for region in found),
            nbytes=sum(region.nbytes for region in found),
            examples=tuple(map(_example, _dearest(found)[:_EXAMPLES])),
        )
        for cause, found in by_cause.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-abs(row.nbytes), row.cause.value)))


def _dearest(regions: Iterable[Region]) -> list[Region]:
    return sorted(regions, key=lambda region: (-abs(region.nbytes), -abs(region.launches)))


def _example(region: Region) -> str:
    """A region in words: the compiler's kernels, then ours.

    >>> kernel = SideKernel("op7", frozenset({"mul", "add"}), frozenset(), frozenset(), 8)
    >>> _example(Region((kernel,), (kernel, kernel)))
    'op7: add mul | op7: add mul; ours: add mul'
    """
    real = " | ".join(f"{kernel.name}: {_spell(kernel)}" for kernel in region.real) or "none"
    ours = " | ".join(map(_spell, region.ours)) or "none"
    return f"{real}; ours: {ours}"


def _spell(kernel: SideKernel) -> str:
    if not kernel.computes:
        return kernel.besides.value if kernel.besides else "nothing"
    return " ".join(sorted(kernel.computes))


def _kernel_rows(region: Region) -> list[KernelRow]:
    ours = tuple(tuple(sorted(kernel.computes)) for kernel in region.ours)
    nbytes = sum(kernel.nbytes for kernel in region.ours)
    rows = [
        KernelRow(
            kernel=kernel.name,
            ops=tuple(sorted(kernel.computes)),
            ours=ours,
            real_nbytes=kernel.nbytes,
            ours_nbytes=nbytes,
            cause=region.cause,
            launches=0 if place else region.launches,
            nbytes=0 if place else region.nbytes,
        )
        for place, kernel in enumerate(region.real)
    ]
    return rows or [
        KernelRow("", (), ours, 0, nbytes, region.cause, region.launches, region.nbytes)
    ]
