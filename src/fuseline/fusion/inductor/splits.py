"""Reductions of few rows on a GPU: taken in two steps, so that every processor has work.

    rows of n elements  -->  rows of k sums of n / k elements  -->  rows

The figures are Inductor's own guesses of what keeps a GPU busy.
"""

from __future__ import annotations

from math import isqrt

_WARP = 32  # threads that run together; also the least elements of a thread
_MOST_ELEMENTS = 512  # of a thread
_THREADS = 2048  # of a processor
_BLOCK = 8 * _WARP  # threads of a reduction along memory
_UNSPLIT = 8192  # elements of a row along memory that are not split
_ROWS_OF_BLOCK = 128  # of a reduction across memory
_ELEMENTS_AT_ONCE = 4  # that a thread of such a reduction reads


def splits_of(rows: int, length: int, processors: int, *, along: bool) -> int:
    """Into how many parts each of `rows` rows of `length` elements is cut, on a GPU of that many
    processors; 1 where it is not. `along`: a row's elements are neighbours in memory.

    >>> splits_of(32, 12544, 132, along=False)  # the channels of an image, channels last
    98
    >>> splits_of(4096, 768, 132, along=True)
    1
    """
    if rows > 1 and (length <= _WARP or rows >= 2 * _WARP * processors):
        return 1
    return (
        _along(rows, length, processors)
        if along or rows == 1
        else _across(rows, length, processors)
    )


def _along(rows: int, length: int, processors: int) -> int:
    if rows >= 2 * processors or length <= _UNSPLIT:
        return 1
    threads = processors * _THREADS
    if rows * length <= _WARP * threads:
        size = _WARP
    elif rows * length < _MOST_ELEMENTS * threads:
        blocks = -(-(threads // (2 * _BLOCK)) // rows)
        size = _even(length, -(-length // (_BLOCK * blocks)), 30, _WARP)
    else:
        size = _even(length, _MOST_ELEMENTS, 50)
    return -(-length // (size * _BLOCK))


def _across(rows: int, length: int, processors: int) -> int:
    threads = processors * _THREADS
    if rows * length < _WARP * threads:
        size = _WARP
    elif rows * length < _MOST_ELEMENTS * threads:
        columns = -(-rows // _ROWS_OF_BLOCK)
        blocks = -(-(threads // _BLOCK) // columns)
        size = _even(length, -(-length // (_ELEMENTS_AT_ONCE * blocks)), 20, _WARP)
    else:
        size = _even(length, _MOST_ELEMENTS, 50)
    return -(-length // (_ELEMENTS_AT_ONCE * size))


def _even(length: int, wanted: int, within: int, least: int = 1) -> int:
    """The divisor of `length` nearest to `wanted` where it is near enough, else `wanted`.

    >>> _even(12544, 60, 20), _even(10007, 60, 20)
    (56, 60)
    """
    divisors = [d for n in range(1, isqrt(length) + 1) if not length % n for d in (n, length // n)]
    nearest = min(sorted(divisors), key=lambda divisor: abs(divisor - wanted))
    return max(nearest, least) if abs(nearest - wanted) < within else wanted
