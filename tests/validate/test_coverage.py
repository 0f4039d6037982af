"""Coverage: which models are asked for, rows that survive an interrupt, and the page."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from fuseline.cli import cli, run
from fuseline.errors import InputError
from fuseline.validate import coverage
from fuseline.validate.coverage import REAL, Job, Row, cover, cover_all, jobs
from fuseline.validate.coverage_page import TARGETS, encode, needed, page, shares, summarise

PAGE = Path(__file__).parents[2] / "docs" / "validation" / "coverage.md"
ALEXNET = Job("torchvision", "classification", "alexnet")
MISSING = Job("torchvision", "classification", "alexnot")

NOTE = "'det' needs values that only a run has (aten.nonzero.default): recorded on small real ones"
ROWS = (
    Row("torchvision", "classification", "net", "recorded", "", 100, 5, 0.5, sampled=True,
        counted=100),
    Row("torchvision", "detection", "det", REAL, NOTE, 60, 9, 2.0, sampled=True, counted=50,
        uncounted={"lstm": 10}),
    Row("timm", "image", "timm/a", "recorded", "", 10, 1, 0.1, sampled=True,
        torch="cannot | count it"),
    Row("timm", "image", "timm/b", "unknown ops", "mylib::op", 10, 1, 0.1),
    Row("hf", "speech", "s", "failed", "it does not run", 0, 0, 0.1, sampled=True),
    Row("hf", "causal-lm", "s", "recorded", "", 7, 3, 0.3, sampled=True, counted=4),
)  # fmt: skip


def test_every_zoo_gives_jobs_and_the_sample_is_no_larger_than_asked() -> None:
    todo = jobs(("torchvision",), 10)
    assert len(todo) == len({job.model for job in todo})
    assert {"classification", "detection", "segmentation", "video"} <= {job.task for job in todo}
    assert sum(job.count for job in todo) == 10


def test_a_larger_sample_holds_the_smaller_one() -> None:
    few, many = (
        {job.model for job in jobs(("torchvision",), size) if job.count} for size in (5, 20)
    )
    assert few < many


def test_an_unknown_zoo_is_refused() -> None:
    with pytest.raises(InputError, match="unknown zoo 'tim': did you mean 'timm'"):
        jobs(("tim",), 0)


def test_a_model_is_captured_and_counted_by_torch_where_asked() -> None:
    row = cover(Job("torchvision", "classification", "alexnet", count=True))
    assert (row.status, row.counted, row.uncounted) == ("recorded", row.flops, {})


def test_what_cannot_be_captured_is_a_row_with_a_reason() -> None:
    row = cover(MISSING)
    assert (row.status, row.is_covered) == ("failed", False)
    assert "did you mean 'alexnet'" in row.reason


def test_rows_are_kept_and_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = tmp_path / "rows.jsonl"
    first = tuple(cover_all((ALEXNET, MISSING), done))
    assert len(done.read_bytes().splitlines()) == 2

    def refuse(self: object, job: Job) -> Row:
        raise AssertionError(job, self)

    monkeypatch.setattr(coverage._Worker, "run", refuse)  # noqa: SLF001
    assert tuple(cover_all((ALEXNET, MISSING), done)) == first


def test_a_line_that_an_interrupt_cut_short_is_made_again(tmp_path: Path) -> None:
    done = tmp_path / "rows.jsonl"
    done.write_bytes(b'{"zoo":"torchvision","task":"cl')
    (row,) = cover_all((MISSING,), done)
    assert row.status == "failed"
    assert [json.loads(line)["model"] for line in done.read_text().splitlines()] == ["alexnot"]


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    done = tmp_path / "rows.jsonl"
    done.write_bytes(b'{"zoo": 1}\n')
    with pytest.raises(InputError, match="holds no coverage rows"):
        list(cover_all((ALEXNET,), done))


def test_a_process_that_dies_costs_its_own_row(tmp_path: Path) -> None:
    killer = tmp_path / "killer.py"
    killer.write_text(f"import os\ndef net():\n    os.kill(os.getpid(), {int(signal.SIGKILL)})\n")
    dead, alive = cover_all((Job("torchvision", "", f"{killer}:net"), MISSING), None)
    assert (dead.status, dead.reason) == ("failed", "its process died")
    assert "alexnot" in alive.reason


def test_shares_count_a_zoo_over_its_tasks() -> None:
    found = {(s.zoo, s.task): (s.models, s.covered, s.real) for s in shares(ROWS)}
    assert found == {
        ("torchvision", "classification"): (1, 1, 0),
        ("torchvision", "detection"): (1, 1, 1),
        ("torchvision", "all"): (2, 2, 1),
        ("timm", "image"): (2, 1, 0),
        ("timm", "all"): (2, 1, 0),
        ("hf", "causal-lm"): (1, 1, 0),
        ("hf", "speech"): (1, 0, 0),
        ("hf", "all"): (2, 1, 0),
    }


def test_the_reason_for_real_tensors_is_what_asked_for_a_value() -> None:
    assert needed(ROWS[1]) == "aten.nonzero.default"


def test_the_sample_is_summed_up() -> None:
    assert summarise(row for row in ROWS[:5] if row.sampled) == (
        "Of 2 models that both count 1 agree exactly, 1 differ by what is explained and 0 by what "
        "is not. "
        "1 more could not be counted by torch. 1 more of the sample are among the failures."
    )


def test_the_page_has_every_failure_and_every_difference() -> None:
    text = page(ROWS, {"torch": "9.9"})
    assert "--sample 5 -o docs/validation/coverage.md`\n(torch 9.9)" in text
    assert "| timm | all | 99%: **missed** | 2 | 1 | 50.0% | 0 | 0.10 | 0.10 |" in text
    assert "| timm | image | timm/b | unknown ops | mylib::op |" in text
    assert "| hf | speech | s | failed | it does not run |" in text
    assert "| torchvision | detection | det | aten.nonzero.default |" in text
    assert "| det (detection) | no formula for lstm 10 | 60 | 50 | 10 |" in text
    assert "| timm/a (image) | cannot \\| count it | 10 | - | - |" in text
    assert "| s (causal-lm) | unexplained | 7 | 4 | 3 |" in text


def test_the_json_has_rows_and_shares() -> None:
    document = json.loads(encode(ROWS, {"torch": "9.9"}))
    assert document["schema"] == "fuseline.coverage/1"
    assert [row["model"] for row in document["rows"]] == [row.model for row in ROWS]
    assert document["shares"][0]["covered"] == 1


def test_the_command_refuses_an_unknown_zoo(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["validate", "coverage", "--zoo", "tim"]) == 2
    assert "did you mean 'timm'" in capsys.readouterr().err


# --- the committed page, which a long run wrote -----------------------------------------------


def _tables() -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for part in PAGE.read_text().split("\n## ")[1:]:
        title, _, body = part.partition("\n")
        lines = [line[2:-2].split(" | ") for line in body.splitlines() if line.startswith("| ")]
        found[title] = lines[2:]
    return found


def test_committed_shares_meet_their_targets_and_recompute() -> None:
    lines = _tables()["Shares"]
    for _, _, verdict, models, covered, share, *_ in lines:
        assert share == f"{100 * int(covered) / int(models):.1f}%"
        assert "missed" not in verdict
    assert set(TARGETS) <= {(zoo, task) for zoo, task, *_ in lines}


def test_committed_failures_are_those_that_the_shares_leave_out() -> None:
    tables = _tables()
    left = sum(
        int(models) - int(covered)
        for _, task, _, models, covered, *_ in tables["Shares"]
        if task == "all"
    )
    assert len(tables["Failures"]) == left
    assert all(reason for *_, reason in tables["Failures"])


def test_committed_differences_are_explained_by_their_sum() -> None:
    lines = _tables()["FLOPs against torch's own counter"]
    counted = [line for line in lines if line[-1] != "-"]
    assert len(counted) >= 100
    for _, explanation, ours, torch, difference in counted:
        assert _number(ours) - _number(torch) == _number(difference)
        parts = re.findall(r" ([\d,]+)(?: \+|$)", explanation)
        assert sum(map(_number, parts)) == _number(difference)


def _number(text: str) -> int:
    return int(text.replace(",", ""))
