"""One node of Inductor's scheduler after fusion -> what is known of the kernel it becomes.

Everything here is read off torch's own objects, whose classes have no stable names: the torch
release is pinned (`TORCH`).
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

from fuseline.errors import InputError
from fuseline.runtime.modules import OP_NAME

TORCH = "2.13"
"""The release whose scheduler this package knows how to read."""

_NOT_LAUNCHED = ("NopKernelSchedulerNode",)
_TEMPORARY = re.compile(r"\btmp\d+\b")
_ITEM = "<built-in function getitem>"

VIEWS = frozenset(
    f"aten.{name}"
    for name in (
        "alias.default", "as_strided.default", "detach.default", "diagonal.default",
        "expand.default", "permute.default", "reshape.default", "select.int", "slice.Tensor",
        "split.Tensor", "split_with_sizes.default", "squeeze.default", "squeeze.dim",
        "squeeze.dims", "t.default", "transpose.int", "unbind.int", "unfold.default",
        "unsqueeze.default", "view.default", "view.dtype", "_unsafe_view.default",
        "view_as_real.default", "view_as_complex.default",
    )
) | {_ITEM}  # fmt: skip
"""Nodes that are no work: their result aliases an operand, or is part of one."""

_RESHAPES = frozenset(
    f"aten.{name}"
    for name in (
        "_unsafe_view.default", "alias.default", "permute.default", "reshape.default",
        "expand.default", "squeeze.default", "squeeze.dim", "squeeze.dims", "t.default",
        "transpose.int", "unsqueeze.default", "view.default",
    )
)  # fmt: skip
"""Nodes whose result is all of their operand, in another shape or order."""

_MOVES = frozenset({"load", "store", "output", "get_index"})
"""What a loop does that only copies."""


@dataclass(frozen=True, slots=True)
class AtenNode:
    """A node of the graph that Inductor lowered: its target, and the op of ours it is a part of."""

    name: str
    target: str
    op: str
    place: int


@dataclass(frozen=True, slots=True)
class KernelNode:
    """One kernel of Inductor's: its name, its library call or "", and what it moves [bytes].

    `origins` are the nodes it is said to compute, `stored` those whose result it leaves in memory;
    `main` is the one that a library call is for. `moves` says that its loops only copy.
    `excess_nbytes` is what of `read_nbytes` its loops cannot touch: Inductor counts a buffer whole
    that fused loops read by an index.
    """

    name: str
    call: str
    origins: tuple[AtenNode, ...]
    stored: tuple[AtenNode, ...]
    main: AtenNode | None
    moves: bool
    is_reduction: bool
    read_nbytes: int
    written_nbytes: int
    excess_nbytes: int

    @property
    def targets(self) -> frozenset[str]:
        """What its nodes call."""
        return frozenset(node.target for node in self.origins)


def check_torch(version: str) -> None:
    """Raises `InputError` under a torch whose scheduler may be another.

    >>> check_torch("2.12.1")
    Traceback (most recent call last):
    fuseline.errors.InputError: Inductor's kernels are read from torch 2.13: this is torch 2.12.1
    """
    if not version.startswith(f"{TORCH}."):
        raise InputError(f"Inductor's kernels are read from torch {TORCH}: this is torch {version}")


def describe(nodes: Iterable[Any]) -> tuple[KernelNode, ...]:
    """Every kernel among the scheduler's nodes, in the order they run."""
    places = _places()
    launched = [node for node in nodes if _is_launched(node)]
    called = {_made(node.node, places) for node in launched if node.is_extern()}
    return tuple(_describe(node, places, called) for node in launched)


def lowered_nodes() -> tuple[AtenNode, ...]:
    """Every call in the graph that is being lowered."""
    places = _places()
    return tuple(_aten(node, places) for node in places if node.op == "call_function")


def _places() -> dict[Any, int]:
    """The nodes of the graph that is being lowered, by their places in it."""
    from torch._inductor.virtualized import V

    lowered: Any = V.graph.module
    return {node: place for place, node in enumerate(lowered.graph.nodes)}


def _is_launched(node: Any) -> bool:  # noqa: ANN401 - Inductor's own classes have no stable names
    """Whether it is a kernel: not a placeholder, nor one result of a library call of several."""
    if type(node).__name__ in _NOT_LAUNCHED:
        return False
    return type(node.node).__name__ != "MultiOutput"


