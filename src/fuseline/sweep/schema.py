"""The columns of a sweep's rows, and how a row is made. Documented in docs/sweep-schema.md, which
`fuseline query --schema` prints the table of.

A version of the schema only ever gains columns; one that is renamed, or means something else,
makes a new version.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

from fuseline.graph import Graph, Kind
from fuseline.report.rows.data import PlanRow
from fuseline.report.rows.device import CacheRow
from fuseline.report.rows.table import Column, Measure, Value
from fuseline.report.rows.ways import DIMENSIONS, FIGURES, Way
from fuseline.sweep.grids import Capture, job_ids
from fuseline.sweep.tasks import Row, Status

SCHEMA = "fuseline.sweep/1"

_TEXT, _COUNT, _BYTES, _FLOPS, _SECONDS = (
    Measure.TEXT, Measure.COUNT, Measure.BYTES, Measure.FLOPS, Measure.SECONDS,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """One job: a plan of a capture. `id` tells it in every sweep."""

    id: str
    capture: Capture
    strategy: str
    rules: str | None
    device: str | None


@dataclass(frozen=True, slots=True)
class Done:
    """A job that came to a plan: the way, with the graph that it is of."""

    way: Way
    graph: Graph


# --- what a job is --------------------------------------------------------------------------


def zoo_of(model: str) -> str:
    """Where a model's name is from.

    >>> zoo_of("resnet18"), zoo_of("timm/resnet18"), zoo_of("hf/bert"), zoo_of("net.py:make")
    ('torchvision', 'timm', 'hf', 'file')
    """
    zoo, slash, _ = model.partition("/")
    if slash and zoo in ("torchvision", "timm", "hf"):
        return zoo
    return "file" if slash or "." in model else "torchvision"


def _asked(
    name: str, measure: Measure, meaning: str, of: Callable[[Job], Value]
) -> tuple[Column, Callable[[Job], Value]]:
    return Column(name, measure, meaning), of


# fmt: off
_FIRST = (
    _asked("job", _TEXT, "its id: 16 hex digits of what is computed, the same in every sweep",
           lambda job: job.id),
    _asked("model", _TEXT, "the model's name, as `fuseline partition` takes it",
           lambda job: job.capture.model),
    _asked("strategy", _TEXT, "who decides what fuses", lambda job: job.strategy),
    _asked("batch", _COUNT, "first size of every input; as asked where there is no graph",
           lambda job: job.capture.how.batch),
    _asked("dtype", _TEXT, "of parameters and inputs; as asked where there is no graph",
           lambda job: job.capture.how.dtype),
    _asked("device", _TEXT, "what it is timed on; null: it is not timed", lambda job: job.device),
)
_THEN = (
    _asked("zoo", _TEXT, "torchvision, timm, hf or file", lambda job: zoo_of(job.capture.model)),
    _asked("seq_len", _COUNT, "tokens of a sequence, as asked; null: the model's default",
           lambda job: job.capture.how.seq_len),
    _asked("decode", _COUNT, "cached tokens before the one that is made; null: no decode step",
           lambda job: job.capture.how.decode),
    _asked("attention", _TEXT, "fused or decomposed, as asked",
           lambda job: job.capture.how.attention or "fused"),
    _asked("via", _TEXT, "how it was captured; as asked where there is no graph",
           lambda job: job.capture.how.via or "record"),
    _asked("mode", _TEXT, "eval or train",
           lambda job: "train" if job.capture.how.train else "eval"),
    _asked("rules", _TEXT, "rung of the rule ladder, of `optimal`; rule set or rule file of others",
           lambda job: job.rules),
    _asked("pair_rules", _TEXT, "the rule file of `pairs`",
           lambda job: job.capture.planning.pair_rules if job.strategy == "pairs" else None),
)
_STATUS = (
    Column("status", _TEXT, ", ".join(status.value for status in Status)),
    Column("reason", _TEXT, "why there are no figures, in a sentence; null where there are"),
)
# fmt: on

# --- what it came to ------------------------------------------------------------------------

Figure = tuple[Column, Callable[[Done], Value]]


def _of_way(column: Column, of: Callable[[Way], Value]) -> Figure:
    return column, lambda done: of(done.way)


def _more(name: str, measure: Measure, meaning: str, of: Callable[[Done], Value]) -> Figure:
    return Column(name, measure, meaning), of


_KNOWN = frozenset(column.name for column, _ in (*_FIRST, *_THEN))

CONVOLUTIONS = frozenset({
    Kind.CONV1D, Kind.CONV2D, Kind.CONV2D_POINTWISE, Kind.CONV3D, Kind.CONV_TRANSPOSE1D,
    Kind.CONV_TRANSPOSE2D, Kind.CONV_TRANSPOSE3D, Kind.DEFORM_CONV2D,
})  # fmt: skip
DEPTHWISE = frozenset({Kind.CONV1D_DEPTHWISE, Kind.CONV2D_DEPTHWISE, Kind.CONV3D_DEPTHWISE})
MATMULS = frozenset({
    Kind.LINEAR, Kind.BILINEAR, Kind.MATMUL, Kind.ADDMM, Kind.EINSUM, Kind.GROUPED_MM,
})  # fmt: skip
RECURRENT = frozenset({Kind.RNN, Kind.LSTM, Kind.GRU})
ATTENTIONS = frozenset({
    Kind.MULTIHEAD_ATTENTION, Kind.SHIFTED_WINDOW_ATTENTION, Kind.SCALED_DOT_PRODUCT_ATTENTION,
})  # fmt: skip
"""Every kind that has FLOPs is in one of these sets: their FLOPs add up to `flops` of a partition.
A cover may compute an op twice.
"""


def _flops_of(kinds: frozenset[Kind]) -> Callable[[Done], Value]:
    return lambda done: sum(op.work.flops for op in done.graph.ops if op.kind in kinds)


def _ops_of(kinds: frozenset[Kind]) -> Callable[[Done], Value]:
    return lambda done: sum(op.kind in kinds for op in done.graph.ops)


# fmt: off
_MORE: tuple[Figure, ...] = (
    _more("kind", _TEXT, "partition: every op in one group; cover: some in several",
          lambda done: done.way.plan.kind),
    _more("is_optimal", Measure.YES,
          "whether it is proven that no plan legal under its rules is better",
          lambda done: done.way.plan.proof.is_optimal if done.way.plan.proof else None),
    _more("nodes", _COUNT, "nodes of the graph", lambda done: done.way.graph.nodes),
    _more("compute_ops", _COUNT, "ops that read or write device memory",
          lambda done: done.way.graph.compute_ops),
    _more("views", _COUNT, "ops that alias their input", lambda done: done.way.graph.views),
    _more("control_ops", _COUNT, "host-side bookkeeping", lambda done: done.way.graph.control_ops),
    _more("convolution_flops", _FLOPS, "of convolutions that are not depthwise",
          _flops_of(CONVOLUTIONS)),
    _more("depthwise_flops", _FLOPS, "of depthwise convolutions", _flops_of(DEPTHWISE)),
    _more("matmul_flops", _FLOPS, "of linear layers, matmuls and einsums", _flops_of(MATMULS)),
    _more("attention_flops", _FLOPS, "of attention that is one op", _flops_of(ATTENTIONS)),
    _more("recurrent_flops", _FLOPS, "of RNN, LSTM and GRU", _flops_of(RECURRENT)),
    _more("folded_flops", _FLOPS, "of ops that run once, ahead of time; not in flops",
          lambda done: done.way.graph.folded_flops),
    _more("causal_flops", _FLOPS, "flops + folded_flops, causal attention where its mask looks",
          lambda done: done.way.graph.causal_flops),
    _more("convolution_ops", _COUNT, "convolutions, depthwise ones too",
          _ops_of(CONVOLUTIONS | DEPTHWISE)),
    _more("attention_ops", _COUNT, "attentions that are one op", _ops_of(ATTENTIONS)),
    _more("softmax_ops", _COUNT, "softmaxes that are ops, as in attention written out",
          _ops_of(frozenset({Kind.SOFTMAX}))),
    _more("hidden_bytes", _BYTES, "moved inside composite attention ops, and in no other figure",
          lambda done: done.way.graph.hidden_bytes),
    _more("extra_traffic_bytes", _BYTES, "of kernels that compute no op; in traffic_bytes",
          lambda done: done.way.plan.extra_traffic_bytes),
    _more("illegal_saved_bytes", _BYTES, "what groups that break a rule save",
          lambda done: done.way.plan.illegal_saved_bytes),
    _more("device_seconds", _SECONDS, "the device at work, launches apart",
          lambda done: done.way.plan.roofline.device_seconds if done.way.plan.roofline else None),
    _more("rated", Measure.YES, "whether by rates measured on the device, not by its peaks",
          lambda done: done.way.plan.roofline.rated if done.way.plan.roofline else None),
    _more("launches_without_vector_rate", _COUNT,
          "launches whose elementwise work no source prices",
          lambda done: done.way.plan.roofline.launches_without_vector_rate
          if done.way.plan.roofline else None),
    _more("cache_hit_bytes", _BYTES, "read from the device's last-level cache",
          lambda done: cache.hit_bytes if (cache := _cache(done)) else None),
    _more("cache_memory_bytes", _BYTES, "that still cross to device memory beside such a cache",
          lambda done: cache.memory_bytes if (cache := _cache(done)) else None),
    _more("cache_seconds", _SECONDS, "pipelined_seconds with that cache",
          lambda done: cache.seconds if (cache := _cache(done)) else None),
    _more("bottleneck_basis", _TEXT, "what bottlenecks are judged by: roofline, or intensity bands",
          lambda done: done.way.plan.bottlenecks.basis),
    _more("notes", _TEXT, "what the capture says of itself",
          lambda done: "; ".join(done.way.model.notes) or None),
)
# fmt: on


def _cache(done: Done) -> CacheRow | None:
    return done.way.plan.roofline.cache if done.way.plan.roofline else None


_FIGURES: tuple[Figure, ...] = (
    *(
        _of_way(dimension.column, dimension.of)
        for dimension in DIMENSIONS
        if dimension.name not in _KNOWN | {"asked"}
    ),
    *(_of_way(figure.column, figure.of) for figure in FIGURES),
    *_MORE,
)

COLUMNS: tuple[Column, ...] = (
    *(column for column, _ in _FIRST),
    *_STATUS,
    *(column for column, _ in _THEN),
    *(column for column, _ in _FIGURES),
)
"""In the order of a row: what the job is, what became of it, and its figures (null where there are
none).
"""

# --- lists in a row -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListColumn:
    """A column whose cells are lists of records with these fields."""

    name: str
    meaning: str
    fields: tuple[Column, ...]


LISTS: tuple[ListColumn, ...] = (
    ListColumn(
        "patterns",
        "the groups of each pattern; of Unfused and View or control nothing joined them",
        (
            Column("pattern", _TEXT, "its name"),
            Column("count", _COUNT, "groups, those without an operator too"),
            Column("operators", _COUNT, "in its groups"),
            Column("flops", _FLOPS, "of its groups"),
            Column("traffic_bytes", _BYTES, "across the boundaries of its groups"),
            Column("saved_bytes", _BYTES, "what its groups save"),
        ),
    ),
    ListColumn(
        "bottlenecks",
        "launches by what bounds them",
        (
            Column(
                "bottleneck", _TEXT, "compute, vector, bandwidth, launch; a band without device"
            ),
            Column("launches", _COUNT, "that it bounds"),
            Column("seconds", _SECONDS, "of these; null without a device"),
        ),
    ),
    ListColumn(
        "refusals",
        "pairs of neighbours that share no kernel, by the rule that keeps them apart",
        (
            Column("rule", _TEXT, "its name"),
            Column("pairs", _COUNT, "that it keeps apart"),
            Column("bytes", _BYTES, "what one kernel for each would save; pairs overlap"),
        ),
    ),
)
"""After `COLUMNS`, in this order."""


def _patterns(plan: PlanRow) -> list[dict[str, Value]]:
    return [
        {
            "pattern": row.name, "count": row.count, "operators": row.operators,
            "flops": row.flops, "traffic_bytes": row.traffic_bytes, "saved_bytes": row.saved_bytes,
        }
        for row in plan.patterns
    ]  # fmt: skip


def _bottlenecks(plan: PlanRow) -> list[dict[str, Value]]:
    if plan.roofline is not None:
        return [
            {"bottleneck": row.bottleneck, "launches": row.launches, "seconds": row.seconds}
            for row in plan.roofline.shares
        ]
    return [
        {"bottleneck": name, "launches": count, "seconds": None}
        for name, count in plan.bottlenecks.counts.items()
    ]


def _refusals(plan: PlanRow) -> list[dict[str, Value]]:
    pairs: Counter[str] = Counter()
    nbytes: Counter[str] = Counter()
    for row in plan.refusals:
        pairs[row.rule] += 1
        nbytes[row.rule] += row.bytes
    return [
        {"rule": rule, "pairs": count, "bytes": nbytes[rule]} for rule, count in pairs.most_common()
    ]


# --- rows -----------------------------------------------------------------------------------


def jobs_of(capture: Capture) -> tuple[Job, ...]:
    """Every job of a capture, in order: each unit on each device."""
    plans = product(capture.planning.unit_names, capture.planning.devices_or_none)
    return tuple(
        Job(id_, capture, strategy, rung, device)
        for id_, ((strategy, rung), device) in zip(job_ids(capture), plans, strict=True)
    )


def row_of(job: Job, way: Way, graph: Graph) -> Row:
    """The row of a job that came to a plan; `way.plan` with its patterns and refusals."""
    done = Done(way, graph)
    asked = {column.name: of(job) for column, of in (*_FIRST, *_THEN)}
    asked |= {"batch": way.model.batch, "dtype": way.model.dtype}
    asked |= {"mode": way.model.mode, "via": way.model.via}
    asked |= {"rules": way.plan.rules, "status": Status.OK.value, "reason": None}
    figures = {column.name: of(done) for column, of in _FIGURES}
    values = asked | figures
    plan = way.plan
    return (
        *(values[column.name] for column in COLUMNS),
        _patterns(plan), _bottlenecks(plan), _refusals(plan),
    )  # fmt: skip


def failed_row(job: Job, status: Status, reason: str) -> Row:
    """The row of a job without a plan: what was asked, and why there are no figures."""
    values = {column.name: of(job) for column, of in (*_FIRST, *_THEN)}
    values |= _planned(job)
    values |= {"status": status.value, "reason": reason}
    return (*(values.get(column.name) for column in COLUMNS), *([] for _ in LISTS))


def _planned(job: Job) -> dict[str, Value]:
    """How it was to be planned, where it was to be timed or searched; a search has a rung."""
    planning = job.capture.planning
    planned: dict[str, Value] = {}
    if job.device is not None:
        planned["launch"] = planning.launch
        if job.capture.how.dtype in (None, "float32"):  # others have nothing to decide
            planned["tf32"] = planning.tf32
    if job.rules is not None:
        planned |= {"objective": planning.objective, "on_chip_bytes": planning.on_chip}
    return planned


def failed_rows(capture: Capture, unit: int, status: Status, reason: str) -> list[Row]:
    """A row for each device of a unit that failed."""
    devices = len(capture.planning.devices_or_none)
    jobs = jobs_of(capture)[unit * devices : (unit + 1) * devices]
    return [failed_row(job, status, reason) for job in jobs]
