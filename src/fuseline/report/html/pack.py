"""Rows as compact JSON: what repeats is written once, and its place wherever it stands.

A model repeats itself, so its report does: of 200 equal layers a page need hold the figures of one.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from fuseline.report.text import encodable, visible

Item = TypeVar("Item", bound=Hashable)

HOLE = "\N{REPLACEMENT CHARACTER}"
"""Stands in a sentence for the name of an op."""

_WORD = re.compile(r"\w+")


def distinct(items: Iterable[Item]) -> dict[str, list[object]]:
    """Values as those that differ (`of`), and which of them stands where (`at`).

    >>> distinct(["relu", "add", "relu"])
    {'of': ['relu', 'add'], 'at': [0, 1, 0]}
    """
    places: dict[Item, int] = {}
    at = [places.setdefault(item, len(places)) for item in items]
    return {"of": list(places), "at": list(at)}


def rows_of(fields: Sequence[str], rows: Iterable[tuple[Hashable, ...]]) -> dict[str, object]:
    """Rows under their fields' names, alike rows once.

    >>> rows_of(("launches", "flops"), [(1, 8), (1, 8)])
    {'fields': ['launches', 'flops'], 'of': [(1, 8)], 'at': [0, 0]}
    """
    return {"fields": list(fields), **distinct(rows)}


def steps(numbers: Iterable[int]) -> list[int]:
    """Each number as its distance from the one before: short where numbers go up one by one.

    >>> steps([7, 8, 9, 3])
    [7, 1, 1, -6]
    """
    found, last = [], 0
    for number in numbers:
        found.append(number - last)
        last = number
    return found


def sentences(texts: Iterable[str], ops: Mapping[str, int]) -> dict[str, object]:
    """Sentences without the names of ops that stand in them; `ops` are their ids, in order.

    Many sentences then are one. A sentence that holds the mark of a hole is kept as it is.

    >>> sentences(["add_1 follows mul", "add_2 follows mul"], {"add_1": 4, "add_2": 9})["ops"]
    [[4], [9]]
    """
    forms: list[str] = []
    holes: list[list[int]] = []
    for text in texts:
        form, named = (text, []) if HOLE in text else _form(text, ops)
        forms.append(form)
        holes.append(named)
    return {**distinct(forms), "ops": holes}


def _form(text: str, ops: Mapping[str, int]) -> tuple[str, list[int]]:
    """A sentence with its names of ops cut out, and the ids of those ops."""
    named = [ops[word] for word in _WORD.findall(text) if word in ops]
    return _WORD.sub(lambda word: HOLE if word[0] in ops else word[0], text), named


def script_json(document: object) -> str:
    r"""The document as JSON that may stand inside a `<script>` element.

    Text from a model is made visible, infinite figures are null, and nothing in it can end the
    element.

    >>> script_json({"name": "</script>\u202e", "ratio": float("inf")})
    '{"name":"\\u003c/script>\\\\u202e","ratio":null}'
    """
    written = msgspec.json.encode(_clean(document)).decode()
    return written.replace("<", r"\u003c")


def _clean(value: object) -> object:
    if isinstance(value, str):
        return encodable(visible(value))
    if isinstance(value, Mapping):
        return {_clean(key): _clean(inside) for key, inside in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(inside) for inside in value]
    return value
