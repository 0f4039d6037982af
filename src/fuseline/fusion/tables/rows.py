"""What a row of a pattern table is: steps, each an op that takes the result of the one before.

A row is anchored at its first step and closed: what its ops make, the last one's result apart,
goes nowhere but to ops of the same match. Steps speak of kinds; a guard says what else an op must
be, and answers with a sentence where it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fuseline.fusion.attention import is_held, is_scale
from fuseline.fusion.neighbours import Neighbours
from fuseline.graph import Graph, Kind, Op

ENTRY = -1
"""In `Step.takes`: what the first op of the match reads."""

Guard = Callable[[Graph, Op], str | None]
"""None where an op may be the step, else what it is not, to follow its name."""

Finder = Callable[[Neighbours, Op], tuple[int, ...] | None]
"""The ops of a match that begins at an op, where steps cannot say it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One op of a row.

    `optional` may be missing, `many` may follow itself. Besides the result of the step before it
    takes those of the steps `takes` (by number; `ENTRY` is what the first op reads). One producer
    of a kind in `beside` comes along where nothing else takes its result. The result of a step
    that `leaves` may be read by others. A step `outside` must be there and keeps its own kernel.
    """

    kinds: frozenset[Kind]
    optional: bool = False
    many: bool = False
    takes: tuple[int, ...] = ()
    beside: frozenset[Kind] = frozenset()
    guard: Guard | None = None
    leaves: bool = False
    outside: bool = False

    @property
    def may_be_missing(self) -> bool:
        """Whether a match can do without it."""
        return self.optional or self.many


@dataclass(frozen=True, slots=True)
class Row:
    """A pattern: what the system calls it, where it states the rule, and the steps.

    Where steps cannot say it, `find` looks for a match from an op of a kind in `starts`.
    """

    name: str
    source: str
    steps: tuple[Step, ...] = ()
    find: Finder | None = None
    starts: frozenset[Kind] = frozenset()

    @property
    def anchors(self) -> frozenset[Kind]:
        """Kinds of op at which a match may begin."""
        return self.steps[0].kinds if self.steps else self.starts


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one system, the first that fits wins; `name` is the system's, for sentences."""

    name: str
    rows: tuple[Row, ...]


def kinds(*members: Kind) -> frozenset[Kind]:
    """A set of kinds.

    >>> sorted(kind.value for kind in kinds(Kind.RELU, Kind.GELU))
    ['gelu', 'relu']
    """
    return frozenset(members)


CONV = kinds(
    Kind.CONV1D,
    Kind.CONV1D_DEPTHWISE,
    Kind.CONV2D,
    Kind.CONV2D_POINTWISE,
    Kind.CONV2D_DEPTHWISE,
    Kind.CONV3D,
    Kind.CONV3D_DEPTHWISE,
)
DECONV = kinds(Kind.CONV_TRANSPOSE1D, Kind.CONV_TRANSPOSE2D, Kind.CONV_TRANSPOSE3D)
GEMM = kinds(Kind.LINEAR, Kind.ADDMM)
MATMUL = kinds(Kind.MATMUL)
PRODUCTS = kinds(Kind.MATMUL, Kind.ADDMM, Kind.EINSUM)
CLIP = kinds(Kind.RELU6, Kind.HARDTANH, Kind.CLAMP)
SCALE = kinds(Kind.MUL, Kind.DIV)
ROOT = kinds(Kind.ELEMENTWISE_UNARY, Kind.POW)  # a square root, or its reciprocal


def wants_held(graph: Graph, op: Op) -> str | None:
    """One operand is the model's own."""
    held = [is_held(graph, tensor) for tensor in (*op.inputs, *op.parameters)]
    return None if any(held) and held.count(False) == 1 else "has no operand that the model holds"


def wants_equal_shapes(graph: Graph, op: Op) -> str | None:
    """Two activations of the result's shape: nothing is broadcast."""
    shapes = {graph.tensors[tensor].shape for tensor in (*op.inputs, *op.outputs)}
    return None if len(shapes) == 1 else "broadcasts an operand"


def wants_bias(graph: Graph, op: Op) -> str | None:
    """A contraction that adds a bias: a vector that the model holds."""
    tensors = (*op.inputs, *op.parameters)
    vectors = [t for t in tensors if is_held(graph, t) and len(graph.tensors[t].shape) == 1]
    return None if vectors else "has no bias"


def wants_scale(graph: Graph, op: Op) -> str | None:
    """A product or quotient of one tensor and a number."""
    return None if is_scale(graph, op) else "does not scale by a number"


def wants_one_activation(graph: Graph, op: Op) -> str | None:
    """A function of one activation, and of numbers and of what the model holds."""
    read = {
        graph.tensors[tensor].storage
        for tensor in op.inputs
        if not is_held(graph, tensor) and graph.tensors[tensor].numel > 1
    }
    return None if len(read) <= 1 else "takes a second activation"
