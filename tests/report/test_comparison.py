"""Comparisons as tables: every number of a small one by hand, and what is said beside it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fuseline import fusion
from fuseline.errors import InputError
from fuseline.fusion import STRATEGIES, Settings, Strategy
from fuseline.graph import Graph
from fuseline.hardware import load_device
from fuseline.plan import Plan
from fuseline.report.compare import Planned, Subject, find_ways
from fuseline.report.rows import Target, UnknownRow
from fuseline.report.rows.comparing import uneven_flops
from fuseline.report.rows.comparison import COLUMNS, Comparison
from fuseline.report.rows.comparison_notes import graph_names
from fuseline.report.rows.ways import Way
from fuseline.report.tabular import write_tables
from tests.golden import check_golden
from tests.report.chains import chain, number, timed_ways, ways_of
from tests.report.examples import HOSTILE

# --- figures ----------------------------------------------------------------------------------


def test_every_number_of_a_small_comparison() -> None:
    # a tensor is 4 x 4 floats, 64 bytes. Unfused: the linear reads x and its weight and writes 64,
    # then two ops of 128. TVM has all three in one kernel: x, weight, result.
    comparison = Comparison(ways_of(chain()))
    table = comparison.table()
    assert [column.name for column in table.columns] == [
        "way", "strategy", "launches", "traffic_bytes", "memory_reduction",
        "arithmetic_intensity", "bottleneck", "memory_bytes", "best",
    ]  # fmt: skip
    fused, unfused = table.rows
    assert unfused[:6] == (1, "unfused", 3, 192 + 128 + 128, 0.0, 128 / 448)
    assert fused[:6] == (2, "tvm", 1, 192, 256 / 448, 128 / 192)
    assert (unfused[-1], fused[-1]) == ("", "launches, traffic_bytes, memory_bytes")
    # alive at once: two results and the output, which the caller holds; fused the output alone.
    # The weight and the input come on top.
    assert (unfused[-2], fused[-2]) == (192 + 128, 64 + 128)


def test_changes_are_absolute_and_relative_to_the_first_way() -> None:
    table = Comparison(ways_of(chain())).differences()
    assert [column.name for column in table.columns] == [
        "way", "strategy", "against", "launches_change", "launches_change_fraction",
        "traffic_bytes_change", "traffic_bytes_change_fraction", "memory_bytes_change",
        "memory_bytes_change_fraction",
    ]  # fmt: skip
    assert table.rows == ((2, "tvm", 1, -2, -2 / 3, -256, -256 / 448, -128, -128 / 320),)


def test_what_is_common_is_said_once_and_what_varies_has_a_column() -> None:
    one = Comparison(ways_of(chain())).table()
    assert "strategy" in [column.name for column in one.columns]
    assert not {"model", "batch", "dtype"} & {column.name for column in one.columns}
    assert one.notes[0] == (
        "In every row: model net, via record, mode eval, batch 4, dtype float32, "
        "input_shapes 4x4, source build"
    )
    two = Comparison(ways_of(chain(), chain(dtype="float16"), strategies=("tvm",))).table()
    assert [column.name for column in two.columns][:2] == ["way", "dtype"]
    # the inputs follow from the batch: they are in a note, not in a column
    three = Comparison(ways_of(chain(), chain(batch=8), strategies=("tvm",))).table()
    assert [column.name for column in three.columns][:3] == ["way", "batch", "launches"]
    assert "input_shapes: 4x4 of net; 8x4 of net" in three.notes


def test_two_files_of_one_model_are_told_apart() -> None:
    before, after = (
        replace(way, asked=name)
        for way, name in zip(
            ways_of(chain(), chain(ops=2), strategies=("tvm",)),
            ("before.json", "after.json"),
            strict=True,
        )
    )
    table = Comparison((before, after)).table()
    assert table.column("asked") == ("before.json", "after.json")


def test_figures_of_a_device_have_columns_where_there_is_one() -> None:
    devices = tuple(Target(load_device(name)) for name in ("h100-sxm", "t4"))
    planned = Planned(("unfused", "tvm"), (Settings(),), devices)
    ways = tuple(find_ways([Subject(chain())], planned, lambda _: None))
    table = Comparison(ways).table()
    assert [(way.plan.strategy, way.plan.device) for way in ways] == [
        ("unfused", "h100-sxm"), ("unfused", "t4"), ("tvm", "h100-sxm"), ("tvm", "t4"),
    ]  # fmt: skip
    seconds = table.column("seconds")
    assert list(seconds) == sorted(map(number, seconds))
    assert table.rows[0][-1] == (
        "launches, traffic_bytes, seconds, pipelined_seconds, memory_bytes"
    )
    assert "seconds_per_sample" not in [column.name for column in table.columns]
    assert {row[0] for row in table.rows} == {1, 2, 3, 4}


def test_a_plan_that_no_device_changes_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, object]] = []

    def counted(name: str) -> Strategy:
        strategy = STRATEGIES[name]

        def call(graph: Graph, settings: Settings | None = None, /) -> Plan:
            made.append((name, settings.device.name if settings and settings.device else None))
            return strategy(graph, settings)

        return call

    for name in ("tvm", "inductor"):
        monkeypatch.setitem(fusion.STRATEGIES, name, counted(name))
    devices = tuple(Target(load_device(name)) for name in ("h100-sxm", "t4", "epyc-9654"))
    planned = Planned(("tvm", "inductor"), (Settings(),), devices)
    ways = list(find_ways([Subject(chain())], planned, lambda _: None))
    assert [way.plan.device for way in ways] == 2 * ["h100-sxm", "t4", "epyc-9654"]
    # Inductor's limits are those of GPUs, or of CPUs
    assert made == [("tvm", "h100-sxm"), ("inductor", "h100-sxm"), ("inductor", "epyc-9654")]


# --- notes ------------------------------------------------------------------------------------


def with_graph(way: Way, **figures: object) -> Way:
    return replace(way, graph=replace(way.graph, **figures))  # type: ignore[arg-type]


def test_hidden_bytes_and_unknown_ops_are_told_graph_by_graph() -> None:
    one, other = ways_of(chain(), chain(batch=8), strategies=("tvm",))
    ways = (
        with_graph(one, hidden_bytes=1_000, unknown_ops=(UnknownRow("mystery", 1),)),
        with_graph(other, hidden_bytes=8_000, unknown_ops=(UnknownRow("mystery", 2),)),
    )
    notes = Comparison(ways).table().notes
    assert (
        "Attention is one op at module level: what moves inside is in no figure, at least "
        "net, batch 4 1,000 bytes, net, batch 8 8,000 bytes"
    ) in notes
    assert "net, batch 4: FLOPs and seconds leave out 1 op that no formula knows" in notes
    assert "net, batch 8: FLOPs and seconds leave out 2 ops that no formula knows" in notes


def test_graphs_are_named_by_what_tells_them_apart() -> None:
    one, other = ways_of(chain(), chain(ops=2), strategies=("tvm",))
    assert list(graph_names((one, one)).values()) == ["net"]
    assert list(graph_names((one, other)).values()) == ["net, way 1", "net, way 2"]
    files = (replace(one, asked="a.json"), replace(other, asked="b.json"))
    assert list(graph_names(files).values()) == ["net, asked a.json", "net, asked b.json"]
    half, big = ways_of(chain(dtype="float16"), chain("big"), strategies=("tvm",))
    assert list(graph_names((one, half, big)).values()) == [
        "net, dtype float32", "net, dtype float16", "big",
    ]  # fmt: skip


def test_tf32_and_the_objective_are_said() -> None:
    h100 = load_device("h100-sxm")
    settings = (Settings(objective="seconds", device=h100),)
    for tf32, word in ((False, "no"), (True, "yes")):
        planned = Planned(("optimal",), settings, (Target(h100, tf32=tf32),))
        comparison = Comparison(tuple(find_ways([Subject(chain())], planned, lambda _: None)))
        said = comparison.table().notes[0]
        assert f", tf32 {word}, " in said
        assert ", objective seconds, " in said
    [half] = timed_ways(chain(dtype="float16"))
    assert "tf32" not in Comparison((half,)).table().notes[0]  # nothing to decide


# --- promises ---------------------------------------------------------------------------------


def test_flops_that_depend_on_the_strategy_are_said_to_be_our_fault() -> None:
    one, other = ways_of(chain())
    assert uneven_flops((one, other)) == ()
    wrong = replace(other, plan=replace(other.plan, flops=other.plan.flops + 1))
    [fault] = Comparison((one, wrong)).faults
    assert fault == (
        "FLOPs of net differ between strategies (unfused 128, tvm 129): they must not, and that "
        "is a fault of Fuseline's"
    )
    assert fault in Comparison((one, wrong)).table().notes
    cover = replace(wrong, plan=replace(wrong.plan, kind="cover"))  # it may compute ops twice
    assert Comparison((one, cover)).faults == ()


def test_changes_recompute_from_the_figures_beside_them() -> None:
    table = Comparison(
        ways_of(chain(), chain("big", 4), strategies=("unfused", "tvm", "optimal"))
    ).wide()
    places = {column.name: place for place, column in enumerate(table.columns)}
    base = {row[places["way"]]: row for row in table.rows}
    checked = 0
    for row in table.rows:
        before = base[row[places["against"]]]
        for name in ("launches", "traffic_bytes", "memory_bytes", "saved_bytes"):
            value, was = number(row[places[name]]), number(before[places[name]])
            change = row[places[f"{name}_change"]]
            assert change == value - was
            if was:
                assert row[places[f"{name}_change_fraction"]] == number(change) / was
                checked += 1
    assert checked


# --- shown ------------------------------------------------------------------------------------


def test_columns_are_chosen_and_unknown_ones_refused() -> None:
    comparison = Comparison(ways_of(chain()))
    table = comparison.table(["strategy", "launches"])
    assert table.rows == (("tvm", 1), ("unfused", 3))
    assert not any(note.startswith("best") for note in table.notes)
    with pytest.raises(InputError, match="no column 'launchs': did you mean 'launches'"):
        comparison.table(["launchs"])
    with pytest.raises(InputError, match="column 'way' is asked for twice"):
        comparison.table(["way", "way"])
    assert all(name in COLUMNS for name in [column.name for column in comparison.wide().columns])


def small_comparison() -> Comparison:
    return Comparison(ways_of(chain("small", 2), chain("big", 4)), against="unfused")


@pytest.mark.parametrize(("format_", "ending"), [("markdown", "md"), ("terminal", "txt")])
def test_what_people_see(format_: str, ending: str) -> None:
    shown = write_tables(small_comparison().shown(), format_).decode()
    check_golden(f"comparison/comparison.{ending}", shown)


@pytest.mark.parametrize("format_", ["csv", "json"])
def test_what_programs_read(format_: str) -> None:
    shown = write_tables([small_comparison().wide()], format_).decode()
    check_golden(f"comparison/comparison.{format_}", shown)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str) -> None:
    comparison = Comparison(ways_of(chain(name), chain("plain")))
    shown = write_tables(comparison.shown(), "markdown").decode()
    assert "<script" not in shown.replace("\\<", "")
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    lines = [line for line in shown.splitlines() if line.startswith("|")]
    pipes = {line.replace("\\|", "").count("|") for line in lines[:6]}
    assert len(pipes) == 1  # no cell opens another
    assert "<script" not in comparison._repr_html_()


def test_a_notebook_shows_it() -> None:
    comparison = small_comparison()
    bundle = comparison._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/markdown", "text/plain"}
    assert "<table>" in comparison._repr_html_()
