"""`fuseline cache` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fuseline.cli import run
from fuseline.cli.cache import command
from fuseline.report.captures import Capturing
from fuseline.sweep.graphs import About, GraphCache, key_of
from tests.small_graphs import small_graph

_VERSIONS = {"fuseline": "0.1.0", "code": "ab", "torch": "2.13.0"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GraphCache:
    """Three graphs, in the folder that the environment names."""
    monkeypatch.setenv("FUSELINE_CACHE", str(tmp_path))
    made = GraphCache(tmp_path / "graphs", 1 << 30)
    asked = (
        ("resnet18", Capturing(batch=1, dtype="bfloat16")),
        ("timm/vit_tiny", Capturing(via="module")),
        ("hf/llama", Capturing(decode=128, attention="decomposed")),
    )
    for model, how in asked:
        key = key_of(model, how, _VERSIONS)
        assert key is not None
        assert made.put(key, small_graph(1), About(model, how, _VERSIONS))
    return made


def _rows(out: str) -> list[dict[str, object]]:
    return json.loads(out)["rows"]


def size_of(cache: GraphCache) -> int:
    return sum(entry.nbytes for entry in cache.entries())


def test_it_says_what_each_zoo_takes(cache: GraphCache, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, ["--format", "json"]) == 0
    rows = _rows(capsys.readouterr().out)
    assert [(row["zoo"], row["entries"]) for row in rows] == [
        ("hf", 1), ("timm", 1), ("torchvision", 1), ("all", 3),
    ]  # fmt: skip
    assert rows[-1]["bytes"] == size_of(cache) == sum(int(str(row["bytes"])) for row in rows[:-1])


def test_folder_and_limit_are_beside_it(
    cache: GraphCache, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, []) == 0
    out = capsys.readouterr().out
    assert f"note: in {cache.folder}" in out
    assert "2,147,483,648 bytes at most" in out


def test_a_list_has_a_line_a_graph(cache: GraphCache, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, ["--list", "--format", "json", "--folder", str(cache.folder)]) == 0
    rows = _rows(capsys.readouterr().out)
    told = [(row["model"], row["batch"], row["dtype"], row["via"], row["options"]) for row in rows]
    assert told == [
        ("hf/llama", None, None, "record", "decode 128, decomposed attention"),
        ("resnet18", 1, "bfloat16", "record", None),
        ("timm/vit_tiny", None, None, "module", None),
    ]
    assert {row["fuseline"] for row in rows} == {"0.1.0 ab"}


def test_a_graph_that_says_nothing_of_itself_is_listed_too(
    cache: GraphCache, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in cache.folder.rglob("*.about.json"):
        path.unlink()
    assert run(command, ["--list", "--format", "json"]) == 0
    assert all(str(row["model"]).startswith("? ") for row in _rows(capsys.readouterr().out))
    assert run(command, ["--format", "json"]) == 0
    assert [row["zoo"] for row in _rows(capsys.readouterr().out)] == ["unknown", "all"]


@pytest.mark.parametrize(("words", "left"), [
    (["--clear"], 0), (["--clear", "timm/*"], 2), (["--clear", "torchvision/*"], 2),
    (["--limit", "1GB"], 3), (["--limit", "1"], 0),
])  # fmt: skip
def test_graphs_go_as_asked(
    words: list[str], left: int, cache: GraphCache, capsys: pytest.CaptureFixture[str]
) -> None:
    before = size_of(cache)
    assert run(command, [*words, "--format", "json"]) == 0
    told = capsys.readouterr()
    assert _rows(told.out)[-1]["entries"] == left == len(list(cache.entries()))
    noun = "graph" if left == 2 else "graphs"
    assert told.err == f"deleted {3 - left} {noun}, {before - size_of(cache):,} bytes\n"


def test_a_default_folder_that_is_not_there_has_no_graphs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FUSELINE_CACHE", str(tmp_path / "none"))
    assert run(command, ["--format", "json"]) == 0
    [row] = _rows(capsys.readouterr().out)
    assert (row["zoo"], row["entries"], row["bytes"], row["oldest_use"]) == ("all", 0, 0, None)
    assert not (tmp_path / "none").exists()


def test_a_limit_of_now_is_not_said_to_be_that_of_sweeps(
    cache: GraphCache, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cache.most_nbytes
    assert run(command, ["--limit", "40KB"]) == 0
    assert "at most" not in capsys.readouterr().out


@pytest.mark.parametrize(("words", "said"), [
    (["--clear", "timn/vit_tiny"], "no graph kept is of 'timn/vit_tiny': did you mean 'timm/vit_"),
    (["--clear", "vgg*"], "no graph kept is of 'vgg*': 'fuseline cache --list' says which"),
    (["--clear", "--folder", "nowhere"], "'nowhere' does not exist: name a folder"),
    (["--folder", __file__], f"'{__file__}' is a file: name a folder"),
])  # fmt: skip
def test_what_is_not_there_is_one_line(
    words: list[str], said: str, cache: GraphCache, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, words) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert told.err.startswith(f"error: {said}")
    assert len(list(cache.entries())) == 3


@pytest.mark.parametrize(("words", "said"), [
    (["--limit", "0"], "--limit must be positive, not '0'"),
    (["--limit", "much"], "'much' is no size: write 65536, 256KB or 24MB"),
    (["--format", "jsn"], "unknown format 'jsn': did you mean 'json'?"),
])  # fmt: skip
def test_what_cannot_be_is_one_line_and_deletes_nothing(
    words: list[str], said: str, cache: GraphCache, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command, ["--clear", *words]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"error: {said}")
    assert told.err.count("\n") == 1
    assert len(list(cache.entries())) == 3
