"""Where a figure is from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """Where a figure is from; `date` is of the document, or of its reading (YYYY-MM).

    `checked` is where the figures were read: the document or a page that reproduces it. It is empty
    where the document is cited from memory.
    """

    key: str
    title: str
    url: str
    date: str
    checked: str = ""
