"""Commands in the documents can be typed: commands, options, strategies and devices exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import click
import pytest

from fuseline.cli import cli
from fuseline.cli.against import command as against
from fuseline.fusion import STRATEGIES
from fuseline.hardware import load_device

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_LINE = re.compile(r"^(?:    |\$ )(fuseline .*)$", re.MULTILINE)


def typed(page: Path) -> Iterator[list[str]]:
    """Every command of a page, in words, comments apart."""
    for found in _LINE.finditer(page.read_text()):
        yield shlex.split(found.group(1).split(" #")[0])


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that words name, and the words after it."""
    command: click.Command = cli
    rest = words[1:]
    while rest and isinstance(command, click.Group):
        found = command.get_command(click.Context(command), rest[0])
        if found is None:
            break
        command, rest = found, rest[1:]
    if words[1] == "validate" and isinstance(command, click.Group):
        return against, rest  # `validate MODEL`
    return command, rest


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_can_be_typed(page: Path) -> None:
    for words in typed(page):
        command, rest = command_of(words)
        assert command is not cli, words
        known = {option for param in command.params for option in param.opts}
        for word, value in pairwise([*rest, ""]):
            if word.startswith("-") and word != "-":
                assert word in known, words
            if word == "--strategy":
                assert value in {*STRATEGIES, "all"}, words
            if word == "--device" and not value.endswith(".toml"):
                load_device(value)


def test_the_pages_have_commands() -> None:
    assert sum(len(list(typed(page))) for page in PAGES) > 50