def _describe(node: Any, places: dict[Any, int], called: set[Any]) -> KernelNode:  # noqa: ANN401
    """`called` are the nodes that library calls are for."""
    reads = node.get_read_write_buffer_accesses(include_reads=True, include_writes=False)
    writes = node.get_read_write_buffer_accesses(include_reads=False, include_writes=True)
    parts = [part for part in node.get_nodes() if part.node is not None]
    origins = {origin: None for part in parts for origin in _computed(part, places, called)}
    read = sorted((_aten(origin, places) for origin in origins), key=lambda aten: aten.place)
    call = getattr(node.node, "python_kernel_name", None) or ""
    return KernelNode(
        name=node.get_name(),
        call=call,
        origins=tuple(read),
        stored=tuple(_stored(parts, writes, places)),
        main=_main(node, call, read, places) if node.is_extern() else None,
        moves=not node.is_extern() and all(_only_moves(part) for part in parts),
        is_reduction=node.is_reduction(),
        read_nbytes=sum(reads.values()),
        written_nbytes=sum(writes.values()),
        excess_nbytes=sum(_excess(parts, buffer, nbytes) for buffer, nbytes in reads.items()),
    )


def _aten(node: Any, places: dict[Any, int]) -> AtenNode:  # noqa: ANN401
    return AtenNode(node.name, str(node.target), _op_of(node), places.get(node, -1))


def _op_of(node: Any) -> str:  # noqa: ANN401
    """The op that a node is a part of. Writes in place become nodes that nobody named: such a node
    belongs to what it puts in its place, its last operand.
    """
    while True:
        name = (node.meta.get("custom") or {}).get(OP_NAME, "")
        if name or not node.all_input_nodes:
            return name
        node = node.all_input_nodes[-1]


def _stored(
    parts: Sequence[Any], writes: dict[str, int], places: dict[Any, int]
) -> Iterable[AtenNode]:
    """The nodes whose results are the buffers that a kernel leaves in memory."""
    for part in parts:
        if any(output.get_name() in writes for output in part.get_outputs()):
            found = [_looked_at(_made(part.node, places))]
            if not part.is_extern():
                found.append(_concatenation(part, places))
            yield from (_aten(node, places) for node in found if node is not None)


def _computed(part: Any, places: dict[Any, int], called: set[Any]) -> Iterable[Any]:  # noqa: ANN401
    """The nodes that a loop nest computes: of its origins those that lead to its result from what
    it reads. Inductor names also what the buffers that it reads were made of; and of a copy for a
    library call, or of a slice of a concatenation, all that leads to those.
    """
    origins = set(part.node.get_origins())
    if part.is_extern():
        return origins
    joined = _concatenation(part, places)
    read = {_looked_at(_maker(dep.name, places)) for dep in part.read_writes.reads} - {None}
    made = _made(part.node, places)
    last = (
        made
        if made in origins
        else max(origins, key=lambda node: places.get(node, -1), default=None)
    )
    pending = [] if last is None else [last]
    found = dict.fromkeys(pending)
    while pending:
        for node in map(partial(_climbed, origins), pending.pop().all_input_nodes):
            if node in origins and node not in found and _looked_at(node) not in read:
                found[node] = None
                pending.append(node)
    if read and (joined is not None or made in called):
        found = _after(read, found, places)
    return found if joined is None else {**found, joined: None}


def _after(read: set[Any], nodes: Iterable[Any], places: dict[Any, int]) -> dict[Any, None]:
    """Those of `nodes` that depend on what is `read`."""
    behind = set(read)
    found: dict[Any, None] = {}
    for node in sorted(nodes, key=lambda node: places.get(node, -1)):
        above = map(partial(_climbed, behind), node.all_input_nodes)
        if node in behind or not behind.isdisjoint(map(_looked_at, above)):
            behind.add(node)
            found[node] = None
    return found


def _climbed(wanted: Container[Any], node: Any) -> Any:  # noqa: ANN401
    """The first node that is wanted, from `node` up through what it shows another part or shape of;
    the last one met where none is.
    """
    while node not in wanted and _is_view(node):
        node = node.all_input_nodes[0]
    return node


def _is_view(node: Any) -> bool:  # noqa: ANN401
    if str(node.target) == _ITEM:  # one of several views, or one of several results
        return _is_view(node.all_input_nodes[0])
    return str(node.target) in VIEWS


