"""Two plans of one model, before and after a change: the kernels that differ, and where.

Groups that share an op, before or after, are taken together: what became of them is one change, and
the changes add up to the difference of the plans' totals, exactly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from fuseline.budgets.matching import Likeness, Match, Matching, match_ops
from fuseline.budgets.priced import Priced, PricedGroup
from fuseline.graph import Graph, Op
from fuseline.report.rows.rounding import change_of

BESIDES = "(kernels besides the groups)"
"""The module of kernels that compute no op of the graph."""

ROOT = "(model)"
"""The module of ops that the model itself calls."""


class What(Enum):
    """What became of groups."""

    NEW = "new"  # only ops that were not there
    GONE = "gone"
    GREW = "grew"  # took in ops that were not there
    SHRANK = "shrank"  # lost ops that are gone
    SPLIT = "split"  # the same ops in more kernels
    MERGED = "merged"
    REGROUPED = "regrouped"
    CHANGED = "changed"  # the same group with other figures


@dataclass(frozen=True, slots=True)
class Change:
    """What became of the groups of some ops: names of the ops of each kernel before and after, and
    what is added to each total. `added` and `removed` are ops that only one graph has.
    """

    what: What
    module: str
    before: tuple[tuple[str, ...], ...]
    after: tuple[tuple[str, ...], ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    launches: int
    traffic_bytes: int
    flops: int
    seconds: float | None

    @property
    def is_free(self) -> bool:
        """Whether it changes no total."""
        return not (self.launches or self.traffic_bytes or self.flops or self.seconds)


@dataclass(frozen=True, slots=True)
class ModuleChange:
    """All changes inside one module, together."""

    module: str
    launches: int
    traffic_bytes: int
    flops: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """What is different after a change; `matching` says which op is which. Seconds are told where
    both plans have them.
    """

    before: Priced
    after: Priced
    matching: Matching
    changes: tuple[Change, ...]

    @property
    def is_timed(self) -> bool:
        """Whether both plans have seconds."""
        return self.before.is_timed and self.after.is_timed

    @property
    def total(self) -> ModuleChange:
        """All changes together: the difference of the plans' totals."""
        return together(ROOT, self.changes)


def difference(before: Priced, after: Priced) -> Difference:
    """Match the ops of two graphs, and say what became of every group; the largest change first."""
    matching = match_ops(before.graph, after.graph)
    removed, added = frozenset(matching.removed), frozenset(matching.added)
    sides = (
        (_side(before, ones, removed), _side(after, others, added))
        for ones, others in _families(before, after, matching)
    )
    found = [change for old, new in sides if (change := _change(old, new)) is not None]
    found += _besides(before, after)
    return Difference(before, after, matching, tuple(sorted(found, key=_largest_first)))


# --- groups that belong together --------------------------------------------------------------

_Family = tuple[list[PricedGroup], list[PricedGroup]]


def _families(before: Priced, after: Priced, matching: Matching) -> list[_Family]:
    """Groups before and after, those together that share a compute op or its match."""
    became = {match.before: match.after for match in matching.matches}
    owner: dict[tuple[bool, int], int] = {}  # (only before, op) -> the node that holds it
    parent: list[int] = []

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    nodes = [(True, group) for group in before.groups] + [(False, group) for group in after.groups]
    for node, (is_before, group) in enumerate(nodes):
        parent.append(node)
        graph = before.graph if is_before else after.graph
        for op in group.ops:
            if not graph.ops[op].is_compute:
                continue
            key = (False, became[op]) if is_before and op in became else (is_before, op)
            parent[root(node)] = root(owner.setdefault(key, node))
    families: dict[int, _Family] = defaultdict(lambda: ([], []))
    for node, (is_before, group) in enumerate(nodes):
        families[root(node)][0 if is_before else 1].append(group)
    return list(families.values())


@dataclass(frozen=True, slots=True)
class _Side:
    """The groups of a family in one of the two plans; `alone` are compute ops that only its graph
    has.
    """

    plan: Priced
    groups: Sequence[PricedGroup]
    alone: tuple[int, ...]

    @property
    def graph(self) -> Graph:
        """What the plan is of."""
        return self.plan.graph

    @property
    def seconds(self) -> float | None:
        """What the groups take; None where the plan is not timed."""
        if not self.plan.is_timed:
            return None
        return sum(group.seconds or 0.0 for group in self.groups)

    @property
    def ops(self) -> list[int]:
        """Compute ops of all groups."""
        held = (op for group in self.groups for op in group.ops)
        return [op for op in held if self.graph.ops[op].is_compute]


def _side(plan: Priced, groups: Sequence[PricedGroup], alone: frozenset[int]) -> _Side:
    held = {op for group in groups for op in group.ops if op in alone}
    found = sorted(op for op in held if plan.graph.ops[op].is_compute)
    return _Side(plan, groups, tuple(found))


def _change(old: _Side, new: _Side) -> Change | None:
    """What became of one family; None where nothing did."""
    change = Change(
        what=_what(old, new),
        module=_module(old, new),
        before=tuple(_names(old.graph, group.ops) for group in old.groups),
        after=tuple(_names(new.graph, group.ops) for group in new.groups),
        added=_names(new.graph, new.alone),
        removed=_names(old.graph, old.alone),
        launches=len(new.groups) - len(old.groups),
        traffic_bytes=_sum_of_bytes(new) - _sum_of_bytes(old),
        flops=_sum_of_flops(new) - _sum_of_flops(old),
        seconds=_seconds_change(old.seconds, new.seconds),
    )
    stays = change.is_free and not (change.added or change.removed)
    return None if stays and change.what is What.CHANGED else change


