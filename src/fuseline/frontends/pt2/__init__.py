"""An exported program in a `.pt2` file -> a `Graph`, without running code from the file.

`torch.export.load` unpickles: a file may run anything when it is loaded that way. Here the archive
is read as what it is, a zip of JSON records and raw tensor bytes. Nothing is unpickled, no
expression is evaluated, and no weight is read: their shapes are in a JSON record. What runs is
torch's reader of the graph, on JSON that has been checked (`pt2_graph`), and the operators of torch
and torchvision on fake tensors. Operators of other libraries are not run.
"""

from __future__ import annotations

import json
import sys
import zipfile
import zlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch.export.graph_signature import ConstantArgument, InputKind

from fuseline.errors import InputError, foreign_code
from fuseline.frontends.export import givens, quiet, run_program
from fuseline.frontends.pt2.graph import Checked, read_graph
from fuseline.frontends.recording.program import Program, trains
from fuseline.frontends.storages import dtype_name
from fuseline.graph import Graph, Source

NOTE = "no code and no pickle of the file was run; its weights were not read"
_HINTS = "dynamic sizes are those of the example inputs it was exported with"
_UNTIED = "exported without values: which of its weights are tied cannot be told"
_MOST_JSON = 2**30
"""Size up to which a record of JSON is read [bytes]."""
_MOST_VALUE = 2**23
"""Size up to which a constant keeps its values [bytes]."""
_MOST_ELEMENTS = 2**59


def capture_program_file(path: str, *, decomposed: bool = False) -> Graph:
    """Read the exported program in `path`: the graph is what it was exported on.

    Of several programs in one file, the one named "model" is taken.

    Raises `InputError`, in one line, for a file that is no such archive, is damaged, was written
    in another version of the format, or could not be loaded without running code from it.
    """
    with _Archive(path) as archive, quiet():
        name = _pick(archive)
        document = archive.json(f"models/{name}.json")
        _check_version(path, document)
        weights = _Payloads(archive, f"data/weights/{name}", "weights", values=False)
        constants = _Payloads(archive, f"data/constants/{name}", "constants", values=True)
        try:
            checked = Checked(path, document["graph_module"])
            module, signature = read_graph(checked)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"'{path}' is damaged: its graph is not as it should be") from error
        held = {**weights.tensors, **constants.tensors}
        _check_held(path, checked, signature, held)
        inputs = _inputs(path, checked, signature)
    given = givens(signature, held, inputs)
    tensors = [value for value in inputs if isinstance(value, torch.Tensor)]
    device = next(iter(sorted(checked.devices - {"cpu", "meta"})), "cpu")
    program = Program(module, given, prefix="", trusted=False, autocast_device=device)
    notes = [NOTE, _HINTS * checked.specialised, _UNTIED * weights.untied]
    source = Source(
        name=path,
        source="pt2",
        via="export",
        mode="train" if trains(module) else "eval",
        batch=tensors[0].shape[0] if tensors and tensors[0].dim() else 1,
        dtype=_dtype(weights.tensors),
        input_shapes=tuple(tuple(tensor.shape) for tensor in tensors),
        notes=tuple(note for note in notes if note),
    )
    return run_program(program, source, decomposed=decomposed).graph


# --- the archive ----------------------------------------------------------------------------


