"""Figures held against budgets and baselines, and baseline files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fuseline.budgets.baseline import Kept, load_baseline, save_baseline
from fuseline.budgets.document import Outcome, markdown
from fuseline.budgets.entries import Entry, Planning
from fuseline.budgets.measure import Measured, find_file, measure
from fuseline.budgets.offenders import offenders
from fuseline.budgets.verdicts import Checked, Held, Verdict, check
from fuseline.errors import InputError
from fuseline.graph import Graph, Kind, save
from fuseline.report.captures import Capturing
from tests.budgets.nets import FLOPS, TENSOR, block, net
from tests.small_graphs import small_graph


def silent(step: str, count: int) -> None:
    del step, count


def measured(tmp_path: Path, graph: Graph, **budget: float) -> Measured:
    save(graph, tmp_path / "net.json")
    entry = Entry("net.json", "net", planning=Planning("tvm"), budget=dict(budget))
    return measure(entry, tmp_path, silent)


def kept(found: Measured) -> Kept:
    return Kept(found.entry, found.torch, found.figures, found.priced)


def held(checked: Checked, figure: str) -> Held:
    return next(each for each in checked.held if each.figure == figure)


def test_figures_of_a_small_model(tmp_path: Path) -> None:
    found = measured(tmp_path, net(*block("a")))
    assert found.figures == {
        "launches": 1, "traffic_bytes": 3 * TENSOR, "flops": FLOPS, "other_flops": 0,
        "seconds": None, "pipelined_seconds": None, "gap": None, "parameter_bytes": TENSOR,
        "compulsory_bytes": 3 * TENSOR, "memory_bytes": 3 * TENSOR,
        "activations_peak_bytes": TENSOR, "unknown_ops": 0, "illegal_groups": 0,
    }  # fmt: skip


def test_a_budget_is_the_most_that_a_figure_may_be(tmp_path: Path) -> None:
    found = measured(tmp_path, net(*block("a")), launches=1, traffic_bytes=3 * TENSOR - 1)
    checked = check(found, None, has_baseline=False)
    assert held(checked, "launches").verdicts == (Verdict.GOOD,)
    assert held(checked, "traffic_bytes").verdicts == (Verdict.OVER,)
    assert checked.fails
    assert [each.figure for each in checked.held if each.fails] == ["traffic_bytes"]


def test_a_baseline_and_its_tolerance(tmp_path: Path) -> None:
    before = measured(tmp_path, net(*block("a")))
    after = measured(tmp_path, net(*block("a"), *block("b")))
    worse = check(after, kept(before), has_baseline=True)
    traffic = held(worse, "traffic_bytes")
    assert traffic.verdicts == (Verdict.WORSE,)
    assert (traffic.change, traffic.change_fraction) == (3 * TENSOR, 1.0)
    allowed = replace(after, entry=replace(after.entry, tolerance=1.0))
    assert not check(allowed, kept(before), has_baseline=True).fails
    some = replace(after, entry=replace(after.entry, tolerances={"traffic_bytes": 1.0}))
    failing = check(some, kept(before), has_baseline=True)
    assert held(failing, "traffic_bytes").verdicts == (Verdict.TOLERATED,)
    assert held(failing, "launches").verdicts == (Verdict.WORSE,)
    better = check(before, kept(after), has_baseline=True)
    assert not better.fails
    assert held(better, "launches").verdicts == (Verdict.BETTER,)
    assert Outcome((worse,)).sentence == "1 of 1 model out of bounds"
    # launches, traffic, FLOPs, parameters, compulsory bytes, memory, activations
    assert Outcome((better,)).sentence == (
        "1 model within bounds, 7 figures better than the baseline"
    )
    assert "the baseline can be lowered" in markdown(Outcome((better,)))


def test_rounding_is_no_difference(tmp_path: Path) -> None:
    found = measured(tmp_path, net(*block("a")))
    timed = replace(found, figures={**found.figures, "seconds": 0.1 + 0.2})
    before = replace(timed, figures={**found.figures, "seconds": 0.3})
    checked = check(timed, kept(before), has_baseline=True)
    assert held(checked, "seconds").verdicts == (Verdict.GOOD,)
    assert "seconds" not in markdown(Outcome((checked,)))


def test_the_gap_is_searched_for_where_it_has_a_budget(tmp_path: Path) -> None:
    graph = net(*block("a"), ("b", Kind.TANH), ("c", Kind.RELU))
    found = measured(tmp_path, graph, gap=0.0)
    assert found.figures["gap"] == 0.0
    entry = replace(found.entry, planning=Planning("unfused"))
    apart = measure(entry, tmp_path, silent)
    # 3 more tensors, each written and read, above input, weight and output
    assert apart.figures["gap"] == 6 / 3


def test_what_is_not_told_of_a_cover_cannot_have_a_budget(tmp_path: Path) -> None:
    save(net(*block("a")), tmp_path / "net.json")
    entry = Entry("net.json", "net", planning=Planning("inductor"), budget={"illegal_groups": 0})
    with pytest.raises(InputError) as caught:
        measure(entry, tmp_path, silent)
    assert str(caught.value) == "net: illegal_groups has a budget, but is not told of a cover"


def test_a_model_of_the_configurations_folder_is_found_there(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("")
    assert find_file("net.py:make", tmp_path) == f"{tmp_path / 'net.py'}:make"
    assert find_file("net.py:make", tmp_path / "elsewhere") == "net.py:make"


def test_without_a_baseline_the_costliest_kernels_are_named(tmp_path: Path) -> None:
    graph = net(*block("a"), *block("b"))
    found = measured(tmp_path, graph, traffic_bytes=0)
    table = offenders(found, "traffic_bytes")
    assert table is not None
    assert table.rows == (
        ("a.fc", "linear_0 + relu_1", 3 * TENSOR),
        ("b.fc", "linear_2 + relu_3", 3 * TENSOR),
    )
    launches = offenders(found, "launches")
    assert launches is not None
    assert launches.rows == (("a.fc", 1), ("b.fc", 1))
    assert offenders(found, "compulsory_bytes") is None
    text = markdown(Outcome((check(found, None, has_baseline=False),)))
    assert "#### Most of traffic_bytes" in text
    assert "linear_0 + relu_1" in text


def test_unknown_ops_are_named(tmp_path: Path) -> None:
    graph = next(g for seed in range(99) if (g := small_graph(seed)).unknown_ops)
    found = measured(tmp_path, graph, unknown_ops=0)
    checked = check(found, None, has_baseline=False)
    assert checked.fails
    table = offenders(found, "unknown_ops")
    assert table is not None
    assert table.column("op") == tuple(op.name for op in graph.unknown_ops)


# --- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["base.json", "base.json.zst"])
def test_a_baseline_comes_back_as_it_was(tmp_path: Path, name: str) -> None:
    found = measured(tmp_path, net(*block("a")), launches=3)
    save_baseline([found], tmp_path / name, "1.2.3")
    baseline = load_baseline(tmp_path / name)
    assert baseline.fuseline == "1.2.3"
    assert baseline.entries == (kept(found),)
    assert baseline.find("net") == kept(found)
    assert baseline.find("other") is None
    again = check(found, baseline.find("net"), has_baseline=True)
    assert again.difference is not None
    assert again.difference.changes == ()
    assert not again.fails


def test_writing_a_baseline_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    found = measured(tmp_path, net(*block("a")))
    for name in ("one.json.zst", "two.json.zst"):
        save_baseline([found], tmp_path / name, "1.2.3")
    assert (tmp_path / "one.json.zst").read_bytes() == (tmp_path / "two.json.zst").read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no baseline"),
        (b"{}", "is no baseline: its schema is '', not 'fuseline.baseline/1'"),
        (b'{"schema": "fuseline.graph/1"}', "its schema is 'fuseline.graph/1'"),
        (b'{"schema": "fuseline.baseline/2"}', "has schema 'fuseline.baseline/2'; this version"),
        (b'{"schema": "fuseline.baseline/1"}', "is damaged"),
        (b"\x28\xb5\x2f\xfd\x00", "is damaged"),
        (b"[" * 100_000, "is no baseline"),
    ],
)
def test_what_is_no_baseline_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "odd.json").write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_baseline(tmp_path / "odd.json")
    assert message in str(caught.value)


def test_a_baseline_that_does_not_hold_together_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    save_baseline([measured(tmp_path, net(*block("a")))], path, "1.2.3")
    whole = path.read_bytes()
    for old, new, message in (
        (b'"ops":[0,1]', b'"ops":[0,7]', "net: a group holds an op that is not there"),
        (b'"launches":1', b'"lunches":1', "net: unknown figure 'lunches'"),
        (b'"storage":0', b'"storage":99', "is damaged"),
    ):
        assert old in whole
        path.write_bytes(whole.replace(old, new))
        with pytest.raises(InputError) as caught:
            load_baseline(path)
        assert message in str(caught.value)


def test_another_torch_and_other_options_are_remarked_on(tmp_path: Path) -> None:
    found = measured(tmp_path, net(*block("a")))
    entry = replace(found.entry, capture=Capturing(batch=2))
    before = Kept(entry, "2.1.0", found.figures, found.priced)
    checked = check(replace(found, torch="2.13.0"), before, has_baseline=True)
    assert checked.remarks == (
        "the baseline was captured with torch 2.1.0, this with 2.13.0",
        "the baseline was captured, partitioned or timed otherwise",
    )
