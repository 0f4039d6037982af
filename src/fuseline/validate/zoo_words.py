"""What the answers say, in sentences: figures, names, "more" and "less" are filled in from them.

A sentence whose rows are not there is left out; one whose figures turn round says the other thing.
"""

from __future__ import annotations

from collections.abc import Callable

from fuseline.report.units import count_of, percent, ratio
from fuseline.validate.zoo_classes import CNN, DECODE, PREFILL, VIT
from fuseline.validate.zoo_queries import Cell, Line, Zoo, number, printed

ENOUGH = 3
"""Models that a class must have for a sentence to speak of it."""

_DOCUMENT = "the seed document's EfficientNet-B0 over ViT-B/16 (2.5x, 3.4x, 23x)"


def lessons(zoo: Zoo) -> list[str]:
    """The sentences that the rows bear out, as Markdown."""
    made: tuple[Callable[[Zoo], str], ...] = (
        _who_fuses, _families, _seed, _illegal, _compilers, _reached, _left, _nearest, _bound,
        _batches, _decode, _prefill,
    )  # fmt: skip
    return [sentence for make in made if (sentence := make(zoo))]


def _ranked(zoo: Zoo, answer: str, figure: str) -> list[Line]:
    """Rows of classes with enough models, from the largest figure to the least."""
    lines = [line for line in zoo[answer].lines if number(line["models"]) >= ENOUGH]
    return sorted(lines, key=lambda line: -number(line[figure]))


def _of(line: Line, figure: str) -> str:
    return printed(figure, line[figure])


def _n(line: Line) -> str:
    return f"n = {printed('models', line['models'])}"


def _who_fuses(zoo: Zoo) -> str:
    lines = _ranked(zoo, "classes", "reduction")
    if len(lines) < 2:  # noqa: PLR2004 - a most and a least
        return ""
    listed = ", ".join(f"{line['class']} {_of(line, 'reduction')} ({_n(line)})" for line in lines)
    most, least = lines[0], lines[-1]
    return (
        f"**{most['class']} models gain most from fusion, {least['class']} least.** Bytes that the "
        f"proven optimum under T saves over one kernel an op, median: {listed}. What is left of "
        f"them is compulsory to {_of(most, 'compulsory')} for the first and "
        f"{_of(least, 'compulsory')} for the last."
    )


def _families(zoo: Zoo) -> str:
    well, little = zoo["fuses_well"].lines, zoo["fuses_little"].lines
    if not well or _family(well[0]) == _family(little[0]):
        return ""

    def say(lines: tuple[Line, ...]) -> str:
        return ", ".join(f"{_family(line)} {_of(line, 'reduction')}" for line in lines[:3])

    return (
        "**Families of vision models (three models or more) that fuse best and worst**, by the "
        f"median of the bytes saved: {say(well)}; and {say(little)}."
    )


def _family(line: Line) -> str:
    return f"{line['zoo']}'s {line['family']}"


def _seed(zoo: Zoo) -> str:
    cnn, vit = (zoo["seed"].line(**{"class": name}) for name in (CNN, VIT))
    figures = ("efficiency", "reduction", "intensity")
    if cnn is None or vit is None or cnn["intensity"] is None:
        return ""
    if not all(vit[figure] and number(vit[figure]) for figure in figures):
        return ""
    ratios = [number(cnn[figure]) / number(vit[figure]) for figure in figures]
    more = "more" if ratios[2] >= 1 else "fewer"
    factor = max(ratios[2], 1 / ratios[2])
    return (
        f"**CNNs over ViTs under the seed's patterns**: fusion efficiency {ratio(ratios[0])} "
        f"({_of(cnn, 'efficiency')} over {_of(vit, 'efficiency')}), bytes saved "
        f"{ratio(ratios[1])} ({_of(cnn, 'reduction')} over {_of(vit, 'reduction')}), and "
        f"{ratio(factor)} {more} FLOP a byte ({_of(cnn, 'intensity')} and "
        f"{_of(vit, 'intensity')}): medians of {_of(cnn, 'models')} and {_of(vit, 'models')} "
        f"models, beside {_DOCUMENT}. Views are no groups here, a Linear counts every token, "
        "attention is not 0 FLOPs."
    )


def _illegal(zoo: Zoo) -> str:
    lines = [line for line in zoo["gaps"].lines if line["strategy"] == "fusion"]
    illegal, below, models = (
        sum(int(number(line[figure])) for line in lines)
        for figure in ("with_illegal", "below", "models")
    )
    if not illegal:
        return ""
    return (
        f"**Some of what `fusion` saves no kernel can.** On {illegal:,} of {models:,} models it "
        f"has groups that break a rule of T; on {below:,} that puts it below the proven optimum, "
        "which no legal partition is."
    )


def _compilers(zoo: Zoo) -> str:
    """Each zoo by itself: strategies are compared on the same models alone."""
    said = []
    lines = [line for line in zoo["gaps"].lines if line["strategy"] != "fusion"]
    for zoos in dict.fromkeys(line["zoos"] for line in lines):
        of_zoos = [line for line in lines if line["zoos"] == zoos]
        listed = ", ".join(
            f"`{line['strategy']}` {_of(line, 'gap')} (one in ten {_of(line, 'gap_90')} or more)"
            for line in of_zoos
        )
        most = max(of_zoos, key=lambda line: number(line["gap_most"]))
        models = count_of(int(number(most["models"])), "model")
        said.append(
            f"{zoos}, {models}: {listed}; farthest `{most['strategy']}` on {most['farthest']}, "
            f"{_of(most, 'gap_most')}"
        )
    if not said:
        return ""
    return (
        "**Bytes that rule models of compilers leave over the optimum**, medians of the same "
        f"models. {'. '.join(said)}."
    )


