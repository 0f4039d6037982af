"""One way to run a model (a graph, a strategy, a device), and the figures to compare ways by.

What a way is, is its dimensions; what it comes to, is its figures. Both are tables here, so that
columns, sorting and marks speak of the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum
from math import isfinite

from fuseline.report.rows.data import GraphRow, ModelRow, PlanRow
from fuseline.report.rows.device import MemoryRow
from fuseline.report.rows.rounding import change_of
from fuseline.report.rows.table import Column, Measure, Value


@dataclass(frozen=True, slots=True)
class Way:
    """One row of a comparison. `asked` is the word that named the model; `memory` is told without
    a device too, but not of a cover; `capacity_bytes` is that of the device. `plan` keeps its
    totals, its groups and refusals may be left out.
    """

    asked: str
    model: ModelRow
    graph: GraphRow
    plan: PlanRow
    memory: MemoryRow | None = None
    capacity_bytes: int | None = None

    @property
    def captured(self) -> tuple[ModelRow, GraphRow]:
        """Equal for ways of one graph, as far as rows tell: what two captures cannot differ in."""
        return self.model, self.graph

    @property
    def fits(self) -> bool | None:
        """Whether the device's memory holds it. Of a cover only what its parameters alone decide is
        known.
        """
        if self.memory is not None:
            return self.memory.fits
        room = self.capacity_bytes
        return False if room is not None and self.graph.parameter_bytes > room else None

    @property
    def label(self) -> str:
        """What it is in a few words: model, strategy with its rules, device."""
        return ", ".join(filter(None, (self.model.name, self.plan.label, self.plan.device)))

    @property
    def is_sound(self) -> bool:
        """Whether it may be called the best: every group is a kernel that its rules allow (those of
        a cover are not judged), and the device's memory holds it where that is known.
        """
        return self.fits is not False and not self.plan.illegal_groups


# --- what a way is --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dimension:
    """In what ways may differ. One that `follows` is shown only where the others do not tell it:
    what follows from the model (its inputs), the strategy (its rules) or the device.
    """

    column: Column
    of: Callable[[Way], Value]
    follows: bool = False

    @property
    def name(self) -> str:
        """The column's name."""
        return self.column.name


def shapes_text(shapes: tuple[tuple[int, ...], ...]) -> str:
    """Shapes of inputs in one cell.

    >>> shapes_text(((1, 3, 224, 224), ()))
    '1x3x224x224, scalar'
    """
    return ", ".join("x".join(map(str, shape)) or "scalar" for shape in shapes)


def _dimension(
    name: str, measure: Measure, meaning: str, of: Callable[[Way], Value], *, follows: bool = False
) -> Dimension:
    return Dimension(Column(name, measure, meaning), of, follows)


def _tf32(plan: PlanRow) -> bool | None:
    """What was decided of float32, by the units that its contractions were priced at; None where
    there are none, or nothing to decide.
    """
    for peak in plan.roofline.peaks if plan.roofline else ():
        if peak.dtype == "float32" and (peak.how.startswith("tfloat32 ") or _NO_TF32 in peak.how):
            return _NO_TF32 not in peak.how
    return None


_NO_TF32 = "tf32 is not allowed"
"""How a device says that it could, and was not to."""

_TEXT, _COUNT, _BYTES = Measure.TEXT, Measure.COUNT, Measure.BYTES

DIMENSIONS: tuple[Dimension, ...] = (
    _dimension("model", _TEXT, "the model's name", lambda way: way.model.name),
    _dimension("via", _TEXT, "how it was captured", lambda way: way.model.via),
    _dimension("mode", _TEXT, "eval or train", lambda way: way.model.mode),
    _dimension("batch", _COUNT, "first size of every input", lambda way: way.model.batch),
    _dimension("dtype", _TEXT, "of parameters and inputs", lambda way: way.model.dtype),
    _dimension("strategy", _TEXT, "who decides what fuses", lambda way: way.plan.strategy),
    _dimension("device", _TEXT, "what it is timed on", lambda way: way.plan.device),
    _dimension(
        "launch",
        _TEXT,
        "kernels launched one by one (eager), or replayed as a graph",
        lambda way: way.plan.roofline.launch if way.plan.roofline else None,
    ),
    _dimension(
        "tf32",
        Measure.YES,
        "whether float32 contractions run as tfloat32, where the device can",
        lambda way: _tf32(way.plan),
        follows=True,
    ),
    _dimension("rules", _TEXT, "rule set or rule file", lambda way: way.plan.rules, follows=True),
    _dimension(
        "objective",
        _TEXT,
        "what a search made least",
        lambda way: way.plan.proof.objective if way.plan.proof else None,
        follows=True,
    ),
    _dimension(
        "on_chip_bytes",
        _BYTES,
        "on-chip memory a kernel may take",
        lambda way: way.plan.proof.on_chip_bytes if way.plan.proof else None,
        follows=True,
    ),
    _dimension(
        "input_shapes",
        _TEXT,
        "of the model's inputs",
        lambda way: shapes_text(way.model.input_shapes),
        follows=True,
    ),
    _dimension(
        "source", _TEXT, "where the model is from", lambda way: way.model.source, follows=True
    ),
    _dimension("asked", _TEXT, "the word that named it", lambda way: way.asked, follows=True),
)
"""In the order they are shown."""


