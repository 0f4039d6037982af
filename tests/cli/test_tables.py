"""Tables that commands print: the same formats, and the same words, everywhere."""

from __future__ import annotations

import csv
from pathlib import Path

import click
import pytest

from fuseline.cli import cache, compare, query, run
from fuseline.cli.tables import show
from fuseline.errors import InputError
from fuseline.report.rows.table import Column, Measure, Table

_TABLE = Table("made", "Made", (Column("ops", Measure.COUNT, "operators"),), ((3,), (4,)))


@pytest.mark.parametrize(("command", "words"), [
    (cache.command, []), (compare.command, ["no-such-model"]), (query.command, ["no-such-folder"]),
])  # fmt: skip
def test_an_unknown_format_is_refused_before_any_work(
    command: click.Command, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, [*words, "--format", "jsn"]) == 2
    assert "unknown format 'jsn': did you mean 'json'?" in capsys.readouterr().err


def test_a_file_holds_what_stdout_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "made.csv"
    show((_TABLE,), "csv", str(path))
    show((_TABLE,), "csv")
    with path.open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.reader(file)) == [["ops"], ["3"], ["4"]]
    assert path.read_text().splitlines() == capsys.readouterr().out.splitlines()


def test_people_are_shown_several_tables_and_programs_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show((_TABLE, _TABLE), "terminal")
    assert capsys.readouterr().out.count("Made") == 2
    with pytest.raises(InputError, match="csv holds one table"):
        show((_TABLE, _TABLE), "csv")