def _reached(zoo: Zoo) -> str:
    """Where compilers are as good as can be."""
    lines = [line for line in zoo["gaps_by_class"].lines if number(line["models"]) >= ENOUGH]
    best = max(lines, key=lambda line: number(line["reached"]), default=None)
    if best is None or not number(best["reached"]):
        return ""
    others = ", ".join(
        f"`{line['strategy']}` {_of(line, 'reached')}"
        for line in lines
        if line["class"] == best["class"] and line is not best
    )
    return (
        f"**Most often at the optimum itself: `{best['strategy']}` on {best['class']} models**, "
        f"{_of(best, 'reached')} of {_of(best, 'models')}{f' ({others})' if others else ''}."
    )


def _left(zoo: Zoo) -> str:
    """For each compiler the class in which it leaves most."""
    worst: dict[Cell, Line] = {}
    for line in zoo["gaps_by_class"].lines:
        kept = worst.get(line["strategy"])
        if number(line["models"]) >= ENOUGH and (
            kept is None or number(line["gap"]) > number(kept["gap"])
        ):
            worst[line["strategy"]] = line
    if not worst:
        return ""
    listed = ", ".join(
        f"`{name}` on {line['class']} {_of(line, 'gap')} ({_n(line)})"
        for name, line in worst.items()
    )
    return f"**Where each leaves most**, by the median of a class: {listed}."


def _nearest(zoo: Zoo) -> str:
    lines = [line for line in zoo["nearest"].lines if number(line["gap"]) > 0]
    if not lines:
        return ""
    listed = ", ".join(f"{_family(line)} {_of(line, 'gap')}" for line in lines[:5])
    return (
        "**Families that no compiler model serves well** (the nearest of the four, median over "
        f"the family): {listed}."
    )


def _bound(zoo: Zoo) -> str:
    """What bounds the optimum at batch 1, on the two devices."""
    words = []
    for device in dict.fromkeys(line["device"] for line in zoo["bound"].lines):
        lines = [
            line for line in zoo["bound"].lines
            if line["device"] == device and line["batch"] == 1 and line["class"] != DECODE
        ]  # fmt: skip
        total = sum(number(line["models"]) for line in lines)
        parts = {
            kind: sum(number(line[kind]) * number(line["models"]) for line in lines)
            for kind in ("launch", "bandwidth", "compute", "vector")
        }
        if not total:
            continue
        ranked = sorted(parts.items(), key=lambda part: -part[1])
        listed = ", ".join(f"{kind} {percent(count, total)}" for kind, count in ranked if count)
        words.append(f"on `{device}`, {count_of(int(total), 'model')}: {listed}")
    if not words:
        return ""
    return (
        "**What bounds most of the time at batch 1**, every launch counted in full, by models: "
        f"{'; '.join(words)}."
    )


def _batches(zoo: Zoo) -> str:
    lines = [line for line in zoo["batches"].lines if number(line["models"]) >= ENOUGH]
    if not lines:
        return ""
    listed = ", ".join(
        f"{line['class']} {_of(line, 'reduction_one')} -> {_of(line, 'reduction_many')} "
        f"({_n(line)})"
        for line in lines
    )
    rises = all(number(line["reduction_many"]) > number(line["reduction_one"]) for line in lines)
    title = (
        "A batch makes fusion worth more: weights are read once, activations 64 times"
        if rises
        else "A batch does not make fusion worth more everywhere"
    )
    return f"**{title}.** Bytes saved at batch 1 and 64, medians of the same models: {listed}."


def _decode(zoo: Zoo) -> str:
    line = zoo["steps"].line(step="decode")
    if line is None:
        return ""
    if number(line["compulsory"]) <= 0.9:  # noqa: PLR2004 - nearly all
        return (
            f"**Decoding**: over {_n_of(line)} the optimum saves {_of(line, 'reduction')} of the "
            f"bytes, median{_at(line)}."
        )
    return (
        f"**Decoding moves what it must, whatever is fused.** Over {_n_of(line)} the optimum saves "
        f"{_of(line, 'reduction')} of the bytes (median): {_of(line, 'compulsory')} of what it "
        f"moves is compulsory, {_of(line, 'parameters')} are parameters{_at(line)}. Launches are "
        f"what fusion saves: {_of(line, 'launches')} fewer."
    )


def _at(line: Line) -> str:
    """FLOPs a byte; nothing where those of no model are known."""
    return f", at {_of(line, 'intensity')} FLOP a byte" if line["intensity"] is not None else ""


def _n_of(line: Line) -> str:
    return count_of(int(number(line["models"])), "language model")


def _prefill(zoo: Zoo) -> str:
    prefill, decode = (zoo["steps"].line(step=step) for step in ("prefill", "decode"))
    if prefill is None or decode is None or not (prefill["intensity"] and decode["intensity"]):
        return ""
    factor = number(prefill["intensity"]) / number(decode["intensity"])
    return (
        f"**{PREFILL} of the same models** saves {_of(prefill, 'reduction')} (median) and has "
        f"{factor:,.0f} times the FLOPs a byte of {DECODE} ({_of(prefill, 'intensity')}): the "
        "weights are read once for all tokens of the prompt."
    )
