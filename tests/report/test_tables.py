"""Tables of a result: hand-worked figures, and totals recomputed from what is printed."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from io import StringIO

import pytest
from markdown_it import MarkdownIt

from fuseline import InputError
from fuseline.fusion import STRATEGIES, partition
from fuseline.graph import Builder, Graph, Kind, Role
from fuseline.plan import UNCOUNTED, Plan
from fuseline.report.markdown import markdown_table
from fuseline.report.result import encode
from fuseline.report.rows import FoldedRow, PlanRow, Result, rows
from fuseline.report.rows.missed import missed_rows
from fuseline.report.rows.table import Column, Measure, Table, Value
from fuseline.report.rows.tables import (
    BESIDES,
    TABLES,
    bottlenecks_table,
    groups_table,
    illegal_table,
    ledger_table,
    missed_table,
    patterns_table,
    plan_figures,
    plans_table,
    refusals_table,
)
from fuseline.report.tabular.csv_text import csv_text
from tests.report.examples import example_graph, example_plan, example_result
from tests.small_graphs import small_graph


def by_name(table: Table, row: int = 0) -> dict[str, Value]:
    names = (column.name for column in table.columns)
    return dict(zip(names, table.rows[row], strict=True))


def total(table: Table, name: str) -> int:
    return sum(value for value in table.column(name) if isinstance(value, int))


def printed_csv(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(csv_text(table))))


def printed_markdown(table: Table) -> list[dict[str, str]]:
    """The cells of the rendered table, as a reader of the page sees them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown_table(table))
    cells = [
        tokens[place + 1].content
        for place, token in enumerate(tokens)
        if token.type in ("th_open", "td_open")
    ]
    width = len(table.columns)
    lines = [cells[start : start + width] for start in range(0, len(cells), width)]
    return [
        {name.replace("\\", ""): cell for name, cell in zip(lines[0], line, strict=True)}
        for line in lines[1:]
    ]


def test_the_totals_of_a_plan_by_hand() -> None:
    found = by_name(plans_table(example_result(on_device=True)))
    assert found["groups"] == 2
    assert (found["launches"], found["unfused_launches"]) == (3, 3)  # with the copy
    assert found["fusion_efficiency"] == 3 / 2  # three operators, two groups
    assert found["flops"] == 2 * 4 * 8 * 8
    assert found["other_flops"] == 320
    # fc and gelu: 128 read, 256 of weight, 128 written; mystery: 128 and 128; the copy: 64
    assert found["traffic_bytes"] == 512 + 256 + 64
    assert found["unfused_traffic_bytes"] == 512 + 256 + 256
    assert found["saved_bytes"] == 1024 - 832
    assert found["arithmetic_intensity"] == 512 / 832
    assert (found["unknown_ops"], found["illegal_groups"]) == (1, 0)
    assert (found["extra_launches"], found["extra_traffic_bytes"]) == (1, 64)
    # 100 FLOP/s, 10 others/s, 20 bytes/s, 3 s a launch: gelu's 32 s bound the first group
    assert found["seconds"] == pytest.approx((32 + 3) + (256 / 20 + 3) + (64 / 20 + 3))
    assert found["pipelined_seconds"] == pytest.approx(3 + 32 + 256 / 20 + 64 / 20)
    assert found["device"] == "round"


def test_the_groups_of_a_plan_by_hand() -> None:
    [plan] = example_result(on_device=True).plans
    table = groups_table(plan)
    first, second, besides = (by_name(table, row) for row in range(3))
    assert (first["group"], first["pattern"], first["module"]) == (0, "linear_gelu", "net.fc")
    assert (first["ops"], first["op_names"]) == (3, "fc + view + gelu")
    assert (first["launched"], first["launches"]) == (True, 1)
    assert (first["read_bytes"], first["parameter_bytes"], first["written_bytes"]) == (
        128, 256, 128,
    )  # fmt: skip
    assert (first["traffic_bytes"], first["saved_bytes"]) == (512, 256)
    assert (first["compute_seconds"], first["vector_seconds"]) == (5.12, 32.0)
    assert (first["bandwidth_seconds"], first["launch_seconds"]) == (25.6, 3.0)
    assert (first["seconds"], first["bottleneck"]) == (35.0, "vector")
    assert (second["unknown_ops"], second["bottleneck"]) == (1, "unknown")
    assert second["alone"] == "mystery is known to no table"
    assert (besides["group"], besides["pattern"], besides["launches"]) == (None, BESIDES, 1)
    assert (besides["traffic_bytes"], besides["saved_bytes"]) == (64, -64)
    assert besides["seconds"] == pytest.approx(64 / 20 + 3)
    assert table.notes == (
        "FLOPs and time leave out 1 unknown op, whose bytes are those of inputs and outputs",
    )


def test_without_a_device_there_are_no_terms_of_time() -> None:
    result = example_result()
    assert by_name(plans_table(result))["seconds"] is None
    assert "pipelined_seconds" not in by_name(plans_table(result))
    assert "compute_seconds" not in by_name(groups_table(result.plans[0]))


