"""Multiply-accumulates of an einsum equation."""

from __future__ import annotations

from math import prod

Shape = tuple[int, ...]


def einsum_macs(equation: str, shapes: tuple[Shape, ...]) -> tuple[int, int]:
    """(multiply-accumulates, other steps) of `equation` over operands of `shapes`.

    Operands are contracted in pairs, left to right. A pair that sums an index the two share costs
    one multiply-accumulate a point of their joint index space; a pair that sums none is an
    elementwise product. An index that only one operand has and nothing later needs is summed
    first: one step an element.

    >>> einsum_macs("bik,bkj->bij", ((2, 3, 5), (2, 5, 7)))  # 2*3*5*7
    (210, 0)
    >>> einsum_macs("i,j->ij", ((3,), (4,)))
    (0, 12)
    >>> einsum_macs("ij->i", ((3, 4),))
    (0, 12)
    """
    terms, result = _parse(equation, shapes)
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for index, size in zip(term, shape, strict=True):
            sizes[index] = max(size, sizes.get(index, 1))  # a size of 1 broadcasts

    def volume(indices: set[str]) -> int:
        return prod(sizes[index] for index in indices)

    macs = other = 0
    joined = set(terms[0])
    for position, term in enumerate(terms[1:], start=1):
        later = set(result).union(*terms[position + 1 :])
        left = {index for index in joined if index in term or index in later}
        right = {index for index in term if index in joined or index in later}
        other += sum(volume(whole) for whole, kept in ((joined, left), (set(term), right))
                     if kept < whole)  # fmt: skip
        if (left & right) - later:
            macs += volume(left | right)
        else:
            other += volume(left | right)
        joined = (left | right) & later
    if joined - set(result):  # a single operand
        other += volume(joined)
    return macs, other


def _parse(equation: str, shapes: tuple[Shape, ...]) -> tuple[list[list[str]], list[str]]:
    """Index names of every operand and of the result; an ellipsis becomes `.0`, `.1`, ..."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = [_expand(term, len(shape)) for term, shape in zip(left.split(","), shapes, strict=True)]
    widest = max((term for term in terms), key=lambda term: sum("." in index for index in term))
    dots = [index for index in widest if index.startswith(".")]
    if arrow:
        head, ellipsis, tail = right.partition("...")
        return terms, [*head, *(dots if ellipsis else []), *tail]
    flat = [index for term in terms for index in term]
    once = sorted(index for index in set(flat) if flat.count(index) == 1 and index[0] != ".")
    return terms, [*dots, *once]


def _expand(term: str, rank: int) -> list[str]:
    head, ellipsis, tail = term.partition("...")
    if not ellipsis:
        return list(term)
    covered = rank - len(head) - len(tail)
    return [*head, *(f".{covered - 1 - place}" for place in range(covered)), *tail]
