"""What became of kernels: hand-made changes, and sums that must add up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fuseline.budgets.changes import kernel_table, left_out, module_table, op_table, summary
from fuseline.budgets.difference import BESIDES, Difference, What, by_module, difference
from fuseline.budgets.priced import Priced
from fuseline.graph import Graph, Kind, Status, Work
from fuseline.report.rows import Target
from tests.budgets.nets import FLOPS, TENSOR, block, net, plan_of
from tests.costs.test_roofline import ROUND
from tests.small_graphs import small_graph


def of(before: Priced, after: Priced) -> Difference:
    return difference(before, after)


def test_nothing_is_different() -> None:
    plan = plan_of(net(*block("a")))
    found = of(plan, plan)
    assert found.changes == ()
    assert summary(found) == "no kernel is different in launches, bytes or FLOPs"


def test_a_new_block() -> None:
    before = plan_of(net(*block("layers.0")), "tvm")
    after = plan_of(net(*block("layers.0"), *block("layers.1")), "tvm")
    [change] = of(before, after).changes
    assert (change.what, change.module) == (What.NEW, "layers.1")
    assert (change.before, change.after) == ((), (("linear_2", "relu_3"),))
    assert change.added == ("linear_2", "relu_3")
    # what it reads, its weight, and what it writes
    assert (change.launches, change.traffic_bytes, change.flops) == (1, 3 * TENSOR, FLOPS)
    assert summary(of(before, after)) == (
        f"+1 launch, +{3 * TENSOR} bytes, +{FLOPS} FLOPs, in layers.1"
    )
    [gone] = of(after, before).changes
    assert gone.what is What.GONE
    assert gone.removed == ("linear_2", "relu_3")
    assert (gone.launches, gone.traffic_bytes, gone.flops) == (-1, -3 * TENSOR, -FLOPS)


def test_kernels_that_split_and_merge() -> None:
    graph = net(*block("a"))
    fused, apart = plan_of(graph, "tvm"), plan_of(graph)
    [split] = of(fused, apart).changes
    assert split.what is What.SPLIT
    assert split.before == (("linear_0", "relu_1"),)
    assert split.after == (("linear_0",), ("relu_1",))
    # the activation is written and read again
    assert (split.launches, split.traffic_bytes, split.flops) == (1, 2 * TENSOR, 0)
    [merged] = of(apart, fused).changes
    assert (merged.what, merged.launches, merged.traffic_bytes) == (What.MERGED, -1, -2 * TENSOR)


def test_kernels_that_grow_and_shrink() -> None:
    before = plan_of(net(("fc", Kind.LINEAR)), "tvm")
    after = plan_of(net(("fc", Kind.LINEAR), ("act", Kind.RELU)), "tvm")
    [grew] = of(before, after).changes
    assert (grew.what, grew.module, grew.added) == (What.GREW, "act", ("relu_1",))
    assert (grew.launches, grew.traffic_bytes, grew.flops) == (0, 0, 0)
    [shrank] = of(after, before).changes
    assert (shrank.what, shrank.removed) == (What.SHRANK, ("relu_1",))
    assert by_module([grew]) == ()  # costs nothing, and is a change all the same


def test_an_op_in_the_way_splits_a_kernel() -> None:
    # a sort is a kernel of its own, and what it parts is no longer one
    before = plan_of(net(*block("a"), ("b", Kind.TANH)), "tvm")
    after = plan_of(net(*block("a"), ("mid", Kind.SORT), ("b", Kind.TANH)), "tvm")
    new, split = sorted(of(before, after).changes, key=lambda change: change.what.value)
    assert (new.what, new.module, new.after) == (What.NEW, "mid", (("sort_2",),))
    assert split.what is What.SPLIT
    assert split.before == (("linear_0", "relu_1", "tanh_2"),)
    assert split.after == (("linear_0", "relu_1"), ("tanh_3",))
    assert (new.launches, split.launches) == (1, 1)


def test_modules_are_told_as_deep_as_one_holds_all() -> None:
    before = plan_of(net(*block("enc.0"), *block("enc.1"), ("head", Kind.LINEAR)))
    after = plan_of(
        net(*block("enc.0"), *block("enc.0.b"), *block("enc.1"), *block("enc.1.b"),
            ("head", Kind.LINEAR))
    )  # fmt: skip
    found = of(before, after)
    rows = [(row.module, row.launches, row.traffic_bytes) for row in by_module(found.changes)]
    assert rows == [("enc.0.b", 2, 5 * TENSOR), ("enc.1.b", 2, 5 * TENSOR)]
    assert found.total.launches == 4


def test_flat_modules_are_told_by_the_op_that_moves_most() -> None:
    before = plan_of(net(("0", Kind.LINEAR)), "tvm")
    after = plan_of(net(("0", Kind.LINEAR), ("1", Kind.LINEAR), ("2", Kind.RELU)), "tvm")
    [change] = of(before, after).changes
    assert change.module == "1"


@pytest.mark.parametrize("strategy", ["unfused", "tvm", "optimal", "inductor"])
def test_changes_add_up_to_the_difference_of_the_totals(strategy: str) -> None:
    """Whatever two graphs are, and whatever is alike in them."""
    several = 0
    for seed in range(25):
        before = plan_of(small_graph(seed), strategy)
        after = plan_of(small_graph(seed + 1, most=12), strategy)
        found = of(before, after)
        total = found.total
        assert total.launches == after.launches - before.launches
        assert total.traffic_bytes == after.traffic_bytes - before.traffic_bytes
        assert total.flops == after.flops - before.flops
        for most in (3, 1_000):
            table = module_table(found, most)
            for name, whole in (("launches", total.launches), ("flops", total.flops),
                                ("traffic_bytes", total.traffic_bytes)):  # fmt: skip
                column = table.column(f"{name}_change")
                assert sum(value for value in column if isinstance(value, int)) == whole
        several += len(found.changes) > 1
    assert several > 5


def test_kernels_besides_the_groups_are_a_change_of_their_own() -> None:
    plan = plan_of(net(*block("a")))
    more = Priced(plan.graph, plan.groups, 2, 128, None)
    [change] = of(plan, more).changes
    assert (change.module, change.launches, change.traffic_bytes) == (BESIDES, 2, 128)
    assert kernel_table(of(plan, more)).rows[0][1] == BESIDES


def test_a_side_without_a_device_does_not_take_no_time() -> None:
    graph = net(*block("a"))
    plain, timed = plan_of(graph), plan_of(graph, target=Target(ROUND))
    # linear: 192 bytes at 20 a second, and a launch of 3 s; relu: 128 bytes, and a launch
    assert (plain.seconds, timed.seconds) == (None, 9.6 + 3 + 6.4 + 3)
    for before, after, where in ((plain, timed, "after"), (timed, plain, "before")):
        found = of(before, after)
        assert found.changes == ()
        assert found.total.seconds is None
        assert left_out(found) == (
            f"seconds are told only of the plan {where} the change: none are compared",
        )
    more = plan_of(net(*block("a"), *block("b")))
    assert [change.seconds for change in of(timed, more).changes] == [None, None]
    assert "seconds_change" not in [column.name for column in module_table(of(timed, more)).columns]


def test_seconds_are_compared_where_both_plans_have_them() -> None:
    before = plan_of(net(*block("a")), target=Target(ROUND))
    after = plan_of(net(*block("a"), ("b", Kind.TANH)), target=Target(ROUND))
    [change] = of(before, after).changes
    assert (change.what, change.seconds) == (What.NEW, 6.4 + 3)
    assert left_out(of(before, after)) == ()


def test_kernels_besides_the_groups_take_another_time_on_another_device() -> None:
    plan = plan_of(net(*block("a")), target=Target(ROUND))
    before = replace(plan, extra_launches=2, extra_traffic_bytes=128, extra_seconds=1.5)
    after = replace(before, extra_seconds=2.25)
    [change] = of(before, after).changes
    assert (change.module, change.launches, change.traffic_bytes) == (BESIDES, 0, 0)
    assert change.seconds == 0.75
    assert summary(of(before, after)) == f"+0.75 s, in {BESIDES}"


def test_what_floats_round_is_no_change() -> None:
    plan = plan_of(net(*block("a")), target=Target(ROUND))
    first, second = plan.groups
    parts = tuple(replace(first, ops=(op,), seconds=share) for op, share in ((0, 0.1), (1, 0.2)))
    whole = replace(first, ops=(0, 1), seconds=0.3)
    assert first.seconds is not None
    assert second.seconds is not None
    [change] = of(replace(plan, groups=parts), replace(plan, groups=(whole,))).changes
    assert change.seconds == 0.0  # 0.1 + 0.2 is not 0.3


def unknown(graph: Graph, op: int) -> Graph:
    ops = list(graph.ops)
    ops[op] = replace(ops[op], work=Work(0, 0, Status.UNKNOWN), target="mine::mystery")
    return replace(graph, ops=tuple(ops))


def test_an_op_that_no_formula_knows_is_not_said_to_cost_nothing() -> None:
    before = net(*block("a"))
    after = unknown(net(*block("a"), ("b", Kind.LINEAR)), 2)
    found = of(plan_of(before), plan_of(after))
    # the traffic of a linear is known all the same
    assert op_table(found).rows == (
        ("added", "linear_2", "b", "mine::mystery", "4x4 float32", 3 * TENSOR, None),
    )
    assert left_out(found) == (
        "FLOPs leave out ops that no formula knows: 0 before, 1 after (mine::mystery)",
    )
    back = of(plan_of(after), plan_of(before))
    assert op_table(back).column("flops_change") == (None,)
    assert left_out(back)[0].endswith("1 before, 0 after (mine::mystery)")


def test_an_op_that_became_known_has_changed() -> None:
    known = net(("a", Kind.RELU))
    other = replace(known, ops=(replace(known.ops[0], work=Work(0, 0, Status.UNKNOWN)),))
    [line] = op_table(of(plan_of(other), plan_of(known))).rows
    assert (line[0], line[-1]) == ("changed", None)


def test_what_moves_inside_attention_is_said() -> None:
    graph = net(*block("a"))
    hidden = replace(graph, ops=(replace(graph.ops[0], hidden_bytes=7_000), *graph.ops[1:]))
    [said] = left_out(of(plan_of(graph), plan_of(hidden)))
    assert said.endswith("is in no figure, at least 0 bytes before, 7,000 after")


def test_another_class_name_is_no_change() -> None:
    graph = net(("", Kind.RELU), ("", Kind.TANH))
    renamed = replace(graph, ops=tuple(replace(op, module_class="NetV2") for op in graph.ops))
    found = of(plan_of(graph), plan_of(renamed))
    assert (found.changes, op_table(found).rows) == ((), ())


def test_what_saves_most_comes_first_too() -> None:
    layers = [block(f"b{n}") for n in range(30)]
    wide = [("wide.a", Kind.LINEAR), ("wide.b", Kind.LINEAR), *block("wide.c")]
    before = plan_of(net(*(layer for each in layers for layer in each), *wide))
    after = plan_of(net(("one", Kind.TANH)))
    found = of(before, after)
    # 3 linears and a relu less; of every other block a linear and a relu
    _, where = summary(found).split(", in ")
    assert where.startswith(f"wide (-4 launches, -{11 * TENSOR} bytes, -{3 * FLOPS} FLOPs), ")
    assert module_table(found, 20).column("module")[0] == "wide"
    assert of(after, before).total.launches == 63


def test_ops_in_a_table() -> None:
    before = plan_of(net(*block("a"), ("old", Kind.TANH)))
    after = plan_of(net(*block("a"), *block("b")))
    table = op_table(of(before, after))
    assert table.rows == (
        ("added", "linear_2", "b.fc", "linear", "4x4 float32", 3 * TENSOR, FLOPS),
        ("added", "relu_3", "b.act", "relu", "4x4 float32", 2 * TENSOR, 0),
        ("removed", "tanh_2", "old", "tanh", "4x4 float32", -2 * TENSOR, 0),
    )


def test_ops_that_changed_say_from_what_to_what() -> None:
    table = op_table(of(plan_of(small_graph(3, side=4)), plan_of(small_graph(3, side=5))))
    assert {row[0] for row in table.rows} == {"changed"}
    assert "4x4 float32 -> 5x5 float32" in table.column("results")


def test_long_tables_say_how_many_rows_are_missing() -> None:
    before = plan_of(net(*block("a")))
    after = plan_of(net(*block("a"), *(layer for n in range(30) for layer in block(f"b{n}"))))
    found = of(before, after)
    assert kernel_table(found, 20).notes == ("and 40 more changes",)
    assert op_table(found, 59).notes == ("and 1 more op",)
    last = module_table(found, 20).rows[-1]
    assert last[:3] == ("(10 other modules)", 20, 10 * 5 * TENSOR)
