"""Which boxes and arrows a plan is drawn with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseline.errors import InputError
from fuseline.fusion import STRATEGIES, partition
from fuseline.graph import Builder, Graph, Kind, Origin, Role
from fuseline.hardware import load_device
from fuseline.report.rows import PlanRow, Target, rows
from fuseline.report.rows.edges import INPUT, OUTPUT, edge_rows
from fuseline.report.rows.picture import Box, Frame, Picture, picture
from tests.report.models import SQUARE_BYTES, tower
from tests.strategies import graphs

H100 = Target(load_device("h100-sxm"))


def drawn(
    graph: Graph, strategy: str = "unfused", most: int | None = None, target: Target | None = None
) -> tuple[Picture, PlanRow]:
    plan = partition(graph, strategy)
    row = rows(graph, (plan,), "0", target).plans[0]
    return picture(graph, plan, row, most), row


def arrows_of(found: Picture) -> dict[tuple[int, int], int]:
    return {(arrow.source, arrow.target): arrow.bytes for arrow in found.arrows}


def boxes_in(part: Frame | Box) -> Iterator[Box]:
    if isinstance(part, Box):
        yield part
        return
    for child in part.children:
        yield from boxes_in(child)


def test_blocks_that_repeat_are_drawn_once() -> None:
    found, _ = drawn(tower(12))
    stem, fc, act, add, head = found.boxes
    assert [box.ops for box in found.boxes] == [
        ("linear",), ("linear",), ("relu",), ("add",), ("linear",),
    ]  # fmt: skip
    assert [box.name for box in found.boxes] == ["stem", "fc", "act", "", "head"]
    # ops: 0 stem, then fc, act, add of each block, 37 head
    assert stem.groups == (0,)
    assert head.groups == (37,)
    assert fc.copies == tuple((1 + 3 * block,) for block in range(12))
    assert add.copies == tuple((3 + 3 * block,) for block in range(12))
    blocks = found.root.children[1]
    assert isinstance(blocks, Frame)
    repeat = blocks.children[0]
    assert isinstance(repeat, Frame)
    assert (repeat.name, repeat.count, repeat.totals.launches) == ("0 … 11", 12, 3)
    # of one copy: fc reads x and a weight and writes, act reads and writes, add reads two
    assert repeat.totals.traffic_bytes == (3 + 2 + 3) * SQUARE_BYTES
    assert act.totals.traffic_bytes == 2 * SQUARE_BYTES
    assert (found.closed, found.hidden) == (0, 0)


def test_arrows_of_a_repeat_are_those_of_its_first_copy() -> None:
    found, _ = drawn(tower(12))
    stem, fc, act, add, head = (box.id for box in found.boxes)
    # from one block to the next goes back, in the picture: left out
    assert arrows_of(found) == {
        (INPUT, stem): 64, (stem, fc): 64, (stem, add): 64, (fc, act): 64, (act, add): 64,
        (add, head): 64, (head, OUTPUT): 64,
    }  # fmt: skip


def test_what_a_copy_hands_to_the_next_is_counted_once() -> None:
    found, _ = drawn(tower(12))
    blocks = found.root.children[1]
    assert isinstance(blocks, Frame)
    repeat = blocks.children[0]
    assert isinstance(repeat, Frame)
    # both fc and add of the next read what add leaves
    assert repeat.handed_bytes == SQUARE_BYTES
    assert (found.root.handed_bytes, blocks.handed_bytes) == (0, 0)


def test_a_copy_may_hand_on_several_things() -> None:
    found, _ = drawn(pairs(outer=3, inner=1))
    (repeat,) = found.root.children
    assert isinstance(repeat, Frame)
    assert (repeat.count, repeat.handed_bytes) == (3, 16 + 32)


def test_repeats_inside_repeats_hand_on_their_own() -> None:
    found, _ = drawn(pairs(outer=2, inner=3))
    (outer,) = found.root.children
    assert isinstance(outer, Frame)
    inner = next(child for child in outer.children if isinstance(child, Frame))
    assert (outer.count, outer.handed_bytes) == (2, 16 + 32)
    assert (inner.count, inner.handed_bytes) == (3, 16)


def pairs(outer: int, inner: int) -> Graph:
    """`outer` times a gelu of 32 bytes; beside it `inner` times relu and tanh of 16."""
    build = Builder()
    small = build.tensor("small", (4,), role=Role.INPUT)
    large = build.tensor("large", (8,), role=Role.INPUT)
    for stage in range(outer):
        large = build.op(
            f"gelu_{stage}", Kind.GELU, inputs=[large], shape=(8,), module_path=f"stage{stage}",
            origin=Origin.ATEN, target="gelu",
        )  # fmt: skip
        for place in range(inner):
            for kind in (Kind.RELU, Kind.TANH):
                small = build.op(
                    f"{kind.value}_{stage}_{place}", kind, inputs=[small], shape=(4,),
                    module_path=f"stage{stage}.block{place}", origin=Origin.ATEN,
                )  # fmt: skip
    return build.finish([small, large])


def test_the_deepest_modules_are_closed_first() -> None:
    found, _ = drawn(tower(12), most=4)
    stem, blocks, head = found.boxes
    assert (blocks.kind, blocks.name, blocks.ops) == ("closed", "0 … 11 x12", ())
    assert blocks.groups == tuple(range(1, 37))
    assert (blocks.totals.launches, blocks.totals.flops) == (36, 12 * 128)
    assert (found.closed, found.hidden) == (1, 36)
    # what stem leaves is read twice inside, and counts once
    assert arrows_of(found) == {
        (INPUT, stem.id): 64, (stem.id, blocks.id): 64, (blocks.id, head.id): 64,
        (head.id, OUTPUT): 64,
    }  # fmt: skip


def test_of_modules_as_deep_the_one_that_moves_least_is_closed_first() -> None:
    build = Builder()
    x = build.tensor("x", (4, 4), role=Role.INPUT)
    for module, ops in (("large", 3), ("small", 2)):
        for place in range(ops):
            x = build.op(
                f"{module}_{place}", Kind.RELU, inputs=[x], shape=(4, 4), module_path=module,
                origin=Origin.ATEN, target=f"relu{place}",
            )  # fmt: skip
    graph = build.finish([x])
    found, _ = drawn(graph, most=4)
    assert [(box.kind, box.name) for box in found.boxes][-1] == ("closed", "small")


def test_what_is_in_no_module_is_joined_where_it_must_be() -> None:
    build = Builder()
    x = build.tensor("x", (4,), role=Role.INPUT)
    for place in range(10):  # no two alike: each result is 16 bytes more
        shape = (4 * (place + 2),)
        x = build.op(f"pad_{place}", Kind.PAD, inputs=[x], shape=shape, origin=Origin.ATEN)
    graph = build.finish([x])
    found, row = drawn(graph, most=3)
    assert [box.totals.launches for box in found.boxes] == [3, 3, 4]
    assert {box.kind for box in found.boxes} == {"closed"}
    # pad_2 leaves 4 x 16 bytes, pad_5 leaves 7 x 16, pad_9 leaves 11 x 16
    assert arrows_of(found) == {(INPUT, 0): 16, (0, 1): 64, (1, 2): 112, (2, OUTPUT): 176}
    check(found, row)
    one, row = drawn(graph, most=1)
    assert arrows_of(one) == {(INPUT, 0): 16, (0, OUTPUT): 176}
    check(one, row)


def test_what_nobody_could_follow_is_closed() -> None:
    """Every op reads all before it: 30 modules of two ops, 1,770 arrows."""
    build = Builder()
    made = [build.tensor("x", (4, 4), role=Role.INPUT)]
    for place in range(60):
        kind = Kind.ADD if place % 2 else Kind.CAT
        made.append(
            build.op(
                f"op_{place}",
                kind,
                inputs=made,
                shape=(4, 4 + place),
                module_path=f"stage{place // 20}.m{place // 2}",
                origin=Origin.ATEN,
            )
        )
    graph = build.finish([made[-1]])
    every, _ = drawn(graph)
    assert len(every.arrows) == 60 * 61 // 2 + 1  # every op, and x, to all that come after
    found, row = drawn(graph, most=100)
    assert len(found.arrows) <= 40
    assert len(found.boxes) > 1
    check(found, row)


def test_a_picture_needs_a_box() -> None:
    with pytest.raises(InputError, match="a picture has at least one box, not 0"):
        drawn(tower(1), most=0)


@pytest.mark.parametrize("most", [None, 7, 2])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_boxes_hold_every_kernel_once(strategy: str, most: int | None) -> None:
    found, row = drawn(tower(5), strategy, most, H100)
    check(found, row)
    assert most is None or len(found.boxes) <= most


@given(
    graphs(),
    st.sampled_from(("unfused", "fusion", "tvm", "optimal")),
    st.sampled_from((None, 1, 2, 5)),
)
def test_pictures_of_random_graphs(graph: Graph, strategy: str, most: int | None) -> None:
    found, row = drawn(graph, strategy, most)
    check(found, row)
    assert most is None or len(found.boxes) <= most


@given(graphs(), st.sampled_from(("unfused", "fusion", "tvm")))
def test_arrows_between_kernels_drawn_one_by_one_are_the_plans_edges(
    graph: Graph, strategy: str
) -> None:
    found, _ = drawn(graph, strategy)
    if any(len(box.copies) > 1 for box in found.boxes):
        return  # other copies' edges are not drawn
    group = {box.id: box.groups[0] for box in found.boxes} | {INPUT: INPUT, OUTPUT: OUTPUT}
    launched = set(group.values())
    edges = edge_rows(graph, partition(graph, strategy))
    assert {(group[arrow.source], group[arrow.target]): arrow.bytes for arrow in found.arrows} == {
        (edge.source, edge.target): edge.bytes
        for edge in edges
        if {edge.source, edge.target} <= launched
    }


def check(found: Picture, row: PlanRow) -> None:
    """Every launched group is in one box, and figures add up to the plan's."""
    held = [group for box in found.boxes for group in box.groups]
    launched = {member.group: member for member in row.members if member.launched}
    assert sorted(held) == sorted(launched)
    assert [box.id for box in found.boxes] == list(range(len(found.boxes)))
    assert tuple(boxes_in(found.root)) == found.boxes
    moved = sum(box.totals.traffic_bytes * len(box.copies) for box in found.boxes)
    assert moved == row.traffic_bytes - row.extra_traffic_bytes
    assert sum(box.totals.flops * len(box.copies) for box in found.boxes) == row.flops
    for box in found.boxes:
        for copy in box.copies:  # alike in every copy
            assert sum(launched[group].traffic_bytes for group in copy) == box.totals.traffic_bytes
            assert len(copy) == box.totals.launches
        assert sum(nbytes for _, nbytes in box.totals.bottlenecks) == box.totals.traffic_bytes
    ends = {box.id for box in found.boxes} | {INPUT, OUTPUT}
    assert all({arrow.source, arrow.target} <= ends for arrow in found.arrows)
    assert all(arrow.source != arrow.target for arrow in found.arrows)
