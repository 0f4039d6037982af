"""What the real Inductor made, as a `Plan` beside ours: the strategy `inductor-real`.

kernels with ops      the plan's groups: a cover, where an op is computed in several
kernels without ops   `besides`: layout copies, biases, constants that the graph has folded
removed ops           in the group of who takes them: Inductor made no kernel of them
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fuseline.fusion.inductor.plan import cover_groups
from fuseline.graph import Graph
from fuseline.plan import Extra, Plan
from fuseline.validate.inductor.owners import Owners, RealKernel, find_owners
from fuseline.validate.inductor.read import Schedule, read_script

if TYPE_CHECKING:
    from fuseline.frontends.recording.script import Script

STRATEGY = "inductor-real"


@dataclass(frozen=True, slots=True)
class RealPlan:
    """The kernels of a compiler as groups of ops: `kernels[i]` is `plan.groups[i]`, or None for a
    group that is no kernel (views and control ops that look at nothing). `besides` are kernels
    without ops, `removed` ops (by name) without a kernel.
    """

    plan: Plan
    kernels: tuple[RealKernel | None, ...]
    besides: tuple[RealKernel, ...]
    removed: tuple[str, ...]

    @property
    def launches(self) -> int:
        """Kernels and library calls, those without ops among them."""
        return sum(kernel is not None for kernel in self.kernels) + len(self.besides)

    @property
    def nbytes(self) -> int:
        """Bytes that the compiler's kernels move: its own count, less what no loop can touch."""
        return sum(kernel.nbytes for kernel in self._all)

    @property
    def counted_nbytes(self) -> int:
        """Bytes as the compiler counts them."""
        return sum(k.node.read_nbytes + k.node.written_nbytes for k in self._all)

    @property
    def _all(self) -> tuple[RealKernel, ...]:
        return (*(kernel for kernel in self.kernels if kernel is not None), *self.besides)


def read_plan(script: Script, schedule: Schedule | None = None) -> RealPlan:
    """The plan that Inductor makes of a recorded script. Raises what `read_script` raises."""
    return plan_of_owners(script.graph, find_owners(script.graph, read_script(script, schedule)))


def plan_of_owners(graph: Graph, owners: Owners) -> RealPlan:
    """Kernels with their ops -> groups, views beside what they look at."""
    owning = [kernel for kernel in owners.kernels if kernel.ops]
    computed = [dict.fromkeys(kernel.ops) for kernel in owning]
    _inline(graph, owners.removed, computed)
    stored = _stored(owning)
    groups, places = cover_groups(graph, computed, stored)
    besides = tuple(kernel for kernel in owners.kernels if not kernel.ops)
    return RealPlan(
        plan=Plan(STRATEGY, groups, (), is_cover=True, extras=_extras(besides)),
        kernels=tuple(owning[place] if place >= 0 else None for place in places),
        besides=besides,
        removed=tuple(graph.ops[op].name for op in owners.removed),
    )


def _extras(besides: Sequence[RealKernel]) -> tuple[Extra, ...]:
    return tuple(
        Extra(kernel.node.name, kernel.besides.value if kernel.besides else "", kernel.nbytes)
        for kernel in besides
    )


def _stored(owning: Sequence[RealKernel]) -> list[frozenset[int]]:
    """What each kernel stores; an op of one kernel alone is stored there."""
    where: dict[int, int] = {}
    for kernel in owning:
        for op in kernel.ops:
            where[op] = where.get(op, 0) + 1
    return [
        frozenset((*kernel.stored, *(op for op in kernel.ops if where[op] == 1)))
        for kernel in owning
    ]


def _inline(graph: Graph, removed: Sequence[int], computed: Sequence[dict[int, None]]) -> None:
    """Give removed ops that no kernel takes to the last kernel of what they take."""
    for op in removed:
        if any(graph.ops[reader].is_compute for reader in graph.consumers[op]):
            continue  # a kernel that takes it is held to compute it
        places = [
            place
            for place, ops in enumerate(computed)
            if any(earlier in ops for earlier in graph.ops[op].predecessors)
        ]
        if places:
            computed[places[-1]][op] = None
