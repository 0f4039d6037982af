"""Tables as Markdown, for pull requests: GitHub's dialect, safe in any other.

Numbers and plain words stand as they are. Text that could mean something to Markdown or to GitHub
(a mention, an emoji, a link, a formula, an issue's number) stands as code, where nothing does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fuseline.report.cells import LIMIT, shown
from fuseline.report.rows.table import Table

_PUNCTUATION = re.compile(r"[<>*\[\]~&]|(?<![^\W_])_|_(?![^\W_])")
"""What a backslash keeps from meaning anything; an underscore inside a word means nothing."""

_CODE = re.compile(
    r"""[`|\\@#$]            # code, a cell's end, an escape, a mention, an issue, a formula
    | ^\s | \s$ | \s\s       # space that would be lost
    | :[\w+-]+:              # an emoji
    | :// | www\. | mailto: | xmpp:
    | GH-\d                  # an issue by its other name
    | (?<![\w.])[0-9a-f]{7,40}\b  # a commit
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Text that only code keeps as it is."""

_LETTERS = re.compile(r"[^A-Za-z0-9\u0080-\U0010ffff]")


def markdown_document(
    tables: Iterable[Table], *, title: str = "", level: int = 2, limit: int = LIMIT
) -> str:
    """Several tables, one below the other, under an optional title; headings from `level` down."""
    below = level + 1 if title else level
    heading = [f"{'#' * level} {escape(title)}\n"] if title else []
    made = (markdown_table(table, level=below, limit=limit) for table in tables)
    return "\n".join((*heading, *made))


def markdown_table(table: Table, *, level: int = 3, limit: int = LIMIT) -> str:
    r"""A heading, the table and its notes. Cells have at most `limit` characters.

    >>> from fuseline.report.rows.table import Column, Measure
    >>> columns = (Column("op", Measure.TEXT), Column("traffic_bytes", Measure.BYTES))
    >>> table = Table("ops", "Ops", columns, (("a|b", 4096), ("relu_", None)))
    >>> print(markdown_table(table), end="")
    ### Ops
    <BLANKLINE>
    | op | traffic_bytes |
    | --- | ---: |
    | <code>a&#124;b</code> | 4,096 |
    | relu\_ | - |
    """
    said = shown(table, limit)
    lines = [
        [escape(cell) if is_text else cell for cell, is_text in zip(row, said.is_text, strict=True)]
        for row in said.rows
    ]
    notes = "".join(f"- {escape(note)}\n" for note in said.notes)
    body = pipe_table([escape(name) for name in said.headings], lines, said.is_text)
    return "\n".join(
        part for part in (f"{'#' * level} {escape(said.title)}\n", body, notes) if part
    )


def pipe_table(
    columns: Sequence[str], lines: Iterable[Sequence[str]], is_text: Sequence[bool]
) -> str:
    """Cells that are Markdown already as a table: text columns left, figures right."""
    rule = ["---" if left else "---:" for left in is_text]
    return "".join(f"| {' | '.join(row)} |\n" for row in (columns, rule, *lines))


def escape(text: str) -> str:
    r"""One line of text, with nothing invisible in it, as Markdown that shows just that.

    >>> print(escape("blocks.0.attn"), escape("_to_copy"), escape("aten::add"), escape("@you"))
    blocks.0.attn \_to_copy aten::add `@you`
    """
    if not _CODE.search(text):
        return _PUNCTUATION.sub(r"\\\g<0>", text)
    if "`" in text or "|" in text or text.startswith(" ") or text.endswith(" ") or "  " in text:
        return f"<code>{_LETTERS.sub(lambda found: f'&#{ord(found[0])};', text)}</code>"
    return f"`{text}`"
