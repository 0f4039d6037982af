"""Every difference between two plans has one cause, and the causes add up to all of it."""

from __future__ import annotations

import pytest

from fuseline.graph import OpClass
from fuseline.validate.inductor.causes import Cause, Facts, SideKernel, find_regions
from fuseline.validate.inductor.owners import Besides

_FACTS = Facts({"attend": OpClass.ATTENTION, "norm": OpClass.REDUCTION}, frozenset({"gone"}))


def kernel(ops: str, nbytes: int = 8, *, stores: str | None = None) -> SideKernel:
    computed = frozenset(ops.split())
    left = computed if stores is None else frozenset(stores.split())
    return SideKernel(f"kernel of {ops}", computed, left, frozenset(), nbytes)


def besides(what: Besides, nbytes: int = 8, part: str = "") -> SideKernel:
    return SideKernel("besides", frozenset(), frozenset(), frozenset(part.split()), nbytes, what)


_CASES: dict[str, tuple[list[SideKernel], list[SideKernel], Cause]] = {
    # what differs: ours, the compiler's, the cause
    "a copy of theirs": ([], [besides(Besides.LAYOUT)], Cause.LAYOUT),
    "a constant of theirs": ([], [besides(Besides.CONSTANT)], Cause.CONSTANT),
    "a bias of theirs": ([kernel("call")], [kernel("call"), besides(Besides.PART, part="call")],
                         Cause.BIAS),
    "attention in steps": ([kernel("attend")], [kernel("attend"), kernel("attend")],
                           Cause.TEMPLATE),
    "an op of ours they removed": ([kernel("x gone")], [kernel("x", 4)], Cause.REMOVED),
    "a norm in two": ([kernel("norm")], [kernel("norm"), kernel("norm")], Cause.DECOMPOSITION),
    "computed on the way": ([kernel("a b", stores="b")], [kernel("b")], Cause.RECOMPUTATION),
    "other bytes": ([kernel("a", 8)], [kernel("a", 12)], Cause.COUNTING),
    "other borders": ([kernel("a b")], [kernel("a"), kernel("b")], Cause.LOOPS),
    "what we alone have": ([kernel("a")], [], Cause.OTHER),
}  # fmt: skip


@pytest.mark.parametrize("case", _CASES)
def test_a_difference_has_its_cause(case: str) -> None:
    ours, real, cause = _CASES[case]
    assert [region.cause for region in find_regions(ours, real, _FACTS)] == [cause]


def test_the_same_kernels_differ_in_nothing() -> None:
    both = [kernel("a b"), kernel("c")]
    assert [region.cause for region in find_regions(both, both, _FACTS)] == [None, None]


def test_a_step_apart_on_both_sides_is_no_difference() -> None:
    # Theirs names the op's operand with each step, ours the op alone: the pairs are the same.
    ours = [kernel("sum norm", 10), kernel("norm", 2)]
    real = [kernel("sum norm", 4), kernel("sum norm", 8)]
    assert [region.cause for region in find_regions(ours, real, _FACTS)] == [None]


def test_regions_add_up() -> None:
    ours = [kernel(f"op{n}", 8 + n) for n in range(6)]
    real = [kernel("op0 op1", 10), kernel("op3", 5), besides(Besides.LAYOUT, 7)]
    regions = find_regions(ours, real, _FACTS)
    # 6 kernels of 8..13 bytes are 63; theirs are 22 in 3
    assert sum(region.nbytes for region in regions) == 63 - 22
    assert sum(region.launches for region in regions) == 6 - 3
    assert sum(len(region.ours) for region in regions) == 6
    assert sum(len(region.real) for region in regions) == 3
