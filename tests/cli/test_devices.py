"""`fuseline devices` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fuseline.cli import run
from fuseline.cli.devices import command
from fuseline.hardware import DEVICES, load_device
from fuseline.hardware.rows import COLUMNS


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


def test_the_list_has_a_line_a_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, []) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.split()[:1] and line.split()[0] in DEVICES] \
        == list(DEVICES)  # fmt: skip
    header = next(line for line in lines if line.startswith("device"))
    assert all(column in header for column in COLUMNS)
    assert "* runs as another type" in "\n".join(lines)


def test_a_name_prints_every_figure_with_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, ["h100-sxm"]) == 0
    out = capsys.readouterr().out
    for figure in load_device("h100-sxm").figures:
        assert f"{figure.table}.{figure.key}" in out
        assert figure.source.title in out
        assert figure.source.url in out
        assert figure.source.date in out
    assert "and tf32 is not allowed" in out
    assert "assumed" in out


def test_a_file_of_the_users_prints_the_same_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from fuseline import hardware

    text = (Path(hardware.__file__).parent / "devices" / "t4.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('name = "t4"', 'name = "mine"'))
    assert run(command, [str(path)]) == 0
    assert capsys.readouterr().out.startswith("mine  NVIDIA T4: Turing gpu")


def test_json_of_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, ["--json", "-"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "fuseline.devices/1"
    assert [row["name"] for row in document["devices"]] == list(DEVICES)
    row = next(row for row in document["devices"] if row["name"] == "t4")
    assert row["peaks"]["float16"] == 65e12
    assert row["peaks"]["float8"] is None
    assert row["stand_ins"] == ["bfloat16"]
    assert row["bandwidth_bytes_per_second"] == 320e9


def test_json_of_a_device_holds_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t4.json"
    assert run(command, ["t4", "--json", str(path)]) == 0
    assert "Figures" in capsys.readouterr().out
    document = json.loads(path.read_text())
    assert document["schema"] == "fuseline.device/1"
    figures = {(row["table"], row["key"]): row for row in document["device"]["figures"]}
    assert figures["memory", "bandwidth_bytes_per_second"]["value"] == 320e9
    assert figures["launch", "eager_seconds"]["basis"] == "assumed"
    assert all(row["source"]["title"] and row["source"]["date"] for row in figures.values())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["t44"], "unknown device 't44': did you mean 't4'?"),
        (["nowhere.toml"], "cannot read 'nowhere.toml': No such file or directory"),
        (
            ["t4", "--json", "nowhere/x.json"],
            "cannot write 'nowhere/x.json': 'nowhere' is not a directory",
        ),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, words) == 2
    assert capsys.readouterr().err == f"error: {said}\n"
