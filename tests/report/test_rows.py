"""Rows: totals are sums of what is printed beside them; renderers and JSON show the same."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from fuseline import capture, partition
from fuseline.graph import Builder, Graph, Kind, Role
from fuseline.report.result import encode
from fuseline.report.rows import Result, rows
from fuseline.report.rows.balance import analyse_balance
from fuseline.report.terminal import (
    notes,
    print_comparison,
    print_header,
    print_picture,
    print_quantify,
)
from fuseline.report.terminal.balance import print_balance


@pytest.fixture(scope="module")
def vit() -> Graph:
    return capture("vit_b_16", via="module")


@pytest.fixture(scope="module")
def result(vit: Graph) -> Result:
    return rows(vit, (partition(vit, "unfused"), partition(vit, "fusion")), "0")


def test_totals_are_sums_over_the_groups(result: Result) -> None:
    for plan in result.plans:
        assert plan.traffic_bytes == sum(member.traffic_bytes for member in plan.members)
        assert plan.flops == sum(member.flops for member in plan.members) == result.graph.flops
        assert plan.launches == sum(member.launched for member in plan.members)
        assert plan.launches == sum(plan.bottlenecks.counts.values())
        saved = sum(member.saved_bytes for member in plan.members)
        assert plan.unfused_traffic_bytes == plan.traffic_bytes + saved


def test_pattern_rows_add_up_to_the_plan(result: Result) -> None:
    for plan in result.plans:
        assert sum(row.count for row in plan.patterns) == len(plan.members)
        assert sum(row.traffic_bytes for row in plan.patterns) == plan.traffic_bytes
        assert sum(row.saved_bytes for row in plan.patterns) == plan.saved_bytes


def test_vit_under_right_accounting(result: Result) -> None:
    unfused, fused = result.plans
    # parameters 86,567,656 x 4 bytes, all read; input 3*224*224 and output 1000 floats
    assert result.graph.parameter_bytes == 86_567_656 * 4
    assert result.graph.compulsory_bytes == (86_567_656 + 3 * 224 * 224 + 1000) * 4
    assert unfused.traffic_bytes == 568_374_080
    # fused saves, a block: LayerNorm -> attention 197*768 floats written and read; LayerNorm ->
    # Linear -> GELU 197*(768 + 3072) floats written and read
    assert unfused.traffic_bytes - fused.traffic_bytes == 12 * 2 * 4 * 197 * (768 + 768 + 3072)
    assert (unfused.launches, fused.launches) == (101, 101 - 12 * 3)


def test_hidden_attention_traffic_is_said(result: Result) -> None:
    # q, k, v and the attended values, 197*768 floats each, written and read, in 12 blocks
    assert result.graph.hidden_bytes == 12 * 2 * 4 * 4 * 197 * 768
    assert any("58.10 MB" in note for note in notes(result))


def test_an_unknown_op_is_said_beside_the_total() -> None:
    build = Builder()
    x = build.tensor("x", (4, 4), role=Role.INPUT)
    graph = build.finish([build.op("mystery", Kind.UNKNOWN, inputs=[x], shape=(4, 4))])
    result = rows(graph, (partition(graph, "fusion"),), "0")
    assert result.plans[0].unknown_ops == 1
    assert result.plans[0].bottlenecks.counts == {"unknown": 1}
    console = Console(width=160)
    with console.capture() as captured:
        print_quantify(console, result.plans[0], 1)
    assert ">= 0 + 1 unknown GFLOP" in captured.get()
    assert [row.count for row in result.graph.unknown_ops] == [1]
    assert any("leave out 1 unknown" in note for note in notes(result))
    # its bytes are still its input and output
    assert result.plans[0].traffic_bytes == 2 * 4 * 4 * 4


def test_the_json_result_keeps_the_contracts_keys(result: Result) -> None:
    document = json.loads(encode(result))
    assert set(document) == {"schema", "fuseline", "torch", "model", "graph", "plans"}
    assert {"name", "source", "via", "batch", "dtype"} <= set(document["model"])
    assert {
        "nodes", "operators", "compute_ops", "views", "control_ops", "unknown_ops", "flops",
        "folded_flops", "other_flops", "parameter_bytes", "compulsory_bytes",
    } <= set(document["graph"])  # fmt: skip
    assert {
        "strategy", "kind", "rules", "device", "groups", "launches", "fusion_efficiency",
        "single_op_groups", "flops", "traffic_bytes", "unfused_traffic_bytes",
        "lower_bound_bytes", "seconds", "patterns", "bottlenecks", "illegal_groups", "refusals",
    } <= set(document["plans"][0])  # fmt: skip
    assert {"name", "count", "ops", "flops", "traffic_bytes", "saved_bytes"} <= set(
        document["plans"][1]["patterns"][0]
    )
    assert document["plans"][1]["bottlenecks"]["basis"] == "intensity bands"


def test_every_neighbour_not_joined_has_a_refusal(vit: Graph) -> None:
    for strategy in ("unfused", "fusion"):
        plan = partition(vit, strategy)
        home = {op: group.id for group in plan.groups for op in group.ops}
        apart = {
            (earlier, op.id)
            for op in vit.ops
            for earlier in op.predecessors
            if home[earlier] != home[op.id]
        }
        assert {(refusal.producer, refusal.consumer) for refusal in plan.refusals} == apart
        assert all(refusal.reason for refusal in plan.refusals)


def test_printed_percentages_recompute_from_printed_totals(result: Result) -> None:
    console = Console(width=160, record=True, file=None, quiet=False)
    with console.capture() as captured:
        print_header(console, result)
        print_comparison(console, result)
    lines = [line.split() for line in captured.get().splitlines()]
    (unfused,) = [line for line in lines if line[:1] == ["unfused"]]
    (fused,) = [line for line in lines if line[:1] == ["fusion"] and len(line) == len(unfused)]
    before, after = float(unfused[6]), float(fused[6])
    assert fused[7] == f"{100 * (before - after) / before:.1f}%"
    assert fused[2] == f"{216 / int(fused[1]):.2f}x"
    assert float(fused[8]) == pytest.approx(float(fused[5]) * 1e3 / after, abs=0.01)


def test_the_picture_shows_reasons_for_ops_left_alone(result: Result) -> None:
    console = Console(width=200)
    with console.capture() as captured:
        print_picture(console, result.plans[1], max_nodes=60)
    assert "alone: no pattern joins" in captured.get()
    assert "60 of 232 ops" in captured.get()


def test_the_balance_splits_single_ops_by_whether_they_launch(vit: Graph) -> None:
    balance = analyse_balance(vit, "fusion")
    # 120 single-op groups; of them 14 + 11 adds, conv, last norm, head, cat are compute: 29
    assert (balance.structural_singles, balance.fusible_singles) == (91, 29)
    assert sum(row.count for row in balance.singles) == 120
    assert sum(row.groups for row in balance.sizes) == 156
    assert sum(row.ops * row.groups for row in balance.sizes) == 216
    assert (balance.smallest, balance.largest, balance.median) == (1, 4, 1)
    best = balance.missed[0]
    assert (best.pattern, best.legal) == ("Dropout -> Linear", False)  # two Linears in one kernel
    assert best.saved_bytes == 12 * 2 * 4 * 197 * 3072
    legal = next(row for row in balance.missed if row.legal)
    assert f"Joining {legal.pattern} (" in balance.recommendations[0]
    assert balance.baseline.groups < balance.plan.groups


def test_squeeze_excitation_chains_are_reported_illegal() -> None:
    graph = capture("efficientnet_b0", via="module")
    balance = analyse_balance(graph, "fusion")
    assert {row.rule for row in balance.illegal} == {"second contraction"}
    assert len(balance.illegal) == 32
    console = Console(width=160)
    with console.capture() as captured:
        print_balance(console, balance)
    assert "break a rule that compilers keep to" in captured.get()
