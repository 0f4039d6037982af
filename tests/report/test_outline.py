"""A partition as a tree: modules, groups, and what repeats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseline.fusion import STRATEGIES, partition
from fuseline.graph import Graph
from fuseline.hardware import load_device
from fuseline.report.rows import PlanRow, Target, rows
from fuseline.report.rows.edges import INPUT, OUTPUT, edge_rows
from fuseline.report.rows.missed import missed_rows
from fuseline.report.rows.outline import Piece, outline
from fuseline.report.rows.repeats import find_runs
from tests.report.models import SQUARE_BYTES, tower
from tests.strategies import graphs


def plan_row(graph: Graph, strategy: str, target: Target | None = None) -> PlanRow:
    return rows(graph, (partition(graph, strategy),), "0", target).plans[0]


def leaves(piece: Piece) -> Iterator[Piece]:
    if piece.kind == "group":
        yield piece
    for child in piece.children:
        yield from leaves(child)


def inner(piece: Piece) -> Iterator[Piece]:
    yield piece
    for child in piece.children:
        yield from inner(child)


def test_blocks_that_are_alike_are_one_repeat() -> None:
    root = outline(plan_row(tower(12), "unfused").members)
    stem, blocks, head = root.children
    assert (root.kind, root.name, root.launches) == ("module", "net", 38)
    assert (stem.kind, head.kind) == ("group", "group")
    # `blocks` holds nothing but the repeat, so that it is one level with it
    (repeat,) = blocks.children
    assert (repeat.kind, repeat.name, repeat.count) == ("repeat", "0 … 11", 12)
    first = repeat.children[0]
    assert [piece.name for piece in first.children] == ["Unfused"] * 3
    assert first.traffic_bytes == (3 + 2 + 3) * SQUARE_BYTES  # fc reads x and a weight; act; add
    assert (first.flops, first.other_flops) == (128, 2 * 16)
    assert repeat.traffic_bytes == 12 * first.traffic_bytes


def test_alternating_neighbours_fold_two_by_two() -> None:
    runs = find_runs([9, 1, 2, 1, 2, 1, 2, 1, 3])
    assert [(run.start, run.period, run.count) for run in runs] == [
        (0, 1, 1),
        (1, 2, 3),
        (7, 1, 1),
        (8, 1, 1),
    ]


def test_what_spares_too_little_is_spelled_out() -> None:
    root = outline(plan_row(tower(2), "unfused").members)  # a second block spares three boxes
    assert any(piece.kind == "repeat" for piece in inner(root))
    fused = outline(plan_row(tower(2), "optimal").members)  # fused, it spares one
    assert not any(piece.kind == "repeat" for piece in inner(fused))


@given(st.lists(st.integers(0, 3), max_size=40))
def test_runs_cover_a_sequence_and_repeat_truly(numbers: list[int]) -> None:
    spelled: list[int] = []
    for run in find_runs(numbers):
        assert run.start == len(spelled)
        once = numbers[run.start : run.start + run.period]
        spelled.extend(once * run.count)
    assert spelled == numbers


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_outline_holds_every_launch_once_and_its_totals_are_the_plans(strategy: str) -> None:
    plan = plan_row(tower(5), strategy, Target(load_device("h100-sxm")))
    check(outline(plan.members), plan)


@given(graphs(), st.sampled_from(("unfused", "fusion", "tvm", "optimal")))
def test_outlines_of_random_graphs(graph: Graph, strategy: str) -> None:
    plan = plan_row(graph, strategy)
    check(outline(plan.members), plan)


def check(root: Piece, plan: PlanRow) -> None:
    groups = [piece.group for piece in leaves(root)]
    assert sorted(groups, key=str) == sorted(
        (member.group for member in plan.members if member.launched), key=str
    )
    assert root.launches == plan.launches - plan.extra_launches
    assert root.traffic_bytes == plan.traffic_bytes - plan.extra_traffic_bytes
    assert (root.flops, root.other_flops) == (plan.flops, plan.other_flops)
    for piece in inner(root):
        if piece.children:
            assert piece.traffic_bytes == total("traffic_bytes", piece.children)
            assert piece.launches == total("launches", piece.children)
        if piece.kind == "repeat":
            assert len({copy.traffic_bytes for copy in piece.children}) == 1
            assert len({copy.launches for copy in piece.children}) == 1
    if plan.seconds is not None and root.seconds is not None:
        assert root.seconds == pytest.approx(plan.seconds)


def total(field: str, pieces: Sequence[Piece]) -> int:
    return sum(getattr(piece, field) for piece in pieces)


def test_edges_of_a_block_by_hand() -> None:
    graph = tower(1)  # ops: 0 stem, 1 fc, 2 act, 3 add, 4 head
    edges = [(e.source, e.target) for e in edge_rows(graph, partition(graph, "unfused"))]
    assert set(edges) == {(INPUT, 0), (0, 1), (1, 2), (0, 3), (2, 3), (3, 4), (4, OUTPUT)}
    assert all(e.bytes == SQUARE_BYTES for e in edge_rows(graph, partition(graph, "unfused")))


@given(graphs(), st.sampled_from(("unfused", "fusion", "tvm")))
def test_edges_into_a_group_hold_what_it_reads(graph: Graph, strategy: str) -> None:
    """A group reads at most what its edges bring: one storage may come from several."""
    plan = partition(graph, strategy)
    read: dict[int, int] = {}
    for edge in edge_rows(graph, plan):
        assert edge.source != edge.target
        read[edge.target] = read.get(edge.target, 0) + edge.bytes
    for member in rows(graph, (plan,), "0").plans[0].members:
        assert member.read_bytes <= read.get(member.group, 0)


def test_missed_fusions_that_are_alike_are_one_row() -> None:
    graph = tower(4)
    found = missed_rows(graph, partition(graph, "unfused")).rows
    by_pair = {(row.from_, row.to): row for row in found}
    joined = by_pair["fc_0", "act_0"]
    # fc's result is written and read again: 2 x 64 bytes, in each of four blocks
    assert (joined.count, joined.saved_bytes, joined.legal) == (4, 2 * SQUARE_BYTES, True)
    assert "rung A" in joined.remedy
    assert joined.total_bytes == 4 * 2 * SQUARE_BYTES
    totals = [row.total_bytes for row in found]
    assert totals == sorted(totals, reverse=True)
