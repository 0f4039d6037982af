"""Tables of the generated pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fuseline.report.markdown import pipe_table


def table(columns: Sequence[str], lines: Iterable[Sequence[str]], *, figures: int = 0) -> str:
    r"""A Markdown table, its cells Markdown but for bars; the last `figures` columns are
    right-aligned.

    >>> print(table(("model", "ops"), [("a|b", "1")], figures=1), end="")
    | model | ops |
    | --- | ---: |
    | a\|b | 1 |
    """
    texts = len(columns) - figures
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return pipe_table(columns, cells, [True] * texts + [False] * figures)


def section(title: str, words: str, table_text: str = "") -> str:
    """A heading, a paragraph and a table below it."""
    parts = [f"\n## {title}\n", f"{words}\n" if words else "", table_text]
    return "\n".join(part for part in parts if part)
