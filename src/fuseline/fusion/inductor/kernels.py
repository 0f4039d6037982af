"""Scheduler nodes in the making: values by storage, and when one goes to memory.

Inductor works on a program without in-place writes; so does this: a write makes a new value of
its storage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from fuseline.fusion.inductor.access import Access, Dep, Dims, merge_loops, to_dep
from fuseline.fusion.inductor.limits import Limits
from fuseline.fusion.inductor.lowered import Buffer, Column, Expression, Node, opaque, through
from fuseline.fusion.inductor.lowering import fixes_layout, hints_storing, recipe_of
from fuseline.graph import ITEM_BYTES, OUTSIDE, Graph, Op, OpClass, Tensor

Value = Expression | int
"""What a storage holds: an expression, or the buffer that it is in (-1 - storage: from outside)."""

_LONGEST = 100
"""Operations beyond which an expression is stored in any case (`GraphLowering.run_node`)."""


class Kernels:
    """The nodes of one graph so far, the buffers they write, and the value of every storage."""

    def __init__(self, graph: Graph, limits: Limits) -> None:
        self.graph = graph
        self.limits = limits
        self.nodes: list[Node] = []
        self.buffers: list[Buffer] = []
        self.values: dict[int, Value] = {}
        self.skipped = 0  # entries of Inductor's own list so far that are never launched
        self.items = {tensor.storage: ITEM_BYTES[tensor.dtype] for tensor in graph.tensors}
        self.users = _count_users(graph)
        self.readers = _readers(graph)  # by storage
        self.most_users = _most_users(graph, self.users)
        self.whole = _whole_tensors(graph)  # by storage, the tensor that is all of it
        self.copies: dict[tuple[int, int, int, tuple[int, ...], tuple[int, ...]], int] = {}

    # --- reading --------------------------------------------------------------------------------

    def value(self, storage: int) -> Value:
        """What `storage` holds now."""
        return self.values.get(storage, -1 - storage)

    def load(self, tensor: Tensor, strides: Sequence[int], sizes: Sequence[int], op: int) -> Column:
        """What reading `tensor` with `strides` over loops of `sizes` reads."""
        value = self.value(tensor.storage)
        dims = tuple(zip(sizes, strides, strict=True))
        if isinstance(value, int):
            return dims, (Access(value, tuple(strides), tensor.offset),)
        return through(value, dims, tensor.offset, op)

    def load_opaquely(self, tensor: Tensor, op: int) -> tuple[Access, ...]:
        """What reading `tensor` through an index reads."""
        value = self.value(tensor.storage)
        if isinstance(value, int):
            return (Access(value, None, 0, op),)
        return tuple(opaque(access, op) for access in value.accesses)

    def operations(self, tensor: Tensor) -> dict[int, int]:
        """Operations of the ops that reading `tensor` computes."""
        value = self.value(tensor.storage)
        return {} if isinstance(value, int) else value.operations

    def is_transcendental(self, tensor: Tensor) -> bool:
        """Whether reading `tensor` computes an exponential or a logarithm."""
        value = self.value(tensor.storage)
        return not isinstance(value, int) and value.transcendental

    def writers(self, buffer: int) -> list[int]:
        """Nodes that write `buffer`."""
        return self.buffers[buffer].writers if buffer >= 0 else []

    def nbytes(self, buffer: int) -> int:
        """Size of a buffer, or of a storage from outside."""
        if buffer >= 0:
            return self.buffers[buffer].nbytes
        return self.graph.storages[-1 - buffer].nbytes

    def item(self, buffer: int) -> int:
        """Bytes of an element of a buffer, or of a storage from outside."""
        return self.buffers[buffer].item if buffer >= 0 else self.items[-1 - buffer]

    # --- storing --------------------------------------------------------------------------------

    def allocate(self, nbytes: int, item: int, *, flexible: bool = True) -> int:
        """A new buffer, which nobody writes yet."""
        self.buffers.append(Buffer(nbytes, item, [], flexible))
        return len(self.buffers) - 1

    def add(
        self,
        ops: Iterable[int],
        stores: Iterable[int],
        dims: Dims,
        accesses: Sequence[Access],
        *,
        write: Access,
        reduced: int = 0,
        shape: tuple[int, ...] | None = None,
    ) -> Node:
        """A loop nest over `dims`, of which the innermost `reduced` loops are summed over."""
        sizes = tuple(size for size, _ in dims)
        kept = len(sizes) - reduced
        touched = (*accesses, write)
        outer = merge_loops(sizes[:kept], [_part(access, 0, kept) for access in touched])
        inner = merge_loops(sizes[kept:], [_part(access, kept, None) for access in accesses])
        written = to_dep(_part(write, 0, kept), sizes[:kept])
        reads = tuple(dict.fromkeys(to_dep(access, sizes) for access in accesses))
        shape = sizes[:kept] if shape is None else shape
        return self._append(ops, stores, reads, (written,), outer=outer, inner=inner, shape=shape)

    def add_call(self, op: Op, buffers: Iterable[int], written: Sequence[int]) -> Node:
        """A library call: it reads and writes whole buffers."""
        reads = tuple(Dep(buffer, None, 0, -1) for buffer in dict.fromkeys(buffers))
        writes = tuple(Dep(buffer, None, 0, -1) for buffer in written)
        return self._append((op.id,), (op.id,), reads, writes)

    def _append(
        self,
        ops: Iterable[int],
        stores: Iterable[int],
        reads: tuple[Dep, ...],
        writes: tuple[Dep, ...],
        *,
        outer: tuple[int, ...] | None = None,
        inner: tuple[int, ...] = (),
        shape: tuple[int, ...] = (),
    ) -> Node:
        number = len(self.nodes)
        node = Node(
            id=number,
            order=number + self.skipped,
            ops=dict.fromkeys(ops),
            stores=set(stores),
            reads=reads,
            writes=writes,
            outer=outer or (),
            inner=inner,
            is_extern=outer is None,
            is_reduction=bool(inner),
            shape=shape,
        )
        for dep in reads:
            node.needs.update(self.writers(dep.buffer))
        for dep in writes:
            self.buffers[dep.buffer].writers.append(number)
        self.nodes.append(node)
        return node

    def store(self, expression: Expression, storage: int) -> int:
        """Put the value of `storage` into memory: a node of its own, and the buffer it writes."""
        item = self._item(expression.op)
        buffer = self.allocate(self.graph.storages[storage].nbytes, item)
        write = Access(buffer, tuple(stride for _, stride in expression.dims), expression.offset)
        node = self.add(
            expression.operations,
            (expression.op,) if expression.op in expression.operations else (),
            expression.dims,
            expression.accesses,
            write=write,
            shape=expression.shape,
        )
        node.named = expression.op
        self.values[storage] = buffer
        return buffer

    def stored(self, tensor: Tensor, *, whole: bool = True) -> int:
        """The buffer a library call reads `tensor` from; what is not in memory is put there.

        Where it is a part of an expression: all of that, or with `whole` unset the part alone, by
        a node of its own.
        """
        value = self.value(tensor.storage)
        if isinstance(value, int):
            if value >= 0:
                self.buffers[value].flexible = False
            return value
        dims = _loops(tensor)
        whole = whole or tensor.numel == _numel(value.dims)
        key = (value.op, tensor.storage, tensor.offset, tensor.shape, tensor.strides)
        if whole:
            buffer = self.store(value, tensor.storage)
        elif key in self.copies:
            buffer = self.copies[key]
        else:
            dims, accesses = through(value, dims, tensor.offset, value.op)
            buffer = self.allocate(tensor.nbytes, ITEM_BYTES[tensor.dtype])
            write = Access(buffer, _dense(dims))
            self.add(value.operations, (value.op,), dims, accesses, write=write, shape=tensor.shape)
            self.copies[key] = buffer
        self.buffers[buffer].flexible = False
        return buffer

    def define(self, op: Op, storage: int, expression: Expression) -> None:
        """Make `expression` the value of `storage`, and store it where a limit says so."""
        self.values[storage] = expression
        readers = {flow.reader for flow in self.graph.flows.written_by[op.id]}
        consumers = [self.graph.ops[reader] for reader in readers if reader != OUTSIDE]
        users = sum(recipe_of(consumer).uses for consumer in consumers) + (OUTSIDE in readers)
        users = max(users, self.most_users.get(storage, 0))
        if (
            OUTSIDE in readers
            or self._exceeds_limits(expression)
            or (
                users > 1
                and (
                    self._is_better_stored(expression)
                    or self._is_wanted_stored(expression, storage, consumers)
                )
            )
        ):
            self.store(expression, storage)

    def _exceeds_limits(self, expression: Expression) -> bool:
        """Whether a result is stored even for one user."""
        length = expression.length
        if length > _LONGEST:
            return True
        long = length > self.limits.expression_ops
        return expression.wide_reads > 1 and (
            long or expression.reads > self.limits.accumulated_reads
        )

    def _is_better_stored(self, expression: Expression) -> bool:
        """Whether a result of several users is not cheap enough to be computed by each."""
        limits = self.limits
        return (
            expression.length > limits.expression_ops
            or expression.reads > limits.reuse_reads
            or (limits.stores_transcendental and expression.transcendental)
        )

    def _is_wanted_stored(
        self, expression: Expression, storage: int, consumers: Iterable[Op]
    ) -> bool:
        """Whether one of several users of the very same tensor takes it from memory only."""
        for consumer in consumers:
            shared = any(
                self.graph.tensors[tensor].storage == storage and self.users[tensor] > 1
                for tensor in consumer.inputs
            )
            if shared and (
                fixes_layout(consumer) or (hints_storing(consumer) and expression.wide_reads > 1)
            ):
                return True
        return False

    def store_if_repeated(self, tensor: Tensor) -> None:
        """An operand read again and again along a loop of its reader is stored if it is long."""
        value = self.value(tensor.storage)
        if isinstance(value, int):
            return
        heavy = self.limits.stores_transcendental and value.transcendental
        if heavy or value.length > self.limits.expression_ops:
            self.store(value, tensor.storage)

    def store_if_read_often(self, tensor: Tensor) -> None:
        """An operand of which every element is read many times is stored unless it is one load."""
        value = self.value(tensor.storage)
        if not isinstance(value, int) and value.wide_reads > 1:
            self.store(value, tensor.storage)

    def _item(self, op: int) -> int:
        outputs = self.graph.ops[op].outputs
        return ITEM_BYTES[self.graph.tensors[outputs[0]].dtype] if outputs else 1


def _whole_tensors(graph: Graph) -> dict[int, Tensor]:
    found: dict[int, Tensor] = {}
    for tensor in graph.tensors:
        if tensor.nbytes == graph.storages[tensor.storage].nbytes:
            found.setdefault(tensor.storage, tensor)
    return found


def _count_users(graph: Graph) -> Counter[int]:
    """How many users each tensor has: views of it among them, and the end of the graph."""
    users = Counter(graph.outputs)
    for op in reversed(graph.ops):
        if op.op_class is OpClass.CONTROL:
            continue
        if not op.is_compute and not any(users[tensor] for tensor in op.outputs):
            continue  # nobody looks through it
        uses = recipe_of(op).uses if op.is_compute else 1
        for tensor in op.inputs:
            users[tensor] += uses
    return users


def _readers(graph: Graph) -> dict[int, tuple[int, ...]]:
    """The compute ops that read each storage."""
    found: dict[int, dict[int, None]] = {}
    for op in graph.ops:
        if op.is_compute:
            for tensor in op.inputs:
                found.setdefault(graph.tensors[tensor].storage, {})[op.id] = None
    return {storage: tuple(ops) for storage, ops in found.items()}


def _most_users(graph: Graph, users: Counter[int]) -> dict[int, int]:
    """By storage that is written once, the most users that it or a view of it has."""
    writes = Counter(graph.tensors[t].storage for op in graph.ops for t in op.writes)
    found: dict[int, int] = {}
    for tensor in graph.tensors:
        if not writes[tensor.storage]:
            found[tensor.storage] = max(found.get(tensor.storage, 0), users[tensor.id])
    return found


def _part(access: Access, start: int, stop: int | None) -> Access:
    if access.strides is None or (start == 0 and stop == len(access.strides)):
        return access
    return Access(access.buffer, access.strides[start:stop], access.offset)


def _loops(tensor: Tensor) -> Dims:
    """The loops over a tensor, in the order of memory."""
    dims = zip(tensor.shape, tensor.strides, strict=True)
    return tuple(sorted((dim for dim in dims if dim[0] != 1), key=lambda dim: -dim[1]))


def _numel(dims: Dims) -> int:
    numel = 1
    for size, _ in dims:
        numel *= size
    return numel


def _dense(dims: Dims) -> tuple[int, ...]:
    """Strides of a new tensor in the order of its loops."""
    strides: list[int] = []
    numel = 1
    for size, _ in reversed(dims):
        strides.append(numel)
        numel *= size
    return tuple(reversed(strides))