# --- what may be put as better or worse -----------------------------------------------------


class Scope(Enum):
    """Which ways a figure may be compared in. A frontend (`via`) decides what is an op, so that
    no figure is compared across two of them.
    """

    TASK = "one model on the same inputs"
    SAMPLE = "one model on samples of one size"
    VIA = "all models"

    def key(self, way: Way) -> Hashable:
        """Equal for two ways that may be compared."""
        model = way.model
        match self:
            case Scope.TASK:
                one = (model.name, model.source, model.mode, model.batch, model.input_shapes)
                return (model.via, *one)
            case Scope.SAMPLE:
                one = (model.name, model.source, model.mode, _sample_shapes(model))
                return (model.via, *one)
            case _:
                return (model.via,)


def _sample_shapes(model: ModelRow) -> tuple[tuple[int, ...], ...]:
    """Shapes of the inputs for a batch of one: images of another size, longer sequences and more
    cached tokens are other work.
    """
    return tuple(
        (shape[0] // model.batch, *shape[1:])
        if shape and model.batch and shape[0] % model.batch == 0
        else shape
        for shape in model.input_shapes
    )


class Better(Enum):
    """Which of two values is the better one."""

    LESS = "less"
    MORE = "more"
    NEITHER = "neither"  # it describes, and judges nothing


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a way: its column, its value, and what it may be compared with."""

    column: Column
    of: Callable[[Way], Value]
    better: Better = Better.NEITHER
    scope: Scope = Scope.TASK

    @property
    def name(self) -> str:
        """The column's name."""
        return self.column.name

    @property
    def is_number(self) -> bool:
        """Whether ways can be sorted by it."""
        return self.column.measure not in (Measure.TEXT, Measure.YES)

    def number(self, way: Way) -> float | int | None:
        """Its value where it is a number that can be compared."""
        value = self.of(way)
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            return None
        return value

    def change(self, way: Way, base: Way) -> float | int | None:
        """Its value less that of `base`; None where the two may not be compared, and nothing where
        floats only round.
        """
        value, before = self.number(way), self.number(base)
        if value is None or before is None or self.scope.key(way) != self.scope.key(base):
            return None
        return change_of(value, before)


# --- what a way comes to --------------------------------------------------------------------


def memory_reduction(plan: PlanRow) -> float | None:
    """The share of the unfused traffic that fusion saves; None where nothing moves."""
    whole = plan.unfused_traffic_bytes
    return plan.saved_bytes / whole if whole else None


def main_bottleneck(plan: PlanRow) -> tuple[str, float] | None:
    """What bounds most: of the seconds on a device, else of the launches; and its share."""
    weights: dict[str, float] = dict(plan.bottlenecks.counts)
    if plan.roofline is not None:
        weights = {share.bottleneck: share.seconds for share in plan.roofline.shares}
    total = sum(weights.values())
    if not total:
        return None
    name = max(weights, key=weights.__getitem__)
    return name, weights[name] / total


def _per_sample(way: Way) -> float | None:
    time = way.plan.roofline
    return time.pipelined_seconds / way.model.batch if time and way.model.batch else None


def _figure(  # noqa: PLR0917 - a line of the table below
    name: str,
    measure: Measure,
    meaning: str,
    of: Callable[[Way], Value],
    better: Better = Better.NEITHER,
    scope: Scope = Scope.TASK,
) -> Figure:
    return Figure(Column(name, measure, meaning), of, better, scope)


_FLOPS, _SECONDS, _RATIO, _PART = (
    Measure.FLOPS, Measure.SECONDS, Measure.RATIO, Measure.FRACTION,
)  # fmt: skip
_LESS, _MORE, _NEITHER = Better.LESS, Better.MORE, Better.NEITHER

# fmt: off
FIGURES: tuple[Figure, ...] = (
    _figure("operators", _COUNT, "module and function calls, or compute ops",
            lambda way: way.graph.operators),
    _figure("groups", _COUNT, "groups that hold an operator", lambda way: way.plan.groups),
    _figure("single_op_groups", _COUNT, "groups of one operator",
            lambda way: way.plan.single_op_groups),
    _figure("fusion_efficiency", _RATIO, "operators / groups",
            lambda way: way.plan.fusion_efficiency, _MORE, Scope.VIA),
    _figure("launches", _COUNT, "kernels launched", lambda way: way.plan.launches, _LESS),
    _figure("unfused_launches", _COUNT, "kernels without fusion",
            lambda way: way.plan.unfused_launches),
    _figure("flops", _FLOPS, "2 x multiply-accumulates, the same under every strategy",
            lambda way: way.plan.flops),
    _figure("other_flops", _FLOPS, "elementwise, norms, pooling", lambda way: way.plan.other_flops),
    _figure("traffic_bytes", _BYTES, "moved to or from device memory",
            lambda way: way.plan.traffic_bytes, _LESS),
    _figure("unfused_traffic_bytes", _BYTES, "moved with a kernel for every op",
            lambda way: way.plan.unfused_traffic_bytes),
    _figure("saved_bytes", _BYTES, "unfused_traffic_bytes - traffic_bytes",
            lambda way: way.plan.saved_bytes),
    _figure("memory_reduction", _PART, "saved_bytes / unfused_traffic_bytes",
            lambda way: memory_reduction(way.plan), _MORE, Scope.VIA),
    _figure("arithmetic_intensity", _RATIO, "flops / traffic_bytes",
            lambda way: way.plan.arithmetic_intensity, _MORE, Scope.VIA),
    _figure("bottleneck", _TEXT, "what bounds most of the seconds, or of the launches",
            lambda way: (main_bottleneck(way.plan) or (None, 0))[0]),
    _figure("bottleneck_fraction", _PART, "the share that it bounds",
            lambda way: (main_bottleneck(way.plan) or ("", None))[1]),
    _figure("seconds", _SECONDS, "on the device, every launch overhead in full",
            lambda way: way.plan.seconds, _LESS),
    _figure("pipelined_seconds", _SECONDS, "launches hidden where they can be",
            lambda way: way.plan.roofline.pipelined_seconds if way.plan.roofline else None, _LESS),
    _figure("seconds_per_sample", _SECONDS, "pipelined_seconds / batch", _per_sample, _LESS,
            Scope.SAMPLE),
    _figure("attained_fraction", _PART, "of the peak of contractions",
            lambda way: way.plan.roofline.attained_fraction if way.plan.roofline else None),
    _figure("parameter_bytes", _BYTES, "parameters, buffers and constants read",
            lambda way: way.graph.parameter_bytes),
    _figure("activations_peak_bytes", _BYTES, "the most activations alive at once",
            lambda way: way.memory.activations_peak_bytes if way.memory else None),
    _figure("memory_bytes", _BYTES, "parameters, inputs and that peak",
            lambda way: way.memory.total_bytes if way.memory else None, _LESS),
    _figure("fits", Measure.YES, "whether the device's memory holds it",
            lambda way: way.fits),
    _figure("compulsory_bytes", _BYTES, "the least that any partition moves",
            lambda way: way.graph.compulsory_bytes),
    _figure("lower_bound_bytes", _BYTES, "proven: no plan legal under its rules moves less",
            lambda way: way.plan.lower_bound_bytes),
    _figure("gap", _PART, "how far above its proven bound it may be",
            lambda way: way.plan.proof.gap if way.plan.proof else None),
    _figure("illegal_groups", _COUNT, "groups that are no kernel under its rules (or T)",
            lambda way: way.plan.illegal_count),
    _figure("extra_launches", _COUNT, "of them kernels that compute no op of the model",
            lambda way: way.plan.extra_launches),
    _figure("unknown_ops", _COUNT, "ops whose FLOPs no formula knows, left out of flops",
            lambda way: way.plan.unknown_ops),
)
# fmt: on
"""In the order they are shown."""
