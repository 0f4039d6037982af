"""Graphs for Model Explorer: layers, edges, figures, node data, and names that try to break out."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseline.costs import cost
from fuseline.fusion import partition
from fuseline.graph import Builder, Graph, Kind, Origin, Role, Status, Work
from fuseline.hardware import load_device
from fuseline.plan import Extra, Group, Plan
from fuseline.report.explorer import encode_explorer, encode_overlays
from fuseline.report.rows import Target, plan_row
from fuseline.report.rows.explorer import ExplorerRows, explorer_rows
from tests.golden import check_golden
from tests.report.models import SQUARE, SQUARE_BYTES, tower
from tests.small_graphs import small_graph
from tests.strategies import graphs, joined, plan_of

_Json = dict[str, Any]


def _rows(graph: Graph, plan: Plan, target: Target | None = None) -> ExplorerRows:
    return explorer_rows(graph, plan, plan_row(graph, plan, cost(graph, plan), target))


def _graph(rows: ExplorerRows) -> _Json:
    (found,) = json.loads(encode_explorer((rows,)))
    return found


def _attrs(node: _Json) -> dict[str, str]:
    return {pair["key"]: pair["value"] for pair in node["attrs"]}


def _values(name: str, *rows: ExplorerRows) -> list[dict[str, Any]]:
    """The node data of that name: node -> value, graph by graph."""
    graphs = json.loads(encode_overlays(rows)[name])
    return [
        {node: result["value"] for node, result in data["results"].items()}
        for data in graphs.values()
    ]


JOINED = Plan("joined", (Group(0, (0,), "Unfused"), Group(1, (1, 2, 3, 4), "linear_relu")), ())


def test_a_kernel_is_a_layer_in_its_module() -> None:
    nodes = {node["id"]: node for node in _graph(_rows(tower(blocks=1), JOINED))["nodes"]}
    assert list(nodes) == ["input 0", "0", "1", "2", "3", "4", "output 0"]
    assert nodes["0"]["namespace"] == "net/stem"  # alone: a node, no layer
    kernel = "net/blocks/0/fc/#1 linear_relu"  # fc_0, act_0, add_0 and head: where the first is
    assert {nodes[op]["namespace"] for op in "1234"} == {kernel}
    assert (nodes["input 0"]["namespace"], nodes["output 0"]["namespace"]) == ("", "")
    assert [nodes[op]["label"] for op in "01234"] == ["linear", "linear", "relu", "add", "linear"]


def test_edges_carry_tensors() -> None:
    nodes = {node["id"]: node for node in _graph(_rows(tower(blocks=1), JOINED))["nodes"]}
    sources = {
        node: [edge["sourceNodeId"] for edge in found["incomingEdges"]]
        for node, found in nodes.items()
    }
    assert sources == {
        "input 0": [], "0": ["input 0"], "1": ["0"], "2": ["1"], "3": ["0", "2"], "4": ["3"],
        "output 0": ["4"],
    }  # fmt: skip
    assert nodes["0"]["outputsMetadata"] == [
        {
            "id": "0",
            "attrs": [{"key": "shape", "value": "4x4"}, {"key": "dtype", "value": "float32"}],
        }
    ]


def test_figures_stand_with_ops_kernels_modules_and_the_model() -> None:
    graph = _graph(_rows(tower(blocks=1), JOINED))
    fc = _attrs(next(node for node in graph["nodes"] if node["id"] == "1"))
    assert (fc["name"], fc["module"], fc["flops"]) == ("fc_0", "net.blocks.0.fc", "128")
    assert fc["traffic_bytes alone"] == str(3 * SQUARE_BYTES)
    assert (fc["kernel"], fc["kernel traffic_bytes"]) == ("#1 linear_relu", "256")
    layers = graph["groupNodeAttributes"]
    kernel = layers["net/blocks/0/fc/#1 linear_relu"]
    # in: stem's result; two weights; out: the output
    assert [kernel[f"{what}_bytes"] for what in ("read", "parameter", "written", "traffic")] == [
        "64", "128", "64", "256",
    ]  # fmt: skip
    assert (kernel["arithmetic_intensity"], kernel["bottleneck"]) == ("1.00", "bandwidth-bound")
    assert (layers["net"]["launches"], layers["net"]["traffic_bytes"]) == ("2", "448")
    assert (layers["net/stem"]["flops"], layers["net/blocks"]["flops"]) == ("128", "256")
    assert (layers[""]["strategy"], layers[""]["traffic_bytes"]) == ("joined", "448")
    assert "seconds" not in kernel


def test_on_a_device_there_are_seconds() -> None:
    target = Target(load_device("h100-sxm"))
    rows = _rows(tower(blocks=1), JOINED, target)
    assert rows.plan.seconds is not None
    assert sum(_values("seconds", rows)[0].values()) == pytest.approx(rows.plan.seconds)
    assert set(_values("bottleneck", rows)[0].values()) == {"launch"}
    assert "pipelined_seconds" in _graph(rows)["groupNodeAttributes"][""]


def test_without_a_device_there_are_none() -> None:
    overlays = encode_overlays((_rows(tower(blocks=1), JOINED),))
    assert list(overlays) == ["traffic_bytes", "arithmetic_intensity", "bottleneck"]


def test_every_kernel_has_one_value_at_its_heaviest_op() -> None:
    rows = _rows(tower(blocks=1), JOINED)
    assert _values("traffic_bytes", rows) == [{"0": 192, "1": 256}]
    assert _values("arithmetic_intensity", rows) == [{"0": 128 / 192, "1": 1.0}]
    assert _values("bottleneck", rows) == [{"0": "bandwidth-bound", "1": "bandwidth-bound"}]


def test_an_op_computed_twice_is_a_node_in_each_kernel() -> None:
    graph = tower(blocks=1)  # stem, fc, act, add, head
    groups = (Group(0, (0, 1, 2), "a"), Group(1, (0, 3, 4), "b", recomputed=(0,)))
    rows = _rows(graph, Plan("cover", groups, (), is_cover=True))
    sources = {node.id: [source.node for source in node.sources] for node in rows.nodes}
    assert sources == {
        "input 0": [], "0@0": ["input 0"], "0@1": ["input 0"], "1": ["0@0"], "2": ["1"],
        "3": ["0@1", "2"], "4": ["3"], "output 0": ["4"],
    }  # fmt: skip
    assert sum(_values("traffic_bytes", rows)[0].values()) == rows.plan.traffic_bytes


def test_kernels_that_no_node_stands_for_are_counted() -> None:
    plan = replace(JOINED, extras=(Extra("copy", "a layout", 128),))
    rows = _rows(tower(blocks=1), plan)
    told = _graph(rows)["groupNodeAttributes"][""]
    assert (told["extra_launches"], told["extra_traffic_bytes"]) == ("1", "128")
    assert sum(_values("traffic_bytes", rows)[0].values()) + 128 == rows.plan.traffic_bytes


def test_plans_of_one_name_are_told_apart() -> None:
    rows = _rows(tower(blocks=1), JOINED)
    ids = [graph["id"] for graph in json.loads(encode_explorer((rows, rows)))]
    assert ids == ["joined", "joined [2]"]
    assert list(json.loads(encode_overlays((rows, rows))["bottleneck"])) == ids


def test_an_unknown_op_is_no_zero() -> None:
    build = Builder()
    x = build.tensor("x", SQUARE, role=Role.INPUT)
    graph = build.finish([build.op("odd", Kind.UNKNOWN, inputs=[x], shape=SQUARE)])
    found = _graph(_rows(graph, plan_of([(0,)])))
    assert _attrs(found["nodes"][1])["flops"] == "unknown"
    assert found["groupNodeAttributes"][""]["unknown_ops"] == "1"


def test_the_graphs_and_node_data_of_two_plans() -> None:
    graph = tower(blocks=1)
    rows = (_rows(graph, partition(graph, "unfused")), _rows(graph, JOINED))
    check_golden("explorer.json", encode_explorer(rows))
    overlays = encode_overlays(rows)
    check_golden("explorer.overlays.jsonl", b"".join(overlays.values()))


HOSTILE = (
    "</script><script>alert(1)</script>",
    "\"quotes' and \\ backslashes",
    "line\nend\ttab\x00nul\x1b[31m",
    "\u202eright to left",
    "half \ud800 a pair",
    "__proto__",
    "a/b;c___group___",
    "/",
    ";",
    "___group___",
    "ends in a backslash\\",
    "x" * 10_000,
)


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_makes_layers_or_reaches_the_viewer_unseen(name: str) -> None:
    build = Builder()
    x = build.tensor(name, SQUARE, role=Role.INPUT)
    for place in range(2):
        x = build.op(
            f"{name}{place}", Kind.RELU, inputs=[x], shape=SQUARE, target=name,
            module_path=f"top.{name.replace('.', '')}", module_class=name, origin=Origin.ATEN,
            work=Work(0, 16, Status.COUNTED),
        )  # fmt: skip
    plan = Plan(name, (Group(0, (0, 1), name),), ())
    content = encode_explorer((_rows(build.finish([x]), plan),))
    (found,) = json.loads(content)
    first = found["nodes"][1]
    parts = first["namespace"].split("/")
    assert (len(parts), parts[0]) == (3, "top")
    assert all(0 < len(part) <= 80 for part in parts)
    assert not re.search(r";|\\/|___group___", first["namespace"])
    assert first["namespace"].isascii()  # the viewer's pictures have no other letters
    assert first["namespace"] in found["groupNodeAttributes"]
    assert len(first["label"]) <= 80
    for text in (first["label"], first["namespace"], *_attrs(first).values(), found["id"]):
        assert text.isprintable()
    assert len(_attrs(first)["name"]) >= len(name)  # all of it, whatever the picture cuts


def test_long_names_that_begin_alike_stay_apart() -> None:
    build = Builder()
    x = build.tensor("x", SQUARE, role=Role.INPUT)
    for place in range(2):
        x = build.op(
            f"op{place}", Kind.RELU, inputs=[x], shape=SQUARE, module_path="y" * 100 + str(place)
        )
    nodes = _graph(_rows(build.finish([x]), plan_of([(0,), (1,)])))["nodes"]
    assert nodes[1]["namespace"] != nodes[2]["namespace"]


def _check(rows: ExplorerRows) -> None:
    """Ids are unique, edges lead to nodes, layers exist, and node data adds up to the plan."""
    graph = _graph(rows)
    ids = [node["id"] for node in graph["nodes"]]
    assert len(set(ids)) == len(ids)
    for node in graph["nodes"]:
        assert {edge["sourceNodeId"] for edge in node["incomingEdges"]} <= set(ids)
    drawn = {""}
    for node in graph["nodes"]:
        parts = node["namespace"].split("/")
        drawn |= {"/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
    assert set(graph["groupNodeAttributes"]) <= drawn
    (traffic,) = _values("traffic_bytes", rows)
    plan = rows.plan
    assert set(traffic) <= set(ids)
    assert len(traffic) == plan.launches - plan.extra_launches
    assert sum(traffic.values()) == plan.traffic_bytes - plan.extra_traffic_bytes
    assert sum(layer.launches for layer in rows.layers if layer.layers == ()) == len(traffic)


@given(st.data(), graphs())
def test_any_plan_holds_together(data: st.DataObject, graph: Graph) -> None:
    _check(_rows(graph, plan_of(data.draw(joined(graph)).ordered())))


@pytest.mark.parametrize("strategy", ["fusion", "inductor", "optimal"])
def test_every_sort_of_plan_holds_together(strategy: str) -> None:
    for seed in range(10):
        graph = small_graph(seed)
        _check(_rows(graph, partition(graph, strategy)))
