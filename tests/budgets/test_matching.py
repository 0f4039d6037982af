from __future__ import annotations

from fuseline.budgets.matching import Likeness, match_ops
from fuseline.graph import Graph, Kind
from tests.budgets.nets import block, names, net
from tests.small_graphs import small_graph


def matched(before: Graph, after: Graph) -> list[tuple[str, str, Likeness]]:
    found = match_ops(before, after)
    return [
        (before.ops[match.before].name, after.ops[match.after].name, match.likeness)
        for match in found.matches
    ]


def test_a_graph_is_itself() -> None:
    for seed in range(30):
        graph = small_graph(seed)
        found = match_ops(graph, graph)
        assert [(match.before, match.after) for match in found.matches] == [
            (op.id, op.id) for op in graph.ops
        ]
        assert {match.likeness for match in found.matches} == {Likeness.SAME}
        assert found.added == found.removed == ()


def test_every_op_is_matched_once_or_not_at_all() -> None:
    for seed in range(30):
        before, after = small_graph(seed), small_graph(seed + 1)
        found = match_ops(before, after)
        ones = [match.before for match in found.matches]
        others = [match.after for match in found.matches]
        assert sorted([*ones, *found.removed]) == [op.id for op in before.ops]
        assert sorted([*others, *found.added]) == [op.id for op in after.ops]
        for match in found.matches:
            assert before.ops[match.before].target == after.ops[match.after].target


def test_a_new_block_is_named_and_its_neighbours_keep_theirs() -> None:
    before = net(*block("a"), *block("c"))
    after = net(*block("a"), *block("b"), *block("c"))
    found = match_ops(before, after)
    assert names(after, found.added) == ["linear_2", "relu_3"]
    assert found.removed == ()
    assert matched(before, after)[2] == ("linear_2", "linear_4", Likeness.SAME)


def test_a_renamed_block_is_moved_not_new() -> None:
    before = net(*block("old"), ("head", Kind.LINEAR))
    after = net(*block("new"), ("head", Kind.LINEAR))
    assert matched(before, after) == [
        ("linear_0", "linear_0", Likeness.MOVED),
        ("relu_1", "relu_1", Likeness.MOVED),
        ("linear_2", "linear_2", Likeness.SAME),
    ]


def test_reordered_modules_are_the_same() -> None:
    before = net(*block("a"), *block("b"))
    after = net(*block("b"), *block("a"))
    found = match_ops(before, after)
    assert found.added == found.removed == ()
    assert {match.likeness for match in found.matches} == {Likeness.SAME}


def test_another_shape_in_the_same_place_is_a_change() -> None:
    before = small_graph(3, side=4)
    after = small_graph(3, side=5)
    found = match_ops(before, after)
    assert found.added == found.removed == ()
    assert {match.likeness for match in found.matches} == {Likeness.CHANGED}


def test_another_op_in_the_same_place_is_another_op() -> None:
    before = net(("fc", Kind.LINEAR), ("act", Kind.RELU))
    after = net(("fc", Kind.LINEAR), ("act", Kind.GELU))
    found = match_ops(before, after)
    assert names(before, found.removed) == ["relu_1"]
    assert names(after, found.added) == ["gelu_1"]
