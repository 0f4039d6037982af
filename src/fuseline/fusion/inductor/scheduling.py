"""Scheduler nodes -> fused kernels: candidates, what keeps two apart, scores, rounds.

A round lists the pairs of kernels that share a buffer and may be fused, best first, and fuses those
that still may be when their turn comes. Rounds go on until one fuses nothing. The C++ backend
tries to share an outer loop (a reduction, then what reads it) only in a round that has no pair of
equal loops.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from enum import Enum
from math import prod

from fuseline.fusion.inductor.access import Dep, feeds, place_of, touched
from fuseline.fusion.inductor.kernels import Kernels
from fuseline.fusion.inductor.lowered import Node
from fuseline.fusion.quotient import Quotient
from fuseline.graph import Builder, Graph, Kind

Loops = tuple[tuple[int, ...], tuple[int, ...]]
"""(loops over rows or elements, loops that reduce)."""


class Fit(Enum):
    """How the loops of two kernels fit together; the values order candidates."""

    EQUAL = 0
    OUTER = 1  # they share outer loops only
    NONE = 2


@dataclass(slots=True, eq=False)
class Kernel:
    """Nodes fused so far. `needs` are nodes whose results they take; `members` and `ancestors`
    (what must have run before) are bitsets of nodes.

    `parts` are the loops of what shares only outer loops, in order; one element otherwise.
    """

    id: int
    nodes: list[Node]
    members: int
    needs: set[int]
    ancestors: int
    reads: dict[Dep, None]
    writes: dict[Dep, None]
    buffers: frozenset[int]  # that it writes
    parts: list[Loops]
    depth: int  # shared outer loops; 0 where all loops are shared
    shapes: frozenset[tuple[int, ...]]  # of the nodes
    is_extern: bool
    is_reduction: bool
    first: int
    last: int

    @property
    def accesses(self) -> int:
        """How many different reads and writes it has."""
        return len(self.reads) + len(self.writes)

    @property
    def loops(self) -> Loops:
        """Its loops: those of its reduction where it has one."""
        return self.parts[0]


class Scheduler:
    """The kernels of one program while they are fused."""

    def __init__(self, kernels: Kernels) -> None:
        self.limits = kernels.limits
        self.kernels = kernels
        self.quotient = Quotient(_program(kernels.nodes))
        self.alive: dict[int, Kernel] = {}
        self.nbytes: dict[Dep, int] = {}
        ancestors: list[int] = []
        for node in kernels.nodes:
            above = 0
            for needed in node.needs:
                above |= ancestors[needed] | 1 << needed
            ancestors.append(above)
            self.alive[node.id] = _single(node, above)

    def kernel_of(self, node: int) -> Kernel:
        """The kernel that `node` is in."""
        return self.alive[self.quotient.group_of[node]]

    def run(self) -> list[Kernel]:
        """Fuse until a round changes nothing, and give the kernels in an order that runs."""
        changed: Container[int] = range(len(self.kernels.nodes))
        seen: dict[tuple[int, int], Fit] = {}
        for _ in range(self.limits.rounds):
            pairs = self._candidates(changed, seen)
            fused: set[int] = set()
            for first, second in pairs:
                one, other = self.kernel_of(first), self.kernel_of(second)
                if one is other or object_to(self, one, other) is not None:
                    continue
                if self.quotient.try_join((one.id, other.id)):
                    fused.add(self._fuse(one, other).id)
            if not fused:
                break
            seen = {
                pair: fit
                for pair, fit in seen.items()
                if fused.isdisjoint(pair) and self._may_still_fuse(pair)
            }
            changed = fused
        return [self.kernel_of(nodes[0]) for nodes in self.quotient.ordered()]

    def _may_still_fuse(self, pair: tuple[int, int]) -> bool:
        """Whether two kernels that have not changed may be fused now that others have."""
        one, other = self.alive.get(pair[0]), self.alive.get(pair[1])
        return one is not None and other is not None and object_to(self, one, other) is None

    # --- candidates -----------------------------------------------------------------------------

    def _candidates(
        self, changed: Container[int], seen: dict[tuple[int, int], Fit]
    ) -> list[tuple[int, int]]:
        """Pairs that may be fused, best first. `seen` are those known from earlier rounds, for
        kernels that have not changed since; they are added to it.
        """
        users: dict[int, list[Kernel]] = {}
        order = [self.kernel_of(nodes[0]) for nodes in self.quotient.ordered()]
        for kernel in order:
            if kernel.is_extern:
                continue
            for buffer in dict.fromkeys(dep.buffer for dep in (*kernel.reads, *kernel.writes)):
                users.setdefault(buffer, []).append(kernel)
        tried: set[tuple[int, int]] = set()
        for sharing in users.values():
            for place, one in enumerate(sharing[:-1]):
                fresh = one.id in changed
                for other in sharing[place + 1 : place + 1 + self.limits.attempts]:
                    pair = one.id, other.id
                    if pair in tried or not (fresh or other.id in changed):
                        continue
                    tried.add(pair)
                    if object_to(self, one, other) is None:
                        seen[pair] = self.fit(one, other)
        return self._best_first(seen)

    def _best_first(self, pairs: dict[tuple[int, int], Fit]) -> list[tuple[int, int]]:
        if not pairs:
            return []
        best = min(fit.value for fit in pairs.values())
        wanted = [pair for pair, fit in pairs.items() if fit.value == best]
        return sorted(wanted, key=self._score, reverse=True)

    def _score(self, pair: tuple[int, int]) -> tuple[int, int, int]:
        """Lexicographic: both or neither a reduction; bytes shared; nearness."""
        one, other = self.alive[pair[0]], self.alive[pair[1]]
        shared = self.shared_nbytes(one, other)
        alike = int(one.is_reduction == other.is_reduction and shared > 0)
        return alike, shared, -distance(one, other)

    def shared_nbytes(self, one: Kernel, other: Kernel) -> int:
        """Bytes of accesses that both kernels make alike: same buffer, same loops, same place."""
        few, many = (one, other) if one.accesses < other.accesses else (other, one)
        shared = 0
        for dep in few.reads:
            if dep in many.reads or dep in many.writes:
                shared += self._nbytes(dep)
        for dep in few.writes:
            if dep not in few.reads and (dep in many.reads or dep in many.writes):
                shared += self._nbytes(dep)
        if shared or not self.reorders(one, other):
            return shared
        placed = {place_of(dep) for dep in (*many.reads, *many.writes)} - {None}
        return sum(
            self._nbytes(dep) for dep in (*few.reads, *few.writes) if place_of(dep) in placed
        )

    def reorders(self, one: Kernel, other: Kernel) -> bool:
        """Whether the loops of one may be put in the order of the other's."""
        return self.limits.reorders_loops and not one.is_reduction and not other.is_reduction

    def _nbytes(self, dep: Dep) -> int:
        if dep not in self.nbytes:
            elements = touched(dep)
            whole = self.kernels.nbytes(dep.buffer)
            item = self.kernels.item(dep.buffer)
            self.nbytes[dep] = whole if elements is None else min(elements * item, whole)
        return self.nbytes[dep]

    def moved_nbytes(self, kernel: Kernel) -> int:
        """Bytes that a kernel reads of others and leaves to others."""
        read: dict[int, int] = {}
        for dep in kernel.reads:
            if dep.buffer not in kernel.buffers:
                read[dep.buffer] = read.get(dep.buffer, 0) + self._nbytes(dep)
        left = sum(map(self.kernels.nbytes, kernel.buffers))
        return left + sum(min(n, self.kernels.nbytes(buffer)) for buffer, n in read.items())

    # --- fitting and fusing ---------------------------------------------------------------------

    def fit(self, one: Kernel, other: Kernel) -> Fit:
        """How the loops of `one`, then `other`, fit."""
        if self.limits.merges_loops:
            return _fit_loops(one, other)
        return _fit_counts(one.loops, other.loops)

    def _fuse(self, one: Kernel, other: Kernel) -> Kernel:
        name = self.quotient.group_of[one.nodes[0].id]
        fit = self.fit(one, other)
        outer = fit is Fit.OUTER
        parts = [*one.parts, *other.parts] if outer else [max(one.loops, other.loops, key=_reduces)]
        writes = {**one.writes, **other.writes}
        fused = Kernel(
            id=name,
            nodes=[*one.nodes, *other.nodes],
            members=one.members | other.members,
            needs=one.needs | other.needs,
            ancestors=(one.ancestors | other.ancestors) & ~(one.members | other.members),
            reads={dep: None for dep in (*one.reads, *other.reads) if dep not in writes},
            writes=writes,
            buffers=one.buffers | other.buffers,
            parts=parts,
            depth=shared_depth(one, other) if outer else 0,
            shapes=one.shapes | other.shapes,
            is_extern=False,
            is_reduction=one.is_reduction or other.is_reduction,
            first=min(one.first, other.first),
            last=max(one.last, other.last),
        )
        del self.alive[one.id], self.alive[other.id]
        self.alive[name] = fused
        return fused


