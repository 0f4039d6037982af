"""Device files: TOML, checked key by key when read."""

from __future__ import annotations

import math
import re
import tomllib
from functools import cache
from pathlib import Path

from fuseline.errors import InputError, did_you_mean
from fuseline.files import read_bytes
from fuseline.graph import ITEM_BYTES
from fuseline.hardware.device import DTYPES, MATRIX, VECTOR, Basis, Device, Figure, StandIn
from fuseline.hardware.rates import RATE_KEYS, KernelClass, Rate
from fuseline.hardware.source import Source

_FOLDER = Path(__file__).parent / "devices"

DEVICES: tuple[str, ...] = tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))
"""Names that `load_device` knows."""

KINDS = ("gpu", "tpu", "cpu", "npu")

TABLES: dict[str, tuple[str, ...]] = {
    MATRIX: DTYPES,
    VECTOR: DTYPES,
    "memory": ("bandwidth_bytes_per_second", "capacity_nbytes"),
    "cache": ("capacity_nbytes", "bandwidth_bytes_per_second"),
    "on_chip": (
        "cores",  # streaming multiprocessors, compute units, CPU or GPU cores
        "clock_hertz",  # that the peaks are computed with
        "registers_nbytes_per_core",
        "shared_nbytes_per_core",  # scratchpad, and L1 where they are one; CPUs: L1 data
        "scratchpad_nbytes",  # managed by software, of the whole chip
    ),
    "launch": ("eager_seconds", "graph_seconds"),
}
"""Tables of figures and their keys. Units are in the key, or in the table's name."""

_WORDS = ("name", "title", "vendor", "kind", "architecture")
_REQUIRED = (
    ("memory", "bandwidth_bytes_per_second"),
    ("launch", "eager_seconds"),
    ("launch", "graph_seconds"),
)
_RANGES: tuple[tuple[str, float, float], ...] = (
    # a key that ends in --> least, most; outside, the unit is most likely another
    ("_ops_per_second", 1e8, 1e18),
    ("_bytes_per_second", 1e6, 1e15),
    ("flops_per_second", 1e6, 1e18),
    ("rows_per_second", 1e3, 1e15),
    ("_nbytes", 1, 1e14),
    ("_nbytes_per_core", 1, 1e9),
    ("_seconds", 0, 1),
    ("_hertz", 1e6, 1e11),
    ("cores", 1, 1e6),
)
_WHOLE = ("_nbytes", "_nbytes_per_core", "cores")
_RATE_UNITS = {
    key: next(unit for unit, _, _ in _RANGES if key.endswith(unit))
    for key in ("launch_seconds", "near_nbytes", *RATE_KEYS)
}
_DATE = re.compile(r"\d{4}(-\d{2}){0,2}")
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def load_device(name_or_path: str | Path) -> Device:
    """The device of that name, or that the TOML file at that path describes.

    >>> h100 = load_device("h100-sxm")
    >>> h100.bandwidth, h100.matrix_peak("bfloat16").flops_per_second
    (3350000000000.0, 989400000000000.0)

    What has a suffix or a folder is a path; a device may have short names besides its own
    (`aliases`). Raises `InputError` for an unknown name, and for a file that is missing, not TOML,
    or lacks a unit, a source or a figure that every device needs.

    >>> load_device("orin-agx").name
    'jetson-agx-orin-64gb'
    """
    text = str(name_or_path)
    if text in DEVICES:
        path = _FOLDER / f"{text}.toml"
    elif isinstance(name_or_path, Path) or text.endswith(".toml") or "/" in text:
        path = Path(name_or_path)
    elif text in aliases():
        return load_device(aliases()[text])
    else:
        raise InputError(f"unknown device '{text}'{_hint(text.lower())}")
    return parse_device(read_bytes(path), text)


@cache
def aliases() -> dict[str, str]:
    """Short name -> the device's own. A name that several devices could mean (`a100`) is none."""
    found = {}
    for name in DEVICES:  # most words are no alias: the files are read where one may be
        for line in (_FOLDER / f"{name}.toml").read_text(encoding="utf-8").splitlines():
            if line.startswith("aliases"):
                found |= dict.fromkeys(tomllib.loads(line)["aliases"], name)
    return found


def parse_device(content: bytes, origin: str) -> Device:
    """The device that TOML `content` describes; `origin` names it in errors."""
    try:
        document = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"'{origin}' is not TOML: {error}") from error
    return _Reader(origin).device(document)


def _hint(text: str) -> str:
    """The names that begin so (`a100` has three), or the nearest one."""
    if begin := [name for name in DEVICES if text and name.startswith(text)]:
        named = " or ".join(f"'{name}'" for name in begin)
        return f": did you mean {named}?"
    return did_you_mean(text, (*DEVICES, *aliases())) or ": 'fuseline devices' lists them"


