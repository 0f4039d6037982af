"""FLOPs of one op from its shapes: one short formula a kind.

Two figures, never mixed. `flops` is 2 x multiply-accumulates of contractions and attention: no
bias, padding taps counted. `other_flops` counts every other arithmetic step of the textbook
formula, one each: an addition, a comparison, a division, an `exp`, `erf`, `tanh` or square root;
a reduction over n elements counts n.

A kind has a formula or an entry in `NO_WORK` that says why it computes nothing. What has neither
is *unknown* and every report lists it: nothing is zero in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod

from fuseline.errors import InputError, foreign_code
from fuseline.graph import Kind, OpClass, Status, Work

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One application of an op: the shapes it meets and the settings that change its work.

    `inputs` are its tensor arguments in order. `named` holds arguments and parameters by the name
    that the module or function gives them (`weight`, `bias`, `query`); `attributes` its scalars,
    strings and tuples (`kernel_size`, `batch_first`, `equation`).
    """

    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    named: Mapping[str, Shape] = field(default_factory=dict)
    attributes: Mapping[str, object] = field(default_factory=dict)

    @property
    def out(self) -> int:
        """Elements of the first output."""
        return prod(self.outputs[0])

    @property
    def source(self) -> Shape:
        """The argument called `input`, however it was passed; else the first tensor."""
        return self.named.get("input", self.inputs[0])

    def flag(self, name: str) -> bool:
        """Whether the boolean attribute `name` is set."""
        return bool(self.attributes.get(name))


class MissingShapeError(Exception):
    """A formula needs an operand that this call does not have; the op is then unknown."""


Formula = Callable[[Call], tuple[int, int]]
FORMULAS: dict[Kind, Formula] = {}
NO_WORK: dict[Kind, str] = {}


def formula(*kinds: Kind) -> Callable[[Formula], Formula]:
    """Register a formula for `kinds`: a `Call` in, (FLOPs, other FLOPs) out.

    Raises ValueError where a kind already has one.
    """

    def register(function: Formula) -> Formula:
        for kind in kinds:
            if kind in FORMULAS or kind in NO_WORK:
                raise ValueError(f"{kind} already has a formula")
            FORMULAS[kind] = function
        return function

    return register


def no_work(why: str, *kinds: Kind) -> None:
    """Register `kinds` as zero by definition, with the reason."""
    for kind in kinds:
        if kind in FORMULAS or kind in NO_WORK:
            raise ValueError(f"{kind} already has a formula")
        NO_WORK[kind] = why


@dataclass(frozen=True, slots=True)
class CustomOp:
    """What a user says of an op that no table knows: its formula, and the class that rules see."""

    formula: Formula
    op_class: OpClass


CUSTOM: dict[str, CustomOp] = {}
"""Users' own ops, by `namespace::name`."""


def register_op(target: str, formula: Formula, op_class: OpClass = OpClass.OPAQUE) -> None:
    """Price the custom op `target` (`namespace::name`, as `torch.library` names it).

    `formula` takes a `Call` (shapes of the arguments by name, and scalars) and returns (FLOPs of
    contractions, other FLOPs). `op_class` says what fusion rules may do with it; an OPAQUE op is
    counted and never fuses.

    Raises `InputError` for a name without a namespace, a class that is no op's, or a second
    formula for one op.

    >>> register_op("mylib::rope", lambda call: (0, 3 * call.out), OpClass.ELEMENTWISE)
    >>> CUSTOM.pop("mylib::rope").op_class
    <OpClass.ELEMENTWISE: 'elementwise'>
    """
    namespace, colons, name = target.partition("::")
    if not (namespace and colons and name):
        raise InputError(f"'{target}' is no op's name: write it as namespace::name")
    if not isinstance(op_class, OpClass):
        raise InputError(f"the class of '{target}' is an OpClass, not {op_class!r}")
    if target in CUSTOM:
        raise InputError(f"'{target}' has a formula already")
    CUSTOM[target] = CustomOp(formula, op_class)


def count_custom(target: str, call: Call) -> Work:
    """What a user's op computes, by the formula registered for it."""
    with foreign_code(f"the formula of '{target}' failed"):
        flops, other_flops = CUSTOM[target].formula(call)
    if min(flops, other_flops) < 0 or not all(isinstance(n, int) for n in (flops, other_flops)):
        raise InputError(f"the formula of '{target}' gave {flops!r}, {other_flops!r}: not counts")
    return Work(flops, other_flops, Status.COUNTED, "a formula that the user registered")


def masked_flops(call: Call, flops: int) -> int:
    """Of an attention op's `flops`, those on pairs (query, key) that a causal mask throws away.

    Query i of L sees keys 0..i of S. Says nothing of masks that are tensors: their values are
    not read.

    >>> masked_flops(Call((), (), {"query": (4, 8), "key": (4, 8)}, {"is_causal": True}), 160)
    60
    """
    if not call.flag("is_causal") or not {"query", "key"} <= call.named.keys():
        return 0
    queries, keys = call.named["query"][-2], call.named["key"][-2]
    seen = sum(min(query + 1, keys) for query in range(queries))
    return flops * (queries * keys - seen) // (queries * keys) if queries * keys else 0


def count_work(kind: Kind, call: Call) -> Work:
    """What one op computes, and how that is known.

    >>> count_work(Kind.LINEAR, Call(((197, 768),), ((197, 3072),), {"weight": (3072, 768)}))
    Work(flops=929562624, other_flops=0, status=<Status.COUNTED: 'counted'>, why='', masked_flops=0)
    >>> count_work(Kind.UNKNOWN, Call(((8,),), ((8,),))).status
    <Status.UNKNOWN: 'unknown'>
    """
    if kind in NO_WORK:
        return Work(0, 0, Status.ZERO, NO_WORK[kind])
    if kind not in FORMULAS:
        return Work(0, 0, Status.UNKNOWN, "no formula for this op")
    try:
        flops, other_flops = FORMULAS[kind](call)
    except MissingShapeError as error:
        return Work(0, 0, Status.UNKNOWN, str(error))
    if not flops and not other_flops:
        return Work(0, 0, Status.ZERO, "no arithmetic at these shapes and settings")
    return Work(flops, other_flops, Status.COUNTED, "", masked_flops(call, flops))


def operand(call: Call, name: str) -> Shape:
    """Shape of the operand `name`; `MissingShapeError` where the call has none."""
    if name not in call.named:
        raise MissingShapeError(f"its formula needs the shape of '{name}'")
    return call.named[name]


def bias(call: Call, elements: int, name: str = "bias") -> int:
    """One addition an element where the call has the operand `name`."""
    return elements if name in call.named else 0