def _reduces(loops: Loops) -> bool:
    return bool(loops[1])


def _single(node: Node, ancestors: int) -> Kernel:
    return Kernel(
        id=node.id,
        nodes=[node],
        members=1 << node.id,
        needs=node.needs,
        ancestors=ancestors,
        reads=dict.fromkeys(node.reads),
        writes=dict.fromkeys(node.writes),
        buffers=frozenset(dep.buffer for dep in node.writes),
        parts=[(node.outer, node.inner)],
        depth=0,
        shapes=frozenset({node.shape}),
        is_extern=node.is_extern,
        is_reduction=node.is_reduction,
        first=node.order,
        last=node.order,
    )


def _program(nodes: Sequence[Node]) -> Graph:
    """The nodes as a graph of their own, for `Quotient` to keep acyclic."""
    build = Builder()
    for node in nodes:
        build.op(f"kernel{node.id}", Kind.CONTROL, predecessors=node.needs)
    return build.finish(())


def distance(one: Kernel, other: Kernel) -> int:
    """How far apart two kernels are in the order of the program."""
    return max(abs(one.first - other.last), abs(other.first - one.last))


# --- loops ----------------------------------------------------------------------------------------


def _fit_loops(one: Kernel, other: Kernel) -> Fit:
    """The C++ backend: kernels agree loop by loop."""
    if not one.depth and not other.depth and _equal(one, other):
        needed = one.members & other.ancestors
        if not (needed and one.is_reduction):
            return Fit.EQUAL
    if one.members & other.ancestors and shared_depth(one, other):
        return Fit.OUTER
    return Fit.NONE


