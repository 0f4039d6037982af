"""What follows from ways laid side by side: what varies, in which order, which is best, and beside
which one each is put.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

from fuseline.errors import InputError, did_you_mean
from fuseline.report.rows.rounding import alike, exceeds
from fuseline.report.rows.table import Value
from fuseline.report.rows.ways import DIMENSIONS, FIGURES, Better, Dimension, Figure, Scope, Way

UNSORTED = "none"
"""The order that leaves ways as they were asked for."""

_BY_NAME = {figure.name: figure for figure in FIGURES}


def figure_named(name: str, what: str) -> Figure:
    """The figure of a name; `what` says in an error what the name was to be."""
    if name not in _BY_NAME:
        hint = did_you_mean(name, _BY_NAME) or f": one of {', '.join(_BY_NAME)}"
        raise InputError(f"unknown {what} '{name}'{hint}")
    return _BY_NAME[name]


# --- what varies ----------------------------------------------------------------------------


def varying(ways: Sequence[Way]) -> tuple[Dimension, ...]:
    """Dimensions in which the ways differ, those that follow from others left out, as long as no
    two ways look alike.
    """
    differing = [each for each in DIMENSIONS if len({each.of(way) for way in ways}) > 1]
    shown = [each for each in differing if not each.follows]
    for each in differing:
        if each.follows and _classes(ways, [*shown, each]) > _classes(ways, shown):
            shown.append(each)
    return tuple(each for each in DIMENSIONS if each in shown)


def _classes(ways: Sequence[Way], dimensions: Sequence[Dimension]) -> int:
    return len({tuple(each.of(way) for each in dimensions) for way in ways})


# --- order ----------------------------------------------------------------------------------


def default_sort(ways: Sequence[Way]) -> str:
    """What matters: seconds where every way has a device, else traffic; the order asked for where
    no two ways may be compared.
    """
    if len(_blocks(ways, Scope.TASK.key)) == len(ways):
        return UNSORTED
    timed = all(way.plan.seconds is not None for way in ways)
    return "seconds" if timed else "traffic_bytes"


def ordered(ways: Sequence[Way], sort: str) -> tuple[int, ...]:
    """Places of the ways, the better first, among those that may be compared by that figure; what
    may not stays in blocks, in the order asked for. Ways without the figure come last.
    """
    check_sort(sort)
    if sort == UNSORTED:
        return tuple(range(len(ways)))
    figure = figure_named(sort, "figure to sort by")
    sign = -1 if figure.better is Better.MORE else 1

    def key(place: int) -> tuple[bool, float]:
        number = figure.number(ways[place])
        return number is None, sign * (number or 0)

    blocks = _blocks(ways, figure.scope.key)
    return tuple(place for block in blocks.values() for place in sorted(block, key=key))


def check_sort(sort: str | None) -> None:
    """Refuse what ways cannot be sorted by."""
    if sort in (None, UNSORTED):
        return
    if not figure_named(sort, "figure to sort by").is_number:
        raise InputError(f"cannot sort by '{sort}': it is no number")


def _blocks(ways: Sequence[Way], key: Callable[[Way], Hashable]) -> dict[Hashable, list[int]]:
    """Places of the ways by key, in order."""
    found: dict[Hashable, list[int]] = defaultdict(list)
    for place, way in enumerate(ways):
        found[key(way)].append(place)
    return found


# --- the best -------------------------------------------------------------------------------


def best(ways: Sequence[Way], figure: Figure) -> frozenset[int]:
    """Places of the ways that are best by a figure among those it may be compared in.

    All equals are named, those too that differ by what floats round; none where all are equal,
    where there is nothing to compare with, or where no way is sound. A figure that may be compared
    more widely than traffic (a ratio) is judged only where there is more to compare: in one model
    it would say what traffic says.
    """
    wider = figure.scope is not Scope.TASK
    if figure.better is Better.NEITHER or (
        wider and len(_blocks(ways, figure.scope.key)) == len(_blocks(ways, Scope.TASK.key))
    ):
        return frozenset()
    pick = min if figure.better is Better.LESS else max
    found: set[int] = set()
    for block in _blocks(ways, figure.scope.key).values():
        numbers = {place: figure.number(ways[place]) for place in block}
        known = {place: number for place, number in numbers.items() if number is not None}
        sound = {place: number for place, number in known.items() if ways[place].is_sound}
        if sound and exceeds(max(known.values()), min(known.values())):
            least = pick(sound.values())
            found.update(place for place, number in sound.items() if alike(number, least))
    return frozenset(found)


# --- beside which one -----------------------------------------------------------------------


def baselines(ways: Sequence[Way], against: str | None) -> tuple[int, ...]:
    """For each way the place of the one it is put beside.

    `against` is a way's number; or a value (`unfused`, `float32`, `h100-sxm`), alone or as
    `batch=8`: each way is put beside the one of that value that is like it in all else. By default
    it is the first way of the same model and inputs; the first of all where each has only one.

    Raises `InputError` where no way is such.
    """
    if against is None:
        blocks = _blocks(ways, Scope.TASK.key)
        if len(blocks) == len(ways):
            return (0,) * len(ways)
        return tuple(blocks[Scope.TASK.key(way)][0] for way in ways)
    if against.isdecimal():
        return (check_number(against, len(ways)) - 1,) * len(ways)
    held, own = _holding(ways, against)
    return tuple(
        max(held, key=lambda place: (_likeness(ways[place], way, own), -place)) for way in ways
    )


def check_number(text: str, ways: int) -> int:
    """The number of a way among so many, counted from 1. Raises `InputError` where it is none."""
    number = int(text) if len(text) < _DIGITS else 0
    if not 1 <= number <= ways:
        raise InputError(f"no way has the number {text}: there are {ways}")
    return number


_DIGITS = 10
"""Of numbers that are read: nobody compares so many ways."""


def _holding(ways: Sequence[Way], against: str) -> tuple[list[int], Dimension]:
    """Places of the ways that have a value, and the dimension it is of."""
    name, equals, value = against.partition("=")
    known = {dimension.name: dimension for dimension in DIMENSIONS}
    dimensions = DIMENSIONS
    if equals and name in known:
        dimensions = (known[name],)
    else:
        value = against
    for dimension in dimensions:
        held = [place for place, way in enumerate(ways) if value in _words(way, dimension)]
        if held:
            return held, dimension
    words = dict.fromkeys(w for each in dimensions for way in ways for w in _words(way, each))
    hint = did_you_mean(value, words) or "; name a number, or a value such as 'unfused'"
    raise InputError(f"no way has '{against}'{hint}")


def _words(way: Way, dimension: Dimension) -> tuple[str, ...]:
    """What a dimension's value may be called: a strategy also with its rules."""
    value: Value = dimension.of(way)
    if value is None:
        return ()
    return (str(value), way.plan.label) if dimension.name == "strategy" else (str(value),)


def _likeness(one: Way, other: Way, besides: Dimension) -> tuple[bool, int]:
    """How alike two ways are: of the same model first, then in how many dimensions."""
    others = [each for each in DIMENSIONS if each is not besides and not each.follows]
    return (
        besides.name == "model" or one.model.name == other.model.name,
        sum(each.of(one) == each.of(other) for each in others),
    )


# --- what must not differ -------------------------------------------------------------------


def uneven_flops(ways: Sequence[Way]) -> tuple[str, ...]:
    """Sentences on graphs whose FLOPs depend on the strategy: never so, but for a fault of ours.
    Covers, which compute some ops twice, are exempt.
    """
    found = []
    for block in _blocks(ways, lambda way: way.captured).values():
        flops = {ways[place].plan.label: ways[place].plan.flops
                 for place in block if ways[place].plan.kind == "partition"}  # fmt: skip
        if len(set(flops.values())) > 1:
            counts = ", ".join(f"{label} {count:,}" for label, count in flops.items())
            found.append(
                f"FLOPs of {ways[block[0]].model.name} differ between strategies ({counts}): they "
                "must not, and that is a fault of Fuseline's"
            )
    return tuple(found)
