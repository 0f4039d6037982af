"""An entry -> its graph, its plan and its figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuseline.budgets.entries import Entry
from fuseline.budgets.figures import FIGURES, Sample
from fuseline.budgets.priced import Priced, priced
from fuseline.costs import memory_fit
from fuseline.errors import InputError
from fuseline.fusion import STRATEGIES, Settings
from fuseline.graph import Graph
from fuseline.hardware import load_device
from fuseline.plan import Plan
from fuseline.report.captures import graph_of
from fuseline.report.jobs import settings_of
from fuseline.report.rows import PlanRow, Target, rows
from fuseline.report.rows.device import memory_row, proof_row

Tell = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """One entry as it is now: its figures by name (None where one is not told), the priced plan
    behind them, and that plan's rows.
    """

    entry: Entry
    torch: str
    figures: dict[str, int | float | None]
    priced: Priced
    plan: PlanRow


def measure(entry: Entry, folder: Path, tell: Tell) -> Measured:
    """Capture, partition and price one entry. Files it names are relative to `folder`; `tell` hears
    of a search's steps.

    Raises `InputError` where the model cannot be captured, or a figure that has a budget is not
    told of its plan.
    """
    graph = graph_of(find_file(entry.name, folder), entry.capture)
    settings, target = _settings(entry, folder, tell)
    plan = STRATEGIES[entry.planning.strategy](graph, settings)
    result = rows(graph, (plan,), "", target)
    row = result.plans[0]
    memory = row.memory
    if memory is None and not plan.is_cover:
        memory = memory_row(memory_fit(graph, plan))
    sample = Sample(result.graph, row, memory, _gap(entry, graph, plan, row, settings))
    figures = {figure.name: figure.of(sample) for figure in FIGURES}
    for name in entry.budget:
        if figures[name] is None:
            why = "of a cover" if plan.is_cover else f"of this plan by '{plan.strategy}'"
            raise InputError(f"{entry.label}: {name} has a budget, but is not told {why}")
    return Measured(entry, result.torch, figures, priced(graph, plan, row), row)


def find_file(name: str, folder: Path) -> str:
    """A name of a model, device or rules; where a file of that name lies in `folder`, its path.

    >>> find_file("vit_b_16", Path("somewhere"))
    'vit_b_16'
    """
    file, colon, factory = name.partition(".py:")
    path = folder / (f"{file}.py" if colon else name)
    return f"{path}{f':{factory}' if colon else ''}" if path.is_file() else name


def _settings(entry: Entry, folder: Path, tell: Tell) -> tuple[Settings, Target | None]:
    planning = entry.planning
    target = None
    if planning.device is not None:
        device = load_device(find_file(planning.device, folder))
        target = Target(device, planning.launch, planning.tf32)
    first = Settings(
        on_chip=planning.on_chip,
        objective=planning.objective,
        device=target.device if target else None,
        launch=planning.launch,
        tf32=planning.tf32,
        seconds=planning.time_limit,
        progress=tell,
        pair_rules=find_file(planning.pair_rules, folder),
    )
    [settings] = settings_of(first, (planning.rules,))
    return settings, target


def _gap(entry: Entry, graph: Graph, plan: Plan, row: PlanRow, settings: Settings) -> float | None:
    """Traffic above the least that is proven of any plan legal under the rules, as a part of it.

    The search is made where a budget asks for it, or the plan has come of one.
    """
    proof = plan.proof
    if proof is None or proof.objective != "bytes":
        if "gap" not in entry.budget:
            return None
        search = Settings(
            settings.rules, settings.on_chip, seconds=settings.seconds, progress=settings.progress
        )
        proof = STRATEGIES["optimal"](graph, search).proof
    if proof is None:
        return None
    bound = proof_row(proof, graph.compulsory_bytes).bound
    return (row.traffic_bytes - bound) / bound if bound else 0.0