def test_patterns_by_hand() -> None:
    table = patterns_table(example_result().plans[0])
    assert table.column("pattern") == ("linear_gelu", "Unfused", BESIDES)
    assert table.column("count") == (1, 1, 1)
    assert table.column("counted") == (True, True, False)
    assert table.column("ops") == (2, 1, 0)  # the view is no operator
    assert table.column("traffic_bytes") == (512, 256, 64)
    assert table.column("saved_bytes") == (256, 0, -64)


def test_refusals_and_missed_fusions() -> None:
    graph, plan = example_graph(), example_plan()
    [row] = example_result().plans
    assert refusals_table(row).rows == (
        ("gelu", "mystery", "unknown op", 256, "mystery is known to no table"),
    )
    table = missed_table(row, missed_rows(graph, plan))
    [found] = missed_rows(graph, plan).rows
    assert by_name(table)["from"] == found.from_ == "gelu"
    assert by_name(table)["saved_bytes"] == found.saved_bytes == 256
    assert by_name(table)["remedy"] == found.remedy


@pytest.mark.parametrize("on_device", [False, True])
def test_bottlenecks_add_up_to_the_launches(*, on_device: bool) -> None:
    [plan] = example_result(on_device=on_device).plans
    table = bottlenecks_table(plan)
    assert total(table, "launches") == plan.launches == 3
    if on_device:
        seconds = [value for value in table.column("seconds") if isinstance(value, float)]
        assert sum(seconds) == pytest.approx(plan.seconds)
    else:  # 512 / 512 FLOP/byte, an unknown, and the copy, which is in no band
        assert table.rows == (("bandwidth-bound", 1), ("unknown", 1), (BESIDES, 1))


def test_the_ledger_has_every_unknown_op_as_a_row() -> None:
    result = example_result()
    table = ledger_table(result)
    assert ("unknown_ops", None, 1, "ops") in table.rows
    assert ("unknown_ops", "mine::mystery", 1, "ops") in table.rows
    assert ("flops", None, 512, "FLOP") in table.rows
    # input 128, weight 256, output 128
    assert ("compulsory_bytes", None, 512, "bytes") in table.rows
    assert any("leave out 1 unknown" in note for note in table.notes)
    figures = {figure for figure, target, _, _ in table.rows if target is None}
    assert figures == {field for field in result.graph.__slots__ if field != "source"}


def test_the_ledger_has_every_folded_op_as_a_row() -> None:
    result = example_result()
    folded = (FoldedRow("aten::mm", 2, 128), FoldedRow("aten::add", 3, 0))
    graph = replace(result.graph, folded_ops=folded, folded_flops=128, hidden_bytes=4096)
    table = ledger_table(replace(result, graph=graph))
    assert [row[1:3] for row in table.rows if row[0] == "folded_ops"] == [
        (None, 5), ("aten::mm", 2), ("aten::add", 3),
    ]  # fmt: skip
    assert [row[1:3] for row in table.rows if row[0] == "folded_flops"] == [
        (None, 128), ("aten::mm", 128),
    ]  # fmt: skip
    assert any("at least 4,096 bytes" in note for note in table.notes)


def test_illegal_groups_are_said_and_a_cover_is_not_judged() -> None:
    graph = example_graph()
    whole = Plan("all", (replace(example_plan().groups[0], ops=(0, 1, 2, 3)),), ())
    [broken] = rows(graph, (whole,), "0").plans
    table = illegal_table(broken)
    assert len(table.rows) == len(broken.illegal_groups) == 1
    assert by_name(table)["rule"] == "unknown op"
    assert table.notes == (f"together these groups save {broken.illegal_saved_bytes:,} bytes",)
    [cover] = rows(graph, (replace(whole, is_cover=True),), "0").plans
    assert plan_figures((cover,)).column("illegal_groups") == (None,)
    assert illegal_table(cover).notes[0].startswith("a cover")
    assert any("a cover" in note for note in plan_figures((cover,)).notes)


def test_every_name_and_value_is_that_of_the_json_result() -> None:
    result = example_result(on_device=True)
    document = json.loads(encode(result))
    plan = document["plans"][0]
    made_here = {"saved_bytes", "pipelined_seconds"}  # a difference, and a key of `roofline`
    table = by_name(plans_table(result))
    assert set(table) - made_here <= set(plan)
    for name in set(table) - made_here - {"illegal_groups"}:
        assert table[name] == plan[name], name
    assert table["pipelined_seconds"] == plan["roofline"]["pipelined_seconds"]
    made_here = {"launches", "op_names", "ops"}
    for row, member in enumerate(plan["members"]):
        group = by_name(groups_table(result.plans[0]), row)
        for name in set(group) - made_here:
            assert group[name] == member[name], name
    assert [dict(by_name(refusals_table(result.plans[0])))] == plan["refusals"]


