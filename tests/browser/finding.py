"""How tests find what is drawn."""

from __future__ import annotations

from playwright.sync_api import Page


def box_named(page: Page, name: str) -> str:
    """A selector of the drawn box with that label."""
    piece = page.evaluate(
        "(name) => [...document.querySelectorAll('#tree [data-piece]')].find((node) =>"
        " node.querySelector('.label')?.firstChild.textContent === name)?.dataset.piece",
        name,
    )
    assert piece is not None, name
    return f"#tree [data-piece='{piece}']"
