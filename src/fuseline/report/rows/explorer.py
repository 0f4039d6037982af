"""A plan as a graph of ops inside layers, for a viewer of nested graphs: modules, then kernels.

A kernel stands, with all of its ops, in the module that it belongs to (`MemberRow.module`); one of
several ops is a layer of its own there. An op that a cover computes in several kernels is a node
in each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fuseline.graph import Graph
from fuseline.plan import Group, Plan
from fuseline.report.rows.data import MemberRow, PlanRow
from fuseline.report.rows.ops import (
    OpRow,
    PortRow,
    input_rows,
    kernel_name,
    op_edge_rows,
    op_rows,
    output_rows,
)
from fuseline.report.rows.plans import heaviest_op


@dataclass(frozen=True, slots=True)
class SourceRow:
    """Where a node takes something from: the `output`-th result of a node, or (None) no tensor."""

    node: str
    output: int | None


@dataclass(frozen=True, slots=True)
class NodeRow:
    """An op, or a tensor that enters or leaves the graph (`port`). `layers` are the names of what
    it stands in, from the outside in. `kernel` is the launched group that it is computed in, and
    `stands_for_kernel` is set for one op of each: the heaviest.
    """

    id: str
    label: str
    layers: tuple[str, ...]
    op: OpRow | None
    port: PortRow | None
    sources: tuple[SourceRow, ...]
    kernel: MemberRow | None = None
    kernel_name: str = ""
    stands_for_kernel: bool = False


@dataclass(frozen=True, slots=True)
class LayerRow:
    """A module with the totals of all launched groups inside it, or one launched group of several
    ops (`kernel`). `seconds` adds every launch in full.
    """

    layers: tuple[str, ...]
    kernel: MemberRow | None
    launches: int
    flops: int
    other_flops: int
    traffic_bytes: int
    saved_bytes: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class ExplorerRows:
    """One plan. The first of `layers` is the model itself, with no name."""

    model: str
    plan: PlanRow
    nodes: tuple[NodeRow, ...]
    layers: tuple[LayerRow, ...]


def explorer_rows(graph: Graph, plan: Plan, row: PlanRow) -> ExplorerRows:
    """The ops of `graph` in the kernels of `plan`, with its figures from `row`."""
    kernels = tuple(
        _kernel(graph, group, member)
        for group, member in zip(plan.groups, row.members, strict=True)
    )
    copies = _Copies(plan)
    nodes = (
        *_input_nodes(graph),
        *_op_nodes(graph, kernels, copies),
        *_output_nodes(graph, copies),
    )
    return ExplorerRows(graph.source.name, row, nodes, tuple(_layers(kernels)))


@dataclass(frozen=True, slots=True)
class _Kernel:
    """A group: its ops, what it is called and where it stands. `member` is None where it is not
    launched: its ops then stand in their own modules.
    """

    group: Group
    member: MemberRow | None
    name: str
    heaviest: int
    layers: tuple[str, ...]


def _kernel(graph: Graph, group: Group, member: MemberRow) -> _Kernel:
    name = f"#{group.id} {kernel_name(graph, group)}"
    layers = _modules(member.module)
    if len(group.ops) > 1:
        layers = (*layers, name)
    found = member if member.launched else None
    return _Kernel(group, found, name, heaviest_op(graph, group), layers)


def _modules(path: str) -> tuple[str, ...]:
    """The modules of a path, from the outside in.

    >>> _modules("encoder.layers.0"), _modules("")
    (('encoder', 'layers', '0'), ())
    """
    return tuple(part for part in path.split(".") if part)


class _Copies:
    """The nodes of each op: one in a partition, one a kernel that computes it in a cover."""

    def __init__(self, plan: Plan) -> None:
        self._groups: dict[int, list[int]] = {}
        self._storing: dict[int, int] = {}
        for group in plan.groups:
            recomputed = frozenset(group.recomputed)
            for op in group.ops:
                self._groups.setdefault(op, []).append(group.id)
                if op not in recomputed:
                    self._storing.setdefault(op, group.id)

    def node(self, op: int, group: int) -> str:
        """The node of `op` in `group`."""
        return str(op) if len(self._groups[op]) == 1 else f"{op}@{group}"

    def source(self, op: int, group: int) -> str:
        """The node that a reader in `group` takes the result of `op` from."""
        groups = self._groups[op]
        return self.node(op, group if group in groups else self._storing.get(op, groups[0]))

    def stored(self, op: int) -> str:
        """The node that stores the result of `op`."""
        return self.source(op, -1)

    def all(self, op: int) -> Iterator[tuple[int, str]]:
        """Every group that computes `op`, and its node there."""
        for group in self._groups[op]:
            yield group, self.node(op, group)


def _input_name(number: int) -> str:
    return f"input {number}"


def _input_nodes(graph: Graph) -> Iterator[NodeRow]:
    for number, port in enumerate(input_rows(graph)):
        yield NodeRow(_input_name(number), "input", (), None, port, ())


def _output_nodes(graph: Graph, copies: _Copies) -> Iterator[NodeRow]:
    ports = zip(dict.fromkeys(graph.outputs), output_rows(graph), strict=True)
    for number, (tensor, port) in enumerate(ports):
        sources = tuple(
            SourceRow(copies.stored(op), _place(graph.ops[op].outputs, tensor)) for op in port.ops
        )
        yield NodeRow(f"output {number}", "output", (), None, port, sources)


def _place(outputs: Sequence[int], tensor: int) -> int | None:
    return outputs.index(tensor) if tensor in outputs else None


def _op_nodes(graph: Graph, kernels: Sequence[_Kernel], copies: _Copies) -> Iterator[NodeRow]:
    """Ops in program order."""
    taken: list[list[tuple[int, int | None]]] = [[] for _ in graph.ops]
    for edge in op_edge_rows(graph):
        taken[edge.reader].append((edge.writer, edge.output))
    entering: list[list[str]] = [[] for _ in graph.ops]
    for number, port in enumerate(input_rows(graph)):
        for op in port.ops:
            entering[op].append(_input_name(number))
    homes = {kernel.group.id: kernel for kernel in kernels}
    for row in op_rows(graph):
        for group, node in copies.all(row.id):
            kernel = homes[group]
            inputs = [SourceRow(name, 0) for name in entering[row.id]]
            made = [SourceRow(copies.source(op, group), output) for op, output in taken[row.id]]
            yield NodeRow(
                id=node,
                label=row.target,
                layers=kernel.layers if kernel.member else _modules(row.module),
                op=row,
                port=None,
                sources=(*inputs, *made),
                kernel=kernel.member,
                kernel_name=kernel.name if kernel.member else "",
                stands_for_kernel=kernel.member is not None and row.id == kernel.heaviest,
            )


def _layers(kernels: Sequence[_Kernel]) -> Iterator[LayerRow]:
    """The model, its modules in order of appearance, then the kernels that are layers."""
    inside: dict[tuple[str, ...], list[MemberRow]] = {(): []}
    for kernel in kernels:
        if kernel.member is not None:
            path = _modules(kernel.member.module)
            for depth in range(len(path) + 1):
                inside.setdefault(path[:depth], []).append(kernel.member)
    for layers, members in inside.items():
        yield _total(layers, members, None)
    for kernel in kernels:
        if kernel.member is not None and len(kernel.group.ops) > 1:
            yield _total(kernel.layers, [kernel.member], kernel.member)


def _total(
    layers: tuple[str, ...], members: Sequence[MemberRow], kernel: MemberRow | None
) -> LayerRow:
    seconds = [member.seconds for member in members if member.seconds is not None]
    return LayerRow(
        layers=layers,
        kernel=kernel,
        launches=len(members),
        flops=sum(member.flops for member in members),
        other_flops=sum(member.other_flops for member in members),
        traffic_bytes=sum(member.traffic_bytes for member in members),
        saved_bytes=sum(member.saved_bytes for member in members),
        seconds=sum(seconds) if seconds else None,
    )
