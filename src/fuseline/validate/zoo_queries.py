"""The queries of the page of the zoo: read from `zoo.sql`, run by duckdb over a sweep's folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec

from fuseline.errors import InputError
from fuseline.report.units import fraction, intensity, ratio
from fuseline.validate.zoo_classes import BEGINNING, SHOWN

QUERIES = Path(__file__).with_name("zoo.sql")

Cell = str | int | float | bool | None | list[str]
Line = Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query came to: its SQL, and its rows, each by column."""

    name: str
    sql: str
    lines: tuple[Line, ...]

    def line(self, **wanted: Cell) -> Line | None:
        """The first row with these values; None where there is none."""
        return next(
            (row for row in self.lines if all(row[key] == value for key, value in wanted.items())),
            None,
        )


@dataclass(frozen=True, slots=True)
class Zoo:
    """Every answer over one folder, by the query's name. `versions` are those of what captured."""

    folder: str
    versions: Mapping[str, str]
    answers: Mapping[str, Answer]

    def __getitem__(self, name: str) -> Answer:
        return self.answers[name]


@cache
def queries() -> dict[str, str]:
    """Name -> SQL, in the order of the file.

    >>> list(queries())[:3]
    ['class_sizes', 'classes', 'seed']
    """
    parts = re.split(r"^-- (\w+)\n", QUERIES.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))


def ask(folder: Path) -> Zoo:
    """Run every query over the rows that `zoo_folder` wrote.

    Raises `InputError` where there are none, duckdb is not installed, or a row that is proven
    optimal has an illegal group or moves other than its proven bound.
    """
    results = folder / "results"
    if not any(results.glob("*.parquet")):
        raise InputError(f"'{folder}' holds no results/*.parquet: see `make zoo`")
    try:
        import duckdb
    except ModuleNotFoundError as error:
        raise InputError("duckdb is not installed: pip install 'fuseline[query]'") from error

    with duckdb.connect() as connection:
        known = connection.execute(_VERSIONS, [str(results / "*.parquet")]).fetchone()
        versions = msgspec.json.decode(known[0], type=dict[str, str]) if known else {}
        connection.execute("set threads = 1")  # of equals the same one, every time
        rows = connection.read_parquet(str(results / "*.parquet"))
        if "family" not in rows.columns:
            raise InputError(f"'{folder}' has no families: python -m {_MAKER} {folder} docs/zoo")
        rows.create_view("results")
        answers = {}
        for name, sql in queries().items():
            found = connection.execute(f"{BEGINNING}{sql}")
            names = [column[0] for column in found.description]
            lines = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
            answers[name] = Answer(name, sql, tuple(_ordered(lines)))
    _check_optima(folder, answers[_BROKEN])
    return Zoo(folder.as_posix(), versions, answers)


_MAKER = "fuseline.validate.zoo_folder"
_BROKEN = "broken"
"""The query of optima that are none: it must have no rows."""

_VERSIONS = """\
select decode(value) from parquet_kv_metadata(?) where decode(key) = 'fuseline.environment' limit 1
"""


def _check_optima(folder: Path, broken: Answer) -> None:
    """Raises `InputError` for the first row whose proof the row itself contradicts."""
    for line in broken.lines:
        of = ", ".join(
            f"{key} {line[key]}" for key in ("batch", "decode", "device") if line[key] is not None
        )
        raise InputError(
            f"'{folder}': {line['model']} ({of}) is said to be optimal with "
            f"{line['illegal_groups']} illegal groups, {line['traffic_bytes']} bytes over a bound "
            f"of {line['lower_bound_bytes']}"
        )


def _ordered(lines: list[dict[str, Cell]]) -> list[dict[str, Cell]]:
    """Rows by class in the order that classes are shown, where a class is what they begin with."""
    if lines and next(iter(lines[0])) == "class":
        lines.sort(key=lambda line: SHOWN.index(str(line["class"])))
    return lines


# --- how columns are printed ----------------------------------------------------------------


def _text(value: Cell) -> str:
    return str(value)


def _count(value: Cell) -> str:
    return f"{value:,}"


def _part(value: Cell) -> str:
    return f"{number(value):.1%}"


def _change(value: Cell) -> str:
    """A relative difference; one too small to be seen with as many decimals as tell it.

    >>> _change(0.05), _change(0.00001), _change(0)
    ('+5.0%', '+0.001%', '+0.0%')
    """
    change = number(value)
    shown = f"{change:+.1%}"
    if change and not float(shown[:-1]):
        return ("-" if change < 0 else "+") + fraction(abs(change)).rstrip("%").rstrip("0") + "%"
    return shown


def _ratio(value: Cell) -> str:
    return ratio(number(value))


def _intensity(value: Cell) -> str:
    return intensity(number(value))


def number(value: Cell) -> float:
    """A figure of a row. Raises `TypeError` for what is none: our own fault."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)


# column: (heading, how it is printed)
COLUMNS = {
    "class": ("class", _text),
    "strategy": ("strategy", _text),
    "zoo": ("zoo", _text),
    "zoos": ("models of", _text),
    "family": ("family", _text),
    "model": ("model", _text),
    "batch": ("batch", _text),
    "decode": ("cached tokens", _text),
    "device": ("device", _text),
    "step": ("step", _text),
    "bottleneck": ("mostly bound by", _text),
    "farthest": ("farthest", _text),
    "status": ("status", _text),
    "why": ("why", _text),
    "refused": ("of", _text),
    "models": ("models", _count),
    "captures": ("captures", _count),
    "torchvision": ("torchvision", _count),
    "timm": ("timm", _count),
    "transformers": ("transformers", _count),
    "launches": ("launches", _ratio),
    "efficiency": ("fusion efficiency", _ratio),
    "efficiency_10": ("10%", _ratio),
    "efficiency_90": ("90%", _ratio),
    "reduction": ("bytes less", _part),
    "reduction_10": ("10%", _part),
    "reduction_90": ("90%", _part),
    "reduction_least": ("least", _part),
    "reduction_most": ("most", _part),
    "reduction_one": ("bytes less, batch 1", _part),
    "reduction_many": ("batch 64", _part),
    "compulsory": ("compulsory", _part),
    "parameters": ("parameters", _part),
    "unfused_intensity": ("FLOP/byte unfused", _intensity),
    "intensity": ("FLOP/byte", _intensity),
    "intensity_one": ("FLOP/byte, batch 1", _intensity),
    "intensity_many": ("batch 64", _intensity),
    "with_unknown": ("with unknown ops", _count),
    "with_illegal": ("with illegal groups", _count),
    "gap": ("gap", _change),
    "gap_10": ("10%", _change),
    "gap_90": ("90%", _change),
    "gap_most": ("most", _change),
    "proof_gap": ("gap to its bound", _change),
    "reached": ("at the optimum", _part),
    "below": ("below it", _count),
    "launch": ("launch", _part),
    "bandwidth": ("bandwidth", _part),
    "compute": ("compute", _part),
    "vector": ("vector", _part),
}


def printed(column: str, value: Cell) -> str:
    """One cell; a dash where there is nothing."""
    return "-" if value is None else COLUMNS[column][1](value)


def is_figure(column: str) -> bool:
    """Whether its cells are numbers, and so aligned to the right."""
    return COLUMNS[column][1] is not _text
