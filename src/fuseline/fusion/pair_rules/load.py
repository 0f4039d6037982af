"""Rule files -> `PairRules`. Whatever is wrong with a file is one line that names the place."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from enum import Enum
from itertools import product
from pathlib import Path
from typing import TypeVar

from fuseline.errors import InputError, did_you_mean
from fuseline.files import read_bytes
from fuseline.fusion.pair_rules.rules import Before, Consumers, PairRules, Verdict
from fuseline.fusion.tables.rows import ENTRY, Row, Step
from fuseline.graph import CLASS_OF, Kind, OpClass

_FOLDER = Path(__file__).parent
BACKENDS: tuple[str, ...] = tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))
"""Names of the rule files that come with Fuseline."""

_TEXTS = ("backend", "source", "date")
_KEYS = frozenset({*_TEXTS, "consumers", "before", "words", "blocks", "pairs"})
_BLOCK_KEYS = frozenset({"name", "steps"})
_STEP_KEYS = frozenset({"op", "takes"})
_PAIR_KEYS = frozenset({"before", "after", "fuses", "measured"})
_INPUT = "input"  # in `takes`: what the first step reads
_CANNOT_FUSE = frozenset(
    kind.value
    for kind, op_class in CLASS_OF.items()
    if op_class in (OpClass.OPAQUE, OpClass.CONTROL)
)
_KINDS = {kind.value: kind for kind in Kind if kind.value not in _CANNOT_FUSE}
_CLASSES = {
    op_class.value: frozenset(k.value for k, found in CLASS_OF.items() if found is op_class)
    for op_class in OpClass
    if op_class not in (OpClass.OPAQUE, OpClass.CONTROL, OpClass.VIEW)
}
_Choice = TypeVar("_Choice", bound=Enum)


def load_pair_rules(name_or_path: str | Path) -> PairRules:
    """The rules of a backend in `BACKENDS`, or of a TOML file.

    What ends in `.toml` or has a folder is a path. Raises `InputError`, naming file and key, for
    an unknown name and for a file that is no rule file.

    >>> load_pair_rules("tflite-cpu").pairs["conv2d", "relu"].fuses
    True
    """
    text = str(name_or_path)
    if text in BACKENDS:
        path = _FOLDER / f"{text}.toml"
    elif isinstance(name_or_path, Path) or text.endswith(".toml") or "/" in text:
        path = Path(name_or_path)
    else:
        hint = did_you_mean(text, BACKENDS) or f": one of {', '.join(BACKENDS)}, or a .toml file"
        raise InputError(f"unknown pair rules '{text}'{hint}")
    try:
        document = tomllib.loads(read_bytes(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path.name}: not TOML: {error}") from error
    return _Reader(path).read(document)


class _Reader:
    """Checks one document, key by key."""

    def __init__(self, path: Path) -> None:
        self._file = path.name
        self._name = path.stem
        self._words: dict[str, frozenset[str]] = {}
        self._blocks: list[Row] = []

    def read(self, document: dict[str, object]) -> PairRules:
        self._check_keys("", document, _KEYS)
        backend, source, date = (self._text(key, document.get(key)) for key in _TEXTS)
        consumers = self._choice("consumers", document.get("consumers", "none"), Consumers)
        before = self._choice("before", document.get("before", "first"), Before)
        tables = self._tables("blocks", document.get("blocks", []))
        names = [self._text(f"blocks[{n}].name", table.get("name")) for n, table in tables]
        self._read_words(document.get("words", {}), names)
        for (number, table), name in zip(tables, names, strict=True):
            self._blocks.append(self._block(f"blocks[{number}]", table, name))
        for name in names:
            self._words[name] = self._words.get(name, frozenset()) | {name}
        pairs = self._pairs(self._tables("pairs", document.get("pairs", [])))
        if not pairs and not self._blocks:
            raise self._fault("pairs", "missing: a file without pairs or blocks fuses nothing")
        blocks = tuple(self._blocks)
        return PairRules(self._name, backend, source, date, consumers, before, blocks, pairs)

    def _read_words(self, value: object, blocks: Collection[str]) -> None:
        for word, members in self._table("words", value).items():
            if word in _KINDS or word in _CLASSES:
                raise self._fault(f"words.{word}", f"'{word}' is a kind or class already")
            found = self._names(f"words.{word}", members)
            if word not in blocks and not found:
                raise self._fault(f"words.{word}", "names no kind")
            self._words[word] = found

    def _block(self, place: str, table: dict[str, object], name: str) -> Row:
        self._check_keys(place, table, _BLOCK_KEYS)
        if name in _KINDS or name in _CLASSES:
            raise self._fault(f"{place}.name", f"'{name}' is a kind or class already")
        listed = table.get("steps")
        if not isinstance(listed, list) or len(listed) < 2:  # noqa: PLR2004 - one op is no block
            raise self._fault(f"{place}.steps", "must be a list of two ops or more")
        steps = [self._step(f"{place}.steps[{n}]", step, n) for n, step in enumerate(listed)]
        return Row(name, self._file, tuple(steps))

    def _step(self, place: str, value: object, number: int) -> Step:
        takes: tuple[int, ...] = ()
        if isinstance(value, dict):
            self._check_keys(place, value, _STEP_KEYS)
            wanted, value = value.get("takes"), value.get("op")
            if wanted == _INPUT:
                takes = (ENTRY,)
            elif isinstance(wanted, int) and not isinstance(wanted, bool) and 0 <= wanted < number:
                takes = (wanted,)
            elif wanted is not None:
                raise self._fault(f"{place}.takes", f'must be "{_INPUT}" or an earlier step')
            place += ".op"
        return Step(frozenset(_KINDS[name] for name in self._names(place, value)), takes=takes)

    def _pairs(self, tables: list[tuple[int, dict[str, object]]]) -> dict[tuple[str, str], Verdict]:
        pairs: dict[tuple[str, str], Verdict] = {}
        for number, table in tables:
            place = f"pairs[{number}]"
            self._check_keys(place, table, _PAIR_KEYS)
            before = self._names(f"{place}.before", table.get("before"))
            after = self._names(f"{place}.after", table.get("after"))
            fuses = table.get("fuses", True)
            if not isinstance(fuses, bool):
                raise self._fault(f"{place}.fuses", "must be true or false")
            measured = self._text(f"{place}.measured", table.get("measured", "not measured"))
            verdict = Verdict(fuses, place, measured)
            for pair in product(sorted(before), sorted(after)):
                other = pairs.setdefault(pair, verdict)
                if other.fuses != fuses:
                    said = "fuses" if other.fuses else "does not fuse"
                    raise self._fault(place, f"{' -> '.join(pair)} {said} in {other.place}")
        return pairs

    def _names(self, place: str, value: object) -> frozenset[str]:
        """Kinds (and blocks) that a name, or a list of names, stands for."""
        names = value if isinstance(value, list) else [value]
        found: set[str] = set()
        for name in names:
            if not isinstance(name, str):
                raise self._fault(place, "must be the name of an op, or a list of names")
            found |= self._named(place, name)
        return frozenset(found)

    def _named(self, place: str, name: str) -> frozenset[str]:
        if name in _CANNOT_FUSE:
            raise self._fault(place, f"'{name}' ops never fuse")
        if name in self._words:
            return self._words[name]
        if name in _KINDS:
            return frozenset({name})
        if name in _CLASSES:
            return _CLASSES[name]
        hint = did_you_mean(name, (*self._words, *_KINDS, *_CLASSES))
        raise self._fault(place, f"unknown kind '{name}'{hint}")

    def _text(self, place: str, value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self._fault(place, "missing" if value is None else "must be a text")
        return value

    def _choice(self, place: str, value: object, choices: type[_Choice]) -> _Choice:
        known = {str(choice.value): choice for choice in choices}
        if not isinstance(value, str) or value not in known:
            hint = did_you_mean(str(value), known) or f": one of {', '.join(known)}"
            raise self._fault(place, f"unknown value '{value}'{hint}")
        return known[value]

    def _table(self, place: str, value: object) -> dict[str, object]:
        if not isinstance(value, dict):
            raise self._fault(place, "must be a table")
        return value

    def _tables(self, place: str, value: object) -> list[tuple[int, dict[str, object]]]:
        if not isinstance(value, list):
            raise self._fault(place, f"must be tables, each headed [[{place}]]")
        return [(n, self._table(f"{place}[{n}]", item)) for n, item in enumerate(value)]

    def _check_keys(self, place: str, table: dict[str, object], known: frozenset[str]) -> None:
        for key in table:
            if key not in known:
                dotted = f"{place}.{key}" if place else key
                hint = did_you_mean(key, known) or f": one of {', '.join(sorted(known))}"
                raise self._fault(dotted, f"unknown key{hint}")

    def _fault(self, place: str, what: str) -> InputError:
        return InputError(f"{self._file}: {place}: {what}")
