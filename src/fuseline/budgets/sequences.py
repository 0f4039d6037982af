"""Which items of two sequences are the same ones: an alignment in order, in near linear time.

Items that are unique in both sequences anchor it (a patience difference); between two anchors,
where nothing is unique, the shortest edit script is searched for (Myers), up to a number of edits.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import pairwise

_MOST_EDITS = 1_500
"""Of a stretch without anchors: beyond it nothing of the stretch is matched here."""

Pair = tuple[int, int]


def align(before: Sequence[Hashable], after: Sequence[Hashable]) -> list[Pair]:
    """Pairs of positions whose items are equal, rising in both sequences.

    >>> align("abcd", "axcd")
    [(0, 0), (2, 2), (3, 3)]
    >>> align("aab", "aaab")
    [(0, 0), (1, 1), (2, 3)]
    """
    pairs: list[Pair] = []
    stretches = [(0, len(before), 0, len(after))]
    while stretches:
        low, high, start, end = stretches.pop()
        while low < high and start < end and before[low] == after[start]:
            pairs.append((low, start))
            low, start = low + 1, start + 1
        while low < high and start < end and before[high - 1] == after[end - 1]:
            high, end = high - 1, end - 1
            pairs.append((high, end))
        if low == high or start == end:
            continue
        anchors = _anchors(before[low:high], after[start:end])
        if not anchors:
            found = _shortest(before[low:high], after[start:end])
            pairs.extend((low + one, start + other) for one, other in found)
            continue
        pairs.extend((low + one, start + other) for one, other in anchors)
        edges = [(-1, -1), *anchors, (high - low, end - start)]
        stretches.extend(
            (low + left[0] + 1, low + right[0], start + left[1] + 1, start + right[1])
            for left, right in pairwise(edges)
        )
    return sorted(pairs)


def _anchors(before: Sequence[Hashable], after: Sequence[Hashable]) -> list[Pair]:
    """The longest rising run of items that each sequence has exactly once."""
    counts, others = Counter(before), Counter(after)
    place = {item: number for number, item in enumerate(after) if others[item] == 1}
    common = [
        (number, place[item])
        for number, item in enumerate(before)
        if counts[item] == 1 and item in place
    ]
    return _rising(common)


def _rising(pairs: list[Pair]) -> list[Pair]:
    """The longest subsequence whose second numbers rise; the first ones do already."""
    ends: list[int] = []  # the least second number that ends a run of each length
    tails: list[int] = []  # and where it is
    previous: list[int] = []
    for number, (_, other) in enumerate(pairs):
        length = bisect_left(ends, other)
        previous.append(tails[length - 1] if length else -1)
        if length == len(ends):
            ends.append(other)
            tails.append(number)
        else:
            ends[length], tails[length] = other, number
    found = []
    number = tails[-1] if tails else -1
    while number >= 0:
        found.append(pairs[number])
        number = previous[number]
    return found[::-1]


def _shortest(before: Sequence[Hashable], after: Sequence[Hashable]) -> list[Pair]:
    """The equal pairs of a shortest edit script; none where it is longer than `_MOST_EDITS`.

    After `edits` steps `rows[-1][place]` is the furthest position in `before` that is reached on
    the diagonal (position in `before` less that in `after`) `2 * place - edits`.
    """
    rows: list[list[int]] = []
    for edits in range(min(len(before) + len(after), _MOST_EDITS) + 1):
        row = []
        for place in range(edits + 1):
            one = _step(rows[-1], place)[0] if rows else 0
            other = one - 2 * place + edits
            while one < len(before) and other < len(after) and before[one] == after[other]:
                one, other = one + 1, other + 1
            row.append(one)
            if one == len(before) and other == len(after):
                return _walk_back(rows, one, other)
        rows.append(row)
    return []


def _step(row: Sequence[int], place: int) -> tuple[int, bool]:
    """Where one more edit starts on a diagonal, and whether it adds an item of `after` (else it
    leaves one of `before` out).
    """
    if place == 0 or (place < len(row) and row[place - 1] < row[place]):
        return row[place], True
    return row[place - 1] + 1, False


def _walk_back(rows: list[list[int]], one: int, other: int) -> list[Pair]:
    """The equal pairs on the way that the search took to its end."""
    pairs: list[Pair] = []
    while rows:
        edits = len(rows)
        place = (one - other + edits) // 2
        start, adds = _step(rows.pop(), place)
        while one > start:
            one, other = one - 1, other - 1
            pairs.append((one, other))
        one, other = (one, other - 1) if adds else (one - 1, other)
    pairs.extend((position, position) for position in range(one))
    return pairs
