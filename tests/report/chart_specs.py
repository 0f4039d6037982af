"""Every chart of a small model, and what is drawn of it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from functools import cache

from fuseline.fusion import partition
from fuseline.graph import Graph
from fuseline.hardware import load_device
from fuseline.report import charts
from fuseline.report.rows import Result, Target, rows
from fuseline.report.rows.capacity import (
    CapacityRows,
    KneeRow,
    OnChipRow,
    PointRow,
)
from tests.costs.test_roofline import ROUND
from tests.report.models import tower

SVG = "{http://www.w3.org/2000/svg}"
ON_ROUND, ON_H100 = Target(ROUND), Target(load_device("h100-sxm"))


def result_of(graph: Graph, *strategies: str, target: Target | None = ON_ROUND) -> Result:
    plans = tuple(partition(graph, strategy) for strategy in strategies)
    return rows(graph, plans, "0", target)


CURVE = CapacityRows(
    "fuseline.capacity/1", "0", "model", "record", "M", 400, 1000, 10,
    (
        PointRow(1 << 16, 1000, 10, 0, 1000, 0, is_optimal=True, candidates=9, seconds=0.1),
        PointRow(1 << 17, 800, 8, 200, 700, 100, is_optimal=False, candidates=9, seconds=0.1),
        PointRow(1 << 18, 500, 5, 500, 500, 0, is_optimal=True, candidates=9, seconds=0.1),
    ),
    KneeRow(0.9, 1 << 18, (1 << 17, 1 << 18), "256 KiB is enough"),
)  # fmt: skip

ON_CHIP = (OnChipRow("L1 of a core", 1 << 17), OnChipRow("last cache", 1 << 25))


@cache
def specs() -> dict[str, charts.Spec]:
    result = result_of(tower(3), "unfused", "optimal")
    plan = result.plans[0]
    return {
        "roofline": charts.roofline(plan, model="tower"),
        "bands": charts.roofline(result_of(tower(3), "unfused", target=None).plans[0]),
        "icicle": charts.icicle(plan, model="tower"),
        "strategies": charts.strategies(result),
        "bottlenecks": charts.bottlenecks(plan, model="tower"),
        "capacity": charts.capacity(CURVE, ON_CHIP, device="round"),
    }


def data(spec: charts.Spec, name: str) -> list[dict[str, object]]:
    found = spec["datasets"]
    assert isinstance(found, dict)
    return found[name]


def drawn(spec: charts.Spec) -> ET.Element:
    return ET.fromstring(charts.to_svg(spec))  # noqa: S314 - our own


def axes(spec: charts.Spec) -> list[list[str]]:
    """The labels of the axes that have any: x, then y."""
    return [
        ["".join(text.itertext()) for text in group]
        for group in drawn(spec).iter(f"{SVG}g")
        if "role-axis-label" in group.get("class", "")
    ]


def said(spec: charts.Spec) -> list[str]:
    """What those hear who do not see the chart."""
    return [
        found.get("aria-label", "") for found in drawn(spec).iter() if "aria-label" in found.attrib
    ]
