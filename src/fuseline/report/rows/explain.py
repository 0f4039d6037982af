"""Explanations as rows: names for ids, sentences and bytes as they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fuseline.errors import InputError, did_you_mean
from fuseline.fusion.explain import Explanation, Remedy, explain, top_missed
from fuseline.graph import OUTSIDE, Graph, Op
from fuseline.plan import Plan
from fuseline.report.rows.data import RefusalRow
from fuseline.report.rows.plans import refusal_row

_LISTED = 5  # names that an error lists


@dataclass(frozen=True, slots=True)
class HomeRow:
    """A group, by its place in the plan and its ops."""

    group: int
    pattern: str
    ops: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemedyRow:
    """What would put two groups into one kernel, and what that saves.

    `rules` is the lowest rung that then allows it, `without` names what must not be read (what, by
    whom; nobody: the model's result), `with_groups` groups to be joined as well, `on_chip_bytes`
    what M needs on the chip.
    """

    change: str
    sentence: str
    rules: str | None
    saved_bytes: int
    without: tuple[str, ...]
    with_groups: tuple[int, ...]
    on_chip_bytes: int | None


@dataclass(frozen=True, slots=True)
class ExplanationRow:
    """What a plan does with two ops: see `fuseline.fusion.explain.Explanation`."""

    strategy: str
    first: str
    second: str
    groups: tuple[HomeRow, ...]
    elsewhere: tuple[HomeRow, ...]
    saved_bytes: int
    rules: str | None
    objection: str
    on_chip_bytes: int | None
    neighbours: bool
    refusals: tuple[RefusalRow, ...]
    path: tuple[str, ...]
    shared: tuple[str, ...]
    cycle: tuple[str, ...]
    remedies: tuple[RemedyRow, ...]

    @property
    def together(self) -> bool:
        """Whether one kernel holds both."""
        return len(self.groups) == 1


@dataclass(frozen=True, slots=True)
class MissedPairRow:
    """Two neighbouring groups apart, what one kernel would save, and the least that it takes."""

    from_: str
    to: str
    groups: tuple[HomeRow, HomeRow]
    rule: str
    reason: str
    legal: bool
    cyclic: bool
    saved_bytes: int
    remedy: RemedyRow


def explanation_row(graph: Graph, plan: Plan, a: str, b: str) -> ExplanationRow:
    """Why the ops or modules called `a` and `b`, in either order, are in one kernel or are not.

    Raises `InputError` for a name that is not there, or that is any of several.
    """
    said: Explanation = explain(graph, plan, find_op(graph, a), find_op(graph, b))
    return ExplanationRow(
        strategy=plan.strategy,
        first=graph.ops[said.first].name,
        second=graph.ops[said.second].name,
        groups=tuple(_home(graph, plan, group) for group in said.groups),
        elsewhere=tuple(_home(graph, plan, group) for group in said.elsewhere),
        saved_bytes=said.saved_nbytes,
        rules=said.rung,
        objection=said.objection,
        on_chip_bytes=said.on_chip_nbytes,
        neighbours=said.are_neighbours,
        refusals=tuple(refusal_row(graph, refusal) for refusal in said.refusals),
        path=_names(graph, said.path),
        shared=said.shared,
        cycle=_names(graph, said.cycle),
        remedies=tuple(_remedy(graph, remedy) for remedy in said.remedies),
    )


def missed_pair_rows(graph: Graph, plan: Plan, count: int) -> tuple[MissedPairRow, ...]:
    """The `count` pairs of neighbouring groups that one kernel would save most, largest first."""
    return tuple(
        MissedPairRow(
            from_=graph.ops[missed.producer].name,
            to=graph.ops[missed.consumer].name,
            groups=(
                _home(graph, plan, missed.groups[0]),
                _home(graph, plan, missed.groups[1]),
            ),
            rule=missed.rule.value,
            reason=missed.reason,
            legal=missed.is_legal,
            cyclic=missed.is_cyclic,
            saved_bytes=missed.saved_nbytes,
            remedy=_remedy(graph, missed.remedy),
        )
        for missed in top_missed(graph, plan, count)
    )


def find_op(graph: Graph, text: str) -> int:
    """The id of the op called `text`, or else of the last compute op of the module of that path.

    A path may leave out its beginning where that is clear: `layer_3.mlp`. Raises `InputError` for
    a name that is not there, with the nearest, and for one of several, with the first of them.

    >>> from fuseline.graph import Builder, Kind, Role
    >>> build = Builder()
    >>> x = build.tensor("x", (4,), role=Role.INPUT)
    >>> y = build.op("act", Kind.GELU, inputs=[x], shape=(4,), module_path="layer.0.mlp")
    >>> graph = build.finish([y])
    >>> find_op(graph, "act"), find_op(graph, "layer.0"), find_op(graph, "0.mlp")
    (0, 0, 0)
    """
    named = [op for op in graph.ops if op.name == text]
    if len(named) > 1:
        numbers = _few(str(op.id) for op in named)
        raise InputError(f"'{text}' is the name of {len(named)} ops: numbers {numbers}")
    if named:
        return named[0].id
    inside = [op for op in graph.ops if _is_in(op, text)] or _by_tail(graph, text)
    if not inside:
        paths = dict.fromkeys(op.module_path for op in graph.ops if op.module_path)
        parts = (part for path in paths for part in path.split(".") if not part.isdigit())
        known = dict.fromkeys((*(op.name for op in graph.ops), *paths, *parts))
        raise InputError(f"no op or module '{text}'{did_you_mean(text, known)}")
    return ([op for op in inside if op.is_compute] or inside)[-1].id


def _is_in(op: Op, path: str) -> bool:
    """Whether `op` belongs to the module of that path, or to one inside it."""
    return bool(path) and f"{op.module_path}.".startswith(f"{path}.")


def _by_tail(graph: Graph, text: str) -> list[Op]:
    """Ops of the one module whose path ends in `text`."""
    found: dict[str, list[Op]] = {}
    for op in graph.ops if text else ():
        start = f".{op.module_path}.".find(f".{text}.")
        if start >= 0:
            found.setdefault(op.module_path[: start + len(text)], []).append(op)
    if len(found) > 1:
        raise InputError(f"'{text}' is any of {len(found)} modules: {_few(found)}")
    return next(iter(found.values()), [])


def _few(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:_LISTED]) + (", ..." if len(shown) > _LISTED else "")


def _home(graph: Graph, plan: Plan, group: int) -> HomeRow:
    found = plan.groups[group]
    return HomeRow(group, found.pattern, _names(graph, found.ops))


def _names(graph: Graph, ops: Iterable[int]) -> tuple[str, ...]:
    return tuple(graph.ops[op].name for op in ops)


def _remedy(graph: Graph, remedy: Remedy) -> RemedyRow:
    return RemedyRow(
        change=remedy.change.value,
        sentence=remedy.sentence,
        rules=remedy.rung,
        saved_bytes=remedy.saved_nbytes,
        without=_names(graph, (op for op in remedy.reader or () if op != OUTSIDE)),
        with_groups=remedy.third,
        on_chip_bytes=remedy.on_chip_nbytes,
    )