class _Archive:
    """A zip whose records lie in one folder, whatever its name."""

    def __init__(self, path: str) -> None:
        self.path = path
        file = Path(path)
        if not file.is_file():
            raise InputError(f"'{path}' is {'a directory' if file.is_dir() else 'not there'}")
        try:
            self._zip = zipfile.ZipFile(path)
        except OSError as error:
            raise InputError(f"'{path}' cannot be opened: {error.strerror}") from error
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise InputError(f"'{path}' is no .pt2 archive, or is cut off: {error}") from error
        names = self._zip.namelist()
        if min((info.header_offset for info in self._zip.infolist()), default=0):
            self._zip.close()  # what was found is an archive inside one whose end is missing
            raise InputError(f"'{path}' is no .pt2 archive, or is cut off")
        self._root = next(
            (name.removesuffix("archive_format") for name in names
             if name.rpartition("/")[2] == "archive_format"), None,
        )  # fmt: skip
        if self._root is None:
            self._zip.close()
            raise InputError(f"'{path}' is no .pt2 archive: {_what_else(names)}")
        self.records = {
            name.removeprefix(self._root): self._zip.getinfo(name)
            for name in names
            if name.startswith(self._root)
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self._zip.close()

    def nbytes(self, record: str) -> int:
        """Size of a record."""
        if record not in self.records:
            raise InputError(f"'{self.path}' is damaged: it has no {record}")
        return self.records[record].file_size

    def read(self, record: str) -> bytes:
        """A record as it is."""
        if self.nbytes(record) > _MOST_JSON:
            raise InputError(f"'{self.path}' is damaged: {record} is too large")
        try:
            return self._zip.read(self.records[record])
        except (zipfile.BadZipFile, EOFError, OSError, zlib.error, RuntimeError) as error:
            raise InputError(f"'{self.path}' is damaged: {record}: {error}") from error

    def json(self, record: str) -> Any:  # noqa: ANN401 - any JSON object
        """A record as JSON: an object."""
        try:
            value = json.loads(self.read(record))
        except (ValueError, RecursionError) as error:
            raise InputError(f"'{self.path}' is damaged: {record} is no JSON: {error}") from error
        if not isinstance(value, dict):
            raise InputError(f"'{self.path}' is damaged: {record} is no JSON object")
        return value

    def text(self, record: str) -> str:
        """A short record as text; "" where it is not there."""
        return self.read(record).decode(errors="replace") if record in self.records else ""


def _what_else(names: list[str]) -> str:
    """What a zip is that has no `archive_format`."""
    ends = {name.rpartition("/")[2] for name in names}
    if "serialized_exported_program.json" in ends:
        return "it was saved by a torch before 2.8: export it again"
    if "constants.pkl" in ends:
        return "it is TorchScript"
    if "data.pkl" in ends:
        return "it is what torch.save writes, a pickle"
    return "it is a zip of something else"


def _pick(archive: _Archive) -> str:
    """The name of the program to read: "model", or the only one."""
    path = archive.path
    if archive.text("archive_format") != "pt2":
        raise InputError(f"'{path}' is no .pt2 archive: its archive_format is another")
    from torch.export.pt2_archive.constants import ARCHIVE_VERSION_VALUE

    version = archive.text("archive_version") or "0"
    if version != ARCHIVE_VERSION_VALUE:
        raise InputError(
            f"'{path}' is a .pt2 archive of version {version[:20]!r}; torch "
            f"{torch.__version__} reads version '{ARCHIVE_VERSION_VALUE}'"
        )
    names = sorted(
        record.removeprefix("models/").removesuffix(".json")
        for record in archive.records
        if record.startswith("models/") and record.endswith(".json")
    )
    if not names:
        compiled = any(record.startswith("data/aotinductor/") for record in archive.records)
        what = "compiled code (AOTInductor) and no" if compiled else "no"
        raise InputError(f"'{path}' holds {what} exported program")
    if "model" in names or len(names) == 1:
        return "model" if "model" in names else names[0]
    raise InputError(f"'{path}' holds several programs and none named 'model': {', '.join(names)}")


def _check_version(path: str, document: Any) -> None:  # noqa: ANN401
    from torch._export.serde.schema import SCHEMA_VERSION

    version = document.get("schema_version")
    major = version.get("major") if isinstance(version, dict) else None
    if major != SCHEMA_VERSION[0]:
        raise InputError(
            f"'{path}' has a program of schema version {major}; torch {torch.__version__} "
            f"reads version {SCHEMA_VERSION[0]}: export it again"
        )


# --- what it holds --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Window:
    """Where a tensor lies in its record, in elements."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        """Bytes of storage up to its last element."""
        if 0 in self.shape:
            return 0
        last = sum(s * (n - 1) for n, s in zip(self.shape, self.strides, strict=True))
        return (self.offset + last + 1) * self.dtype.itemsize


class _Payloads:
    """Tensors by name: on meta, or with values where they are small constants.

    Those that name one record share a storage. A record without bytes was exported without values
    (from meta or fake tensors); torch then names one for all, so each has a storage of its own.
    """

    def __init__(self, archive: _Archive, prefix: str, what: str, *, values: bool) -> None:
        self.archive = archive
        self.values = values
        self.untied = False
        self.folder = prefix.rpartition("/")[0]
        self.tensors: dict[str, torch.Tensor] = {}
        if f"{prefix}.pt" in archive.records:
            raise self._runs_code(f"its {what}")
        config = archive.json(f"{prefix}_{what}_config.json").get("config")
        if not isinstance(config, dict):
            raise InputError(f"'{archive.path}' is damaged: its {what} are not listed")
        by_record: dict[str, dict[str, _Window]] = defaultdict(dict)
        for name, meta in config.items():
            record, window = self._place(name, meta)
            by_record[record][name] = window
        for record, windows in by_record.items():
            self._add(record, windows)
        self.tensors = {name: self.tensors[name] for name in config}

    def _runs_code(self, what: str) -> InputError:
        return InputError(
            f"'{self.archive.path}' has {what} as a pickle: loading it would run code from the file"
        )

    def _place(self, name: str, meta: Any) -> tuple[str, _Window]:  # noqa: ANN401
        if not isinstance(meta, dict) or not isinstance(meta.get("path_name"), str):
            raise InputError(f"'{self.archive.path}' is damaged: '{name}' is in no record")
        record = meta["path_name"]
        if meta.get("use_pickle") is not False or record.startswith(("custom_obj_", "opaque_obj_")):
            raise self._runs_code(f"'{name}'")
        return record, self._window(name, meta.get("tensor_meta"))

    def _window(self, name: str, meta: Any) -> _Window:  # noqa: ANN401
        from torch._export.serde.serialize import deserialize_scalar_type

        damaged = InputError(f"'{self.archive.path}' is damaged: '{name}' has no sound shape")
        try:
            shape, strides = (tuple(n["as_int"] for n in meta[key]) for key in ("sizes", "strides"))
            offset = meta["storage_offset"]["as_int"]
            dtype = deserialize_scalar_type(meta["dtype"])
        except (KeyError, TypeError) as error:
            raise damaged from error
        numbers = (*shape, *strides, offset)
        if not all(type(n) is int and 0 <= n <= _MOST_ELEMENTS for n in numbers):
            raise damaged
        window = _Window(dtype, shape, strides, offset)
        if len(shape) != len(strides) or window.nbytes > _MOST_ELEMENTS:
            raise damaged
        return window

    def _add(self, record: str, windows: dict[str, _Window]) -> None:
        full = f"{self.folder}/{record}"
        nbytes = self.archive.nbytes(full)
        for name, window in windows.items():
            if nbytes and window.nbytes > nbytes:
                raise InputError(
                    f"'{self.archive.path}' is damaged: '{name}' {window.shape} is larger than "
                    f"its record of {nbytes} bytes"
                )
        if not nbytes:
            self.untied |= len(windows) > 1
            for name, window in windows.items():
                self.tensors[name] = _view(_nothing(window.nbytes), window)
            return
        base = self._bytes(full, nbytes)
        self.tensors |= {name: _view(base, window) for name, window in windows.items()}

    def _bytes(self, record: str, nbytes: int) -> torch.Tensor:
        """The record's bytes where they are wanted and few, else as many on meta."""
        order = self.archive.text("byteorder") or "little"
        if not self.values or nbytes > _MOST_VALUE or order != sys.byteorder:
            return _nothing(nbytes)
        return torch.frombuffer(bytearray(self.archive.read(record)), dtype=torch.uint8)


def _nothing(nbytes: int) -> torch.Tensor:
    return torch.empty(nbytes, dtype=torch.uint8, device="meta")


def _view(base: torch.Tensor, window: _Window) -> torch.Tensor:
    made = torch.empty(0, dtype=window.dtype, device=base.device)
    return made.set_(base.untyped_storage(), window.offset, window.shape, window.strides)


# --- what goes in ---------------------------------------------------------------------------


def _inputs(path: str, checked: Checked, signature: Any) -> list[Any]:  # noqa: ANN401
    """What was passed while exporting: tensors on meta, and the sizes seen."""
    graph = checked.graph_module["graph"]
    found: list[Any] = []
    for spec in signature.input_specs:
        if spec.kind is not InputKind.USER_INPUT or isinstance(spec.arg, ConstantArgument):
            continue
        with foreign_code(f"'{path}' is damaged: its input '{spec.arg.name}'"):
            if spec.arg.name in graph["tensor_values"]:
                found.append(_meta_tensor(graph["tensor_values"][spec.arg.name]))
            else:
                found.append(graph["sym_int_values"][spec.arg.name]["as_int"])
    return found


def _meta_tensor(meta: Any) -> torch.Tensor:  # noqa: ANN401
    from torch._export.serde.serialize import deserialize_scalar_type

    shape, strides = (tuple(n["as_int"] for n in meta[key]) for key in ("sizes", "strides"))
    dtype = deserialize_scalar_type(meta["dtype"])
    return torch.empty_strided(shape, strides, dtype=dtype, device="meta")


def _check_held(
    path: str,
    checked: Checked,
    signature: Any,  # noqa: ANN401
    held: dict[str, torch.Tensor],
) -> None:
    """Refuse weights that are not there, or of another shape than the graph says."""
    values = checked.graph_module["graph"]["tensor_values"]
    for spec in signature.input_specs:
        if spec.target is None or spec.kind in (InputKind.CUSTOM_OBJ, InputKind.TOKEN):
            continue
        if spec.target not in held:
            raise InputError(f"'{path}' is damaged: '{spec.target}' is not among its weights")
        with foreign_code(f"'{path}' is damaged: '{spec.target}'"):
            shape = tuple(n["as_int"] for n in values[spec.arg.name]["sizes"])
        if shape != tuple(held[spec.target].shape):
            raise InputError(
                f"'{path}' is damaged: '{spec.target}' has shape "
                f"{tuple(held[spec.target].shape)}, and its graph reads {shape}"
            )


def _dtype(weights: dict[str, torch.Tensor]) -> str:
    floating = (t.dtype for t in weights.values() if t.is_floating_point())
    return dtype_name(next(floating, torch.float32))
