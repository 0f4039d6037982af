"""Graph files: versioned JSON, zstd-compressed where the name ends in `.zst`.

Reading decodes data and runs none of it. A damaged, foreign or newer file is refused whole, with
one line that says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

import msgspec

from fuseline.errors import InputError
from fuseline.files import packed, read_bytes, unpacked, write_bytes
from fuseline.graph.data import ITEM_BYTES, Op, Storage, Tensor
from fuseline.graph.graph import Graph

SCHEMA = "fuseline.graph/1"
_FAMILY, _VERSION = SCHEMA.split("/")
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class _Document:
    schema: str
    graph: Graph


@dataclass(frozen=True, slots=True)
class _Header:
    schema: str


def encode(graph: Graph) -> bytes:
    """The graph as a JSON document (UTF-8)."""
    return msgspec.json.encode(_Document(SCHEMA, graph))


def decode(content: bytes, origin: str) -> Graph:
    """The graph in `content`, checked; `origin` names it in errors."""
    content = unpacked(content, origin)
    try:
        document = msgspec.json.decode(content, type=_Document)
    except _UNREADABLE as error:
        _check_schema(content, origin)  # of another schema, or damaged
        raise InputError(f"'{origin}' is damaged: {error}") from error
    if document.schema != SCHEMA:
        _check_schema(content, origin)
    if fault := find_fault(document.graph):
        raise InputError(f"'{origin}' is damaged: {fault}")
    return document.graph


def save(graph: Graph, path: str | Path) -> None:
    """Write `graph` to `path`, atomically; `.zst` compresses.

    Raises `InputError` where the place cannot be written.
    """
    path = Path(path)
    write_bytes(path, packed(encode(graph), path))


def load(path: str | Path) -> Graph:
    """Read the graph that `save` wrote. Runs no code from the file.

    Raises `InputError` for a file that is missing, damaged, foreign or newer.
    """
    path = Path(path)
    return decode(read_bytes(path), str(path))


def find_fault(graph: Graph) -> str | None:
    """Why the graph's own references do not hold together, or None where they do."""
    count = len(graph.tensors)
    return (
        _fault_of_storages(graph.storages)
        or _fault_of_tensors(graph.tensors, graph.storages)
        or _fault_of_ops(graph.ops, count)
        or _fault_of_ops(graph.folded, count)
        or _fault_of_rows((*graph.ops, *graph.folded), graph.tensors)
        or (
            "an output names a tensor that is not there"
            if any(not 0 <= tensor < count for tensor in graph.outputs)
            else None
        )
    )


def _fault_of_storages(storages: tuple[Storage, ...]) -> str | None:
    for position, storage in enumerate(storages):
        if storage.id != position:
            return f"storage {position} has id {storage.id}"
        if storage.nbytes < 0:
            return f"storage {position} has {storage.nbytes} bytes"
    return None


def _fault_of_tensors(  # noqa: PLR0911 - a guard a line
    tensors: tuple[Tensor, ...], storages: tuple[Storage, ...]
) -> str | None:
    # Plain loops over every item: these checks are a good part of the time that reading takes.
    for position, tensor in enumerate(tensors):
        if tensor.id != position:
            return f"tensor {position} has id {tensor.id}"
        shape, strides, last = tensor.shape, tensor.strides, tensor.offset
        if not 0 <= tensor.storage < len(storages):
            where = f"storage {tensor.storage}"
            return f"tensor '{tensor.name}' lies in {where}, which is not there"
        if len(shape) != len(strides):
            return f"tensor '{tensor.name}' has {len(shape)} sizes, {len(strides)} strides"
        if tensor.dtype not in ITEM_BYTES:
            return f"tensor '{tensor.name}' has dtype '{tensor.dtype}', whose size is not known"
        negative = last < 0
        for size, stride in zip(shape, strides, strict=True):
            negative = negative or size < 0 or stride < 0
            last += (size - 1) * stride
        if negative:
            return f"tensor '{tensor.name}' has a negative size, stride or offset"
        end, nbytes = (last + 1) * ITEM_BYTES[tensor.dtype], storages[tensor.storage].nbytes
        if end > nbytes and 0 not in shape:
            where = f"byte {end} of storage {tensor.storage}"
            return f"tensor '{tensor.name}' ends at {where}, which has {nbytes}"
    return None


def _fault_of_ops(ops: tuple[Op, ...], tensors: int) -> str | None:
    for position, op in enumerate(ops):
        if op.id != position:
            return f"op {position} has id {op.id}"
        for tensor in op.inputs + op.parameters + op.outputs + op.writes:
            if not 0 <= tensor < tensors:
                return f"op '{op.name}' names a tensor that is not there"
        for gather in op.gathers + op.scatters:
            if not 0 <= gather.tensor < tensors:
                return f"op '{op.name}' names a tensor that is not there"
            if gather.nbytes < 0:
                verb = "gathers" if gather in op.gathers else "scatters"
                return f"op '{op.name}' {verb} a negative number of bytes"
        for predecessor in op.predecessors:
            if not 0 <= predecessor < position:
                return f"op '{op.name}' takes the result of an op that does not come before it"
    return None


def _fault_of_rows(ops: tuple[Op, ...], tensors: tuple[Tensor, ...]) -> str | None:
    """Axes that their operand does not have, or rows that do not divide it."""
    for op in ops:
        if op.axes is None and op.row_numel is None:
            continue
        operands = op.inputs or op.parameters
        if op.axes is None or op.row_numel is None or not operands:
            return f"op '{op.name}' says only a part of what it reduces"
        shape = tensors[operands[0]].shape
        if any(not 0 <= axis < len(shape) for axis in op.axes):
            return f"op '{op.name}' reduces {list(op.axes)} of {len(shape)} dimensions"
        if list(op.axes) != sorted(set(op.axes)):
            return f"op '{op.name}' reduces {list(op.axes)}, which is not in order"
        most = prod(shape[axis] for axis in op.axes)
        if op.row_numel < 0 or (most % op.row_numel if op.row_numel else most):
            return f"op '{op.name}' has rows of {op.row_numel} elements, in {most}"
    return None


def _check_schema(content: bytes, origin: str) -> None:
    """Raise `InputError` where `content` is no graph file, or one of another version."""
    try:
        schema = msgspec.json.decode(content, type=_Header).schema
    except _UNREADABLE as error:
        raise InputError(f"'{origin}' is not a graph file: {error}") from error
    family, _, version = schema.partition("/")
    if family != _FAMILY:
        raise InputError(
            f"'{origin}' is not a graph file: its schema is '{schema}', not '{SCHEMA}'"
        )
    if version != _VERSION:
        raise InputError(
            f"'{origin}' has schema '{schema}'; this version reads '{SCHEMA}': "
            "capture the model again or use the fuseline that wrote it"
        )
