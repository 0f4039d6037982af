"""Small models to lay side by side: chains of a linear and elementwise ops."""

from __future__ import annotations

from fuseline.fusion import Settings
from fuseline.graph import Builder, Graph, Kind, Origin, Role, Source, Status, Work
from fuseline.hardware import load_device
from fuseline.report.compare import Planned, Subject, find_ways
from fuseline.report.rows import Target
from fuseline.report.rows.comparison import Comparison
from fuseline.report.rows.table import Value
from fuseline.report.rows.ways import FIGURES, Figure, Way


def chain(name: str = "net", ops: int = 3, dtype: str = "float32", batch: int = 4) -> Graph:
    """`batch` x 4 elements through a linear (4 x 4) and elementwise ops, one after the other."""
    build = Builder()
    x = build.tensor("x", (batch, 4), dtype=dtype, role=Role.INPUT)
    weight = build.tensor("weight", (4, 4), dtype=dtype, role=Role.PARAMETER)
    kinds = (Kind.RELU, Kind.TANH, Kind.SIGMOID, Kind.SILU)
    for number, kind in enumerate((Kind.LINEAR, *kinds[: ops - 1])):
        made = build.tensor(f"y{number}", (batch, 4), dtype=dtype)
        flops = 2 * batch * 4 * 4 if kind is Kind.LINEAR else 0
        build.op(
            f"{kind.value}_{number}", kind, inputs=[x], outputs=[made], origin=Origin.ATEN,
            parameters=[weight] if kind is Kind.LINEAR else [],
            work=Work(flops, 0, Status.COUNTED),
        )  # fmt: skip
        x = made
    source = Source(name, "build", "record", "eval", batch, dtype, ((batch, 4),), ops, "2.13.0")
    return build.finish([x], source)


def ways_of(*graphs: Graph, strategies: tuple[str, ...] = ("unfused", "tvm")) -> tuple[Way, ...]:
    subjects = [Subject(graph) for graph in graphs]
    return tuple(find_ways(subjects, Planned(strategies), lambda _: None))


def marks(comparison: Comparison) -> dict[object, object]:
    table = comparison.wide()
    return dict(zip(table.column("way"), table.column("best"), strict=True))


def number(value: Value) -> float:
    assert isinstance(value, int | float)
    return value


def figure(name: str) -> Figure:
    return next(each for each in FIGURES if each.name == name)


def timed_ways(*graphs: Graph, strategies: tuple[str, ...] = ("tvm",)) -> tuple[Way, ...]:
    planned = Planned(strategies, (Settings(),), (Target(load_device("h100-sxm")),))
    return tuple(find_ways([Subject(graph) for graph in graphs], planned, lambda _: None))
