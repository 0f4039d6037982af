"""Sections, tables and verdicts of the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator


def section(lines: Callable[..., Iterator[str]]) -> Callable[..., str]:
    """Join the section's lines, and print it as soon as it is there."""

    def run(*args: object) -> str:
        text = "\n".join(lines(*args)) + "\n"
        print(text, flush=True)
        return text

    return run


def table(names: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def verdict(what: str, measured: float, most: float) -> str:
    return f"\nTarget: at most {most:.3g} {what}: {'met' if measured <= most else '**missed**'}."
