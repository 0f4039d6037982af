"""The graph as rows, op by op: what each op is and costs alone, and what it takes from whom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fuseline.costs import group_traffic
from fuseline.graph import OUTSIDE, Graph, Op, OpClass, Role, Tensor
from fuseline.plan import METHOD_CALL, UNFUSED, Group
from fuseline.report.rows.plans import heaviest_op


@dataclass(frozen=True, slots=True)
class OpRow:
    """One op. `traffic_bytes` is what a kernel of this op alone would move; 0 of what is no compute
    op. `inputs` and `outputs` are its tensors as text: `1x197x768 float32`. Of an op that is
    `unknown` no formula knows the FLOPs: its zeros are no counts.
    """

    id: int
    name: str
    target: str
    kind: str
    op_class: str
    module: str
    module_class: str
    flops: int
    other_flops: int
    unknown: bool
    traffic_bytes: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    is_compute: bool


@dataclass(frozen=True, slots=True)
class OpEdgeRow:
    """The op `reader` takes a tensor that the op `writer` makes: its `output`-th, counted from 0.

    `output` is None and `tensor` empty where it takes no tensor of it: a number, or what `writer`
    left in place in memory that `reader` knows under another name.
    """

    writer: int
    reader: int
    output: int | None
    tensor: str
    tensor_bytes: int


@dataclass(frozen=True, slots=True)
class PortRow:
    """A tensor that enters or leaves the graph, and the ops that read or wrote it."""

    name: str
    tensor: str
    tensor_bytes: int
    ops: tuple[int, ...]


def tensor_text(tensor: Tensor) -> str:
    """Shape and dtype.

    >>> tensor_text(Tensor(0, "x", (1, 197, 768), "float32", Role.INPUT, 0, 0, (151296, 768, 1)))
    '1x197x768 float32'
    >>> tensor_text(Tensor(0, "x", (), "int64", Role.INPUT, 0, 0, ()))
    'scalar int64'
    """
    return f"{'x'.join(map(str, tensor.shape)) or 'scalar'} {tensor.dtype}"


def kernel_name(graph: Graph, group: Group) -> str:
    """What a kernel is called in a picture: its pattern, or the target of its only operator.

    >>> from fuseline.graph import Builder, Kind
    >>> build = Builder()
    >>> x = build.tensor("x", (4, 4), role=Role.INPUT)
    >>> graph = build.finish([build.op("relu_1", Kind.RELU, inputs=[x], shape=(4, 4))])
    >>> kernel_name(graph, Group(0, (0,), UNFUSED)), kernel_name(graph, Group(0, (0,), "add_relu"))
    ('relu', 'add_relu')
    """
    if group.pattern in ("", UNFUSED, METHOD_CALL):
        return graph.ops[heaviest_op(graph, group)].target
    return group.pattern


def op_rows(graph: Graph) -> tuple[OpRow, ...]:
    """Every op of the graph, in program order: a row's place is its id.

    >>> from fuseline.graph import Builder, Kind
    >>> build = Builder()
    >>> x = build.tensor("x", (4, 4), role=Role.INPUT)
    >>> graph = build.finish([build.op("relu", Kind.RELU, inputs=[x], shape=(4, 4))])
    >>> op_rows(graph)[0].outputs, op_rows(graph)[0].traffic_bytes
    (('4x4 float32',), 128)
    """
    text = [tensor_text(tensor) for tensor in graph.tensors]
    return tuple(
        OpRow(
            id=op.id,
            name=op.name,
            target=op.target,
            kind=op.kind.value,
            op_class=op.op_class.value,
            module=op.module_path,
            module_class=op.module_class,
            flops=op.work.flops,
            other_flops=op.work.other_flops,
            unknown=op.is_unknown,
            traffic_bytes=group_traffic(graph, (op.id,)).nbytes if op.is_compute else 0,
            inputs=tuple(text[tensor] for tensor in op.inputs),
            outputs=tuple(text[tensor] for tensor in op.outputs),
            is_compute=op.is_compute,
        )
        for op in graph.ops
    )


def op_edge_rows(graph: Graph) -> tuple[OpEdgeRow, ...]:
    """Who takes what of whom, in the readers' order; each pair and tensor once.

    >>> from fuseline.graph import Builder, Kind
    >>> build = Builder()
    >>> x = build.tensor("x", (4, 4), role=Role.INPUT)
    >>> y = build.op("first", Kind.RELU, inputs=[x], shape=(4, 4))
    >>> graph = build.finish([build.op("second", Kind.RELU, inputs=[y], shape=(4, 4))])
    >>> op_edge_rows(graph)
    (OpEdgeRow(writer=0, reader=1, output=0, tensor='4x4 float32', tensor_bytes=64),)
    """
    makers = _makers(graph)
    found: list[OpEdgeRow] = []
    for op in graph.ops:
        taken = dict.fromkeys(tensor for tensor in op.inputs if tensor in makers)
        found.extend(_edge(graph, makers[tensor], op.id, tensor) for tensor in taken)
        known = {makers[tensor] for tensor in taken}
        others = dict.fromkeys((*op.predecessors, *_writers_in_place(graph, op, makers)))
        found.extend(OpEdgeRow(other, op.id, None, "", 0) for other in others if other not in known)
    return tuple(found)


def input_rows(graph: Graph) -> tuple[PortRow, ...]:
    """The graph's inputs, and the ops that take them. What the model holds is no port."""
    readers: dict[int, list[int]] = {
        tensor.id: [] for tensor in graph.tensors if tensor.role is Role.INPUT
    }
    for op in graph.ops:
        for tensor in dict.fromkeys(op.inputs):
            if tensor in readers:
                readers[tensor].append(op.id)
    return tuple(_port(graph.tensors[tensor], ops) for tensor, ops in readers.items())


