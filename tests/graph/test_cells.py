from __future__ import annotations

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


@given(st.lists(strided_tensors(), min_size=1, max_size=4))
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
