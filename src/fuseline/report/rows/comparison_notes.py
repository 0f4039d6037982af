"""What is said beside a comparison: what is common, what was assumed, and what marks mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fuseline.report.rows.comparing import UNSORTED, figure_named, varying
from fuseline.report.rows.data import GraphRow, ModelRow
from fuseline.report.rows.table import Value
from fuseline.report.rows.ways import DIMENSIONS, Dimension, Scope, Way
from fuseline.report.units import count_of

_SHOWN = 6
"""Of a list that a sentence names: more are counted."""


def notes(
    ways: Sequence[Way],
    shown: Sequence[Dimension],
    order: str,
    marked: Sequence[str],
    remarks: Sequence[str],
) -> tuple[str, ...]:
    """All sentences. `shown` have columns of their own, `marked` figures have a best way."""
    return (
        *remarks,
        *_common(ways),
        *(line for each in DIMENSIONS if each not in shown for line in _following(ways, each)),
        *_flops(ways),
        *_order(ways, order),
        *_marks(ways, marked),
        *_doubts(ways),
        *_chosen(ways),
    )


def _common(ways: Sequence[Way]) -> Iterator[str]:
    """What is the same in every row is said once."""
    where = "In this row" if len(ways) == 1 else "In every row"
    same = [
        f"{each.name} {_text(each.of(ways[0]))}"
        for each in DIMENSIONS
        if each.name != "asked"
        and each.of(ways[0]) is not None
        and len({each.of(way) for way in ways}) == 1
    ]
    if same:
        yield f"{where}: {', '.join(same)}"


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _following(ways: Sequence[Way], dimension: Dimension) -> Iterator[str]:
    """What varies without a column of its own, because it follows from the model or strategy."""
    if not dimension.follows or dimension.name == "asked":
        return
    found: dict[Value, list[str]] = {}
    for way in ways:
        value = dimension.of(way)
        whose = _whose(way, dimension)
        if value is not None and whose not in found.setdefault(value, []):
            found[value].append(whose)
    if len({dimension.of(way) for way in ways}) > 1:
        each = [f"{_text(value)} of {_listed(whose)}" for value, whose in found.items()]
        yield f"{dimension.name}: {_listed(each, '; ')}"


def _whose(way: Way, dimension: Dimension) -> str:
    """What a dimension follows from."""
    if dimension.name == "tf32":
        return way.plan.device or ""
    return way.plan.strategy if dimension.name in _OF_STRATEGY else way.model.name


_OF_STRATEGY = ("rules", "objective", "on_chip_bytes")
_OF_PLAN = ("strategy", "device", "launch", "tf32", *_OF_STRATEGY)
"""Dimensions in which ways of one graph differ."""


def _listed(words: Sequence[str], between: str = ", ") -> str:
    """Words in a row, or the first of many.

    >>> _listed(["a", "b"]), _listed(list("abcdefgh"))
    ('a, b', 'a, b, c, d, e, f and 2 more')
    """
    if len(words) <= _SHOWN:
        return between.join(words)
    return f"{between.join(words[:_SHOWN])} and {len(words) - _SHOWN} more"


def _flops(ways: Sequence[Way]) -> Iterator[str]:
    """FLOPs do not depend on the strategy: of one graph they are said once."""
    flops = {way.plan.flops for way in ways if way.plan.kind == "partition"}
    if len(flops) == 1 and not any(way.graph.unknown_ops for way in ways):
        yield f"flops: {flops.pop():,} under every strategy"


def _order(ways: Sequence[Way], order: str) -> Iterator[str]:
    if order == UNSORTED or len(ways) == 1:
        return
    scope = figure_named(order, "figure").scope
    many = len({scope.key(way) for way in ways}) > 1
    yield f"Sorted by {order}" + (f", {scope.value} at a time" if many else "")


def _marks(ways: Sequence[Way], marked: Sequence[str]) -> Iterator[str]:
    """What `best` compares, and who is left out of it."""
    scopes: dict[Scope, list[str]] = {}
    for name in marked:
        scopes.setdefault(figure_named(name, "figure").scope, []).append(name)
    if scopes:
        each = [f"{', '.join(names)} among {scope.value}" for scope, names in scopes.items()]
        left = [way for way in ways if not way.is_sound]
        words = "; ways with illegal groups, or that do not fit, are left out" if left else ""
        yield f"best: {'; '.join(each)}{words}"


def _doubts(ways: Sequence[Way]) -> Iterator[str]:
    """What totals leave out, and plans that are no partitions or not proven."""
    names = graph_names(ways)
    for (_, graph), name in names.items():
        count = sum(row.count for row in graph.unknown_ops)
        if count:
            ops = count_of(count, "op")
            yield f"{name}: FLOPs and seconds leave out {ops} that no formula knows"
    each = [
        f"{name} {graph.hidden_bytes:,} bytes"
        for (_, graph), name in names.items()
        if graph.hidden_bytes
    ]
    if each:
        yield (
            "Attention is one op at module level: what moves inside is in no figure, at least "
            f"{_listed(each)}"
        )
    covers = dict.fromkeys(way.plan.strategy for way in ways if way.plan.kind == "cover")
    for strategy in covers:
        yield (
            f"{strategy} is a cover: an op may be in several kernels, so that no partition's bound "
            "holds for it, and neither its groups nor its memory are judged"
        )
    unproven = dict.fromkeys(
        f"{_label(way, names)}: {way.plan.proof.sentence}"
        for way in ways
        if way.plan.proof and not way.plan.proof.is_optimal
    )
    yield from unproven
    rates = dict.fromkeys(
        f"{way.plan.device}: no source gives the rate of some work, which seconds leave out"
        for way in ways
        if way.plan.roofline and way.plan.roofline.launches_without_vector_rate
    )
    yield from rates


def graph_names(ways: Sequence[Way]) -> dict[tuple[ModelRow, GraphRow], str]:
    """A name for each graph: the model's, and what tells it from others of that model."""
    places: dict[tuple[ModelRow, GraphRow], int] = {}
    for place, way in enumerate(ways):
        places.setdefault(way.captured, place)
    names = {}
    for key, place in places.items():
        alike = [ways[other] for (model, _), other in places.items() if model.name == key[0].name]
        told = [each for each in varying(alike) if each.name not in _OF_PLAN]
        words = [f"{each.name} {_text(each.of(ways[place]))}" for each in told]
        if any(all(each.of(other) == each.of(ways[place]) for each in told)
               for other in alike if other is not ways[place]):  # fmt: skip
            words.append(f"way {place + 1}")
        names[key] = ", ".join((key[0].name, *words))
    return names


def _label(way: Way, names: dict[tuple[ModelRow, GraphRow], str]) -> str:
    """A way in a few words: its graph, its strategy with the rules, its device."""
    return ", ".join(filter(None, (names[way.captured], way.plan.label, way.plan.device)))


def _chosen(ways: Sequence[Way]) -> Iterator[str]:
    """What captures chose for the user, model by model."""
    found = dict.fromkeys(f"{way.model.name}: {note}" for way in ways for note in way.model.notes)
    lines = list(found)
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"and {count_of(len(lines) - _SHOWN, 'more note')} on how models were captured"
