"""The rows of one result: figures of a model, its graph, and every plan.

They are also the JSON result, key for key (`fuseline.result/1`): totals in bytes and FLOPs, never
rounded, so that every percentage printed can be recomputed from what stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

from fuseline.costs import intensity_of
from fuseline.hardware import Device
from fuseline.report.rows.device import MemoryRow, ProofRow, RooflineRow

SCHEMA = "fuseline.result/1"


@dataclass(frozen=True, slots=True)
class ModelRow:
    """Which model, and how it was captured."""

    name: str
    source: str
    via: str
    mode: str
    batch: int
    dtype: str
    input_shapes: tuple[tuple[int, ...], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnknownRow:
    """An op no formula knows: FLOPs totals leave it out."""

    target: str
    count: int


@dataclass(frozen=True, slots=True)
class FoldedRow:
    """Compute ops of one target that need no input: they run once, ahead of time."""

    target: str
    count: int
    flops: int


@dataclass(frozen=True, slots=True)
class GraphRow:
    """Figures of the graph alone: the same under every strategy."""

    nodes: int
    operators: int
    compute_ops: int
    views: int
    control_ops: int
    unknown_ops: tuple[UnknownRow, ...]
    flops: int
    folded_flops: int
    causal_flops: int
    other_flops: int
    parameter_bytes: int
    compulsory_bytes: int
    hidden_bytes: int
    folded_ops: tuple[FoldedRow, ...]


@dataclass(frozen=True, slots=True)
class PatternRow:
    """All groups of one pattern: `ops` of its first group, other figures summed over its groups."""

    name: str
    count: int
    ops: int
    flops: int
    traffic_bytes: int
    unfused_traffic_bytes: int
    saved_bytes: int
    unknown_ops: int
    operators: int

    @property
    def arithmetic_intensity(self) -> float:
        """FLOPs / traffic of all its groups [FLOP/byte]."""
        return intensity_of(self.flops, self.traffic_bytes)


@dataclass(frozen=True, slots=True)
class BottleneckRow:
    """What bounds the launched groups, by count; `basis` says how that was judged."""

    basis: str
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class IllegalRow:
    """A group that breaks a rule which compilers keep to, the rule, and how."""

    group: int
    pattern: str
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """Why two neighbours were not joined, and what one kernel for both groups would save.

    `bytes` is the field's name in the result; it counts bytes.
    """

    from_: str
    to: str
    rule: str
    reason: str
    bytes: int


@dataclass(frozen=True, slots=True)
class MemberRow:
    """One group: its ops by name, the module that it belongs to, and its price.

    `module` is that of the op that moves most by itself. The terms of `seconds` are on the device;
    `vector_seconds` is also null where no source gives the rate.
    """

    group: int
    pattern: str
    ops: tuple[str, ...]
    module: str
    launched: bool
    flops: int
    other_flops: int
    read_bytes: int
    parameter_bytes: int
    written_bytes: int
    traffic_bytes: int
    saved_bytes: int
    arithmetic_intensity: float
    unknown_ops: int
    bottleneck: str
    seconds: float | None  # on the device, launch included
    compute_seconds: float | None
    vector_seconds: float | None
    bandwidth_seconds: float | None
    launch_seconds: float | None
    alone: str  # of a launched group of one op: why it has no company
    illegal: str  # the rule that it breaks; empty where it breaks none, and in a cover


@dataclass(frozen=True, slots=True)
class PlanRow:
    """Figures of one strategy."""

    strategy: str
    kind: str
    rules: str | None
    device: str | None
    groups: int
    launches: int
    unfused_launches: int
    fusion_efficiency: float
    single_op_groups: int
    flops: int
    other_flops: int
    traffic_bytes: int
    unfused_traffic_bytes: int
    lower_bound_bytes: int | None
    seconds: float | None
    arithmetic_intensity: float
    unknown_ops: int
    patterns: tuple[PatternRow, ...]
    bottlenecks: BottleneckRow
    illegal_groups: tuple[IllegalRow, ...]
    illegal_saved_bytes: int
    refusals: tuple[RefusalRow, ...]
    members: tuple[MemberRow, ...]
    proof: ProofRow | None
    roofline: RooflineRow | None
    memory: MemoryRow | None
    extra_launches: int  # kernels that compute no op of the graph, in a compiler's plan
    extra_traffic_bytes: int
    hidden_bytes: int  # the graph's: what moves inside attention ops and is in no figure

    @property
    def label(self) -> str:
        """The strategy, with the rules it was searched under."""
        return f"{self.strategy} ({self.rules})" if self.rules else self.strategy

    @property
    def illegal_count(self) -> int | None:
        """Groups that break a rule, each once; None of a cover, which is judged by none."""
        if self.kind == "cover":
            return None
        return len({row.group for row in self.illegal_groups})

    @property
    def saved_bytes(self) -> int:
        """Bytes that fusion saves."""
        return self.unfused_traffic_bytes - self.traffic_bytes


@dataclass(frozen=True, slots=True)
class Result:
    """One model under one or more strategies."""

    schema: str
    fuseline: str
    torch: str
    model: ModelRow
    graph: GraphRow
    plans: tuple[PlanRow, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """A device that plans are timed on: `launch` is `eager` or `graph`; `tf32` lets float32
    contractions run as tfloat32.
    """

    device: Device
    launch: str = "eager"
    tf32: bool = False
