"""Small models before and after a change, with every figure easy to count."""

from __future__ import annotations

from collections.abc import Sequence

from fuseline.budgets.priced import Priced, priced
from fuseline.costs import cost
from fuseline.fusion import STRATEGIES
from fuseline.graph import Builder, Graph, Kind, Origin, Role, Source, Status, Work
from fuseline.report.rows import Target, plan_row

SIDE = 4
TENSOR = SIDE * SIDE * 4
"""Bytes of one tensor: 4 x 4 floats."""

FLOPS = 2 * SIDE**3
"""Of one linear."""

Layer = tuple[str, Kind]
"""A module's path, and what it computes."""


def net(*layers: Layer, name: str = "net") -> Graph:
    """Layers one after the other; a linear has a weight of its own."""
    build = Builder()
    x = build.tensor("x", (SIDE, SIDE), role=Role.INPUT)
    for number, (path, kind) in enumerate(layers):
        is_linear = kind is Kind.LINEAR
        weight = [build.tensor(f"w{number}", (SIDE, SIDE), role=Role.PARAMETER)]
        x = build.op(
            f"{kind.value}_{number}", kind, inputs=[x], parameters=weight if is_linear else [],
            shape=(SIDE, SIDE), origin=Origin.ATEN, module_path=path, target=kind.value,
            work=Work(FLOPS if is_linear else 0, 0, Status.COUNTED),
        )  # fmt: skip
    source = Source(name, "build", "record", "eval", SIDE, "float32", ((SIDE, SIDE),), len(layers))
    return build.finish([x], source)


def block(path: str) -> tuple[Layer, Layer]:
    """A linear and its activation."""
    return ((f"{path}.fc", Kind.LINEAR), (f"{path}.act", Kind.RELU))


def plan_of(graph: Graph, strategy: str = "unfused", target: Target | None = None) -> Priced:
    """The graph's plan by a strategy, priced."""
    plan = STRATEGIES[strategy](graph)
    return priced(graph, plan, plan_row(graph, plan, cost(graph, plan), target))


def names(graph: Graph, ops: Sequence[int]) -> list[str]:
    """Names of ops by their ids."""
    return [graph.ops[op].name for op in ops]
