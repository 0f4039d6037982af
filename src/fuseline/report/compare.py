"""Models x strategies x rules x devices x dtypes x batches -> a `Comparison`.

One capture for each model, batch, dtype and frontend feeds every strategy and device; a plan that
does not depend on the device is made once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, product

from fuseline.costs import cost, memory_fit
from fuseline.errors import InputError, did_you_mean
from fuseline.fusion import READS_RULES, STRATEGIES, Settings, choose_strategies, limits_of
from fuseline.graph import Graph
from fuseline.hardware import DEVICES, Device, load_device
from fuseline.plan import Plan
from fuseline.report.captures import Capturing, graph_of, is_graph_file, matching_models
from fuseline.report.jobs import Job, jobs, settings_of
from fuseline.report.rows import PlanRow, Target, plan_rows, rows
from fuseline.report.rows.comparing import check_number
from fuseline.report.rows.comparison import Comparison, Way
from fuseline.report.rows.device import memory_row
from fuseline.report.saved_results import is_result_file, ways_of_result
from fuseline.report.steps import Steps


@dataclass(frozen=True, slots=True)
class Planned:
    """Strategies, a setting for each rung of the rules, and the devices plans are timed on (none:
    not timed).
    """

    strategies: tuple[str, ...]
    settings: tuple[Settings, ...] = (Settings(),)
    targets: tuple[Target, ...] = ()

    def jobs(self) -> tuple[Job, ...]:
        """Every strategy with its settings."""
        return jobs(self.strategies, self.settings)


UNPLANNED = Planned(("fusion",))
"""What is made of a graph where nothing is said."""

AS_IT_COMES = Capturing()
"""Everything left to the model, as for what is captured already."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A graph, or what names one; `how` is how it is to be captured."""

    model: str | Graph
    how: Capturing = AS_IT_COMES

    @property
    def is_result(self) -> bool:
        """Whether it is a file of plans that were made and priced earlier."""
        return isinstance(self.model, str) and is_result_file(self.model)

    @property
    def is_captured(self) -> bool:
        """Whether it is a graph, or a file of one or of a result."""
        return not isinstance(self.model, str) or is_graph_file(self.model)

    @property
    def name(self) -> str:
        """How it is called in progress and errors."""
        model = self.model if isinstance(self.model, str) else self.model.source.name
        told = (f"batch {self.how.batch}" if self.how.batch else None, self.how.dtype, self.how.via)
        return ", ".join(filter(None, (model, *told)))


def compare(
    models: str | Graph | Sequence[str | Graph],
    strategies: str | Sequence[str] = ("fusion",),
    *,
    rules: str | Sequence[str] = ("T",),
    on_chip: int | None = None,
    devices: str | Device | Sequence[str | Device] = (),
    dtypes: str | Sequence[str | None] = (None,),
    batches: int | Sequence[int | None] = (None,),
    via: str | Sequence[str] = ("record",),
    seq_len: int | None = None,
    decode: int | None = None,
    attention: str = "fused",
    against: str | None = None,
    sort: str | None = None,
) -> Comparison:
    """Every model under every strategy, on every device, in every dtype and batch, side by side.

    Args:
        models: names as `capture` takes them, patterns of them (`resnet*`), saved graphs or result
            files by path, or graphs.
        strategies: names of `STRATEGIES`, or `all`.
        rules: rungs of the ladder that `optimal` searches under.
        on_chip: on-chip memory of a kernel, for `optimal` [bytes].
        devices: names of `DEVICES`, device files, or devices; none: nothing is timed.
        dtypes: floating-point dtypes to capture in; None leaves it to the model.
        batches: batch sizes to capture at.
        via: frontends.
        seq_len: tokens of a sequence, for models that take sequences.
        decode: the step that makes one token after this many cached ones.
        attention: `fused` or `decomposed`.
        against: what changes are counted from: a way's number, or a value such as `unfused`.
        sort: the figure to sort by, or `none`.

    Raises:
        InputError: a name that is none, or a model that cannot be captured.

    >>> from fuseline.graph import Builder, Kind, Role
    >>> build = Builder()
    >>> x = build.tensor("x", (4, 4), role=Role.INPUT)
    >>> y = build.op("act", Kind.RELU, inputs=[x], shape=(4, 4), target="ReLU")
    >>> z = build.op("drop", Kind.DROPOUT, inputs=[y], shape=(4, 4), target="Dropout")
    >>> table = compare(build.finish([z]), ["unfused", "fusion"]).table(["strategy", "launches"])
    >>> table.rows
    (('fusion', 1), ('unfused', 2))
    """
    targets = tuple(
        Target(device if isinstance(device, Device) else load_device(device))
        for device in _several(devices)
    )
    settings = settings_of(Settings(on_chip=on_chip), _several(rules))
    planned = Planned(choose_strategies(_several(strategies)), settings, targets)
    how = tuple(
        Capturing(
            None if each == "record" else each, batch, dtype, (), seq_len, decode,
            attention=None if attention == "fused" else attention,
        )
        for each, dtype, batch in product(_several(via), _several(dtypes), _several(batches))
    )  # fmt: skip
    subjects = subjects_of(_several(models), how)
    remarks = check_results(subjects, is_planned=planned != UNPLANNED)
    check_against(against, subjects, planned)
    with Steps() as steps:
        ways = tuple(find_ways(subjects, planned, steps.tell))
    return Comparison(ways, against, sort, remarks)


