"""The seed document's accounting, kept only to reproduce its figures. It is wrong on purpose.

A tensor is its elements x 4 bytes, a tuple is nothing. A group moves its inputs from outside (once
for every op that takes them), its outputs that something outside or nothing at all takes, and its
modules' parameters. FLOPs are those of Conv2d (as if dense unless depthwise) and of Linear (by the
first size of its input alone). A tensor passed on inside a group is *internal*; unfused traffic is
traffic + internal. Only groups that contain an operator count.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from math import prod

from fuseline.costs import band_of
from fuseline.graph import Graph, Kind, Op, OpClass, Role
from fuseline.plan import Group, Plan
from fuseline.report.rows import counted_groups

_ITEM = 4
_CONV2D = frozenset({Kind.CONV2D, Kind.CONV2D_POINTWISE, Kind.CONV2D_DEPTHWISE})


@dataclass(frozen=True, slots=True)
class SeedGroup:
    """One group under the seed's accounting [bytes, FLOPs]."""

    pattern: str
    part: str
    ops: int
    flops: int
    traffic: int
    internal: int

    @property
    def intensity(self) -> float:
        """FLOPs a byte; 0 where nothing moves."""
        return self.flops / self.traffic if self.traffic else 0.0

    @property
    def saved_percent(self) -> float:
        """Internal / (traffic + internal)."""
        moved = self.traffic + self.internal
        return 100 * self.internal / moved if moved else 0.0


@dataclass(frozen=True, slots=True)
class SeedPattern:
    """All groups of one pattern: means of their ratios, as the seed document takes them."""

    name: str
    count: int
    ops: int
    average_intensity: float
    saved_percent: float


@dataclass(frozen=True)
class SeedAccount:
    """A plan's totals under the seed's accounting."""

    nodes: int
    operators: int
    groups: tuple[SeedGroup, ...]

    @property
    def efficiency(self) -> float:
        """Operators / groups."""
        return self.operators / len(self.groups)

    @property
    def single_op(self) -> int:
        """Groups of one op."""
        return sum(group.ops == 1 for group in self.groups)

    @property
    def flops(self) -> int:
        """FLOPs it counts."""
        return sum(group.flops for group in self.groups)

    @property
    def traffic(self) -> int:
        """Fused traffic [bytes]."""
        return sum(group.traffic for group in self.groups)

    @property
    def unfused(self) -> int:
        """Fused traffic + internal [bytes]."""
        return self.traffic + sum(group.internal for group in self.groups)

    @property
    def reduction_percent(self) -> float:
        """Internal / unfused."""
        return 100 * (self.unfused - self.traffic) / self.unfused

    @property
    def average_intensity(self) -> float:
        """Mean of the groups' ratios."""
        return sum(group.intensity for group in self.groups) / len(self.groups)

    @cached_property
    def bands(self) -> dict[str, int]:
        """Groups by intensity band, the most common first."""
        counts = Counter(band_of(group.intensity).value for group in self.groups)
        return dict(counts.most_common())

    @cached_property
    def patterns(self) -> tuple[SeedPattern, ...]:
        """Groups by pattern, in order of first appearance."""
        found: dict[str, list[SeedGroup]] = defaultdict(list)
        for group in self.groups:
            found[group.pattern].append(group)
        return tuple(_pattern(name, groups) for name, groups in found.items())

    def moved(self, part: str) -> int:
        """Fused traffic of the groups of one part [bytes]."""
        return sum(group.traffic for group in self.groups if group.part == part)


FFN = ("LayerNorm_Linear_GELU_+1more", "Linear_Dropout")
PARTS = ("attention", "FFN", "rest")


def part_of(graph: Graph, group: Group) -> str:
    """The part of a transformer that a group belongs to: attention, FFN or the rest."""
    if any(graph.ops[op].op_class is OpClass.ATTENTION for op in group.ops):
        return "attention"
    return "FFN" if group.pattern in FFN else "rest"


def account(graph: Graph, plan: Plan) -> SeedAccount:
    """Price `plan` as the seed document does. `graph` is a module-level capture."""
    ledger = _Ledger(graph)
    groups = tuple(ledger.price(group) for group in counted_groups(graph, plan))
    return SeedAccount(graph.source.nodes, graph.operators, groups)


def _pattern(name: str, groups: list[SeedGroup]) -> SeedPattern:
    return SeedPattern(
        name,
        len(groups),
        groups[0].ops,
        sum(group.intensity for group in groups) / len(groups),
        sum(group.saved_percent for group in groups) / len(groups),
    )


class _Ledger:
    """The seed's view of a graph: nodes, and one size for each node's result."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.made = {tensor for op in graph.ops for tensor in op.outputs}
        self.size = [self._result_bytes(op) for op in graph.ops]

    def price(self, group: Group) -> SeedGroup:
        ops = [self.graph.ops[op] for op in group.ops]
        inside = set(group.ops)
        traffic = internal = 0
        for op in ops:
            traffic += sum(self.size[p] for p in op.predecessors if p not in inside)
            traffic += sum(self._bytes(t) for t in op.inputs if t not in self.made)
            traffic += sum(
                self._bytes(t)
                for t in op.parameters
                if self.graph.tensors[t].role is Role.PARAMETER
            )
            internal += sum(self.size[p] for p in op.predecessors if p in inside)
            consumers = self.graph.consumers[op.id]
            if not consumers or any(consumer not in inside for consumer in consumers):
                traffic += self.size[op.id]
        flops = sum(map(self._flops, ops))
        part = part_of(self.graph, group)
        return SeedGroup(group.pattern, part, len(ops), flops, traffic, internal)

    def _bytes(self, tensor: int) -> int:
        return self.graph.tensors[tensor].numel * _ITEM

    def _result_bytes(self, op: Op) -> int:
        unpacked = any(
            self.graph.ops[consumer].op_class is OpClass.CONTROL
            and self.graph.ops[consumer].target == "getitem"
            for consumer in self.graph.consumers[op.id]
        )
        return self._bytes(op.outputs[0]) if len(op.outputs) == 1 and not unpacked else 0

    def _flops(self, op: Op) -> int:
        if not op.parameters:
            return 0
        weight = self.graph.tensors[op.parameters[0]].shape
        source = self.graph.tensors[op.inputs[0]].shape
        if op.target == "Conv2d" and op.kind in _CONV2D:
            channels = 1 if op.kind is Kind.CONV2D_DEPTHWISE else source[1]
            out = self.graph.tensors[op.outputs[0]].numel
            return 2 * out * channels * prod(weight[2:])
        if op.target == "Linear":
            return 2 * source[0] * prod(weight)
        return 0