def _equal(one: Kernel, other: Kernel) -> bool:
    (outer, inner), (outer2, inner2) = one.loops, other.loops
    if outer == outer2 and inner == inner2:
        return True
    if not inner and outer == outer2 + inner2:
        return True
    if inner or inner2 or prod(outer) != prod(outer2) or min(len(outer), len(outer2)) != 1:
        return False
    fewer = one if len(outer) < len(outer2) else other
    return len(fewer.nodes) == 1 and len(one.shapes | other.shapes) == 1


def shared_depth(one: Kernel, other: Kernel) -> int:
    """Outer loops that the end of `one` and the start of `other` share; 0 where they may not."""
    outer, outer2 = one.parts[-1][0], other.parts[0][0]
    if one.depth and other.depth:
        return one.depth if one.depth == other.depth else 0
    depth = min(len(outer), len(outer2))
    if depth == 0 or outer[:depth] != outer2[:depth]:
        return 0
    already = one.depth or other.depth
    return depth if already in (0, depth) else 0


def _fit_counts(loops: Loops, loops2: Loops) -> Fit:
    """The Triton backend: the numbers of iterations agree, over rows and inside one."""
    rows, inside = prod(loops[0]), prod(loops[1])
    rows2, inside2 = prod(loops2[0]), prod(loops2[1])
    if loops[1] and loops2[1]:
        return Fit.EQUAL if (rows, inside) == (rows2, inside2) else Fit.NONE
    if not loops[1] and not loops2[1]:
        return Fit.EQUAL if rows == rows2 else Fit.NONE
    elements, reduced = (rows2, rows * inside) if loops[1] else (rows, rows2 * inside2)
    return Fit.EQUAL if elements in (reduced, reduced // max(inside, inside2)) else Fit.NONE


# --- what keeps two kernels apart ---------------------------------------------------------------

_BETWEEN = "a kernel between them must run after the first and before the second"


def object_to(scheduler: Scheduler, one: Kernel, other: Kernel) -> str | None:
    """Why `other` may not be fused after `one`, cycles apart; None where it may."""
    if reason := _object_to_order(scheduler, one, other):
        return reason
    limits = scheduler.limits
    if len(one.nodes) + len(other.nodes) > limits.kernel_nodes:
        return f"a kernel has at most {limits.kernel_nodes} loop nests"
    shared = scheduler.shared_nbytes(one, other)
    if not shared:
        return "no read or write is the same in both: same tensor, same loops, same place"
    if one.members & other.ancestors:
        return _object_to_vertical(scheduler, one, other)
    return _object_to_horizontal(scheduler, one, other, shared)


def _object_to_order(scheduler: Scheduler, one: Kernel, other: Kernel) -> str | None:
    """What their places in the program alone say against fusing them: cheap, so asked first."""
    if one.is_extern or other.is_extern:
        return "a library call is a kernel of its own"
    if other.members & one.ancestors:
        return "the second must run before the first"
    if one.members & other.ancestors:
        needed = any(node.id in other.needs for node in one.nodes)
        return None if needed else _BETWEEN
    most = scheduler.limits.distance
    if (apart := distance(one, other)) > most:
        return f"they are {apart} kernels apart, and {most} are allowed"
    return None


def _object_to_vertical(scheduler: Scheduler, one: Kernel, other: Kernel) -> str | None:
    reordered = scheduler.reorders(one, other)
    for dep in other.reads:
        if dep.buffer in one.buffers and not any(
            feeds(write, dep, reordered=reordered) for write in one.writes
        ):
            return "the second does not read elements where the first writes them"
    if _waits_for(scheduler, one, other):
        return _BETWEEN
    if scheduler.fit(one, other) is Fit.NONE:
        return _loops_differ(one, other)
    return None


def _waits_for(scheduler: Scheduler, one: Kernel, other: Kernel) -> bool:
    """Whether something that `other` needs, outside both, needs `one`."""
    outside = one.members | other.members
    return any(
        scheduler.kernel_of(needed).ancestors & one.members
        for node in other.nodes
        for needed in node.needs
        if not outside >> needed & 1
    )


def _object_to_horizontal(
    scheduler: Scheduler, one: Kernel, other: Kernel, shared: int
) -> str | None:
    limits = scheduler.limits
    if shared < limits.shared_nbytes:
        return f"they share {shared} bytes, and {limits.shared_nbytes} are asked for"
    if len(one.nodes) + len(other.nodes) > limits.horizontal_nodes:
        return f"kernels side by side have at most {limits.horizontal_nodes} loop nests"
    if scheduler.fit(one, other) is not Fit.EQUAL:
        return _loops_differ(one, other)
    return None


def _loops_differ(one: Kernel, other: Kernel) -> str:
    return f"their loops differ: {_spell(one.loops)} and {_spell(other.loops)}"


def _spell(loops: Loops) -> str:
    outer = " x ".join(map(str, loops[0])) or "1"
    return f"{outer} rows of {' x '.join(map(str, loops[1]))}" if loops[1] else outer
