"""A device as its makers describe it: figures with units and sources, and what follows from them.

Units: bytes, seconds, bytes per second, and operations per second (a multiply-add is two). Every
peak is *dense*: structured sparsity, which doubles many a published figure, is never counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fuseline.errors import InputError, did_you_mean
from fuseline.hardware.rates import KernelClass, Rate
from fuseline.hardware.source import Source


class Basis(Enum):
    """How a figure is known."""

    PUBLISHED = "published"  # the source states it
    COMPUTED = "computed"  # follows from what the source states; the note shows how
    MEASURED = "measured"  # the source measured it
    ASSUMED = "assumed"  # nobody states it; the note says why this value


@dataclass(frozen=True, slots=True)
class Figure:
    """One number: `table` bears the unit where the keys are dtypes, else `key` does."""

    table: str
    key: str
    value: float
    basis: Basis
    source: Source
    where: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class StandIn:
    """Matrix work of `dtype` runs as `runs_as`, by the device's compiler."""

    dtype: str
    runs_as: str
    source: Source
    note: str


@dataclass(frozen=True, slots=True)
class Peak:
    """A rate [operations/s] and the unit and dtype that reach it, in words."""

    flops_per_second: float
    how: str


MATRIX = "matrix_ops_per_second"
VECTOR = "vector_ops_per_second"

DTYPES = (
    "float64", "float32", "tfloat32", "bfloat16", "float16", "float8", "float4", "int8", "int4",
)  # fmt: skip
"""The number formats that peaks are listed by."""

_FAMILY: dict[str, str] = {
    "float8_e4m3fn": "float8",
    "float8_e4m3fnuz": "float8",
    "float8_e5m2": "float8",
    "float8_e5m2fnuz": "float8",
    "float8_e8m0fnu": "float8",
    "uint8": "int8",
    "qint8": "int8",
    "quint8": "int8",
    "complex32": "float16",
    "complex64": "float32",
    "complex128": "float64",
}
"""torch's dtype --> the format whose units compute it."""

_INDEX_DTYPES = frozenset(
    {"bool", "int8", "int4", "int16", "uint16", "int32", "uint32", "int64", "uint64", "qint32"}
)
"""What is not a float: counted on vector units at the rate of float32."""


class _Unit(Enum):
    MATRIX = MATRIX
    VECTOR = VECTOR


_MATRIX_ROUTES: tuple[tuple[str, _Unit, str, str], ...] = (
    # contraction of --> unit, dtype that computes it: the first that the device lists
    ("float32", _Unit.MATRIX, "float32", "matrix units"),
    ("float32", _Unit.VECTOR, "float32", "vector units: no float32 matrix unit"),
    ("float64", _Unit.MATRIX, "float64", "matrix units"),
    ("float64", _Unit.VECTOR, "float64", "vector units: no float64 matrix unit"),
    ("tfloat32", _Unit.MATRIX, "tfloat32", "matrix units"),
    ("float16", _Unit.MATRIX, "float16", "matrix units"),
    ("float16", _Unit.VECTOR, "float16", "vector units: no float16 matrix unit"),
    ("float16", _Unit.VECTOR, "float32", "vector units: no float16 unit, widened to float32"),
    ("bfloat16", _Unit.MATRIX, "bfloat16", "matrix units"),
    ("bfloat16", _Unit.VECTOR, "bfloat16", "vector units: no bfloat16 matrix unit"),
    ("bfloat16", _Unit.VECTOR, "float32", "vector units: no bfloat16 unit, widened to float32"),
    ("float8", _Unit.MATRIX, "float8", "matrix units"),
    ("float4", _Unit.MATRIX, "float4", "matrix units"),
    ("int8", _Unit.MATRIX, "int8", "matrix units"),
    ("int4", _Unit.MATRIX, "int4", "matrix units"),
)

_CONTRACTS_ON_VECTORS = frozenset({"gpu", "cpu"})
"""Kinds that contract on vector units where they must. The others have the matrix unit alone."""

_VECTOR_ROUTES: tuple[tuple[str, str, str], ...] = (
    # elementwise work of --> dtype that computes it: the first that the device lists
    ("float64", "float64", "vector units"),
    ("float32", "float32", "vector units"),
    ("float16", "float16", "vector units"),
    ("float16", "float32", "vector units, widened to float32"),
    ("bfloat16", "bfloat16", "vector units"),
    ("bfloat16", "float32", "vector units, widened to float32"),
    ("float8", "float16", "vector units, widened to float16"),
    ("float8", "float32", "vector units, widened to float32"),
)


