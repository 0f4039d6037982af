"""`fuseline compare A B --ops`: two captures of one model, kernel by kernel and op by op."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fuseline.budgets.changes import difference_tables, left_out, summary
from fuseline.budgets.difference import difference
from fuseline.budgets.priced import Priced, priced
from fuseline.costs import cost
from fuseline.errors import InputError
from fuseline.fusion import READS_RULES, STRATEGIES
from fuseline.report.captures import graph_of
from fuseline.report.compare import Planned, Subject
from fuseline.report.rows import plan_row
from fuseline.report.rows.table import Column, Measure, Table

_TWO = 2


def difference_of(
    subjects: tuple[Subject, ...], planned: Planned, tell: Callable[[str], None]
) -> tuple[Table, ...]:
    """What the second of two subjects has that the first has not, under one strategy.

    Raises `InputError` for more or fewer than that.
    """
    jobs, devices = planned.jobs(), planned.targets
    if len(subjects) != _TWO or len(jobs) != 1 or len(devices) > 1:
        raise InputError("--ops lays two captures side by side: two models, or one in two ways; "
                         "one strategy, and at most one device")  # fmt: skip
    before, after = (_priced(subject, planned, tell) for subject in subjects)
    tell("matching ops")
    found = difference(before, after)
    title = f"From {subjects[0].name} to {subjects[1].name}, under {_plan_in_words(planned)}"
    totals = Table(
        "totals",
        title,
        (
            Column("plan", Measure.TEXT, "which of the two"),
            Column("launches", Measure.COUNT, "kernels launched"),
            Column("traffic_bytes", Measure.BYTES, "bytes they move"),
            Column("flops", Measure.FLOPS, "FLOPs they compute"),
            Column("seconds", Measure.SECONDS, "on the device, every launch in full"),
        ),
        (
            ("before", before.launches, before.traffic_bytes, before.flops, before.seconds),
            ("after", after.launches, after.traffic_bytes, after.flops, after.seconds),
        ),
        (summary(found), *left_out(found)),
    )
    return (totals, *difference_tables(found))


def _plan_in_words(planned: Planned) -> str:
    """How both plans are made and timed, defaults left out."""
    [(strategy, setting)] = planned.jobs()
    words = [strategy]
    if strategy in READS_RULES:
        words = [f"{strategy} ({setting.rules})"]
        words += [f"least {setting.objective}"] if setting.objective != "bytes" else []
    for target in planned.targets:
        words.append(f"on {target.device.name}")
        words += [f"launched by {target.launch}"] if target.launch != "eager" else []
        words += ["tf32"] if target.tf32 else []
    return ", ".join(words)


def _priced(subject: Subject, planned: Planned, tell: Callable[[str], None]) -> Priced:
    tell(f"capturing {subject.name}")
    if not isinstance(subject.model, str):
        raise InputError("--ops takes models by name")
    graph = graph_of(subject.model, subject.how)
    [(strategy, setting)] = planned.jobs()
    target = planned.targets[0] if planned.targets else None
    tell(f"{subject.name}: {strategy}")
    plan = STRATEGIES[strategy](graph, replace(setting, device=target.device if target else None))
    return priced(graph, plan, plan_row(graph, plan, cost(graph, plan), target))
