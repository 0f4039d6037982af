"""The sweep of proofs: rows hold on small models, and the page's summary follows from its rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fuseline.cli import cli, run
from fuseline.errors import InputError
from fuseline.frontends.sources.timm import architectures
from fuseline.validate.optimal import (
    RULES,
    SECONDS,
    TIMM,
    TORCHVISION,
    OptimalRow,
    check_models,
    lot,
    models_of_sweep,
    prove,
    prove_all,
)
from fuseline.validate.optimal_page import WORST_GAP, page, summary

PAGE = Path(__file__).parents[2] / "docs" / "validation" / "optimal.md"

ROW = OptimalRow("net", "A", ops=3, compulsory_nbytes=80, unfused_nbytes=200, nbytes=100,
                 bound=100, launches=2, candidates=5, is_optimal=True, others=150,
                 by="tvm")  # fmt: skip


def _check(model: str) -> None:
    rows = prove(model)
    assert [row.rules for row in rows] == list(RULES)
    for row in rows:
        assert not row.reason, row
        assert not row.broken, row
        assert not row.fault, row
        assert row.gap is not None
        assert 0 <= row.gap <= WORST_GAP, row
        assert row.seconds <= SECONDS, row
    assert [row.nbytes for row in rows] == sorted((row.nbytes for row in rows), reverse=True)


@pytest.mark.parametrize("model", ["resnet18", "mobilenet_v3_small", "vit_b_16"])
def test_proofs_hold(model: str) -> None:
    _check(model)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        "densenet121", "efficientnet_b0", "googlenet", "maxvit_t", "regnet_y_400mf", "swin_v2_t",
        "timm/coat_tiny", "timm/crossvit_15_240", "timm/convnext_tiny", "hf/bert", "hf/gpt2",
        "hf/llama", "hf/t5", "hf/mobilebert", "hf/falcon",
    ],
)  # fmt: skip
def test_proofs_hold_across_the_zoos(model: str) -> None:
    _check(model)


def test_a_row_says_which_link_of_the_chain_is_broken() -> None:
    assert ROW.broken == ""
    assert replace(ROW, bound=101).broken == "certificate > optimum"
    assert replace(ROW, compulsory_nbytes=101).broken == "compulsory > optimum"
    assert replace(ROW, others=99).broken == "optimum > tvm"


def test_the_gap_is_over_the_larger_bound() -> None:
    assert ROW.gap == 0.0
    assert replace(ROW, bound=None).gap == 0.25  # 100 / 80
    assert replace(ROW, reason="no such model").gap is None


def test_exceptions_are_listed_by_name() -> None:
    rows = (
        ROW,
        replace(ROW, model="far", bound=90, is_optimal=False),  # 100 / 90 - 1
        replace(ROW, model="open", bound=None, is_optimal=False),
        replace(ROW, model="slow", seconds=75.0),
        replace(ROW, model="false", fault="a cut forbids what is no cycle"),
        OptimalRow("gone", "A", reason="unknown model 'gone'"),
    )
    listed = page(rows, {"torch": "X"}).partition("## Exceptions")[2].partition("\n## ")[0]
    for line in (
        "| far | A | gap | 11.11% open |",
        "| slow | A | seconds | 75 s of processor time, past the limit of 60 |",
        "| false | A | certificate | a cut forbids what is no cycle |",
        "| gone | A | not captured | unknown model 'gone' |",
    ):
        assert line in listed
    assert "| open | A | no bound |" in listed
    assert "| net |" not in listed
    assert summary(rows)[0][:5] == ("A", "5", "3", "25.00%", "0")


def test_rows_are_kept_and_not_repeated(tmp_path: Path) -> None:
    done = tmp_path / "rows.jsonl"
    (first,) = prove_all(("alexnet",), done)
    with done.open("ab") as file:
        file.write(b'[{"model": "cut sho')
    (again,) = prove_all(("alexnet",), done)
    assert again == first  # seconds too: it was not searched again
    done.write_bytes(b'{"zoo": "timm"}\n')
    with pytest.raises(InputError, match=r"holds no rows of this sweep"):
        list(prove_all(("alexnet",), done))


def test_what_is_not_in_the_sweep_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    check_models(("resnet18",))
    assert run(cli, ["validate", "optimal", "--model", "resnet81"]) != 0
    assert "'resnet81' is not in the sweep: did you mean 'resnet18'?" in capsys.readouterr().err


@pytest.mark.slow
def test_timms_architectures_are_drawn_by_lot() -> None:
    drawn = sorted(sorted(architectures(), key=lot)[: len(TIMM)])
    assert drawn == [f"timm/{name}" for name in TIMM]


def test_every_model_of_the_sweep_is_on_the_page() -> None:
    text = PAGE.read_text()
    names = models_of_sweep()
    assert len(set(names)) == len(names)
    assert set(TORCHVISION) <= set(names)
    missing = [name for name in names if f"| {name} |" not in text]
    assert missing == []


def test_the_summary_follows_from_the_rows_below_it() -> None:
    text = PAGE.read_text()
    rows = [line.strip("|").split(" | ") for line in text.rpartition("\n## ")[2].splitlines()[4:]]
    gaps: dict[str, list[float]] = {rules: [] for rules in RULES}
    for row in rows:
        gaps[row[1]].append(float(row[6].rstrip("%")))
    table = text.partition("## Summary")[2].partition("\n## ")[0].splitlines()
    found = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in table if "%" in line}
    for rules in RULES:
        assert int(found[rules][1]) == len(gaps[rules])
        assert found[rules][3] == f"{max(gaps[rules]):.2f}%"
