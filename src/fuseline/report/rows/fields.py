"""The columns of every table: name, what it holds, what it means, and where it is in a row.

Names are the keys of the JSON result, and bear their units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, TypeVar

from fuseline.plan import UNCOUNTED
from fuseline.report.rows.data import MemberRow, PatternRow, PlanRow
from fuseline.report.rows.table import Column, Measure, Value

Row = TypeVar("Row")

COUNT, BYTES, FLOPS = Measure.COUNT, Measure.BYTES, Measure.FLOPS
TEXT, RATIO, SECONDS, YES = Measure.TEXT, Measure.RATIO, Measure.SECONDS, Measure.YES


@dataclass(frozen=True, slots=True)
class Field(Generic[Row]):
    """A column, and how its value is taken from a row."""

    column: Column
    value: Callable[[Row], Value]


def columns_of(fields: Iterable[Field[Row]]) -> tuple[Column, ...]:
    """The columns alone."""
    return tuple(field.column for field in fields)


def values_of(fields: Iterable[Field[Row]], row: Row) -> tuple[Value, ...]:
    """One row's values, in the order of the columns."""
    return tuple(field.value(row) for field in fields)


def _field(name: str, measure: Measure, meaning: str, of: str = "") -> Field[Row]:
    """A column that is in the row as it is, under `of` where the names differ."""
    return Field(Column(name, measure, meaning), attrgetter(of or name))


PLAN: tuple[Field[PlanRow], ...] = (
    _field("strategy", TEXT, "what grouped the ops"),
    _field("rules", TEXT, "the rule set or rule file that the strategy was given"),
    _field("kind", TEXT, "partition: every op in one group; cover: some in several"),
    _field("groups", COUNT, "groups that hold an operator"),
    _field("launches", COUNT, "kernels: groups with a compute op, and kernels besides"),
    _field("unfused_launches", COUNT, "compute ops"),
    _field("fusion_efficiency", RATIO, "operators / groups"),
    _field("single_op_groups", COUNT, "groups of one operator"),
    _field("flops", FLOPS, "2 x multiply-accumulates of contractions and attention"),
    _field("other_flops", FLOPS, "elementwise, normalisation, reduction and pooling steps"),
    _field("traffic_bytes", BYTES, "bytes across group boundaries, kernels besides included"),
    _field("unfused_traffic_bytes", BYTES, "the same with a kernel for every op"),
    _field("saved_bytes", BYTES, "unfused_traffic_bytes - traffic_bytes"),
    _field("arithmetic_intensity", RATIO, "flops / traffic_bytes [FLOP/byte]"),
    _field("lower_bound_bytes", BYTES, "what no partition legal under the rules goes below"),
    _field("unknown_ops", COUNT, "ops that flops leaves out"),
    Field(
        Column("illegal_groups", COUNT, "groups that break a rule that compilers keep to"),
        lambda plan: plan.illegal_count,
    ),
    _field("extra_launches", COUNT, "kernels that compute no op of the graph, in launches too"),
    _field("extra_traffic_bytes", BYTES, "their bytes, in traffic_bytes too"),
    _field("device", TEXT, "what seconds are of"),
    _field("seconds", SECONDS, "on the device, every launch overhead in full"),
)

PLAN_ON_DEVICE: tuple[Field[PlanRow], ...] = (
    Field(
        Column("pipelined_seconds", SECONDS, "the same, launches hidden where they can be"),
        lambda plan: plan.roofline.pipelined_seconds if plan.roofline else None,
    ),
)

GROUP: tuple[Field[MemberRow], ...] = (
    _field("group", COUNT, "its number in the plan"),
    _field("pattern", TEXT, "what joined its ops"),
    _field("module", TEXT, "where it is in the model: the module of its heaviest op"),
    Field(Column("ops", COUNT, "ops it holds, views included"), lambda group: len(group.ops)),
    _field("launched", YES, "whether it is a kernel at all"),
    Field(Column("launches", COUNT, "the same as a number"), lambda group: int(group.launched)),
    _field("flops", FLOPS, "2 x multiply-accumulates of contractions and attention"),
    _field("other_flops", FLOPS, "elementwise, normalisation, reduction and pooling steps"),
    _field("read_bytes", BYTES, "activations and inputs it reads"),
    _field("parameter_bytes", BYTES, "parameters, buffers and constants it reads"),
    _field("written_bytes", BYTES, "what it leaves for others"),
    _field("traffic_bytes", BYTES, "the three together"),
    _field("saved_bytes", BYTES, "what its ops would move one kernel each, less traffic_bytes"),
    _field("arithmetic_intensity", RATIO, "flops / traffic_bytes [FLOP/byte]"),
    _field("unknown_ops", COUNT, "ops that flops leaves out"),
    _field("bottleneck", TEXT, "the largest term of its time, or its intensity band"),
    _field("seconds", SECONDS, "on the device, launch included"),
)

GROUP_ON_DEVICE: tuple[Field[MemberRow], ...] = (
    _field("compute_seconds", SECONDS, "flops at the device's rate"),
    _field("vector_seconds", SECONDS, "other_flops at the device's rate, where a source gives it"),
    _field("bandwidth_seconds", SECONDS, "traffic_bytes at the device's bandwidth"),
    _field("launch_seconds", SECONDS, "the overhead of its launch"),
)

GROUP_IN_WORDS: tuple[Field[MemberRow], ...] = (
    Field(Column("op_names", TEXT, "the ops it holds"), lambda group: " + ".join(group.ops)),
    _field("illegal", TEXT, "the rule that the group breaks, if any"),
    _field("alone", TEXT, "of a launched group of one op: why it has no company"),
)

PATTERN: tuple[Field[PatternRow], ...] = (
    _field("pattern", TEXT, "what joined the ops of its groups", of="name"),
    _field("count", COUNT, "groups of this pattern"),
    _field("ops", COUNT, "operators a group"),
    Field(
        Column("counted", YES, "whether its groups are in the plan's groups: they hold operators"),
        lambda row: row.name not in UNCOUNTED,
    ),
    _field("flops", FLOPS, "2 x multiply-accumulates of contractions and attention"),
    _field("traffic_bytes", BYTES, "bytes across the boundaries of its groups"),
    _field("unfused_traffic_bytes", BYTES, "the same with a kernel for every op"),
    _field("saved_bytes", BYTES, "unfused_traffic_bytes - traffic_bytes"),
    _field("arithmetic_intensity", RATIO, "flops / traffic_bytes [FLOP/byte]"),
    _field("unknown_ops", COUNT, "ops that flops leaves out"),
)
