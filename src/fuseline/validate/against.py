"""One model held against one compiler: our rules' plan, the compiler's own, and how they agree."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from fuseline.costs import cost
from fuseline.errors import InputError
from fuseline.frontends import write_script
from fuseline.fusion import partition
from fuseline.graph import Graph
from fuseline.plan import Extra, Group, Plan
from fuseline.validate.inductor.agreement import Agreement, agreement
from fuseline.validate.inductor.breaks import check_one_graph
from fuseline.validate.inductor.cache import cached_plan
from fuseline.validate.inductor.ours import our_plan
from fuseline.validate.inductor.owners import Besides
from fuseline.validate.inductor.plan import RealPlan, read_plan
from fuseline.validate.inductor.read import Schedule
from fuseline.validate.pairs import PairAgreement, compare_pairs, kernel_pairs

if TYPE_CHECKING:
    from fuseline.frontends.sources.sourced import Sourced


@dataclass(frozen=True, slots=True)
class InductorHeld:
    """A model's graph, our plan for it, Inductor's, and how far they agree."""

    graph: Graph
    ours: Plan
    real: RealPlan
    agreement: Agreement


def hold_against_inductor(
    sourced: Sourced, schedule: Schedule, via: str = "record", attention: str = "fused"
) -> InductorHeld:
    """Read what Inductor makes of the model, or what was kept of it, and compare.

    Raises `InputError` under another torch, where torch.compile breaks the model's graph, and where
    Inductor cannot compile it.
    """
    script = write_script(sourced, via, attention)
    graph = script.graph

    def read() -> RealPlan:
        check_one_graph(sourced)
        return read_plan(script, schedule)

    real = cached_plan(graph, schedule, version("torch"), read)
    planned, ours = our_plan(graph, schedule)
    found = agreement(graph, ours, real, planned=planned)
    return InductorHeld(graph, on_graph(graph, planned, ours), real, found)


def on_graph(graph: Graph, planned: Graph, plan: Plan) -> Plan:
    """`plan`, made for `graph` with copies into other layouts added, as a plan of `graph` itself:
    a kernel that only copies is one besides the groups.
    """
    if planned is graph:
        return plan
    numbers = {op.name: op.id for op in graph.ops}
    folded = {op.name for op in graph.folded}
    prices = cost(planned, plan).groups
    groups: list[Group] = []
    extras = list(plan.extras)
    for group, price in zip(plan.groups, prices, strict=True):
        names = [planned.ops[op].name for op in group.ops]
        ops = tuple(numbers[name] for name in names if name in numbers)
        again = (planned.ops[op].name for op in group.recomputed)
        if not ops:
            besides = Besides.CONSTANT if names[0] in folded else Besides.LAYOUT
            extras.append(Extra(names[0], besides.value, price.nbytes))
            continue
        recomputed = tuple(numbers[name] for name in again if name in numbers)
        groups.append(Group(len(groups), ops, group.pattern, recomputed))
    named = {op.id: op.name for op in planned.ops}
    refusals = tuple(
        replace(refusal, producer=numbers[producer], consumer=numbers[consumer])
        for refusal in plan.refusals
        if (producer := named[refusal.producer]) in numbers
        and (consumer := named[refusal.consumer]) in numbers
    )
    return replace(plan, groups=tuple(groups), refusals=refusals, extras=tuple(extras))


# --- compilers whose kernels are read as a plan alone -------------------------------------------


@dataclass(frozen=True, slots=True)
class PlanAgreement:
    """How far our rules and a compiler agree, where it says what it fuses and not what it moves.

    `only_ours` and `only_real` are groups (their compute ops, by name) that the other plan has not.
    """

    compiler: str
    ours_launches: int
    real_launches: int
    pairs: PairAgreement
    only_ours: tuple[tuple[str, ...], ...]
    only_real: tuple[tuple[str, ...], ...]

    @property
    def launches_ratio(self) -> float:
        """Our launches in those of the compiler."""
        return self.ours_launches / self.real_launches


@dataclass(frozen=True, slots=True)
class PlanHeld:
    """A model's graph, our plan for it, the compiler's, and how far they agree."""

    graph: Graph
    ours: Plan
    real: Plan
    agreement: PlanAgreement


def hold_against_plan(
    sourced: Sourced, compiler: str, via: str = "record", attention: str = "fused"
) -> PlanHeld:
    """Read what TVM or ONNX Runtime makes of the model and compare it with the strategy of its
    name.

    Raises `InputError` where the compiler is not installed or does not take the model.
    """
    if via != "record":
        raise InputError(f"{compiler} is given the recorded program: use --via record")
    graph = write_script(sourced, via, attention).graph
    if compiler == "tvm":
        from fuseline.validate.tvm_plan import tvm_plan

        ours = partition(graph, compiler)
        real = tvm_plan(sourced, graph, attention=attention)
    else:
        from fuseline.fusion.tables import onnxruntime
        from fuseline.validate.onnxruntime_oracle import LEVELS
        from fuseline.validate.onnxruntime_plan import onnxruntime_plan

        ours = onnxruntime(graph, LEVELS["extended"])  # the level that is asked of it
        real = onnxruntime_plan(sourced, graph, level="extended", attention=attention)
    return PlanHeld(graph, ours, real, compare_plans(graph, ours, real, compiler))


def compare_plans(graph: Graph, ours: Plan, real: Plan, compiler: str) -> PlanAgreement:
    """Pairs that share a kernel, and the groups that differ."""
    own, theirs = _named_groups(graph, ours), _named_groups(graph, real)
    return PlanAgreement(
        compiler,
        cost(graph, ours).launches,
        cost(graph, real).launches,
        compare_pairs(kernel_pairs(graph, ours), kernel_pairs(graph, real)),
        tuple(group for group in own if group not in set(theirs)),
        tuple(group for group in theirs if group not in set(own)),
    )


def _named_groups(graph: Graph, plan: Plan) -> tuple[tuple[str, ...], ...]:
    named = (
        tuple(graph.ops[op].name for op in group.ops if graph.ops[op].is_compute)
        for group in plan.groups
    )
    return tuple(names for names in named if names)
