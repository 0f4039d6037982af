"""What would put groups into one kernel: every change is tried, and given only where it works.

by rung     a rung short of M allows them as they are
by reader   a rung does, where one op does not read what one of theirs makes
by third    a rung or M does, with the groups through which they form a cycle
by memory   M does, where the chip holds their working set
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from fuseline.costs import group_traffic
from fuseline.fusion.explain.case import Case
from fuseline.fusion.explain.data import Change, Remedy
from fuseline.fusion.explain.rungs import SHORT_OF_M, judge, words_for
from fuseline.fusion.legality import check_connection
from fuseline.graph import OUTSIDE, Graph
from fuseline.hardware.sizes import needed_text
from fuseline.plan import Group, Rule

_NAMED = 3  # a sentence names this many groups or tensors
_MOST_READERS = 16  # readers that are taken away on trial, for one pair of groups
_MOST_THIRD = 64  # groups between two that are joined on trial


def find_remedies(case: Case) -> Iterator[Remedy]:
    """Every change that makes the groups one kernel, the least first; where none does, why."""
    if not case.between and _is_apart(case):
        yield Remedy(Change.NONE, _why_apart(case))
        return
    found = False
    for change in _CHANGES:
        for remedy in change(case):
            found = True
            yield remedy
    if not found:
        yield Remedy(Change.NONE, _why_not(case))


def _is_apart(case: Case) -> bool:
    """Whether nothing goes from one to another, so that no plan may have them as a group."""
    group = Group(-1, case.ops, "")
    return check_connection(case.web.graph, group, horizontal=case.web.plan.horizontal) is not None


def _why_apart(case: Case) -> str:
    if not case.shared:
        return "they pass nothing to each other and read nothing in common"
    read = ", ".join(case.shared[:_NAMED])
    return f"they pass nothing to each other: one kernel would only read {read} once for both"


def _by_rung(case: Case) -> Iterator[Remedy]:
    rung = case.verdict.rung
    if rung is None or case.between:
        return
    sentence = f"{words_for(rung)} joins them as they are"
    if rung == SHORT_OF_M[0]:
        sentence = "one of them is a view or runs on the host, and needs no kernel"
    elif not case.saved_nbytes:
        sentence += ", and saves no byte"
    yield Remedy(Change.RUNG, sentence, case.saved_nbytes, rung)


def _by_reader(case: Case) -> Iterator[Remedy]:
    """Take one reader away on trial, where that may help: the last one outside, or one in a
    group that makes the cycle.
    """
    rung, fault, excerpt = case.verdict.rung, case.verdict.fault, case.excerpt
    is_full = fault is not None and fault.rule is Rule.CAPACITY  # whoever reads what
    if is_full or len(case.between) > _MOST_THIRD or (rung is not None and not case.between):
        return
    ids = (*excerpt.ids, OUTSIDE)  # so that OUTSIDE is its own number
    middle = frozenset(case.web.ops_of(case.between)) if case.between else frozenset()
    asked = (
        (op, reader)
        for op, reader, is_last in excerpt.readers()
        if (ids[reader] in middle if middle else is_last)
    )
    for op, reader in islice(asked, _MOST_READERS):
        changed = excerpt.without_reader(op, reader)
        if changed is None:
            continue
        if middle and case.web.between(case.groups, _cut(case, changed, op, reader)):
            continue
        rung, _ = judge(changed, excerpt.inside)
        if rung is not None:
            name, ops = excerpt.graph.ops[op].name, excerpt.graph.ops
            other = f"read by {ops[reader].name}" if reader != OUTSIDE else "a result of the model"
            sentence = f"if {name} were not {other} as well, {words_for(rung)} would join them"
            saved = _saved_in(case, changed)
            yield Remedy(Change.READER, sentence, saved, rung, (ids[op], ids[reader]))


def _cut(case: Case, changed: Graph, op: int, reader: int) -> frozenset[tuple[int, int]]:
    """The dependences that are gone in `changed`, an excerpt, in numbers of the graph."""
    ids, was = case.excerpt.ids, case.excerpt.graph.ops[reader].predecessors
    gone = {op, *was} - set(changed.ops[reader].predecessors)
    return frozenset((ids[earlier], ids[reader]) for earlier in gone)


def _saved_in(case: Case, changed: Graph) -> int:
    """What one kernel saves in another excerpt [bytes]; of a cover as if all were stored."""
    number = {op: place for place, op in enumerate(case.excerpt.ids)}
    apart = sum(
        group_traffic(changed, [number[op] for op in case.web.held[group]]).nbytes
        for group in case.groups
    )
    return apart - group_traffic(changed, case.excerpt.inside).nbytes


def _by_third(case: Case) -> Iterator[Remedy]:
    if not 0 < len(case.between) <= _MOST_THIRD:
        return
    joined, third = case.with_between, tuple(sorted(case.between))
    rung, needed = joined.verdict.rung, joined.verdict.on_chip_nbytes
    one = f"with {_names_between(case)} as well"
    if rung is not None:
        sentence = f"{one}, {words_for(rung)} joins them all"
        yield Remedy(Change.THIRD, sentence, joined.saved_nbytes, rung, third=third)
    elif needed is not None:
        sentence = f"{one}, M joins them all, and needs {needed_text(needed)} on chip"
        yield Remedy(
            Change.THIRD, sentence, joined.saved_nbytes, third=third, on_chip_nbytes=needed
        )


def _by_memory(case: Case) -> Iterator[Remedy]:
    fault, needed = case.verdict.fault, case.verdict.on_chip_nbytes
    if case.between or fault is None or needed is None:
        return
    why = f"{fault.reason}: no rung short of M joins them, and M needs"
    if fault.rule is Rule.CAPACITY:
        why = "the rules allow one kernel, which needs"
    sentence = f"{why} {needed_text(needed)} on chip"
    yield Remedy(Change.ON_CHIP, sentence, case.saved_nbytes, on_chip_nbytes=needed)


_CHANGES: tuple[Callable[[Case], Iterator[Remedy]], ...] = (
    _by_rung,
    _by_reader,
    _by_third,
    _by_memory,
)
"""What is tried, from the least to the most."""


def _names_between(case: Case) -> str:
    ops = case.web.graph.ops
    between = sorted(case.between)
    computing = [g for g in between if any(ops[op].is_compute for op in case.web.held[g])]
    leads = [case.web.lead(group) for group in computing or between]
    more = f" and {len(leads) - _NAMED} more" if len(leads) > _NAMED else ""
    noun = "the group of" if len(leads) == 1 else "the groups of"
    return f"{noun} {', '.join(leads[:_NAMED])}{more}"


def _why_not(case: Case) -> str:
    fault = case.verdict.fault
    if not case.between:
        return f"nothing joins them: {fault.reason if fault else 'no rung has such a kernel'}"
    if (count := len(case.between)) > _MOST_THIRD:
        return f"{count} groups lie between them: no more than {_MOST_THIRD} are tried"
    other = case.with_between.verdict.fault
    with_it = f", and with it {other.reason}" if other else ""
    return f"they depend on each other through {_names_between(case)}{with_it}"
