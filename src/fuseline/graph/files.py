"""Graph files: versioned JSON, zstd-compressed where the name ends in `.zst`.

Reading decodes data and runs none of it. A damaged, foreign or newer file is refused whole, with
one line that says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fuseline.errors import InputError
from fuseline.files import read_bytes, write_bytes
from fuseline.graph.data import ITEM_BYTES, Op, Storage, Tensor
from fuseline.graph.graph import Graph

SCHEMA = "fuseline.graph/1"
_FAMILY, _VERSION = SCHEMA.split("/")
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


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
    try:
        if content.startswith(_ZSTD_MAGIC):
            content = _decompress(content, origin)
        schema = msgspec.json.decode(content, type=_Header).schema
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
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
    try:
        graph = msgspec.json.decode(content, type=_Document).graph
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"'{origin}' is damaged: {error}") from error
    if fault := find_fault(graph):
        raise InputError(f"'{origin}' is damaged: {fault}")
    return graph


def save(graph: Graph, path: str | Path) -> None:
    """Write `graph` to `path`, atomically; `.zst` compresses.

    Raises `InputError` where the place cannot be written.
    """
    path = Path(path)
    content = encode(graph)
    if path.suffix == ".zst":
        import zstandard  # only where a compressed file is asked for

        content = zstandard.compress(content)
    write_bytes(path, content)


def load(path: str | Path) -> Graph:
    """Read the graph that `save` wrote. Runs no code from the file.

    Raises `InputError` for a file that is missing, damaged, foreign or newer.
    """
    path = Path(path)
    return decode(read_bytes(path), str(path))


def find_fault(graph: Graph) -> str | None:
    """Why the graph's own references do not hold together, or None where they do."""
    return next((fault for fault in _faults(graph) if fault), None)


def _faults(graph: Graph) -> Iterator[str | None]:
    for position, storage in enumerate(graph.storages):
        yield _fault_of_storage(position, storage)
    for position, tensor in enumerate(graph.tensors):
        yield _fault_of_tensor(position, tensor, graph.storages)
    for position, op in enumerate(graph.ops):
        yield _fault_of_op(position, op, len(graph.tensors))
    if any(not 0 <= tensor < len(graph.tensors) for tensor in graph.outputs):
        yield "an output names a tensor that is not there"


def _fault_of_storage(position: int, storage: Storage) -> str | None:
    if storage.id != position:
        return f"storage {position} has id {storage.id}"
    if storage.nbytes < 0:
        return f"storage {position} has {storage.nbytes} bytes"
    return None


def _fault_of_tensor(  # noqa: PLR0911 - a guard a line
    position: int, tensor: Tensor, storages: tuple[Storage, ...]
) -> str | None:
    name = f"tensor '{tensor.name}'"
    if tensor.id != position:
        return f"tensor {position} has id {tensor.id}"
    if not 0 <= tensor.storage < len(storages):
        return f"{name} lies in storage {tensor.storage}, which is not there"
    if len(tensor.shape) != len(tensor.strides):
        return f"{name} has {len(tensor.shape)} sizes, {len(tensor.strides)} strides"
    if tensor.dtype not in ITEM_BYTES:
        return f"{name} has dtype '{tensor.dtype}', whose size is not known"
    if min(tensor.offset, *tensor.shape, *tensor.strides, 0) < 0:
        return f"{name} has a negative size, stride or offset"
    if 0 in tensor.shape:
        return None
    steps = zip(tensor.shape, tensor.strides, strict=True)
    last = tensor.offset + sum((size - 1) * stride for size, stride in steps)
    end, nbytes = (last + 1) * ITEM_BYTES[tensor.dtype], storages[tensor.storage].nbytes
    if end > nbytes:
        return f"{name} ends at byte {end} of storage {tensor.storage}, which has {nbytes}"
    return None


def _fault_of_op(position: int, op: Op, tensors: int) -> str | None:
    if op.id != position:
        return f"op {position} has id {op.id}"
    gathered = (gather.tensor for gather in op.gathers)
    touched = (*op.inputs, *op.parameters, *op.outputs, *op.writes, *gathered)
    if any(not 0 <= tensor < tensors for tensor in touched):
        return f"op '{op.name}' names a tensor that is not there"
    if any(gather.nbytes < 0 for gather in op.gathers):
        return f"op '{op.name}' gathers a negative number of bytes"
    if any(not 0 <= predecessor < position for predecessor in op.predecessors):
        return f"op '{op.name}' takes the result of an op that does not come before it"
    return None


def _decompress(content: bytes, origin: str) -> bytes:
    import zstandard

    stream = zstandard.ZstdDecompressor().decompressobj()
    try:
        plain = stream.decompress(content)
    except zstandard.ZstdError as error:
        raise InputError(f"'{origin}' is damaged: {error}") from error
    if not stream.eof:
        raise InputError(f"'{origin}' is damaged: it ends too early")
    return plain
