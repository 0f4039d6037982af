"""The answer: which ops share a kernel, and why neighbours do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

from fuseline.graph import Graph

UNFUSED = "Unfused"
"""Pattern of a group of one operator."""

METHOD_CALL = "Method call"
"""Pattern of a group of one `call_method` op: priced and launched, but no operator."""


NO_LAUNCH = "View or control"
"""Pattern of a group without a compute op in a recorded graph: neither launched nor counted."""

UNCOUNTED = frozenset({METHOD_CALL, NO_LAUNCH})
"""Patterns of groups that hold no operator."""


class Rule(Enum):
    """Why two neighbouring groups were not joined."""

    FORK = "fork"  # the producer has several consumers
    JOIN = "join"  # the consumer has several producers
    NO_RULE = "no rule"  # no pattern joins the two kinds
    ALREADY_PLACED = "already placed"  # the consumer is in another group by then
    CYCLE = "cycle"  # joined, two groups would depend on each other
    NOT_AN_OPERATOR = "not an operator"  # the strategy looks at module and function calls only
    UNKNOWN_OP = "unknown op"  # what no table knows never fuses
    SECOND_CONTRACTION = "second contraction"  # the group has one, and no row asks for two
    STRATEGY = "strategy"  # the strategy joins nothing
    ITERATION_DOMAIN = "iteration domain"  # the two loops are not one
    PROLOGUE = "prologue"  # this may not be computed while a contraction reads its operand
    SINGLE_USE = "single use"  # a prologue's result is needed elsewhere too
    ROW_PROLOGUE = "row prologue"  # the contraction does not hold the rows that feed it
    ROW_EPILOGUE = "row epilogue"  # the contraction does not hold the rows that follow it
    BATCH_STATISTICS = "batch statistics"  # a norm needs all of its input first
    CAPACITY = "capacity"  # the working set does not fit the on-chip memory
    COST = "no gain"  # legal, but the plan moves no byte more without it


@dataclass(frozen=True, slots=True)
class Group:
    """Ops (ids, in program order) that share one kernel, and the pattern that joined them.

    `recomputed` are those of them that, in a cover, this kernel computes for itself only: it
    stores none of their results. An op that a cover computes in several groups and recomputes in
    none is stored in pieces: parts of a concatenation, slices of a copy.
    """

    id: int
    ops: tuple[int, ...]
    pattern: str
    recomputed: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why `consumer` did not join the group of `producer`, an op whose result it takes.

    `nbytes` is the traffic that one kernel for both groups would save.
    """

    producer: int
    consumer: int
    rule: Rule
    reason: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class Proof:
    """What is proven about a plan that was searched for.

    `value` is what the plan has of the `objective` (bytes, or picoseconds), `bound` the least that
    any partition legal under `rules` with `on_chip` bytes can have; None where nothing is proven.
    `is_optimal`: no legal partition is better. `groups` candidates were looked at, all there are
    where `is_complete`; `cuts` were needed to keep the graph of groups acyclic.

    `units`, `prices`, `pairs` and `penalties` are the certificate: prices of sets of ops, in 1/1024
    of a step of cost, such that no legal group costs less than its units are worth less the
    penalties of the cut pairs that it holds.
    """

    rules: str
    on_chip: int | None
    objective: str
    value: int
    bound: int | None
    is_optimal: bool
    is_complete: bool
    groups: int
    cuts: int
    units: tuple[tuple[int, ...], ...] = ()
    prices: tuple[int, ...] = ()
    pairs: tuple[tuple[tuple[int, int], ...], ...] = ()
    penalties: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Extra:
    """A kernel that a compiler runs and that computes no op of the graph (a copy into another
    layout, the bias of a library call, a step of an op whose result no tensor of the graph is): its
    name, what it is for, and its bytes.
    """

    name: str
    purpose: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A partition: every op of the graph in exactly one group, groups in an order that runs.

    `horizontal` says that the strategy also joins ops that only read the same tensor. `is_cover`
    says that it is no partition: some ops are computed in several groups, for no store and load.
    `rules` names the rule set or rule file that the strategy was given, where it takes one.
    `extras` are kernels besides the groups, in plans read from a compiler or by a model of one.
    `graph` is what was partitioned, where the plan keeps it: a notebook shows figures by it. It is
    no part of what a plan says, and plans are compared without it.
    """

    strategy: str
    groups: tuple[Group, ...]
    refusals: tuple[Refusal, ...]
    horizontal: bool = False
    is_cover: bool = False
    proof: Proof | None = None
    rules: str | None = None
    extras: tuple[Extra, ...] = ()
    graph: Graph | None = field(default=None, repr=False, compare=False)

    def _repr_html_(self) -> str | None:
        """What a notebook shows of the plan, where it asks for HTML alone."""
        return self._repr_mimebundle_().get("text/html")

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        """What a notebook shows of the plan, by MIME type: all there is, or what is asked for."""
        if Plan not in DISPLAYS:
            return {"text/plain": repr(self)}
        return DISPLAYS[Plan](self, include, exclude)


Display = Callable[[Plan, Iterable[str] | None, Iterable[str] | None], dict[str, str]]
"""A plan, MIME types to include and to exclude -> content by MIME type."""

DISPLAYS: dict[type[Plan], Display] = {}
"""How a notebook shows a plan. Figures are above this layer: whoever has them registers here, as
`fuseline.report.notebook` does.
"""
