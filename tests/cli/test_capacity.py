"""`fuseline capacity` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fuseline.cli import run
from fuseline.cli.capacity import command, doublings
from fuseline.fusion.optimal import curve
from fuseline.graph import Builder, Kind, Role, save
from fuseline.report.rows.capacity import PointRow
from fuseline.report.terminal.capacity import bar, proof_text


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def model(tmp_path: Path) -> str:
    """Three linears on 8 tokens of 4, as counted in tests/fusion/test_curve.py: 960 bytes in three
    kernels, 704 in two from 160 bytes on chip, 448 in one from 240.
    """
    build = Builder()
    x = build.tensor("x", (8, 4), role=Role.INPUT)
    for name in ("one", "two", "three"):
        weight = build.tensor(f"w_{name}", (4, 4), role=Role.PARAMETER)
        x = build.op(name, Kind.LINEAR, inputs=[x], parameters=[weight], shape=(8, 4))
    path = tmp_path / "mlp.json"
    save(build.finish([x]), path)
    return str(path)


def test_a_line_for_each_capacity(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, [model, "--from", "80", "--to", "320"]) == 0
    out = capsys.readouterr().out
    lines = {line.split(" B ")[0]: line for line in out.splitlines() if " B   " in line}
    assert list(lines) == ["80", "160", "320"]
    assert "0.000960" in lines["80"]
    assert "0.000704" in lines["160"]
    assert "26.7%" in lines["160"]  # 256 of 960
    assert "0.000448" in lines["320"]
    assert all(line.rstrip().endswith("optimal") for line in lines.values())
    # bars of 40 for 960 bytes: 448 compulsory are 19 (18.7), 960 - 448 the other 21
    assert "=" * 19 + "#" * 21 in lines["80"]
    assert (
        "With 320 B on chip, the last size tried, the model moves 53.3% fewer bytes than with 80 B"
        in out
    )
    assert "from 80 B to 160 B" in out


def test_json_says_the_same(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, [model, "--from", "80", "--to", "320", "--json", "-"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "fuseline.capacity/1"
    assert document["compulsory_bytes"] == 448
    assert document["without_capacity_bytes"] == 960
    points = document["points"]
    assert [row["on_chip"] for row in points] == [80, 160, 320]
    assert [row["traffic_bytes"] for row in points] == [960, 704, 448]
    assert [row["saved_bytes"] for row in points] == [0, 256, 512]
    assert [row["gap_bytes"] for row in points] == [0, 0, 0]
    assert document["knee"]["on_chip"] == 320
    assert document["knee"]["steepest"] == [80, 160]


def test_json_goes_to_a_file_beside_the_table(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "curve.json"
    assert run(command, [model, "--from", "80", "--to", "80", "--json", str(path)]) == 0
    assert len(json.loads(path.read_text())["points"]) == 1
    assert "More on-chip memory saves nothing here" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "0"], "on-chip memory must be positive, not '0'"),
        (["--to", "-4MB"], "on-chip memory must be positive, not '-4MB'"),
        (["--from", "some"], "'some' is no size"),
        (["--from", "2MB", "--to", "1MB"], "--to must not be below --from"),
        (["--rules", "Q"], "unknown rules 'Q'"),
        (["--time-limit", "0"], "a time limit must be positive, not 0.0 s"),
        (["--json", "no/such/place.json"], "is not a directory"),
        (["--via", "module"], "is a saved graph"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    model: str, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, [model, *arguments]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert said in err
    assert err.count("\n") == 1


def test_an_interrupt_is_one_line(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(curve.Growth, "reach", interrupt)
    assert run(command, [model]) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def test_what_is_not_proven_says_so() -> None:
    row = PointRow(65536, 200, 3, 0, 150, 50, is_optimal=False, candidates=9, seconds=0.1)
    assert proof_text(row, 100) == "gap 25.0%"
    assert proof_text(row, 150) == "not proven, gap 25.0%"
    assert bar(row, 150, 400) == "=" * 15 + "#" * 5


def test_capacities_are_doublings_up_to_the_largest() -> None:
    assert doublings(64, 64) == (64,)
    assert doublings(64, 256) == (64, 128, 256)
    assert doublings(64, 200) == (64, 128, 200)
