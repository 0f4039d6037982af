"""The cache of graphs: what it gives back, what it forgets, and what it survives."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from fuseline.errors import InputError
from fuseline.graph import Graph
from fuseline.report.captures import Capturing
from fuseline.sweep import graphs
from fuseline.sweep.graphs import About, GraphCache, key_of
from tests.small_graphs import small_graph

_VERSIONS = {"torch": "2.13.0", "captures": "ab"}
_GRAPH = small_graph(1)
_PLENTY = 1 << 30


def _key(number: int) -> str:
    return sha256(str(number).encode()).hexdigest()


def _about(model: str = "resnet18") -> About:
    return About(model, Capturing(batch=2), _VERSIONS)


def _fill(cache: GraphCache, count: int) -> int:
    """Put so many, used a minute after each other, and say what one takes [bytes]."""
    for number in range(count):
        assert cache.put(_key(number), _GRAPH, _about())
        path = cache.folder / _key(number)[:2] / f"{_key(number)}.json.zst"
        used = time.time() - 60 * (count - number)
        os.utime(path, (used, used))
    return next(cache.entries()).nbytes


def _kept(cache: GraphCache) -> set[str]:
    return {entry.path.name.partition(".")[0] for entry in cache.entries()}


# --- in and out -----------------------------------------------------------------------------


def test_a_graph_comes_back_as_it_was(tmp_path: Path) -> None:
    cache = GraphCache(tmp_path / "new" / "graphs", _PLENTY)
    assert cache.get(_key(1)) is None
    assert cache.put(_key(1), _GRAPH, _about())
    assert GraphCache(tmp_path / "new" / "graphs", _PLENTY).get(_key(1)) == _GRAPH
    assert cache.get(_key(2)) is None


def test_an_entry_says_what_it_is_of(tmp_path: Path) -> None:
    cache = GraphCache(tmp_path, _PLENTY)
    how = Capturing("module", 4, "bfloat16", ((1, 3, 8, 8), ()), 128, 256, attention="decomposed")
    about = About("hf/bert", how, _VERSIONS)
    cache.put(_key(1), _GRAPH, about)
    [entry] = cache.entries()
    assert entry.about == about
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert entry.nbytes == sum(path.stat().st_size for path in files)
    assert {path.name for path in files} == {f"{_key(1)}.json.zst", f"{_key(1)}.about.json"}


@pytest.mark.parametrize("damage", [
    lambda content: b"",
    lambda content: content[: len(content) // 2],
    lambda content: b"garbage",
    lambda content: content[:-9] + b"\0" + content[-8:],
], ids=["empty", "short", "foreign", "one byte"])  # fmt: skip
def test_a_damaged_entry_is_a_miss_and_goes(
    damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    cache = GraphCache(tmp_path, _PLENTY)
    cache.put(_key(1), _GRAPH, _about())
    [entry] = cache.entries()
    entry.path.write_bytes(damage(entry.path.read_bytes()))
    assert cache.get(_key(1)) is None
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert cache.put(_key(1), _GRAPH, _about())
    assert cache.get(_key(1)) == _GRAPH


def test_a_damaged_note_costs_the_note_alone(tmp_path: Path) -> None:
    cache = GraphCache(tmp_path, _PLENTY)
    cache.put(_key(1), _GRAPH, _about())
    next(tmp_path.rglob("*.about.json")).write_bytes(b"{")
    assert next(cache.entries()).about is None
    assert cache.get(_key(1)) == _GRAPH


# --- keys -----------------------------------------------------------------------------------


def test_whatever_decides_a_capture_is_in_its_key() -> None:
    ways = [
        Capturing(), Capturing(via="module"), Capturing(batch=1), Capturing(batch=2),
        Capturing(dtype="bfloat16"), Capturing(input_shapes=((1, 3, 8, 8),)), Capturing(seq_len=8),
        Capturing(decode=8), Capturing(train=True), Capturing(attention="decomposed"),
    ]  # fmt: skip
    found = {key_of("resnet18", how, _VERSIONS) for how in ways}
    found |= {key_of("resnet34", Capturing(), _VERSIONS)}
    found |= {key_of("resnet18", Capturing(), {**_VERSIONS, name: "other"}) for name in _VERSIONS}
    found |= {key_of("resnet18", Capturing(), {**_VERSIONS, "timm": "1.0"})}
    assert None not in found
    assert len(found) == len(ways) + 4
    again = dict(reversed(_VERSIONS.items()))
    assert key_of("resnet18", Capturing(), again) in found


@pytest.mark.parametrize("name", ["config.json", "net.pt2"])
def test_files_are_told_by_their_content(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text('{"model_type": "bert"}')
    one = key_of(str(path), Capturing(), _VERSIONS)
    os.utime(path, (1, 1))
    assert key_of(str(path), Capturing(), _VERSIONS) == one
    path.write_text('{"model_type": "gpt2"}')
    assert key_of(str(path), Capturing(), _VERSIONS) not in (one, None)


def test_what_may_read_anything_or_is_a_graph_already_is_not_cached(tmp_path: Path) -> None:
    saved = tmp_path / "net.json"
    saved.write_text("{}")
    for name in ("net.py:make", str(saved), "net.json.zst"):
        assert key_of(name, Capturing(), _VERSIONS) is None


# --- size -----------------------------------------------------------------------------------


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = GraphCache(tmp_path, _PLENTY)
    one = _fill(cache, 20)
    assert cache.get(_key(0)) is not None  # used now
    assert cache.trim(20 * one) == ()
    gone = cache.trim(10 * one)
    assert len(gone) == 11  # down to 90% of the limit
    assert _kept(cache) == {_key(0), *(_key(number) for number in range(12, 20))}
    assert sum(entry.nbytes for entry in cache.entries()) == 9 * one


def test_a_full_cache_trims_itself(tmp_path: Path) -> None:
    one = _fill(GraphCache(tmp_path, _PLENTY), 4)
    cache = GraphCache(tmp_path, 4 * one)  # one entry is much of it, so that each put looks
    assert cache.put(_key(9), _GRAPH, _about())
    assert _kept(cache) == {_key(2), _key(3), _key(9)}


def test_a_large_cache_is_not_looked_through_at_every_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    monkeypatch.setattr(GraphCache, "trim", lambda cache: looks.append(1))
    one = _fill(GraphCache(tmp_path, _PLENTY), 1)
    cache = GraphCache(tmp_path, one * 500)  # of which a fiftieth is 10 entries
    for number in range(100):
        cache.put(_key(number), _GRAPH, _about())
    assert 9 <= len(looks) <= 10


def test_what_killed_writers_left_goes_but_not_what_is_being_written(tmp_path: Path) -> None:
    cache = GraphCache(tmp_path, _PLENTY)
    cache.put(_key(1), _GRAPH, _about())
    shelf = tmp_path / _key(1)[:2]
    old, new = shelf / ".fuseline-old", shelf / ".fuseline-new"
    alone = shelf / f"{_key(2)}.about.json"
    for path in (old, new, alone):
        path.write_bytes(b"half")
    for path in (old, alone):
        os.utime(path, (0, 0))
    cache.trim()
    assert [path.exists() for path in (old, alone, new)] == [False, False, True]
    assert cache.get(_key(1)) == _GRAPH


def test_clearing_takes_models_by_pattern(tmp_path: Path) -> None:
    cache = GraphCache(tmp_path, _PLENTY)
    models = ("resnet18", "timm/resnet18", "timm/vit", "hf/bert")
    for number, model in enumerate(models):
        cache.put(_key(number), _GRAPH, _about(model))
    assert cache.clear("resnet34") == ()
    assert len(cache.clear("timm/*")) == 2
    assert len(cache.clear("torchvision/*")) == 1
    assert _kept(cache) == {_key(3)}
    assert len(cache.clear()) == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_nothing_else_in_the_folder_is_touched(tmp_path: Path) -> None:
    cache = GraphCache(tmp_path, _PLENTY)
    cache.put(_key(1), _GRAPH, _about())
    mine = [tmp_path / "thesis.json.zst", tmp_path / "photos" / "one.json.zst"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")
        os.utime(path, (0, 0))
    cache.clear()
    cache.trim(0)
    assert all(path.exists() for path in mine)


# --- what goes wrong ------------------------------------------------------------------------


def test_a_folder_that_cannot_be_is_no_fault_of_the_job(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = GraphCache(tmp_path / "file" / "graphs", _PLENTY)
    assert not cache.put(_key(1), _GRAPH, _about())
    assert cache.get(_key(1)) is None
    assert list(cache.entries()) == []
    assert cache.trim() == cache.clear() == ()
    assert "Not a directory" in str(cache.fault())
    assert GraphCache(tmp_path / "new", _PLENTY).fault() is None


def test_a_full_disk_leaves_no_half_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        if path.name.endswith(".zst"):
            raise InputError(f"cannot write '{path}': No space left on device")
        path.write_bytes(content)

    monkeypatch.setattr(graphs, "write_bytes", full)
    assert not GraphCache(tmp_path, _PLENTY).put(_key(1), _GRAPH, _about())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def _hammer(folder: Path, seed: int, most_nbytes: int) -> None:
    """Put, get, trim and clear at random; whatever comes back must be what was put."""
    cache, chance = GraphCache(folder, most_nbytes), random.Random(seed)  # noqa: S311 - which of them, no secret
    for _ in range(100):
        number = chance.randrange(8)
        graph = _numbered(number)
        found = cache.get(_key(number))
        assert found in (None, graph)
        match chance.randrange(6):
            case 0:
                cache.trim()
            case 1:
                cache.clear(f"model{number}")
            case _:
                assert cache.put(_key(number), graph, _about(f"model{number}"))


def _numbered(number: int) -> Graph:
    return replace(_GRAPH, source=replace(_GRAPH.source, name=f"model{number}"))


@pytest.mark.slow
def test_processes_share_a_folder(tmp_path: Path) -> None:
    cache = GraphCache(tmp_path, _PLENTY)
    one = _fill(cache, 1)
    cache.clear()
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_hammer, args=(tmp_path, seed, 4 * one)) for seed in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.name.endswith((".json.zst", ".about.json")) for path in left)