def output_rows(graph: Graph) -> tuple[PortRow, ...]:
    """The graph's outputs, each with the op that made it and those that wrote it in place since.
    None for what is returned as it came in.
    """
    makers = _makers(graph)
    left: dict[int, list[int]] = {}
    for flow in graph.flows.kept:
        if flow.writer != OUTSIDE:
            left.setdefault(flow.storage, []).append(flow.writer)
    found = []
    for number in dict.fromkeys(graph.outputs):
        tensor = graph.tensors[number]
        chain = _chain(graph, number, makers)
        wrote = [op for op in left.get(tensor.storage, ()) if op not in chain]
        maker = [makers[number]] if number in makers else []
        found.append(_port(tensor, dict.fromkeys((*maker, *wrote))))
    return tuple(found)


def _port(tensor: Tensor, ops: Iterable[int]) -> PortRow:
    return PortRow(tensor.name, tensor_text(tensor), tensor.nbytes, tuple(ops))


def _makers(graph: Graph) -> dict[int, int]:
    """For each tensor that an op makes the (last) op that does."""
    return {tensor: op.id for op in graph.ops for tensor in op.outputs}


def _edge(graph: Graph, writer: int, reader: int, tensor: int) -> OpEdgeRow:
    made = graph.tensors[tensor]
    place = graph.ops[writer].outputs.index(tensor)
    return OpEdgeRow(writer, reader, place, tensor_text(made), made.nbytes)


def _chain(graph: Graph, tensor: int, makers: dict[int, int]) -> set[int]:
    """The op that made a tensor and, where that is a view, all that it is a view of."""
    found: set[int] = set()
    wanted = [tensor]
    while wanted:
        maker = makers.get(wanted.pop())
        if maker is not None and maker not in found:
            found.add(maker)
            if graph.ops[maker].op_class is OpClass.VIEW:
                wanted += graph.ops[maker].inputs
    return found


def _writers_in_place(graph: Graph, op: Op, makers: dict[int, int]) -> list[int]:
    """Ops that left bytes which `op` reads, in storage that others made: no tensor leads there."""
    flows = graph.flows.read_by[op.id]
    writers = dict.fromkeys(flow.writer for flow in flows if flow.writer != OUTSIDE)
    if not writers or all(writer in op.predecessors for writer in writers):
        return []
    chain = {maker for tensor in op.inputs for maker in _chain(graph, tensor, makers)}
    return [writer for writer in writers if writer not in chain]
