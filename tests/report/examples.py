"""One small result whose every figure is counted by hand: with a view, an op that no formula knows,
and a kernel besides the groups.
"""

from __future__ import annotations

from fuseline.graph import Builder, Graph, Kind, OpClass, Origin, Role, Source, Status, Work
from fuseline.plan import Extra, Group, Plan, Refusal, Rule
from fuseline.report.rows import Result, Target, rows
from fuseline.report.rows.table import Column, Measure, Table
from tests.costs.test_roofline import ROUND

HOSTILE = (
    "<script>alert('x')</script>",
    "=cmd|'/C calc'!A0",
    "a|b`c`\\|d",
    "@someone #12 :smile: www.example.com $x$ ~~no~~ *no* _no_ [no](no)",
    "first\nsecond\r\tthird",
    "\u202eright to left\u2066",
    "\x1b[31mred\x00\ud800",
    "  spaced   out ",
    "`" * 3,
    "&lt;b&gt;",
    "x" * 10_000,
)
"""What a model may name its modules to break out of a report."""


def example_graph(name: str = "hand-made", module: str = "net.fc") -> Graph:
    """x (4 x 8, 128 bytes) -> fc (512 FLOPs, weight of 256 bytes) -> view -> gelu (320 other FLOPs)
    -> mystery, which no formula knows.
    """
    build = Builder()
    x = build.tensor("x", (4, 8), role=Role.INPUT)
    weight = build.tensor("weight", (8, 8), role=Role.PARAMETER)
    y = build.op(
        "fc", Kind.LINEAR, inputs=[x], parameters=[weight], shape=(4, 8), origin=Origin.ATEN,
        module_path=module, target="linear", work=Work(512, 0, Status.COUNTED),
    )  # fmt: skip
    flat = build.tensor("flat", (32,), storage=build.tensors[y].storage)
    build.op(
        "view", Kind.RESHAPE, inputs=[y], outputs=[flat], op_class=OpClass.VIEW,
        origin=Origin.ATEN, module_path=module,
    )  # fmt: skip
    z = build.op(
        "gelu", Kind.GELU, inputs=[flat], shape=(32,), origin=Origin.ATEN, module_path="net.act",
        target="gelu", work=Work(0, 320, Status.COUNTED),
    )  # fmt: skip
    end = build.op(
        "mystery", Kind.UNKNOWN, inputs=[z], shape=(32,), origin=Origin.ATEN, module_path="net",
        target="mine::mystery",
    )  # fmt: skip
    source = Source(name, "build", "record", "eval", 1, "float32", ((4, 8),), nodes=4)
    return build.finish([end], source)


def example_plan(strategy: str = "mine", pattern: str = "linear_gelu") -> Plan:
    """fc and gelu as one kernel, mystery as another, and a copy of 64 bytes besides."""
    refusal = Refusal(2, 3, Rule.UNKNOWN_OP, "mystery is known to no table", 256)
    return Plan(
        strategy,
        (Group(0, (0, 1, 2), pattern), Group(1, (3,), "Unfused")),
        (refusal,),
        extras=(Extra("copy", "layout", 64),),
    )


def example_result(*, on_device: bool = False) -> Result:
    """The example priced, on a device of round numbers where it is asked for."""
    target = Target(ROUND) if on_device else None
    return rows(example_graph(), (example_plan(),), "0", target)


def hostile_table() -> Table:
    """Every hostile text as a cell beside figures of every sort."""
    columns = (
        Column("number", Measure.COUNT, "its place"),
        Column("name", Measure.TEXT, "what a model <named> it"),
        Column("traffic_bytes", Measure.BYTES),
        Column("arithmetic_intensity", Measure.RATIO),
        Column("share", Measure.FRACTION),
        Column("seconds", Measure.SECONDS),
        Column("launched", Measure.YES),
    )
    figures = (524_788_224, float("inf"), -0.1533, 0.000_123_456_78, True)
    nothing = (None, None, None, None, None)
    return Table(
        "hostile",
        f"Names like {HOSTILE[0]}",
        columns,
        tuple(
            (number, name, *(nothing if number % 2 else figures))
            for number, name in enumerate(HOSTILE)
        ),
        (f"a note on {HOSTILE[3]}", f"and on {HOSTILE[4]}"),
    )
