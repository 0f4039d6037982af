"""Comparisons: what is put as better or worse, and every number of a small one by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fuseline import fusion
from fuseline.errors import InputError
from fuseline.fusion import STRATEGIES, Settings, Strategy
from fuseline.graph import Builder, Graph, Kind, Origin, Role, Source, Status, Work
from fuseline.hardware import load_device
from fuseline.plan import Plan
from fuseline.report.compare import Planned, Subject, compare, find_ways
from fuseline.report.rows import IllegalRow, Target
from fuseline.report.rows.comparing import baselines, best, ordered, uneven_flops
from fuseline.report.rows.comparison import COLUMNS, Comparison
from fuseline.report.rows.table import Value
from fuseline.report.rows.ways import FIGURES, Figure, Way
from fuseline.report.tabular import write_tables
from tests.golden import check_golden
from tests.report.examples import HOSTILE


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
    devices = tuple(Target(load_device(name)) for name in ("h100-sxm", "t4"))
    planned = Planned(("tvm", "inductor"), (Settings(),), devices)
    assert len(list(find_ways([Subject(chain())], planned, lambda _: None))) == 4
    assert made == [("tvm", "h100-sxm"), ("inductor", "h100-sxm"), ("inductor", "t4")]


# --- better and worse -------------------------------------------------------------------------


def test_equal_ways_are_all_the_best_and_none_where_all_are_equal() -> None:
    ways = ways_of(chain(), strategies=("unfused", "tvm", "tensorrt", "optimal"))
    launches = [way.plan.launches for way in ways]
    found = best(ways, figure("launches"))
    assert found == {place for place, count in enumerate(launches) if count == min(launches)}
    assert best(ways[1:2] * 2, figure("launches")) == frozenset()


def test_sizes_are_compared_within_a_model_and_ratios_across_models() -> None:
    # small moves less than big, and is not better for it; big fuses more of what it has
    ways = ways_of(chain("small", 2), chain("big", 4), strategies=("tvm",))
    # (128 FLOPs over 192 bytes in both: no mark for the intensity)
    assert marks(Comparison(ways)) == {1: "", 2: "fusion_efficiency, memory_reduction"}
    assert best(ways, figure("traffic_bytes")) == frozenset()
    changes = Comparison(ways).differences()
    assert [column.name for column in changes.columns][3:] == [
        "fusion_efficiency_change", "fusion_efficiency_change_fraction",
        "memory_reduction_change", "memory_reduction_change_fraction",
    ]  # fmt: skip


def test_other_batches_are_no_better_and_other_dtypes_are() -> None:
    batches = ways_of(chain(), chain(batch=8), strategies=("tvm",))
    assert best(batches, figure("traffic_bytes")) == frozenset()
    dtypes = ways_of(chain(), chain(dtype="float16"), strategies=("tvm",))
    assert best(dtypes, figure("traffic_bytes")) == {1}
    [change] = Comparison(dtypes).differences().column("traffic_bytes_change_fraction")
    assert change == -0.5


def test_nothing_is_compared_across_frontends() -> None:
    one, other = ways_of(chain())
    across = (one, replace(other, model=replace(other.model, via="module")))
    assert all(not best(across, each) for each in FIGURES)
    assert Comparison(across, against="1").differences().rows == ()


def test_illegal_plans_and_those_that_do_not_fit_are_never_the_best() -> None:
    slow, quick = ways_of(chain())
    illegal = replace(quick.plan, illegal_groups=(IllegalRow(0, "all", "T", "no such kernel"),))
    assert best((slow, replace(quick, plan=illegal)), figure("launches")) == {0}
    assert quick.memory is not None
    large = replace(quick, memory=replace(quick.memory, fits=False))
    assert best((slow, large), figure("launches")) == {0}
    notes = Comparison((slow, large)).table().notes
    assert any(note.endswith("ways with illegal groups, or that do not fit, are left out")
               for note in notes)  # fmt: skip


def test_traffic_over_the_optimum_is_told_of_legal_partitions_alone() -> None:
    ways = ways_of(chain(), strategies=("unfused", "tvm", "inductor", "optimal"))
    over = dict(zip((way.plan.strategy for way in ways),
                    Comparison(ways, sort="none").wide().column("over_optimal"),
                    strict=True))  # fmt: skip
    assert over == {"unfused": 448 / 192 - 1, "tvm": 0.0, "inductor": None, "optimal": 0.0}


def test_infinite_intensity_is_not_compared() -> None:
    one, other = ways_of(chain())
    endless = replace(other, plan=replace(other.plan, arithmetic_intensity=float("inf")))
    comparison = Comparison((one, endless))
    assert comparison.wide().column("arithmetic_intensity_change") == (None, 0.0)


# --- order and baselines ----------------------------------------------------------------------


def test_models_stay_together_and_ratios_sort_all_of_them() -> None:
    ways = ways_of(chain("small", 2), chain("big", 4))
    assert [way.plan.traffic_bytes for way in ways] == [320, 192, 576, 192]
    assert ordered(ways, "traffic_bytes") == (1, 0, 3, 2)
    assert ordered(ways, "memory_reduction") == (3, 1, 0, 2)
    assert ordered(ways, "none") == (0, 1, 2, 3)
    assert Comparison(ways).order == "traffic_bytes"
    assert Comparison(ways[:1]).order == "none"


@pytest.mark.parametrize(
    ("sort", "message"),
    [
        ("launchs", "unknown figure to sort by 'launchs': did you mean 'launches'?"),
        ("bottleneck", "cannot sort by 'bottleneck': it is no number"),
    ],
)
def test_what_cannot_be_sorted_by_is_refused(sort: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Comparison(ways_of(chain()), sort=sort)
    assert str(caught.value) == message


def test_baselines() -> None:
    ways = ways_of(chain("small", 2), chain("big", 4), chain("big", 4, "float16"))
    # small unfused, small tvm, big unfused, big tvm, half unfused, half tvm
    assert baselines(ways, None) == (0, 0, 2, 2, 2, 2)
    assert baselines(ways, "4") == (3, 3, 3, 3, 3, 3)
    assert baselines(ways, "unfused") == (0, 0, 2, 2, 4, 4)
    assert baselines(ways, "tvm") == (1, 1, 3, 3, 5, 5)
    assert baselines(ways, "strategy=tvm") == (1, 1, 3, 3, 5, 5)
    assert baselines(ways, "float32") == (0, 1, 2, 3, 2, 3)
    assert baselines(ways, "small") == (0, 1, 0, 1, 0, 1)
    assert baselines(ways[::2], None) == (0, 1, 1)
    assert baselines(ways[:4:2], None) == (0, 0)  # a way a model: all beside the first
    batches = ways_of(chain(), chain(batch=8))
    assert baselines(batches, "batch=8") == (2, 3, 2, 3)


@pytest.mark.parametrize(
    ("against", "message"),
    [
        ("0", "no way has the number 0: there are 2"),
        ("3", "no way has the number 3: there are 2"),
        ("unfussed", "no way has 'unfussed': did you mean 'unfused'?"),
        ("batch=9", "no way has 'batch=9'; name a number, or a value such as 'unfused'"),
    ],
)
def test_a_baseline_that_is_not_there_is_refused(against: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Comparison(ways_of(chain()), against)
    assert str(caught.value) == message


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(InputError, match="nothing to compare"):
        Comparison(())


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


# --- the public function ----------------------------------------------------------------------


def test_compare_takes_one_or_several_of_everything() -> None:
    one = compare(chain(), "tvm")
    assert [way.label for way in one.ways] == ["net, tvm"]
    several = compare(
        [chain(), chain("big", 4)], ["unfused", "optimal"], rules=["A", "T"], devices="t4"
    )
    assert [way.label for way in several.ways] == [
        f"{model}, {plan}, t4"
        for model in ("net", "big")
        for plan in ("unfused", "optimal (A)", "optimal (T)")
    ]
    assert {way.plan.strategy for way in compare(chain(), "all").ways} == set(STRATEGIES)


def test_compare_refuses_what_makes_no_sense() -> None:
    with pytest.raises(InputError, match="unknown strategy 'tmv': did you mean 'tvm'"):
        compare(chain(), "tmv")
    with pytest.raises(InputError, match="'net' is a saved graph: how it was captured is fixed"):
        compare(chain(), batches=8)
    with pytest.raises(InputError, match="matches 121 models, and at most 40"):
        compare("*")
    with pytest.raises(InputError, match="no torchvision model matches 'zz\\*'"):
        compare("zz*")


def test_a_model_that_fails_is_left_out_where_somebody_hears_of_it(tmp_path: Path) -> None:
    subjects = [Subject(str(tmp_path / "none.json")), Subject(chain())]
    failed: list[str] = []
    ways = tuple(find_ways(subjects, Planned(("tvm",)), lambda _: None, failed.append))
    assert len(ways) == 1
    [said] = failed
    assert "none.json" in said
    with pytest.raises(InputError, match="cannot read"):
        list(find_ways(subjects, Planned(("tvm",)), lambda _: None))