@dataclass(frozen=True, slots=True)
class Device:
    """What a device can do, figure by figure. `load_device` makes one from its file.

    What no source gives is absent: properties are then None, and peaks raise `InputError`. `rates`
    are measured, a row a class of kernels: the roofline goes by them where there are any. `aliases`
    are short names of it.
    """

    name: str
    title: str
    vendor: str
    kind: str
    architecture: str
    year: int
    figures: tuple[Figure, ...]
    stand_ins: tuple[StandIn, ...] = ()
    notes: tuple[str, ...] = ()
    rates: tuple[Rate, ...] = ()
    aliases: tuple[str, ...] = ()

    def find_rate(self, kernel: KernelClass, dtype: str) -> Rate | None:
        """The measured rate of a class of kernels, or None where nobody measured it."""
        for rate in self.rates:
            if rate.kernel is kernel and rate.dtype == dtype:
                return rate
        return None

    def find(self, table: str, key: str) -> Figure | None:
        """The figure, or None where no source gives it."""
        for figure in self.figures:
            if figure.table == table and figure.key == key:
                return figure
        return None

    @property
    def bandwidth(self) -> float:
        """Bytes per second to and from the memory that activations and weights lie in."""
        return self._value("memory", "bandwidth_bytes_per_second")

    @property
    def memory_nbytes(self) -> int | None:
        """Bytes of that memory; None where it is the host's or comes in several sizes."""
        return self._nbytes("memory", "capacity_nbytes")

    @property
    def cache_nbytes(self) -> int | None:
        """Bytes of the last cache before that memory."""
        return self._nbytes("cache", "capacity_nbytes")

    @property
    def cache_bandwidth(self) -> float | None:
        """Bytes per second of that cache; None where no source gives it."""
        found = self.find("cache", "bandwidth_bytes_per_second")
        return found.value if found else None

    def launch_seconds(self, mode: str) -> float:
        """Host or scheduler time per kernel: `eager` one by one, `graph` in a compiled schedule.

        The basis of either, mostly an assumption, is in its `Figure` (table `launch`).
        """
        modes = ("eager", "graph")
        if mode not in modes:
            hint = did_you_mean(mode, modes) or ": eager or graph"
            raise InputError(f"unknown launch mode '{mode}'{hint}")
        return self._value("launch", f"{mode}_seconds")

    def matrix_peak(self, dtype: str, *, tf32: bool = False) -> Peak:
        """Operations per second of contractions of `dtype`, and the units that reach it.

        float32 runs as tfloat32 only where `tf32` is allowed; torch's default for matmul is not to
        (`torch.backends.cuda.matmul.allow_tf32`; its convolutions do by default). A float that has
        no unit of its own is widened. Raises `InputError` for a dtype that the device cannot
        contract.
        """
        if (found := self.find_matrix_peak(dtype, tf32=tf32)) is not None:
            return found
        listed = [figure.key for figure in self.figures if figure.table == MATRIX]
        only = " and ".join(filter(None, (", ".join(listed[:-1]), *listed[-1:]))) or "none listed"
        raise InputError(f"{self.name} has no {dtype} peak: {only} only")

    def find_matrix_peak(self, dtype: str, *, tf32: bool = False) -> Peak | None:
        """`matrix_peak`, or None where the device cannot contract `dtype`."""
        wanted = _format(dtype)
        if wanted == "float32" and tf32 and (found := self.find(MATRIX, "tfloat32")):
            return Peak(found.value, "tfloat32 on matrix units")
        for stand_in in self.stand_ins:
            if stand_in.dtype == wanted and (found := self.find(MATRIX, stand_in.runs_as)):
                return Peak(found.value, f"{found.key} on matrix units: {stand_in.note}")
        for source, unit, runs_as, words in _MATRIX_ROUTES:
            if unit is _Unit.VECTOR and self.kind not in _CONTRACTS_ON_VECTORS:
                continue
            if source == wanted and (found := self.find(unit.value, runs_as)):
                barred = wanted == "float32" and self.find(MATRIX, "tfloat32") is not None
                more = ", and tf32 is not allowed" if barred else ""
                return Peak(found.value, f"{runs_as} on {words}{more}")
        return None

    def vector_peak(self, dtype: str) -> Peak:
        """Operations per second of elementwise work, reductions and the like.

        A multiply-add is two of them, so work without fused multiply-adds reaches half of it.
        Integers and bools count at the rate of float32, as sheets list none for them. Raises
        `InputError` where no source gives a rate of the vector units.
        """
        if (found := self.find_vector_peak(dtype)) is not None:
            return found
        raise InputError(f"{self.name} has no {dtype} vector peak: no source gives one")

    def find_vector_peak(self, dtype: str) -> Peak | None:
        """`vector_peak`, or None where no source gives one."""
        wanted = _format(dtype)
        if wanted in _INDEX_DTYPES:
            found = self.find(VECTOR, "float32")
            how = f"{dtype} counted at the rate of float32 on vector units"
            return Peak(found.value, how) if found else None
        for source, runs_as, words in _VECTOR_ROUTES:
            if source == wanted and (found := self.find(VECTOR, runs_as)):
                return Peak(found.value, f"{runs_as} on {words}")
        return None

    def ridge_point(self, dtype: str, *, tf32: bool = False) -> float:
        """FLOP per byte above which contractions are bound by compute: peak / bandwidth."""
        return self.matrix_peak(dtype, tf32=tf32).flops_per_second / self.bandwidth

    def _value(self, table: str, key: str) -> float:
        found = self.find(table, key)
        if found is None:  # the loader asks for these
            raise InputError(f"{self.name} has no {table}.{key}")
        return found.value

    def _nbytes(self, table: str, key: str) -> int | None:
        found = self.find(table, key)
        return int(found.value) if found else None


def _format(dtype: str) -> str:
    """The number format of a dtype; `InputError` for what is neither."""
    wanted = _FAMILY.get(dtype, dtype)
    if wanted not in DTYPES and wanted not in _INDEX_DTYPES:
        known = (*DTYPES, *_FAMILY, *sorted(_INDEX_DTYPES))
        raise InputError(f"unknown dtype '{dtype}'{did_you_mean(dtype, known)}")
    return wanted
