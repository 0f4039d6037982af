from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from fuseline.errors import InputError
from fuseline.graph import Builder, Gather, Graph, Kind, Role, load, save
from fuseline.graph.files import decode, encode, find_fault
from tests.strategies import graphs

Damage = Callable[[dict[str, Any]], object]


def sample() -> Graph:
    build = Builder()
    x = build.tensor("x", (4, 2), role=Role.INPUT)  # 32 bytes
    w = build.tensor("w", (8,), dtype="float16", role=Role.PARAMETER)  # 16 bytes
    y = build.op("pick", Kind.INDEX, inputs=[x], parameters=[w], gathers=(Gather(x, 8),), shape=())
    return build.finish([build.op("relu", Kind.RELU, inputs=[y], shape=())])


def reducing() -> Graph:
    build = Builder()
    x = build.tensor("x", (4, 6, 5), role=Role.INPUT)
    w = build.tensor("w", (3, 2), role=Role.PARAMETER)
    build.op("of_w", Kind.MEAN, parameters=[w], shape=(3,), axes=(1,))
    y = build.op("norm", Kind.GROUPNORM, inputs=[x], shape=(4, 6, 5), axes=(1, 2), row_numel=10)
    return build.finish([build.op("sum", Kind.SUM, inputs=[y], shape=(4, 5), axes=(1,))])


def refusal(content: bytes) -> str:
    with pytest.raises(InputError) as caught:
        decode(content, "g.json")
    message = str(caught.value)
    assert "\n" not in message
    return message


@given(graphs())
def test_a_graph_comes_back_equal(graph: Graph) -> None:
    assert decode(encode(graph), "memory") == graph
    assert find_fault(graph) is None


@pytest.mark.parametrize("name", ["g.json", "g.json.zst"])
def test_saved_and_loaded(tmp_path: Path, name: str) -> None:
    save(sample(), tmp_path / name)
    assert load(str(tmp_path / name)) == sample()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_zst_file_is_smaller_and_known_by_its_content(tmp_path: Path) -> None:
    save(sample(), tmp_path / "g.zst")
    content = (tmp_path / "g.zst").read_bytes()
    assert content.startswith(b"\x28\xb5\x2f\xfd")
    assert len(content) < len(encode(sample()))
    (tmp_path / "renamed.json").write_bytes(content)
    assert load(tmp_path / "renamed.json") == sample()


def test_the_document_names_its_schema() -> None:
    assert json.loads(encode(sample()))["schema"] == "fuseline.graph/1"


@pytest.mark.parametrize("end", [0, 1, 40, -1])
def test_a_truncated_file_is_refused(end: int) -> None:
    assert refusal(encode(sample())[:end]).startswith("'g.json' is not a graph file: ")


@pytest.mark.parametrize("end", [5, 20, -6])
def test_a_truncated_zst_file_is_refused(tmp_path: Path, end: int) -> None:
    save(sample(), tmp_path / "g.zst")
    assert refusal((tmp_path / "g.zst").read_bytes()[:end]).startswith("'g.json' is ")


@pytest.mark.parametrize(
    "content", [b"[]", b"{}", b'{"schema": 3}', b"null", b"\xff\xfe", b'"\xff"', b"import os"]
)
def test_foreign_content_is_refused(content: bytes) -> None:
    assert refusal(content).startswith("'g.json' is not a graph file: ")


def test_another_family_is_named() -> None:
    assert refusal(b'{"schema": "fuseline.result/1"}') == (
        "'g.json' is not a graph file: its schema is 'fuseline.result/1', not 'fuseline.graph/1'"
    )


def test_a_newer_version_says_what_to_do() -> None:
    assert refusal(b'{"schema": "fuseline.graph/2", "graph": 0}') == (
        "'g.json' has schema 'fuseline.graph/2'; this version reads 'fuseline.graph/1': "
        "capture the model again or use the fuseline that wrote it"
    )


def test_missing_fields_are_damage() -> None:
    assert refusal(b'{"schema": "fuseline.graph/1", "graph": {}}').startswith(
        "'g.json' is damaged: "
    )


