from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fuseline.budgets.sequences import _shortest, align

LETTERS = st.lists(st.sampled_from("abcd"), max_size=14)


def longest(before: list[str], after: list[str]) -> int:
    """Length of the longest common subsequence, by the textbook."""
    table = [[0] * (len(after) + 1) for _ in range(len(before) + 1)]
    for one, item in enumerate(before):
        for other, found in enumerate(after):
            table[one + 1][other + 1] = (
                table[one][other] + 1
                if item == found
                else max(table[one][other + 1], table[one + 1][other])
            )
    return table[-1][-1]


@given(LETTERS, LETTERS)
def test_pairs_are_equal_and_rise_in_both(before: list[str], after: list[str]) -> None:
    pairs = align(before, after)
    assert all(before[one] == after[other] for one, other in pairs)
    assert all(one[0] < other[0] and one[1] < other[1] for one, other in pairwise(pairs))


@given(LETTERS, LETTERS)
def test_without_anchors_it_is_the_longest_there_is(before: list[str], after: list[str]) -> None:
    pairs = _shortest(before, after)
    assert all(before[one] == after[other] for one, other in pairs)
    assert len(pairs) == longest(before, after)


@given(LETTERS, st.integers(0, 14), st.text("abcd", max_size=3))
def test_what_was_only_added_to_loses_nothing(before: list[str], place: int, more: str) -> None:
    after = [*before[:place], *more, *before[place:]]
    assert len(align(before, after)) == len(before)
    assert len(align(after, before)) == len(before)


def test_unique_items_anchor_what_repeats() -> None:
    # the new block lies between two that are like it: the anchors say which one it is
    assert align("AxyBxyC", "AxyNxyBxyC") == [
        (0, 0), (1, 1), (2, 2), (3, 6), (4, 7), (5, 8), (6, 9),
    ]  # fmt: skip


def test_long_sequences_with_little_in_common_end() -> None:
    before = [number % 7 for number in range(10_000)]
    after = [number * number % 11 for number in range(10_000)]
    pairs = align(before, after)  # more edits than are searched for: the ends may still match
    assert all(before[one] == after[other] for one, other in pairs)
    changed = [*before[:3_000], 8, *before[3_000:7_000], *before[7_010:]]
    assert len(align(before, changed)) == 9_990