def _looked_at(node: Any) -> Any:  # noqa: ANN401
    """What a node shows in another shape or order; the node itself where it is no such view."""
    while node is not None and str(node.target) in _RESHAPES:
        node = node.all_input_nodes[0]
    return node


def _concatenation(part: Any, places: dict[Any, int]) -> Any:  # noqa: ANN401
    """The concatenation into whose slice a loop nest writes its result; None where it does not."""
    from torch._inductor.ir import NonOwningLayout

    layout = part.node.layout
    if not isinstance(layout, NonOwningLayout):
        return None
    return _maker(layout.view.get_name(), places)


def _maker(buffer: str, places: dict[Any, int]) -> Any:  # noqa: ANN401
    """The node whose result a buffer holds, or that stands for what comes from outside."""
    from torch._inductor.virtualized import V

    made = V.graph.name_to_buffer.get(buffer)
    if made is not None:
        return _made(made, places)
    return next((node for node in places if node.name == buffer), None)


def _made(buffer: Any, places: dict[Any, int]) -> Any:  # noqa: ANN401
    """The node whose result a buffer of Inductor's is: that of its name, or the last one said."""
    node = buffer.get_origin_node()
    if node is not None:
        return node
    return max(buffer.get_origins(), key=lambda origin: places.get(origin, -1), default=None)


def _main(
    node: Any,  # noqa: ANN401
    call: str,
    origins: Sequence[AtenNode],
    places: dict[Any, int],
) -> AtenNode | None:
    """What a library call is for: the node of its own name, or the last one said of it."""
    named = call.removesuffix(".default").rpartition(".")[2]
    called = [origin for origin in origins if origin.target.split(".")[1:2] == [named]]
    node_of_result = node.node.get_origin_node()
    own = None if node_of_result is None else _aten(node_of_result, places)
    if own is not None and (own in called or not called):
        return own
    return next(iter((called or origins)[-1:]), None)


def _only_moves(part: Any) -> bool:  # noqa: ANN401
    body = getattr(part, "_body", None)
    return body is not None and set(body.op_counts) <= _MOVES


def _excess(parts: Sequence[Any], buffer: str, nbytes: int) -> int:
    """What a kernel is counted to read of `buffer` beyond what its loops can touch.

    Each loop nest touches at most one element an iteration and access; what two nests read at the
    same place is one access.
    """
    if len(parts) == 1:  # here Inductor counts so itself, but for the operands of a library call
        return _excess_of_call(parts[0], buffer, nbytes) if parts[0].is_extern() else 0
    from torch._inductor.dependencies import MemoryDep

    touched: dict[tuple[str, int], int] = {}
    for part in parts:
        for dep in part.read_writes.reads:
            if dep.name != buffer:
                continue
            if not isinstance(dep, MemoryDep):
                return 0
            numel = 1
            for size in (*part.get_ranges()[0], *part.get_ranges()[1]):
                numel *= int(size)
            index = _TEMPORARY.sub("tmp", str(dep.normalize().index))
            touched[index, numel] = numel
    return max(0, nbytes - _item(parts, buffer) * sum(touched.values()))


def _excess_of_call(part: Any, buffer: str, nbytes: int) -> int:  # noqa: ANN401
    """What a library call is counted to read of `buffer` beyond operands that are views of it."""
    from torch._inductor.ir import BaseView

    touched: dict[tuple[object, ...], int] = {}
    for operand in getattr(part.node, "inputs", ()):
        if not hasattr(operand, "get_name") or operand.get_name() != buffer:
            continue
        if not isinstance(operand, BaseView):
            return 0
        layout = operand.get_layout()
        dims = tuple(zip(map(int, layout.size), map(int, layout.stride), strict=True))
        numel = prod(size for size, stride in dims if stride)
        touched[dims, str(layout.offset)] = numel * layout.dtype.itemsize
    return max(0, nbytes - sum(touched.values())) if touched else 0


def _item(parts: Sequence[Any], buffer: str) -> int:
    """Bytes of an element of a buffer."""
    graph = parts[0].scheduler.name_to_buf
    if buffer in graph:
        return graph[buffer].node.get_dtype().itemsize
    from torch._inductor.virtualized import V

    return V.graph.get_dtype(buffer).itemsize