def _put(collection: str, index: int, field: str, value: object) -> Damage:
    return lambda graph: graph[collection][index].__setitem__(field, value)


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (_put("storages", 0, "id", 5), "storage 0 has id 5"),
        (_put("storages", 0, "nbytes", -1), "storage 0 has -1 bytes"),
        (_put("tensors", 1, "id", 0), "tensor 1 has id 0"),
        (_put("tensors", 0, "storage", 9), "tensor 'x' lies in storage 9, which is not there"),
        (_put("tensors", 0, "storage", -1), "tensor 'x' lies in storage -1, which is not there"),
        (_put("tensors", 0, "strides", [1]), "tensor 'x' has 2 sizes, 1 strides"),
        (
            _put("tensors", 0, "dtype", "float3"),
            "tensor 'x' has dtype 'float3', whose size is not known",
        ),
        (_put("tensors", 0, "shape", [4, -2]), "tensor 'x' has a negative size, stride or offset"),
        (_put("tensors", 0, "offset", -1), "tensor 'x' has a negative size, stride or offset"),
        (
            _put("tensors", 0, "strides", [2, -1]),
            "tensor 'x' has a negative size, stride or offset",
        ),
        # element (3, 1) with strides (2, 1) is the 8th; one further on, the 9th ends at byte 36
        (_put("tensors", 0, "offset", 1), "tensor 'x' ends at byte 36 of storage 0, which has 32"),
        # (4 - 1) * 10**15 + 1 elements on: byte 4 * (3 * 10**15 + 2)
        (
            _put("tensors", 0, "strides", [10**15, 1]),
            "tensor 'x' ends at byte 12000000000000008 of storage 0, which has 32",
        ),
        (
            _put("storages", 1, "nbytes", 15),
            "tensor 'w' ends at byte 16 of storage 1, which has 15",
        ),
        (_put("ops", 1, "id", 0), "op 1 has id 0"),
        (_put("ops", 0, "inputs", [44]), "op 'pick' names a tensor that is not there"),
        (_put("ops", 0, "parameters", [-1]), "op 'pick' names a tensor that is not there"),
        (_put("ops", 0, "outputs", [44]), "op 'pick' names a tensor that is not there"),
        (_put("ops", 0, "writes", [44]), "op 'pick' names a tensor that is not there"),
        (
            _put("ops", 0, "gathers", [{"tensor": 44, "nbytes": 1}]),
            "op 'pick' names a tensor that is not there",
        ),
        (
            _put("ops", 0, "gathers", [{"tensor": 0, "nbytes": -1}]),
            "op 'pick' gathers a negative number of bytes",
        ),
        (
            _put("ops", 0, "scatters", [{"tensor": 44, "nbytes": 1}]),
            "op 'pick' names a tensor that is not there",
        ),
        (
            _put("ops", 0, "scatters", [{"tensor": 0, "nbytes": -1}]),
            "op 'pick' scatters a negative number of bytes",
        ),
        (
            lambda graph: graph.__setitem__("folded", [{**graph["ops"][1], "predecessors": []}]),
            "op 0 has id 1",
        ),
        (
            _put("ops", 0, "predecessors", [0]),
            "op 'pick' takes the result of an op that does not come before it",
        ),
        (
            _put("ops", 1, "predecessors", [-1]),
            "op 'relu' takes the result of an op that does not come before it",
        ),
        (
            lambda graph: graph.__setitem__("outputs", [99]),
            "an output names a tensor that is not there",
        ),
    ],
)
def test_references_that_do_not_hold_are_damage(damage: Damage, fault: str) -> None:
    document = json.loads(encode(sample()))
    damage(document["graph"])
    assert refusal(json.dumps(document).encode()) == f"'g.json' is damaged: {fault}"


def test_what_reductions_reduce_comes_back() -> None:
    graph = decode(encode(reducing()), "memory")
    assert graph == reducing()
    # the rows of w are 2 long; the 6 channels of x are in 3 groups of 2, times 5; the sum is of 6
    assert [op.row_numel for op in graph.ops] == [2, 10, 6]


def test_a_file_from_before_reductions_said_what_they_reduce_is_read() -> None:
    document = json.loads(encode(reducing()))
    for op in document["graph"]["ops"]:
        del op["axes"], op["row_numel"]
    graph = decode(json.dumps(document).encode(), "old.json")
    assert [(op.axes, op.row_numel) for op in graph.ops] == [(None, None)] * 3
    assert [op.name for op in graph.ops] == ["of_w", "norm", "sum"]


@pytest.mark.parametrize(
    ("op", "field", "value", "fault"),
    [
        (1, "axes", [2, 3], "op 'norm' reduces [2, 3] of 3 dimensions"),
        (1, "axes", [-1], "op 'norm' reduces [-1] of 3 dimensions"),
        (0, "axes", [2], "op 'of_w' reduces [2] of 2 dimensions"),
        (1, "axes", [2, 1], "op 'norm' reduces [2, 1], which is not in order"),
        (1, "axes", [1, 1], "op 'norm' reduces [1, 1], which is not in order"),
        (1, "row_numel", 60, "op 'norm' has rows of 60 elements, in 30"),
        (1, "row_numel", 7, "op 'norm' has rows of 7 elements, in 30"),
        (1, "row_numel", 0, "op 'norm' has rows of 0 elements, in 30"),
        (1, "row_numel", -5, "op 'norm' has rows of -5 elements, in 30"),
        (1, "row_numel", None, "op 'norm' says only a part of what it reduces"),
        (1, "axes", None, "op 'norm' says only a part of what it reduces"),
        (1, "inputs", [], "op 'norm' says only a part of what it reduces"),
    ],
)
def test_axes_that_do_not_fit_are_damage(op: int, field: str, value: object, fault: str) -> None:
    document = json.loads(encode(reducing()))
    _put("ops", op, field, value)(document["graph"])
    assert refusal(json.dumps(document).encode()) == f"'g.json' is damaged: {fault}"


def test_an_empty_row_is_no_damage() -> None:
    build = Builder()
    x = build.tensor("x", (4, 0), role=Role.INPUT)
    graph = build.finish([build.op("sum", Kind.SUM, inputs=[x], shape=(4,), axes=(1,))])
    assert graph.ops[0].row_numel == 0
    assert find_fault(graph) is None


def test_an_empty_view_may_lie_anywhere() -> None:
    build = Builder()
    build.storage(4, Role.INPUT)
    build.tensor("none", (0, 3), storage=0, offset=50, strides=(3, 1))
    assert find_fault(build.finish([])) is None


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^cannot read '.*none.json': No such file or directory$"):
        load(tmp_path / "none.json")


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^cannot write '.*g.json': No such file or directory$"):
        save(sample(), tmp_path / "none" / "g.json")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "g.json").mkdir()
    with pytest.raises(InputError, match=r"^cannot write '.*g.json': it is a directory$"):
        save(sample(), tmp_path / "g.json")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device")

    (tmp_path / "g.json").write_text("old")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InputError, match=r"^cannot write '.*g.json': No space left on device$"):
        save(sample(), tmp_path / "g.json")
    assert [path.name for path in tmp_path.iterdir()] == ["g.json"]
    assert (tmp_path / "g.json").read_text() == "old"