def _sum_of_bytes(side: _Side) -> int:
    return sum(group.traffic_bytes for group in side.groups)


def _sum_of_flops(side: _Side) -> int:
    return sum(group.flops for group in side.groups)


def _seconds_change(before: float | None, after: float | None) -> float | None:
    """None unless both are told: a plan without a device does not take 0 s."""
    return None if before is None or after is None else change_of(after, before)


def _what(old: _Side, new: _Side) -> What:
    before, after = len(old.groups), len(new.groups)
    if not before:
        return What.NEW
    if not after:
        return What.GONE
    if before == after == 1:
        if bool(old.alone) == bool(new.alone):
            return What.CHANGED
        return What.GREW if new.alone else What.SHRANK
    if before == 1:
        return What.SPLIT
    return What.MERGED if after == 1 else What.REGROUPED


def _names(graph: Graph, ops: Iterable[int]) -> tuple[str, ...]:
    """Names of compute ops: what else is in a kernel costs nothing."""
    return tuple(graph.ops[op].name for op in ops if graph.ops[op].is_compute)


def _module(old: _Side, new: _Side) -> str:
    """The module all of it is in: of the ops that came or went, where there are any. Where only the
    model itself holds all of it, the module of the op that holds and names the most bytes.
    """
    ops = [(side.graph, side.graph.ops[op]) for side in (old, new) for op in side.alone]
    if not ops:
        side = new if new.groups else old
        ops = [(side.graph, side.graph.ops[op]) for op in side.ops]
    common = common_path([op.module_path for _, op in ops])
    return common or max(ops, key=lambda found: _weight(*found))[1].module_path


def _weight(graph: Graph, op: Op) -> int:
    tensors = (*op.inputs, *op.parameters, *op.outputs)
    return sum(graph.tensors[tensor].nbytes for tensor in tensors)


def common_path(paths: Sequence[str]) -> str:
    """The innermost module that holds all of some modules.

    >>> common_path(["layer4.1.conv1", "layer4.1.bn1"]), common_path(["layer4.1", "fc"])
    ('layer4.1', '')
    """
    if not paths:
        return ""
    parts = [path.split(".") for path in paths]
    shortest = min(len(path) for path in parts)
    depth = next(
        (place for place in range(shortest) if len({path[place] for path in parts}) > 1), shortest
    )
    return ".".join(parts[0][:depth])


def _besides(before: Priced, after: Priced) -> list[Change]:
    """Kernels that compute no op, taken together; on another device they take another time."""
    change = Change(
        What.CHANGED, BESIDES, (), (), (), (),
        launches=after.extra_launches - before.extra_launches,
        traffic_bytes=after.extra_traffic_bytes - before.extra_traffic_bytes,
        flops=0,
        seconds=_seconds_change(before.extra_seconds, after.extra_seconds),
    )  # fmt: skip
    return [] if change.is_free else [change]


# --- where --------------------------------------------------------------------------------------


def by_module(changes: Iterable[Change]) -> tuple[ModuleChange, ...]:
    """The changes that cost or save anything, one row for each of the modules side by side that
    hold them, as deep as one row holds all of its module's; the largest first.
    """
    paths = [
        (change.module.split(".") if change.module else [], change)
        for change in changes
        if not change.is_free
    ]
    depth = 0
    while len({tuple(path[: depth + 1]) for path, _ in paths}) == 1 and all(
        len(path) > depth for path, _ in paths
    ):
        depth += 1
    branches: dict[tuple[str, ...], list[Change]] = defaultdict(list)
    for path, change in paths:
        branches[tuple(path[: depth + 1])].append(change)
    rows = [
        together(common_path([change.module for change in branch]) or ROOT, branch)
        for branch in branches.values()
    ]
    return tuple(sorted(rows, key=_largest_first))


def _largest_first(change: Change | ModuleChange) -> tuple[int, int, int, float, str]:
    """What to sort by. Saving much is as much of a change as costing much."""
    return (
        -abs(change.traffic_bytes),
        -abs(change.launches),
        -abs(change.flops),
        -abs(change.seconds or 0.0),
        change.module,
    )


def together(module: str, changes: Iterable[Change | ModuleChange]) -> ModuleChange:
    """The sum of changes, under one name."""
    changes = tuple(changes)
    seconds = [change.seconds for change in changes if change.seconds is not None]
    more = sum(part for part in seconds if part > 0)
    less = -sum(part for part in seconds if part < 0)
    return ModuleChange(
        module,
        sum(change.launches for change in changes),
        sum(change.traffic_bytes for change in changes),
        sum(change.flops for change in changes),
        change_of(more, less) if seconds else None,
    )


def changed_ops(matching: Matching, before: Graph, after: Graph) -> tuple[Match, ...]:
    """Matches of compute ops that are no longer what they were."""
    return tuple(
        match
        for match in matching.matches
        if match.likeness is Likeness.CHANGED
        and (before.ops[match.before].is_compute or after.ops[match.after].is_compute)
    )
