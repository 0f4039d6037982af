from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuseline.graph import Role, Tensor, distinct_bytes
from fuseline.graph.cells import View, cut, view_of
from tests.strategies import addresses, strided_tensors


def tensor(
    shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0, dtype: str = "float32"
) -> Tensor:
    return Tensor(0, "t", shape, dtype, Role.ACTIVATION, 0, offset, strides)


@pytest.mark.parametrize(
    ("window", "nbytes"),
    [
        pytest.param(tensor((4, 4), (4, 1)), 64, id="dense: 16 x 4"),
        pytest.param(tensor((4, 4), (1, 4)), 64, id="transposed: the same 16"),
        pytest.param(tensor((2, 4), (4, 1), 4), 32, id="rows 1 and 2: 8 x 4"),
        pytest.param(tensor((4, 2), (4, 1), 2), 32, id="right half: 8 x 4"),
        pytest.param(tensor((4, 2), (4, 2)), 32, id="every second column: 8 x 4"),
        pytest.param(tensor((9, 4), (0, 1)), 16, id="expanded: the 4 of its base"),
        pytest.param(tensor((3, 2), (1, 1)), 16, id="windows 012, 123 overlap: elements 0..3"),
        pytest.param(tensor((2, 3), (2, 1), dtype="float16"), 10, id="012, 234: 5 x 2"),
        pytest.param(tensor((), ()), 4, id="a scalar"),
        pytest.param(tensor((3, 0), (1, 1)), 0, id="empty"),
    ],
)
def test_distinct_bytes_by_hand(window: Tensor, nbytes: int) -> None:
    assert distinct_bytes(window) == nbytes


def test_equal_bytes_in_equal_ways_make_equal_views() -> None:
    whole = View(0, 64, ())
    assert view_of(tensor((4, 4), (4, 1))) == whole
    assert view_of(tensor((16,), (1,))) == whole
    assert view_of(tensor((1, 4, 1, 4), (99, 1, 7, 4))) == whole  # sizes of 1 have no stride
    assert view_of(tensor((5, 16), (0, 1))) == whole  # an expanded axis touches nothing new


def test_a_storage_touched_whole_only_is_one_cell() -> None:
    whole = view_of(tensor((1000, 1000), (1000, 1)))
    cells = cut((whole,))
    assert (cells.nbytes, cells.masks[whole]) == (4_000_000, 1)


def test_channel_halves_of_a_concatenation_are_two_cells() -> None:
    left, right = view_of(tensor((8,), (1,))), view_of(tensor((8,), (1,), 8))
    cells = cut((left, right))
    assert (cells.nbytes, cells.masks[left], cells.masks[right]) == (32, 0b01, 0b10)


def test_halves_and_steps_of_every_row_are_cut_in_one_row() -> None:
    # [1, 128, 4096, 128] of 2 bytes: whole, left and right halves, every second column
    strides = (1 << 26, 1 << 19, 128, 1)
    views = [
        view_of(tensor((1, 128, 4096, size), (*strides[:3], step), offset, "bfloat16"))
        for size, offset, step in ((128, 0, 1), (64, 0, 1), (64, 64, 1), (64, 0, 2))
    ]
    cells = cut(tuple(views))
    rows = 128 * 4096
    assert cells.nbytes == 2 * rows  # a cell is one column of all rows
    assert [cells.masks[view].bit_count() for view in views] == [128, 64, 64, 64]
    assert max(cells.masks.values()).bit_length() == 128


def test_slices_of_a_fused_projection_are_three_cells() -> None:
    width, rows = 16384, 4096
    whole = view_of(tensor((rows, 3 * width), (3 * width, 1)))
    parts = [view_of(tensor((rows, width), (3 * width, 1), n * width)) for n in range(3)]
    cells = cut((whole, *parts))
    assert cells.nbytes == 4 * width * rows
    assert [cells.masks[view] for view in (whole, *parts)] == [0b111, 0b001, 0b010, 0b100]


def test_periods_within_periods() -> None:
    # [6, 4, 8]: the first two of each four rows, and in them the left half of each row
    top, left = tensor((6, 2, 8), (32, 8, 1)), tensor((6, 4, 4), (32, 8, 1))
    cells = cut((view_of(tensor((192,), (1,))), view_of(top), view_of(left)))
    assert cells.nbytes == 6 * 4 * 4
    assert [mask.bit_count() for mask in cells.masks.values()] == [8, 4, 4]


def test_rows_that_differ_share_no_period() -> None:
    first, left = view_of(tensor((1, 8), (8, 1))), view_of(tensor((6, 4), (8, 1)))
    cells = cut((first, left))
    assert cells.nbytes == 16
    assert [cells.masks[view].bit_count() for view in (first, left)] == [2, 6]


@st.composite
def slices_of_one_tensor(draw: st.DrawFn) -> list[Tensor]:
    """Windows of one dense tensor, most of them whole along its outer axes."""
    sizes = tuple(draw(st.integers(1, 4)) for _ in range(draw(st.integers(1, 4))))
    strides = tuple(prod(sizes[axis + 1 :]) for axis in range(len(sizes)))
    windows = []
    for _ in range(draw(st.integers(1, 4))):
        shape, steps, offset = list(sizes), list(strides), 0
        for axis in range(draw(st.integers(0, len(sizes))), len(sizes)):
            start = draw(st.integers(0, sizes[axis] - 1))
            step = draw(st.integers(1, 2))
            shape[axis] = draw(st.integers(1, (sizes[axis] - start + step - 1) // step))
            steps[axis] *= step
            offset += start * strides[axis]
        order = draw(st.permutations(range(len(sizes))))
        windows.append(
            tensor(tuple(shape[n] for n in order), tuple(steps[n] for n in order), offset, "uint8")
        )
    return windows


@given(st.one_of(st.lists(strided_tensors(), min_size=1, max_size=4), slices_of_one_tensor()))
def test_cells_agree_with_sets_of_byte_addresses(windows: list[Tensor]) -> None:
    views = [view_of(window) for window in windows]
    cells = cut(tuple(views))
    sets = [addresses(window) for window in windows]
    for view, touched in zip(views, sets, strict=True):
        mask = cells.masks[view]
        assert mask.bit_count() * cells.nbytes == len(touched)
        for other, others in zip(views, sets, strict=True):
            both, either = mask & cells.masks[other], mask | cells.masks[other]
            assert both.bit_count() * cells.nbytes == len(touched & others)
            assert either.bit_count() * cells.nbytes == len(touched | others)
            assert (mask & ~cells.masks[other]).bit_count() * cells.nbytes == len(touched - others)


@given(strided_tensors())
def test_distinct_bytes_is_the_number_of_addresses(window: Tensor) -> None:
    assert distinct_bytes(window) == len(addresses(window))