def _several(value: object) -> tuple:
    """One value, or several, as a tuple."""
    one = isinstance(value, str | int | Graph | Device) or not isinstance(value, Iterable)
    return (value,) if one else tuple(value)


def subjects_of(models: Sequence[str | Graph], how: Sequence[Capturing]) -> tuple[Subject, ...]:
    """Every model, patterns spelled out, in every way it is to be captured. Graphs are captured
    already: once each, and refused where `how` asks something of them.
    """
    found = []
    for model in models:
        names = matching_models(model) if isinstance(model, str) else (model,)
        for name in names:
            alone = Subject(name)
            if alone.is_captured and any(each != AS_IT_COMES for each in how):
                what = "a result" if alone.is_result else "a saved graph"
                raise InputError(f"'{alone.name}' is {what}: how it was captured is fixed")
            found += [alone] if alone.is_captured else [Subject(name, each) for each in how]
    return tuple(dict.fromkeys(found))


def check_results(subjects: Sequence[Subject], *, is_planned: bool) -> tuple[str, ...]:
    """Remarks on results, whose plans are made; `is_planned` says that plans are asked for.

    Raises `InputError` where nothing else is there to make them of.
    """
    results = [subject.name for subject in subjects if subject.is_result]
    if not results or not is_planned:
        return ()
    if len(results) == len(subjects):
        raise InputError(f"'{results[0]}' is a result: how it was partitioned and timed is fixed")
    return (f"As they were written, whatever is asked of the others: {', '.join(results)}",)


def check_against(against: str | None, subjects: Sequence[Subject], planned: Planned) -> None:
    """Refuse a baseline that no way can be, before any is captured. What only captures tell, as the
    dtype of a model, is left to them.
    """
    if against is None or any(subject.is_captured for subject in subjects):
        return
    if against.isdecimal():
        check_number(against, len(subjects) * len(planned.jobs()) * max(len(planned.targets), 1))
        return
    value = against.rpartition("=")[2]
    asked = (*planned.strategies, *(target.device.name for target in planned.targets))
    if value in asked or any(value == subject.model for subject in subjects):
        return
    hint = did_you_mean(value, asked)
    if hint or value in DEVICES or did_you_mean(value, STRATEGIES):
        raise InputError(f"no way has '{against}'{hint or ': one of ' + ', '.join(asked)}")


def find_ways(
    subjects: Iterable[Subject],
    planned: Planned,
    tell: Callable[[str], None],
    failed: Callable[[str], None] | None = None,
    kept: Callable[[PlanRow], PlanRow] | None = None,
) -> Iterator[Way]:
    """Capture, partition and price, way by way; `tell` hears what is being done. `kept` says what
    stays of each plan's row, which has no members: its totals, where nothing is said.

    A model that cannot be captured or partitioned ends it with an `InputError`; or, where there is
    a `failed`, that hears of it, and the others go on.
    """
    for subject in subjects:
        try:
            yield from _ways_of(subject, planned, tell, kept or totals)
        except InputError as error:
            if failed is None:
                raise
            failed(f"{subject.name}: {error}")


def _ways_of(
    subject: Subject,
    planned: Planned,
    tell: Callable[[str], None],
    kept: Callable[[PlanRow], PlanRow],
) -> Iterator[Way]:
    tell(f"capturing {subject.name}")
    asked, graph = subject.name, subject.model
    if isinstance(graph, str):
        asked = graph
        if is_result_file(graph):
            yield from ways_of_result(graph)
            return
        graph = graph_of(graph, subject.how)
    known = rows(graph, (), "")
    for strategy, setting in planned.jobs():
        said = f"{subject.name}: {strategy}"
        tell(said)
        told = replace(setting, progress=partial(_tell_search, tell, said))
        for row, plan, target in _priced(graph, strategy, told, planned.targets):
            memory = row.memory
            if memory is None and not plan.is_cover:
                memory = memory_row(memory_fit(graph, plan))
            room = target.device.memory_nbytes if target else None
            yield Way(asked, known.model, known.graph, kept(row), memory, room)


def _tell_search(tell: Callable[[str], None], said: str, step: str, count: int) -> None:
    tell(f"{said}, {count:,} {step}")


def _priced(
    graph: Graph, strategy: str, setting: Settings, targets: Sequence[Target]
) -> Iterator[tuple[PlanRow, Plan, Target | None]]:
    """The plan on each device, made anew only where the device decides what it is."""
    for several in _planned_alike(strategy, setting, targets):
        device = several[0].device if several[0] else None
        plan = STRATEGIES[strategy](graph, replace(setting, device=device))
        made = plan_rows(graph, plan, cost(graph, plan), several, with_members=False)
        for row, target in zip(made, several, strict=True):
            yield row, plan, target


def _planned_alike(
    strategy: str, setting: Settings, targets: Sequence[Target]
) -> Iterator[tuple[Target | None, ...]]:
    """Devices that share a plan, in order: those of one kind for Inductor, whose limits are a
    kind's; each alone where seconds on it decide; else all.
    """
    if not targets:
        yield (None,)
    elif strategy in READS_RULES and setting.objective == "seconds":
        yield from ((target,) for target in targets)
    elif strategy == "inductor":
        for _, alike in groupby(targets, lambda target: limits_of(target.device)):
            yield tuple(alike)
    else:
        yield tuple(targets)


def totals(row: PlanRow) -> PlanRow:
    """A plan's totals: without its patterns and refusals, which a comparison does not show."""
    return replace(row, patterns=(), refusals=())
