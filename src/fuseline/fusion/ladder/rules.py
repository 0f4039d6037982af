"""The rule ladder as tables: what one kernel may hold, from nothing (R0) to whatever fits (M).

A row says how a result may stay in a kernel: who makes it, who takes it, and how it is read. What
a whole group must satisfy besides is in `kernel.py`. Each rung allows all that the one before
does, so its optimum moves no more bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fuseline.errors import InputError, did_you_mean
from fuseline.graph import Kind, Op, OpClass


class Part(Enum):
    """What an op is to a kernel."""

    STREAMING = "elementwise"  # each element is computed for itself
    COPY = "copy"  # each element is moved as it is
    ROWS = "row reduction"  # each row of its input is reduced for itself
    SOURCE = "source"  # elements fetched by index: it starts a loop, and can end none
    WINDOW = "window"  # needs more of its input than one element or row before its first result
    CONTRACTION = "contraction"
    ATTENTION = "attention"
    ALONE = "alone"  # a kernel of its own


class Reading(Enum):
    """How a consumer may read a result that stays in the kernel."""

    DOMAIN = "every element once, in its own domain"
    ROW = "one value a row, by every element of the row"
    OPERAND = "all of an operand"


@dataclass(frozen=True, slots=True)
class Row:
    """The result of `before` may stay in a kernel where `after` reads it so."""

    before: frozenset[Part]
    after: frozenset[Part]
    reading: Reading


@dataclass(frozen=True, slots=True)
class RuleSet:
    """One rung: rows, and what it says of whole groups.

    `row_epilogue`: a row reduction may follow a contraction. `attention`: scores, softmax and
    values may be one kernel. `fits`: so may any group that fits the on-chip memory.
    """

    name: str
    rows: tuple[Row, ...]
    row_epilogue: bool = False
    attention: bool = False
    fits: bool = False


STREAMS = frozenset({Part.STREAMING, Part.COPY})
"""Parts that take one element after the other."""

_LOOP = STREAMS | {Part.ROWS}
PROLOGUE = frozenset({Part.STREAMING, Part.ROWS})
"""Parts that may feed a contraction in its own kernel: computed for each tile as it is read."""

ENGINES = frozenset({Part.CONTRACTION, Part.ATTENTION})
"""Parts that need a kernel's matrix units."""


# fmt: off
_A = (
    # x -> f(x) -> g(f(x))              -->  one loop over one domain
    Row(_LOOP | {Part.SOURCE},            _LOOP,    Reading.DOMAIN),
    # x -> mean(x) -> x - mean(x)       -->  one kernel, a row at a time
    Row(_LOOP,                            _LOOP,    Reading.ROW),
    # contraction, attention, pooling -> f  -->  elementwise epilogue
    Row(ENGINES | {Part.WINDOW},         STREAMS,  Reading.DOMAIN),
)
_B = (
    # f(x) -> contraction               -->  prologue: LayerNorm -> Linear, relu -> convolution
    Row(PROLOGUE,                           ENGINES, Reading.OPERAND),
    # contraction (-> f) -> LayerNorm   -->  row epilogue
    Row(ENGINES,                         frozenset({Part.ROWS}), Reading.DOMAIN),
)
# fmt: on

RULE_SETS: dict[str, RuleSet] = {
    "R0": RuleSet("R0", ()),
    "A": RuleSet("A", _A),
    "B": RuleSet("B", _A + _B, row_epilogue=True),
    "T": RuleSet("T", _A + _B, row_epilogue=True, attention=True),
    "M": RuleSet("M", _A + _B, row_epilogue=True, attention=True, fits=True),
}
"""The ladder, by name, in order: each allows all that the one before does."""


def rule_set(name: str) -> RuleSet:
    """The rule set called `name`. Raises `InputError` where there is none.

    >>> rule_set("T").attention, rule_set("B").attention
    (True, False)
    """
    if name not in RULE_SETS:
        hint = did_you_mean(name, RULE_SETS) or f": one of {', '.join(RULE_SETS)}"
        raise InputError(f"unknown rules '{name}'{hint}")
    return RULE_SETS[name]


_ROW_KINDS = frozenset({
    Kind.LAYERNORM, Kind.RMSNORM, Kind.GROUPNORM, Kind.INSTANCENORM, Kind.NORMALIZE, Kind.SOFTMAX,
    Kind.SUM, Kind.MEAN, Kind.VARIANCE, Kind.NORM, Kind.LOGSUMEXP, Kind.EXTREMUM,
})  # fmt: skip
"""Reductions that take each row for itself; a sort or a transform is a kernel of its own."""

_SOURCE_KINDS = frozenset({
    Kind.EMBEDDING, Kind.EMBEDDING_BAG, Kind.INDEX, Kind.RELATIVE_POSITION_BIAS,
})  # fmt: skip
"""Gathers whose result is written element by element; one that scatters is a kernel of its own."""

_BY_CLASS: dict[OpClass, Part] = {
    OpClass.ELEMENTWISE: Part.STREAMING,
    OpClass.COPY: Part.COPY,
    OpClass.WINDOW: Part.WINDOW,
    OpClass.CONTRACTION: Part.CONTRACTION,
    OpClass.ATTENTION: Part.ATTENTION,
}

REORDERING = frozenset({Kind.PERMUTE, Kind.ROLL, Kind.PIXEL_SHUFFLE, Kind.PAD})
"""Copies whose result may have another order than what they read, whatever the strides say: a pad
by one here and minus one there is a shift."""


def part_of(op: Op) -> Part:
    """What `op` is to a kernel."""
    if op.kind is Kind.BATCHNORM and op.op_class is OpClass.REDUCTION:
        return Part.WINDOW  # statistics of the batch: all of its input first
    if op.op_class is OpClass.REDUCTION and op.kind in _ROW_KINDS and op.axes is not None:
        return Part.ROWS
    if op.op_class is OpClass.GATHER and op.kind in _SOURCE_KINDS and not op.writes:
        return Part.SOURCE
    return _BY_CLASS.get(op.op_class, Part.ALONE)


_SOLITARY: dict[Kind, str] = {
    Kind.UNKNOWN: "is unknown, and an unknown op never fuses",
    Kind.CUSTOM: "is a kernel of its own, which never fuses",
    Kind.HOST_READ: "gives its result to the host, which ends a kernel",
}


def why_alone(op: Op) -> str:
    """Why an op that is a kernel of its own shares none, to follow its name."""
    if op.op_class is OpClass.OPAQUE:
        return _SOLITARY.get(op.kind, _SOLITARY[Kind.UNKNOWN])
    return f"is a {op.kind.value}, which no rule joins with another op"
