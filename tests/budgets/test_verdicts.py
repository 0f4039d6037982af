"""Figures held against budgets and baselines, and baseline files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from fuseline.budgets.baseline import Kept, load_baseline, save_baseline
from fuseline.budgets.difference import BESIDES
from fuseline.budgets.document import Outcome, markdown
from fuseline.budgets.entries import Entry, Planning
from fuseline.budgets.measure import Measured, find_file, measure
from fuseline.budgets.offenders import FOLDED, offenders, parameter_parts
from fuseline.budgets.verdicts import Checked, Held, Verdict, check
from fuseline.errors import InputError
from fuseline.graph import Builder, Graph, Kind, Origin, Role, Status, Work, save
from fuseline.graph.fold import fold_constants
from fuseline.report.captures import Capturing
from tests.budgets.nets import FLOPS, TENSOR, block, net
from tests.small_graphs import small_graph
from tests.strategies import graphs

RULES = """
backend = "mine"
source = "none"
date = "2026"
[[pairs]]
before = "linear"
after = "relu"
"""


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


@pytest.mark.parametrize(
    ("baseline", "tolerance", "allowed"),
    [(100, 0.29, 129), (10_000, 0.57, 15_700), (1_000, 0.0015, 1_001), (2**60 + 1, 0.5, None)],
)
def test_a_tolerance_is_exact_at_its_bound(
    tmp_path: Path, baseline: int, tolerance: float, allowed: int | None
) -> None:
    allowed = allowed or baseline + 2**59  # half of 2^60 + 1, cut
    found = measured(tmp_path, net(*block("a")))
    entry = replace(found.entry, tolerance=tolerance)
    before = replace(kept(found), figures={**found.figures, "launches": baseline})
    for now, verdict in ((allowed, Verdict.TOLERATED), (allowed + 1, Verdict.WORSE)):
        after = replace(found, entry=entry, figures={**found.figures, "launches": now})
        launches = held(check(after, before, has_baseline=True), "launches")
        assert (launches.allowed, launches.verdicts) == (allowed, (verdict,))


def test_a_figure_that_only_one_side_tells_fails(tmp_path: Path) -> None:
    found = measured(tmp_path, net(*block("a")))
    timed = replace(found, figures={**found.figures, "seconds": 0.25})
    lost = check(found, kept(timed), has_baseline=True)
    seconds = held(lost, "seconds")
    assert (seconds.now, seconds.baseline, seconds.verdicts) == (None, 0.25, (Verdict.LOST,))
    assert (seconds.change, seconds.change_fraction) == (None, None)
    assert lost.fails
    line = "| net | seconds | - | 0.25 | - | - | told in the baseline, and no longer |"
    assert line in markdown(Outcome((lost,)))
    new = check(timed, kept(found), has_baseline=True)
    assert held(new, "seconds").verdicts == (Verdict.MISSING,)
    assert new.fails
    assert not check(timed, None, has_baseline=True).fails  # a model of which nothing is kept


def test_a_plan_that_became_a_cover_does_not_pass_by_telling_less(tmp_path: Path) -> None:
    before = measured(tmp_path, net(*block("a")))
    entry = replace(before.entry, planning=Planning("inductor"))
    checked = check(measure(entry, tmp_path, silent), kept(before), has_baseline=True)
    lost = [each.figure for each in checked.held if Verdict.LOST in each.verdicts]
    assert lost == ["memory_bytes", "activations_peak_bytes", "illegal_groups"]
    assert checked.fails


def test_a_gap_that_nobody_asked_for_is_not_compared_and_does_not_fail(tmp_path: Path) -> None:
    plain = measured(tmp_path, net(*block("a")))
    asked = measured(tmp_path, net(*block("a")), gap=0.0)
    for now, before in ((plain, asked), (asked, plain)):
        checked = check(now, kept(before), has_baseline=True)
        assert held(checked, "gap").verdicts == (Verdict.UNASKED,)
        assert not checked.fails


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
    many = f"{len(graph.unknown_ops)} unknown op{'s' if len(graph.unknown_ops) > 1 else ''}"
    assert f"FLOPs leave out {many}" in markdown(Outcome((checked,)))


def with_hidden_bytes(graph: Graph, nbytes: int) -> Graph:
    first, *others = graph.ops
    return replace(graph, ops=(replace(first, hidden_bytes=nbytes), *others))


def test_what_moves_inside_attention_is_said(tmp_path: Path) -> None:
    before = measured(tmp_path, with_hidden_bytes(net(*block("a")), 1_000))
    after = measured(tmp_path, with_hidden_bytes(net(*block("a")), 2_500))
    alone = markdown(Outcome((check(after, None, has_baseline=False),)))
    assert "Attention is one op at module level: at least 2,500 bytes that move inside" in alone
    beside = markdown(Outcome((check(after, kept(before), has_baseline=True),)))
    assert "at least 1,000 bytes before, 2,500 after" in beside
    plain = measured(tmp_path, net(*block("a")))
    assert "Attention" not in markdown(Outcome((check(plain, None, has_baseline=False),)))


def folded_graph() -> Graph:
    """x (4 x 4) @ fold(u (4 x 2) @ v (2 x 4)): the folded weight is larger than what it is of."""
    build = Builder()
    u = build.tensor("u", (4, 2), role=Role.PARAMETER)
    v = build.tensor("v", (2, 4), role=Role.PARAMETER)
    x = build.tensor("x", (4, 4), role=Role.INPUT)
    weight = build.op(
        "fold", Kind.MATMUL, parameters=[u, v], shape=(4, 4), origin=Origin.ATEN,
        work=Work(64, 0, Status.COUNTED),
    )  # fmt: skip
    y = build.op(
        "use", Kind.MATMUL, inputs=[x, weight], shape=(4, 4), origin=Origin.ATEN,
        work=Work(128, 0, Status.COUNTED),
    )  # fmt: skip
    return fold_constants(build.finish([y]))


def test_no_part_is_more_than_the_whole(tmp_path: Path) -> None:
    graph = folded_graph()
    found = measured(tmp_path, graph, parameter_bytes=0, flops=0)
    assert (found.figures["parameter_bytes"], found.figures["flops"]) == (64, 192)
    parameters = offenders(found, "parameter_bytes")
    assert parameters is not None
    assert parameters.rows == (("u", 32), ("v", 32))
    flops = offenders(found, "flops")
    assert flops is not None
    assert flops.rows == (("(model)", "use", 128), (FOLDED, "1 op without input", 64))


@given(graphs())
def test_parts_of_the_parameters_add_up(graph: Graph) -> None:
    folded = fold_constants(graph)
    assert sum(parameter_parts(folded).values()) == folded.parameter_bytes


def test_kernels_besides_the_groups_are_named(tmp_path: Path) -> None:
    found = measured(tmp_path, net(*block("a")))
    more = replace(found.priced, extra_launches=2, extra_traffic_bytes=1_000)
    beside = replace(found, priced=more)
    launches, traffic = offenders(beside, "launches"), offenders(beside, "traffic_bytes")
    assert launches is not None
    assert traffic is not None
    assert launches.rows == ((BESIDES, 2), ("a.fc", 1))
    assert traffic.rows[0] == (BESIDES, "2 kernels", 1_000)


def test_rules_of_the_configurations_folder_are_found_there(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(RULES)
    save(net(*block("a")), tmp_path / "net.json")
    entry = Entry("net.json", "net", planning=Planning("pairs", pair_rules="mine.toml"))
    assert measure(entry, tmp_path, silent).figures["launches"] == 1  # linear and relu are one
    with pytest.raises(InputError, match=r"cannot read 'mine.toml'"):
        measure(replace(entry, name=str(tmp_path / "net.json")), tmp_path / "other", silent)


def test_rules_that_need_a_size_say_so(tmp_path: Path) -> None:
    save(net(*block("a")), tmp_path / "net.json")
    entry = Entry("net.json", "net", planning=Planning("optimal", rules="M"))
    with pytest.raises(InputError, match="rules M allow what fits on chip: add on_chip"):
        measure(entry, tmp_path, silent)


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
        (b'"ops":[0,1]', b'"ops":[0,0]', "net: a group holds an op twice"),
        (b'"ops":[0,1]', b'"ops":[]', "net: a group computes nothing"),
        (b'"ops":[0,1]', b'"ops":[1]', "net: a group has other FLOPs than its ops"),
        (b'"launches":1', b'"lunches":1', "net: unknown figure 'lunches'"),
        (b'"launches":1', b'"launches":2', "net: launches is 2, and its kernels and ops have 1"),
        (b'"launches":1', b'"launches":1.5', "net: launches is 1.5"),
        (b'"launches":1,', b"", "net: launches is None, and its kernels and ops have 1"),
        (b'192,"flops":128,"o', b'192,"flops":127,"o', "net: flops is 127, and its kernels"),
        (b'"traffic_bytes":192,"flops"', b'"traffic_bytes":-1,"flops"', "negative figure"),
        (b'"seconds":null', b'"seconds":1.0', "net: only a part of its kernels is timed"),
        (b'"memory_bytes":192', b'"memory_bytes":-192', "net: memory_bytes is -192"),
        (b'"strategy":"tvm"', b'"strategy":"tmv"', "strategy: 'tmv' is not known: did you mean"),
        (b'"rules":"T"', b'"rules":"Q"', "rules: 'Q' is not known"),
        (b'"launch":"eager"', b'"launch":"graph"', "launch and tf32 say how a device runs"),
        (b'"budget":{}', b'"budget":{"lunches":3}', "unknown figure 'lunches'"),
        (b'"tolerance":0.0', b'"tolerance":-1.0', "-1.0 is no fraction"),
        (b'"label":"net"', b'"label":""', "'' is no text"),
        (b'"storage":0', b'"storage":99', "is damaged"),
    ):
        assert old in whole
        path.write_bytes(whole.replace(old, new))
        with pytest.raises(InputError) as caught:
            load_baseline(path)
        assert message in str(caught.value)


def test_a_baseline_of_no_model_and_one_of_two_alike_are_refused(tmp_path: Path) -> None:
    found = measured(tmp_path, net(*block("a")))
    for entries, message in (([], "it holds no model"), ([found] * 2, "two models have one label")):
        save_baseline(entries, tmp_path / "base.json", "1.2.3")
        with pytest.raises(InputError, match=message):
            load_baseline(tmp_path / "base.json")


def test_a_kernel_that_was_taken_out_is_missed(tmp_path: Path) -> None:
    found = measured(tmp_path, net(*block("a"), *block("b")))
    less = replace(found, priced=replace(found.priced, groups=found.priced.groups[:1]))
    save_baseline([less], tmp_path / "base.json", "1.2.3")
    with pytest.raises(InputError, match="launches is 2, and its kernels and ops have 1"):
        load_baseline(tmp_path / "base.json")


def test_another_torch_and_other_options_are_remarked_on(tmp_path: Path) -> None:
    found = measured(tmp_path, net(*block("a")))
    entry = replace(found.entry, capture=Capturing(batch=2))
    before = Kept(entry, "2.1.0", found.figures, found.priced)
    checked = check(replace(found, torch="2.13.0"), before, has_baseline=True)
    assert checked.remarks == (
        "the baseline was captured with torch 2.1.0, this with 2.13.0",
        "the baseline was captured, partitioned or timed otherwise",
    )
