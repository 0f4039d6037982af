"""Small models for pages: blocks that repeat, ops that no formula knows, hostile names."""

from __future__ import annotations

from functools import cache

from fuseline.fusion import STRATEGIES, partition
from fuseline.graph import Builder, Graph, Kind, Origin, Role, Status, Work
from fuseline.hardware import load_device
from fuseline.report.rows import Target
from fuseline.report.rows.report import ReportRows, report_rows

HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 2">',
    "{{ 7 * 7 }} ' & < > `",
    "line\nline\r\ttab\x00\x1b[31m",
    "\u202egnirts\u2066 \u05d0\u05d1\u05d2 \u200b",
    "javascript:window.hacked=3",
    "\ud800 half a pair",
    "x" * 10_000,
)
"""Names that try to be markup, to leave their place, or to hide."""


_LINEAR = Work(512, 0, Status.COUNTED, "2 * 4 * 8 * 8")
_SMALL = Work(0, 32, Status.COUNTED, "4 * 8")


def blocks_graph(blocks: int = 4, names: tuple[str, ...] = ("block",)) -> Graph:
    """`blocks` times linear, gelu, linear, add in modules that are named after `names` in turn.

    Then an op that no formula knows. Tensors are 4 x 8 float32, 128 bytes; weights 256; a linear
    is 512 FLOPs.
    """
    build = Builder()
    x = build.tensor("x", (4, 8), role=Role.INPUT)
    for block in range(blocks):
        module = f"{names[block % len(names)]}{block}"
        x = _block(build, x, module, block)
    x = build.op("mystery", Kind.UNKNOWN, inputs=[x], shape=(4, 8), origin=Origin.ATEN)
    return build.finish([x])


def _block(build: Builder, x: int, module: str, block: int) -> int:
    def linear(name: str, source: int) -> int:
        weight = build.tensor(f"{name}_w_{block}", (8, 8), role=Role.PARAMETER)
        return build.op(
            f"{name}_{block}", Kind.LINEAR, inputs=[source], parameters=[weight], shape=(4, 8),
            module_path=f"layers.{module}.mlp.{name}", origin=Origin.ATEN, work=_LINEAR,
        )  # fmt: skip

    up = linear("up", x)
    act = build.op(
        f"act_{block}", Kind.GELU, inputs=[up], shape=(4, 8),
        module_path=f"layers.{module}.mlp.act", origin=Origin.ATEN, work=_SMALL,
    )  # fmt: skip
    down = linear("down", act)
    return build.op(
        f"add_{block}", Kind.ADD, inputs=[x, down], shape=(4, 8),
        module_path=f"layers.{module}", origin=Origin.ATEN, work=_SMALL,
    )  # fmt: skip


def hostile_graph() -> Graph:
    """A chain of ops whose names, targets and modules are all hostile."""
    build = Builder()
    x = build.tensor("x", (4, 8), role=Role.INPUT)
    for place, name in enumerate(HOSTILE):
        x = build.op(
            f"{name}{place}", Kind.GELU, inputs=[x], shape=(4, 8), target=name,
            module_path=name.replace(".", "_"), module_class=name, origin=Origin.ATEN,
        )  # fmt: skip
    return build.finish([x])


def rows_for(
    graph: Graph,
    strategies: tuple[str, ...] = ("unfused", "fusion", "tvm"),
    device: str = "",
    capacity_seconds: float = 0.0,
) -> ReportRows:
    """What a report shows of `graph`."""
    target = Target(load_device(device)) if device else None
    plans = tuple(partition(graph, strategy) for strategy in strategies)
    return report_rows(graph, plans, "0.0.0", target, capacity_seconds=capacity_seconds)


def flat_graph(ops: int) -> Graph:
    """A chain of `ops` in no module, each of which also reads the first result."""
    build = Builder()
    x = build.tensor("x", (4, 8), role=Role.INPUT)
    first = x = build.op("first", Kind.GELU, inputs=[x], shape=(4, 8), origin=Origin.ATEN)
    for place in range(1, ops):
        x = build.op(f"add_{place}", Kind.ADD, inputs=[x, first], shape=(4, 8), origin=Origin.ATEN)
    return build.finish([x])


@cache
def captured_rows(name: str, seq_len: int | None = None) -> ReportRows:
    """A real model on an H100 under every strategy."""
    from fuseline import capture

    return rows_for(capture(name, seq_len=seq_len), tuple(STRATEGIES), "h100-sxm")