def test_tables_of_several_plans_name_the_plan_in_each_row() -> None:
    graph = example_graph()
    plans = (example_plan(), partition(graph, "optimal"))
    result = rows(graph, plans, "0")
    assert set(TABLES) == {
        "plans", "groups", "patterns", "refusals", "bottlenecks", "illegal", "ledger",
    }  # fmt: skip
    for name, make in TABLES.items():
        table = make(result)
        assert table.name == name
        assert table.title.startswith("hand-made: ")
    groups = TABLES["groups"](result)
    assert groups.columns[:3] == (
        Column("strategy", Measure.TEXT, "the plan that the row is of"),
        Column("rules", Measure.TEXT, "the rule set or rule file that its strategy was given"),
        groups_table(result.plans[0]).columns[0],
    )
    assert groups.keys == 3
    for plan, row in zip(plans, result.plans, strict=True):
        mine = [found[2:] for found in groups.rows if found[0] == plan.strategy]
        assert tuple(mine) == groups_table(row).rows
    assert any("leave out 1 unknown op" in note for note in groups.notes)


def results() -> list[Result]:
    """Random graphs under every strategy, and the example."""
    made = [example_result()]
    for seed in range(6):
        graph = small_graph(seed, most=10)
        plans = tuple(partition(graph, name) for name in STRATEGIES)
        made.append(rows(graph, plans, "0"))
    return made


def plans_of(found: list[Result]) -> list[PlanRow]:
    return [plan for result in found for plan in result.plans]


@pytest.mark.parametrize("printed", [printed_csv, printed_markdown])
def test_totals_recomputed_from_printed_rows(printed: object) -> None:
    read = printed_markdown if printed is printed_markdown else printed_csv

    def sums(table: Table, name: str) -> int:
        return sum(int(row[name].replace(",", "")) for row in read(table))

    for plan in plans_of(results()):
        [totals] = read(plan_figures((plan,)))
        said = {name: cell.replace(",", "") for name, cell in totals.items()}
        groups, patterns = groups_table(plan), patterns_table(plan)
        for name in ("launches", "flops", "other_flops", "traffic_bytes", "saved_bytes",
                     "unknown_ops"):  # fmt: skip
            assert sums(groups, name) == int(said[name]), (plan.label, name)
        for name in ("flops", "traffic_bytes", "unfused_traffic_bytes", "saved_bytes",
                     "unknown_ops"):  # fmt: skip
            assert sums(patterns, name) == int(said[name]), (plan.label, name)
        assert sums(bottlenecks_table(plan), "launches") == int(said["launches"])
        counted = [row for row in read(groups) if row["pattern"] not in (*UNCOUNTED, BESIDES)]
        assert len(counted) == int(said["groups"])


def test_seconds_recomputed_from_printed_rows() -> None:
    [plan] = example_result(on_device=True).plans
    seconds = sum(float(row["seconds"]) for row in printed_csv(groups_table(plan)))
    assert seconds == pytest.approx(plan.seconds)
    rounded = sum(float(row["seconds"]) for row in printed_markdown(groups_table(plan)))
    assert rounded == pytest.approx(plan.seconds, rel=1e-5)  # six digits


def test_an_empty_graph_has_empty_tables() -> None:
    build = Builder()
    x = build.tensor("x", (1,), role=Role.INPUT)
    graph: Graph = build.finish([x])
    result = rows(graph, (partition(graph, "unfused"),), "0")
    for name in ("groups", "patterns", "refusals", "bottlenecks", "illegal"):
        assert TABLES[name](result).rows == ()
    assert by_name(plans_table(result))["launches"] == 0


def test_a_table_is_whole_and_names_are_its_own() -> None:
    columns = (Column("op", Measure.TEXT), Column("launches", Measure.COUNT))
    with pytest.raises(ValueError, match="1 values, 2 columns"):
        Table("ops", "Ops", columns, (("relu",),))
    with pytest.raises(ValueError, match="two columns of one name"):
        Table("ops", "Ops", columns[:1] * 2, ())
    table = Table("ops", "Ops", columns, (("relu", 1), ("gelu", 2)))
    assert table.with_columns(("launches", "op")).rows == ((1, "relu"), (2, "gelu"))
    with pytest.raises(InputError, match=r"no column 'lanches': did you mean 'launches'\?"):
        table.with_columns(("lanches",))
    with pytest.raises(InputError, match="asked for twice"):
        table.with_columns(("op", "op"))


def test_kinds_of_groups_that_hold_no_operator_are_marked() -> None:
    build = Builder()
    x = build.tensor("x", (4, 8), role=Role.INPUT)
    y = build.op("relu", Kind.RELU, inputs=[x], shape=(4, 8))
    graph = build.finish([y])
    [plan] = rows(graph, (partition(graph, "unfused"),), "0").plans
    assert patterns_table(plan).column("counted") == (True,)
    uncounted = replace(plan.patterns[0], name="View or control")
    assert patterns_table(replace(plan, patterns=(uncounted,))).column("counted") == (False,)