class _Reader:
    """Checks one document; its one state is the name that errors begin with."""

    __slots__ = ("_origin",)

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def device(self, document: dict[str, object]) -> Device:
        known = (*_WORDS, "aliases", "year", "notes", "sources", "stands_in", "rates", *TABLES)
        self._check_keys(document, known, "")
        words = {key: self._text(document, key, "") for key in _WORDS}
        if not _NAME.fullmatch(words["name"]):
            raise self._fault("name", "is not lower-case words joined by '-'")
        if words["kind"] not in KINDS:
            raise self._fault("kind", f"is '{words['kind']}': one of {', '.join(KINDS)}")
        sources = self._sources(self._table(document, "sources", ""))
        figures = tuple(
            self._figure(table, key, value, sources)
            for table in TABLES
            for key, value in self._figures_of(document, table)
        )
        self._check_required(figures)
        return Device(
            **words,
            year=self._year(document),
            figures=figures,
            stand_ins=self._stand_ins(document, sources, figures),
            notes=self._strings(document, "notes", "sentences"),
            aliases=self._aliases(document),
            rates=self._rates(document, sources),
        )

    def _figures_of(self, document: dict[str, object], table: str) -> list[tuple[str, object]]:
        if table not in document:
            return []
        found = self._table(document, table, "")
        self._check_keys(found, TABLES[table], table)
        return [(key, found[key]) for key in TABLES[table] if key in found]  # in one order

    def _figure(self, table: str, key: str, value: object, sources: dict[str, Source]) -> Figure:
        where = f"{table}.{key}"
        if not isinstance(value, dict):
            raise self._fault(where, 'is not { value = ..., source = "..." }')
        self._check_keys(value, ("value", "source", "where", "basis", "note"), where)
        basis = self._text(value, "basis", where, Basis.PUBLISHED.value)
        if basis not in {member.value for member in Basis}:
            hint = ", ".join(member.value for member in Basis)
            raise self._fault(f"{where}.basis", f"is '{basis}': one of {hint}")
        note = self._text(value, "note", where, "")
        if Basis(basis) in {Basis.COMPUTED, Basis.ASSUMED} and not note:
            raise self._fault(where, f"is {basis} and has no note that says how or why")
        return Figure(
            table,
            key,
            self._number(value, table, where),
            Basis(basis),
            self._source(value, sources, where),
            self._text(value, "where", where, ""),
            note,
        )

    def _rates(self, document: dict[str, object], sources: dict[str, Source]) -> tuple[Rate, ...]:
        rows = document.get("rates", [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._fault("rates", "is not a list of tables, [[rates]] each")
        found: list[Rate] = []
        for place, row in enumerate(rows):
            rate = self._rate(row, f"rates[{place}]", sources)
            if any((rate.kernel, rate.dtype) == (other.kernel, other.dtype) for other in found):
                raise self._fault(
                    f"rates[{place}]", f"is a second row of {rate.kernel.value} in {rate.dtype}"
                )
            found.append(rate)
        return tuple(found)

    def _rate(self, row: dict[str, object], where: str, sources: dict[str, Source]) -> Rate:
        named = ("kernel", "dtype", "source", "note", "launch_seconds", "near_nbytes")
        self._check_keys(row, (*named, *RATE_KEYS), where)
        kernels = {kernel.value: kernel for kernel in KernelClass}
        kernel, dtype = self._text(row, "kernel", where), self._text(row, "dtype", where)
        if kernel not in kernels:
            hint = did_you_mean(kernel, kernels) or f": one of {', '.join(kernels)}"
            raise self._fault(f"{where}.kernel", f"is '{kernel}', no class of kernels{hint}")
        if dtype not in ITEM_BYTES:
            hint = did_you_mean(dtype, ITEM_BYTES)
            raise self._fault(f"{where}.dtype", f"is '{dtype}', no dtype of torch{hint}")
        if "launch_seconds" not in row:
            raise self._fault(f"{where}.launch_seconds", "is missing")
        figures = {
            key: self._in_range(row[key], ending, f"{where}.{key}")
            for key, ending in _RATE_UNITS.items()
            if key in row
        }
        if "far_bytes_per_second" in row and "near_nbytes" not in row:
            raise self._fault(f"{where}.near_nbytes", "is missing: far bytes are those beyond it")
        return Rate(
            kernels[kernel],
            dtype,
            figures["launch_seconds"],
            *(figures.get(key) for key in RATE_KEYS),
            near_nbytes=int(figures.get("near_nbytes", 0)),
            source=self._source(row, sources, where),
            note=self._text(row, "note", where, ""),
        )

    def _number(self, figure: dict[str, object], table: str, where: str) -> float:
        if "value" not in figure:
            raise self._fault(where, "has no value")
        return self._in_range(figure["value"], table, where)

    def _in_range(self, number: object, table: str, where: str) -> float:
        """The number, within what its unit (the end of `table`, else of `where`) allows."""
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise self._fault(where, f"has a value that is not a number: {number!r}")
        unit = next(row for row in _RANGES if (table if table.endswith(row[0]) else where)
                    .endswith(row[0]))  # fmt: skip
        if not math.isfinite(number) or not unit[1] <= number <= unit[2]:
            bounds = f"{unit[1]:g} to {unit[2]:g}"
            raise self._fault(where, f"is {number:g}, outside {bounds}: is that another unit?")
        if unit[0] in _WHOLE and number != int(number):
            raise self._fault(where, f"is {number!r}: not a whole number")
        return float(number)

    def _sources(self, table: dict[str, object]) -> dict[str, Source]:
        found = {}
        for key in table:
            where = f"sources.{key}"
            row = self._table(table, key, "sources")
            self._check_keys(row, ("title", "url", "date", "checked"), where)
            date = self._text(row, "date", where)
            if not _DATE.fullmatch(date):
                raise self._fault(f"{where}.date", f"is '{date}': not YYYY, YYYY-MM or YYYY-MM-DD")
            title, url = self._text(row, "title", where), self._text(row, "url", where, "")
            found[key] = Source(key, title, url, date, self._text(row, "checked", where, ""))
        return found

    def _source(self, row: dict[str, object], sources: dict[str, Source], where: str) -> Source:
        key = self._text(row, "source", where)
        if key not in sources:
            hint = did_you_mean(key, sources)
            raise self._fault(f"{where}.source", f"is '{key}', not in [sources]{hint}")
        return sources[key]

    def _stand_ins(
        self, document: dict[str, object], sources: dict[str, Source], figures: tuple[Figure, ...]
    ) -> tuple[StandIn, ...]:
        if "stands_in" not in document:
            return ()
        table = self._table(document, "stands_in", "")
        self._check_keys(table, DTYPES, "stands_in")
        listed = {figure.key for figure in figures if figure.table == MATRIX}
        found = []
        for key in table:
            where = f"stands_in.{key}"
            row = self._table(table, key, "stands_in")
            self._check_keys(row, ("runs_as", "source", "note"), where)
            runs_as = self._text(row, "runs_as", where)
            if runs_as not in listed:
                raise self._fault(f"{where}.runs_as", f"is '{runs_as}', not in [{MATRIX}]")
            note, source = self._text(row, "note", where), self._source(row, sources, where)
            found.append(StandIn(key, runs_as, source, note))
        return tuple(found)

    def _check_required(self, figures: tuple[Figure, ...]) -> None:
        places = {(figure.table, figure.key) for figure in figures}
        for table, key in _REQUIRED:
            if (table, key) not in places:
                raise self._fault(f"{table}.{key}", "is missing")
        if not any(table in {MATRIX, VECTOR} for table, _ in places):
            raise self._fault(MATRIX, "is missing, and so is every other peak")

    def _year(self, document: dict[str, object]) -> int:
        year = document.get("year")
        if isinstance(year, bool) or not isinstance(year, int):
            raise self._fault("year", "is not a whole number")
        return year

    def _aliases(self, document: dict[str, object]) -> tuple[str, ...]:
        found = self._strings(document, "aliases", "names")
        if not all(map(_NAME.fullmatch, found)):
            raise self._fault("aliases", "are not lower-case words joined by '-'")
        return found

    def _strings(self, document: dict[str, object], key: str, what: str) -> tuple[str, ...]:
        found = document.get(key, [])
        if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
            raise self._fault(key, f"is not a list of {what}")
        return tuple(text for text in found if isinstance(text, str))

    def _table(self, parent: dict[str, object], key: str, where: str) -> dict[str, object]:
        path = f"{where}.{key}" if where else key
        found = parent.get(key)
        if not isinstance(found, dict):
            raise self._fault(path, "is not a table" if key in parent else "is missing")
        return {str(name): value for name, value in found.items()}

    def _text(
        self, row: dict[str, object], key: str, where: str, default: str | None = None
    ) -> str:
        path = f"{where}.{key}" if where else key
        found = row.get(key, default)
        if not isinstance(found, str):
            raise self._fault(path, "is missing" if key not in row else "is not a string")
        if default is None and not found.strip():
            raise self._fault(path, "is empty")
        return found

    def _check_keys(self, row: dict[str, object], known: tuple[str, ...], where: str) -> None:
        for key in row:
            if key not in known:
                path = f"{where}.{key}" if where else key
                hint = _unit_missing(key, known) or did_you_mean(key, known)
                raise self._fault(path, f"is unknown{hint}")

    def _fault(self, path: str, what: str) -> InputError:
        return InputError(f"'{self._origin}': {path} {what}")


def _unit_missing(key: str, known: tuple[str, ...]) -> str:
    """A hint for `bandwidth`, or `bandwidth_gb`, where `bandwidth_bytes_per_second` is known."""
    stem = key.split("_", maxsplit=1)[0]
    for name in known:
        if name.split("_")[0] == stem:
            return f": did you mean '{name}'? The unit is part of the key"
    return ""
