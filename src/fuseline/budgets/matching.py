"""Which op of one graph is which op of another: a model captured before and after a change.

Ops are matched by what they are (target, operands, results, work) and the module they are in. Names
are not looked at: `linear_7` is only the eighth linear; nor are names of classes, as that of the
model itself.

1. what is alike in all of that, in program order; then in any order
2. what is alike but for the module's path, in program order: a block that moved or was renamed
3. what has module and target in common: an op that changed
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import Enum

from fuseline.budgets.sequences import Pair, align
from fuseline.graph import Graph, Op


class Likeness(Enum):
    """How alike two matched ops are."""

    SAME = "same"
    MOVED = "moved"  # alike, in a module of another path
    CHANGED = "changed"  # other shapes, dtypes or work


@dataclass(frozen=True, slots=True)
class Match:
    """An op of the graph before (its id), and the op of the graph after that it became."""

    before: int
    after: int
    likeness: Likeness


@dataclass(frozen=True, slots=True)
class Matching:
    """Every op of two graphs: matched, or only in one of them."""

    matches: tuple[Match, ...]
    removed: tuple[int, ...]
    added: tuple[int, ...]


def match_ops(before: Graph, after: Graph) -> Matching:
    """Match the ops of two graphs, each with at most one.

    >>> from fuseline.graph import Builder, Kind, Role
    >>> def net(*kinds):
    ...     build = Builder()
    ...     x = build.tensor("x", (4, 4), role=Role.INPUT)
    ...     for number, kind in enumerate(kinds):
    ...         x = build.op(f"op{number}", kind, inputs=[x], shape=(4, 4))
    ...     return build.finish([x])
    >>> found = match_ops(net(Kind.RELU, Kind.GELU), net(Kind.RELU, Kind.TANH, Kind.GELU))
    >>> [(match.before, match.after) for match in found.matches], found.added
    ([(0, 0), (1, 2)], (1,))
    """
    left = [op.id for op in before.ops]
    right = [op.id for op in after.ops]
    matches: list[Match] = []
    for key, in_order, likeness in _PASSES:
        pair = align if in_order else _in_any_order
        one = [key(before, before.ops[op]) for op in left]
        other = [key(after, after.ops[op]) for op in right]
        found = pair(one, other)
        matches.extend(Match(left[i], right[j], likeness) for i, j in found)
        left = _without(left, {i for i, _ in found})
        right = _without(right, {j for _, j in found})
    return Matching(
        tuple(sorted(matches, key=lambda match: match.after)), tuple(left), tuple(right)
    )


def _without(ops: list[int], places: set[int]) -> list[int]:
    return [op for place, op in enumerate(ops) if place not in places]


def _in_any_order(before: Sequence[Hashable], after: Sequence[Hashable]) -> list[Pair]:
    """The first of a key with the first, the second with the second, and so on."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    for place in range(len(after) - 1, -1, -1):
        places[after[place]].append(place)
    return [(place, places[item].pop()) for place, item in enumerate(before) if places.get(item)]


# --- what is compared -------------------------------------------------------------------------


def _nature(graph: Graph, op: Op) -> tuple[Hashable, ...]:
    """All of an op but its name and place."""
    tensors = graph.tensors
    return (
        op.target,
        op.op_class,
        *(
            tuple((tensors[tensor].shape, tensors[tensor].dtype) for tensor in operands)
            for operands in (op.inputs, op.parameters, op.outputs)
        ),
        op.work.flops,
        op.work.status,
    )


def _whole(graph: Graph, op: Op) -> Hashable:
    return (op.module_path, *_nature(graph, op))


def _place(graph: Graph, op: Op) -> Hashable:
    del graph
    return (op.module_path, op.target)


_PASSES: tuple[tuple[Callable[[Graph, Op], Hashable], bool, Likeness], ...] = (
    (_whole, True, Likeness.SAME),
    (_whole, False, Likeness.SAME),
    (_nature, True, Likeness.MOVED),
    (_place, True, Likeness.CHANGED),
    (_place, False, Likeness.CHANGED),
)
"""What is compared, whether in program order, and what a match means."""
