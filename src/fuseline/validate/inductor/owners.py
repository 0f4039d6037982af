"""Which ops of the graph a real kernel computes.

Inductor says of every kernel which nodes it came from, and says too much: a library call is told to
come from the normalisation before it, a copy into another layout from the convolution it is for.

    library call        owns the op of its own node
    loops               own the ops of their nodes, but for those that library calls own
    loops that own none layout copy, a part of a library call's op (its bias), or a constant
    loops that only copy for a library call own clones alone: the rest is what the call is told
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from fuseline.errors import InputError
from fuseline.graph import Graph
from fuseline.validate.inductor.nodes import VIEWS, AtenNode, KernelNode
from fuseline.validate.inductor.read import Compiled

_COPIES = frozenset({"aten.clone.default", "aten.copy.default", "aten._to_copy.default"})
"""Nodes that a loop which only copies can be."""


class Besides(Enum):
    """What a kernel is for that computes no op of the graph."""

    LAYOUT = "layout copy"  # a tensor copied into the layout a library call wants
    PART = "part of a library call's op"  # the bias that the call does not add
    CONSTANT = "constant made at run time"  # what the graph has folded
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class RealKernel:
    """One kernel and the ops (ids) it computes, those that it stores, and those of which it
    computes a part. `besides` says what a kernel without ops is for.
    """

    node: KernelNode
    ops: tuple[int, ...]
    stored: tuple[int, ...]
    parts: tuple[int, ...]
    besides: Besides | None

    @property
    def nbytes(self) -> int:
        """Bytes it moves: what Inductor counts, without what its loops cannot touch."""
        return self.node.read_nbytes + self.node.written_nbytes - self.node.excess_nbytes


@dataclass(frozen=True, slots=True)
class Owners:
    """The kernels with their ops, and the compute ops that Inductor made nothing of: copies of
    what is laid out so already, and ops that compute what another one has computed.
    """

    kernels: tuple[RealKernel, ...]
    removed: tuple[int, ...]


def find_owners(graph: Graph, compiled: Compiled) -> Owners:
    """Give every kernel its ops.

    Raises `InputError` where a compute op has a node that does work and no kernel has it.
    """
    numbers = {op.name: op.id for op in graph.ops}
    called = {kernel.main.op: kernel.main.name for kernel in compiled.kernels if kernel.main}
    final = {node.op: node.name for node in compiled.nodes if node.target not in VIEWS}
    kernels = tuple(_own(kernel, numbers, called, final) for kernel in compiled.kernels)
    owned = {op for kernel in kernels for op in (*kernel.ops, *kernel.parts)}
    removed = tuple(op.id for op in graph.ops if op.is_compute and op.id not in owned)
    left_out = [graph.ops[op].name for op in removed if graph.ops[op].name in final]
    if left_out:
        raise InputError(
            f"Inductor lowered '{left_out[0]}' of '{graph.source.name}' and no kernel owns it"
            f" ({len(left_out)} such ops)"
        )
    return Owners(kernels, removed)


def _own(
    kernel: KernelNode, numbers: dict[str, int], called: dict[str, str], final: dict[str, str]
) -> RealKernel:
    """`called` and `final` give an op's node in a library call, and its last node that works."""
    if kernel.main is not None:
        own = _numbered([kernel.main], numbers)
        return RealKernel(kernel, own, own, (), None if own else Besides.CONSTANT)
    working = [node for node in kernel.origins if node.target not in VIEWS]
    is_for_call = kernel.moves and any(called.get(node.op) == node.name for node in working)
    if is_for_call:
        working = [node for node in working if node.op in called or node.target in _COPIES]
    own = _numbered((node for node in working if node.op not in called), numbers)
    rest = [node for node in working if node.op in called]
    parts = _numbered((node for node in rest if called[node.op] != node.name), numbers)
    kept = {node.name for node in kernel.stored}
    names = {numbers[name]: name for name in final if name in numbers}
    # what is copied for a call is stored piece by piece, under the name of the call
    stored = own if is_for_call else tuple(op for op in own if final[names[op]] in kept)
    return RealKernel(
        kernel, own, stored, parts, None if own else _besides(kernel, working, rest, parts, numbers)
    )


def _besides(
    kernel: KernelNode,
    working: Sequence[AtenNode],
    rest: Sequence[AtenNode],
    parts: Sequence[int],
    numbers: dict[str, int],
) -> Besides:
    """What loops are for that own no op."""
    made = [node for node in working if node not in rest]
    if made and all(node.op not in numbers for node in made):
        return Besides.CONSTANT
    if rest and not made and not parts:
        return Besides.LAYOUT
    if kernel.moves and (rest or not working):
        return Besides.LAYOUT
    return Besides.PART if parts else Besides.OTHER


def _numbered(nodes: Iterable[AtenNode], numbers: dict[str, int]) -> tuple[int, ...]:
    """The ops (ids) that nodes are parts of, in order, folded ones left out."""
    return tuple(sorted({numbers[node.op] for node in nodes if node.op in numbers}))
