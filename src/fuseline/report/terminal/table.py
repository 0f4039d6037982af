"""A named table in a terminal, or as plain text in a pipe or a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from textwrap import wrap

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.text import Text

from fuseline.report.cells import Shown, shown
from fuseline.report.rows.table import Table

_FOLD = 40
"""Columns of the terminal that a column of text may take before it folds."""

_GAP = "   "  # between two columns


def print_named_table(console: Console, table: Table) -> None:
    """The table under its title, its notes below. In a terminal one that is too wide is printed in
    blocks, each with the columns that name a row; a pipe has no width.
    """
    title, *lines = _lines(shown(table), console.width if console.is_terminal else None)
    console.print(Text(f"\n{title}", style="bold"), soft_wrap=True)
    console.print(Text("\n".join(lines)), soft_wrap=True)


def table_text(table: Table, width: int | None = None) -> str:
    """The same as text without colour, in blocks of `width` columns, or as wide as it is."""
    return "".join(f"{line}\n" for line in _lines(shown(table), width))


def _lines(said: Shown, width: int | None) -> Iterator[str]:
    """The title, the blocks with an empty line between them, the notes."""
    yield said.title
    widths = _widths(said)
    for number, places in enumerate(_blocks(said, widths, width)):
        if number:
            yield ""
        yield from _line(said, places, widths, said.headings)
        yield "─" * (sum(widths[place] for place in places) + len(_GAP) * (len(places) - 1))
        for row in said.rows:
            yield from _line(said, places, widths, row)
    yield from (f"  note: {note}" for note in said.notes)


def _widths(said: Shown) -> list[int]:
    """Columns of the terminal that each column of the table takes; text folds."""
    found = []
    for place, heading in enumerate(said.headings):
        cells = max((cell_len(row[place]) for row in said.rows), default=0)
        found.append(max(cell_len(heading), min(cells, _FOLD) if said.is_text[place] else cells))
    return found


def _blocks(said: Shown, widths: Sequence[int], width: int | None) -> list[list[int]]:
    """Columns in as few blocks as fit, those that name a row in each."""
    if width is None:
        return [list(range(len(widths)))]
    keys = list(range(min(said.keys, len(widths))))
    blocks = [list(keys)]
    for place in range(len(keys), len(widths)):
        taken = sum(widths[column] + len(_GAP) for column in blocks[-1])
        if taken + widths[place] > width and len(blocks[-1]) > len(keys):
            blocks.append(list(keys))
        blocks[-1].append(place)
    return blocks


def _line(
    said: Shown, places: Iterable[int], widths: Sequence[int], row: Sequence[str]
) -> Iterator[str]:
    """One row: text left and folded, figures right."""
    columns = [
        [_padded(part, widths[place], left=said.is_text[place]) for part in _folded(row[place])]
        for place in places
    ]
    blank = [" " * len(column[0]) for column in columns]
    for parts in zip_longest(*columns):
        cells = (part or empty for part, empty in zip(parts, blank, strict=True))
        yield _GAP.join(cells).rstrip()


def _folded(cell: str) -> list[str]:
    """A cell in lines of at most `_FOLD` columns, broken between words where it can be.

    >>> _folded("the strategy gives relu and gelu a kernel each")
    ['the strategy gives relu and gelu a', 'kernel each']
    """
    if cell_len(cell) <= _FOLD:
        return [cell]
    if cell_len(cell) == len(cell):
        return wrap(cell, _FOLD, drop_whitespace=True, break_on_hyphens=False) or [""]
    return chop_cells(cell, _FOLD)  # characters two columns wide


def _padded(text: str, width: int, *, left: bool) -> str:
    space = " " * (width - cell_len(text))
    return f"{text}{space}" if left else f"{space}{text}"
