"""Exported programs in files: what is read, and that nothing in a file runs."""

from __future__ import annotations

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fuseline import InputError, capture
from fuseline.graph import Graph, Kind, OpClass, Role


class Net(nn.Module):
    """Two linear layers with one weight, a norm, a buffer that is not saved, two constants."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("shift", torch.arange(4.0), persistent=False)
        self.scale = torch.ones(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.second(self.first(x)))
        return torch.relu(x * self.scale + self.shift + torch.tensor([1.0, 2.0, 3.0, 4.0]))


def _save(model: nn.Module, inputs: tuple[Tensor, ...], path: Path, **options: Any) -> Path:  # noqa: ANN401
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(model, inputs, strict=False, **options), path)
    return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _save(Net().eval(), (torch.randn(2, 4),), tmp_path_factory.mktemp("pt2") / "net.pt2")


def _rewrite(
    path: Path,
    to: Path,
    changes: dict[str, bytes | None],
    edit: Callable[[Any], object] | None = None,
) -> str:
    """A copy of an archive with records replaced, added or (None) left out, and its graph edited.

    Records of the result are named as in the original: its folder is kept.
    """
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(to, "w") as copy:
        root = archive.namelist()[0].partition("/")[0]
        records: dict[str, bytes | None] = {
            name.partition("/")[2]: archive.read(name) for name in archive.namelist()
        }
        if edit is not None:
            program = json.loads(records["models/model.json"] or b"")
            edit(program)
            records["models/model.json"] = json.dumps(program).encode()
        for name, content in (records | changes).items():
            if content is not None:
                copy.writestr(f"{root}/{name}", content)
    return str(to)


def _totals(graph: Graph) -> tuple[int, ...]:
    return (graph.flops, graph.parameter_bytes, graph.compulsory_bytes, graph.other_flops)


def _kinds(graph: Graph) -> list[tuple[Kind, str, str]]:
    return [(op.kind, op.module_path, op.module_class) for op in graph.ops if op.is_compute]


def test_a_file_gives_the_graph_of_the_model(saved: Path) -> None:
    graph, recorded = capture(str(saved)), capture(Net().eval(), torch.randn(2, 4))
    assert _totals(graph) == _totals(recorded)
    assert _kinds(graph) == _kinds(recorded)
    # one 4 x 4 weight, two biases, four of the norm, shift, scale and the literal; relu has none
    assert graph.parameter_bytes == 4 * (16 + 2 * 4 + 4 * 4 + 3 * 4)
    source = graph.source
    assert (source.source, source.via, source.mode) == ("pt2", "export", "eval")
    assert (source.batch, source.input_shapes) == (2, ((2, 4),))
    assert source.notes == ("no code and no pickle of the file was run; its weights were not read",)
    held = {t.name: t.role for t in graph.tensors if t.role is not Role.ACTIVATION}
    assert held["first.weight"] is Role.PARAMETER
    assert held["norm.running_mean"] is held["shift"] is Role.BUFFER
    assert held["input"] is Role.INPUT


def test_weights_are_not_read(saved: Path, tmp_path: Path) -> None:
    wrong = bytes(64)  # the record's length is right; its checksum in the archive is not looked at
    path = Path(_rewrite(saved, tmp_path / "a.pt2", {"data/weights/weight_0": wrong}))
    content = path.read_bytes()
    path.write_bytes(content.replace(wrong, b"\xff" * 64, 1))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is not None
    assert _totals(capture(str(path))) == _totals(capture(str(saved)))


def test_a_program_that_trains_says_so(tmp_path: Path) -> None:
    path = _save(Net().train(), (torch.randn(2, 4),), tmp_path / "train.pt2")
    graph, recorded = capture(str(path)), capture(Net().train(), torch.randn(2, 4))
    assert graph.source.mode == "train"
    assert _totals(graph) == _totals(recorded)


class Sized(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            scores = x @ x.transpose(0, 1)
        return scores, x.reshape(x.shape[0] * 2, 4)


def test_dynamic_sizes_are_those_of_the_example(tmp_path: Path) -> None:
    rows = torch.export.Dim("rows", min=2, max=64)
    path = _save(Sized(), (torch.randn(6, 8),), tmp_path / "a.pt2", dynamic_shapes=({0: rows},))
    graph = capture(str(path))
    assert graph.flops == 2 * 6 * 6 * 8
    assert "dynamic sizes are those of the example inputs" in " ".join(graph.source.notes)
    scores, halves = (graph.tensors[tensor] for tensor in graph.outputs)
    assert (scores.shape, scores.dtype) == ((6, 6), "bfloat16")  # the region's autocast holds
    assert (halves.shape, halves.dtype) == ((12, 4), "float32")


@pytest.mark.parametrize("table", ["none", "default"])
@pytest.mark.parametrize("train", [False, True])
def test_a_decomposed_program_has_the_same_flops(
    tmp_path: Path, table: str, *, train: bool
) -> None:
    layers = (nn.Conv1d(6, 6, 3, padding=1), nn.BatchNorm1d(6),
              nn.TransformerEncoderLayer(16, 2, 32, batch_first=True))  # fmt: skip
    model, x = nn.Sequential(*layers).train(train), torch.randn(2, 6, 16)
    recorded = capture(model, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = torch.export.export(model, (x,), strict=False)
        exported = exported.run_decompositions({} if table == "none" else None)
        torch.export.save(exported, tmp_path / "a.pt2")
    graph = capture(str(tmp_path / "a.pt2"))
    assert graph.flops == recorded.flops
    assert graph.parameter_bytes == recorded.parameter_bytes
    assert not graph.unknown_ops


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        chosen = torch.cond(x.sum() > 0, lambda y: y.sin(), lambda y: y.cos(), (x,))
        return chosen + 1


def test_a_branch_is_one_unknown_op(tmp_path: Path) -> None:
    graph = capture(str(_save(Branching(), (torch.randn(6, 4),), tmp_path / "a.pt2")))
    (unknown,) = graph.unknown_ops
    assert (unknown.target, unknown.op_class) == ("higher_order::cond", OpClass.OPAQUE)
    assert [graph.tensors[t].shape for t in unknown.outputs] == [(6, 4)]
    assert len(unknown.inputs) == 2  # the condition, and x


# --- what a file may not do -----------------------------------------------------------------


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.path,)


def _payloads(name: str, **meta: object) -> bytes:
    return json.dumps({"config": {name: {"is_param": False, "tensor_meta": None, **meta}}}).encode()


def test_no_pickle_is_loaded(saved: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    evil = pickle.dumps(Touch(made))
    sample = _rewrite(saved, tmp_path / "a.pt2", {"data/sample_inputs/model.pt": evil})
    assert capture(sample).flops == 2 * 2 * 2 * 4 * 4
    constants = "data/constants/model_constants_config.json"
    refused: list[dict[str, bytes | None]] = [
        {"data/weights/model.pt": evil},
        {"data/constants/model.pt": evil},
        {"data/constants/custom_obj_0": evil,
         constants: _payloads("c", path_name="custom_obj_0", use_pickle=True)},
        {"data/constants/tensor_0": evil,
         constants: _payloads("c", path_name="tensor_0", use_pickle=True)},
        {"data/constants/opaque_obj_0": evil,
         constants: _payloads("c", path_name="opaque_obj_0", use_pickle=False)},
    ]  # fmt: skip
    for changes in refused:
        path = _rewrite(saved, tmp_path / "b.pt2", changes)
        with pytest.raises(InputError, match="loading it would run code from the file"):
            capture(path)
    assert not made.exists()
    pickle.loads(evil)  # noqa: S301 - what a reader that unpickles would have done
    assert made.exists()


def test_no_expression_is_evaluated(saved: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    code = f"__import__('pathlib').Path({str(made)!r}).touch() or 2"

    def edit(program: Any, hint: object) -> None:  # noqa: ANN401
        values = program["graph_module"]["graph"]["tensor_values"]
        values["x"]["sizes"][0] = {"as_expr": {"expr_str": code, "hint": hint}}

    path = _rewrite(saved, tmp_path / "a.pt2", {}, lambda p: edit(p, {"as_int": 2}))
    assert capture(path).flops == capture(str(saved)).flops
    path = _rewrite(saved, tmp_path / "b.pt2", {}, lambda p: edit(p, None))
    with pytest.raises(InputError, match="has sizes that depend on data"):
        capture(path)
    assert not made.exists()


def _retarget(target: object) -> Callable[[Any], None]:
    def edit(program: Any) -> None:  # noqa: ANN401
        program["graph_module"]["graph"]["nodes"][-1]["target"] = target

    return edit


@pytest.mark.parametrize(
    "target",
    ["torch.os.system", "torch.load", "torch.ops.load_library", "_operator.attrgetter",
     "_operator.__import__", "math.os", "builtins.exec", "torch.ops.aten.from_file.default",
     "torch.ops.aten.relu", "torch.ops.__class__.mro.x", "torch.sym_nothing", "torch._export.x",
     "torch.ops.aten.relu.__class__", 7, None],
)  # fmt: skip
def test_only_operators_are_called(saved: Path, tmp_path: Path, target: object) -> None:
    path = _rewrite(saved, tmp_path / "a.pt2", {}, _retarget(target))
    with pytest.raises(InputError, match=r"which is no operator|cannot be read as an exported"):
        capture(path)


@pytest.mark.parametrize(
    ("target", "operands", "sentence"),
    [
        ("pow", ({"as_int": 9}, {"as_int": 10**9}), "a size is raised or shifted"),
        ("mul", ({"as_int": 2**62}, {"as_int": 2**62}), "a size is 2^63 or more"),
        ("mul", ({"as_string": "x"}, {"as_int": 10**12}), "mul is called on what is no"),
    ],
)
def test_arithmetic_on_sizes_is_bounded(
    saved: Path, tmp_path: Path, target: str, operands: tuple[object, ...], sentence: str
) -> None:
    def edit(program: Any) -> None:  # noqa: ANN401
        graph = program["graph_module"]["graph"]
        inputs = [{"name": "", "arg": operand, "kind": 1} for operand in operands]
        outputs = [{"as_sym_int": {"as_name": "huge"}}]
        node = {
            "target": f"_operator.{target}",
            "inputs": inputs,
            "outputs": outputs,
            "metadata": {},
        }
        graph["nodes"].insert(0, node)
        graph["sym_int_values"]["huge"] = {"as_int": 1}

    with pytest.raises(InputError, match=re.escape(sentence)):
        capture(_rewrite(saved, tmp_path / "a.pt2", {}, edit))


def test_an_operator_that_is_not_defined_here_is_unknown(saved: Path, tmp_path: Path) -> None:
    path = _rewrite(saved, tmp_path / "a.pt2", {}, _retarget("torch.ops.mylib.fancy.default"))
    graph = capture(path)
    assert [op.target for op in graph.unknown_ops] == ["mylib::fancy"]
    assert graph.ops[-1].target == "mylib::fancy"
    assert graph.tensors[graph.outputs[0]].shape == (2, 4)


# --- what is no such file, or a damaged one -------------------------------------------------


def _zip(path: Path, records: dict[str, str]) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    return str(path)


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ({"notes.txt": "hello"}, "it is a zip of something else"),
        ({"net/constants.pkl": "", "net/data.pkl": "", "net/version": "3"}, "it is TorchScript"),
        ({"net/data.pkl": "", "net/version": "3"}, "it is what torch.save writes, a pickle"),
        ({"serialized_exported_program.json": "{}", "version": "5.3"}, "export it again"),
        ({"a/archive_format": "other"}, "its archive_format is another"),
        ({"a/archive_format": "pt2", "a/archive_version": "9"}, "archive of version '9'; torch"),
        ({"a/archive_format": "pt2", "a/archive_version": "0"}, "holds no exported program"),
        (
            {"a/archive_format": "pt2", "a/archive_version": "0",
             "a/data/aotinductor/model/x.so": ""},
            "holds compiled code (AOTInductor) and no exported program",
        ),
        (
            {"a/archive_format": "pt2", "a/archive_version": "0", "a/models/left.json": "",
             "a/models/right.json": ""},
            "holds several programs and none named 'model': left, right",
        ),
        (
            {"a/archive_format": "pt2", "a/archive_version": "0", "a/models/model.json": "{"},
            "models/model.json is no JSON",
        ),
        (
            {"a/archive_format": "pt2", "a/archive_version": "0", "a/models/model.json": "[]"},
            "models/model.json is no JSON object",
        ),
    ],
)  # fmt: skip
def test_another_zip_is_refused(tmp_path: Path, records: dict[str, str], sentence: str) -> None:
    path = _zip(tmp_path / "net.pt2", records)
    with pytest.raises(InputError) as raised:
        capture(path)
    assert sentence in str(raised.value)
    assert path in str(raised.value)


def test_what_is_no_archive_is_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.pt2' is not there"):
        capture(str(tmp_path / "nothing.pt2"))
    (tmp_path / "text.pt2").write_text("hello")
    (tmp_path / "empty.pt2").write_bytes(b"")
    (tmp_path / "cut.pt2").write_bytes(saved.read_bytes()[:-200])
    for name in ("text", "empty", "cut"):
        with pytest.raises(InputError, match=r"is no \.pt2 archive, or is cut off"):
            capture(str(tmp_path / f"{name}.pt2"))


def _misshape(key: str, value: object) -> Callable[[Any], None]:
    def edit(config: Any) -> None:  # noqa: ANN401
        config["config"]["first.weight"]["tensor_meta"][key] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (_misshape("sizes", [{"as_int": 4}, {"as_int": 400}]), "larger than its record of 64"),
        (_misshape("sizes", [{"as_int": 4}]), "'first.weight' has no sound shape"),
        (_misshape("sizes", [{"as_int": -4}, {"as_int": 4}]), "'first.weight' has no sound shape"),
        (_misshape("sizes", [{"as_int": 2}, {"as_int": 4}]), "has shape (2, 4), and its graph"),
        (_misshape("dtype", 99), "'first.weight' has no sound shape"),
        (lambda c: c["config"].pop("first.bias"), "'first.bias' is not among its weights"),
        (lambda c: c["config"]["first.bias"].update(path_name="weight_99"), "weight_99"),
        (lambda c: c["config"].update({"first.bias": 3}), "'first.bias' is in no record"),
        (lambda c: c.pop("config"), "its weights are not listed"),
    ],
)
def test_damaged_weights_are_refused(
    saved: Path, tmp_path: Path, edit: Callable[[Any], object], sentence: str
) -> None:
    record = "data/weights/model_weights_config.json"
    with zipfile.ZipFile(saved) as archive:
        config = json.loads(archive.read(f"net/{record}"))
    edit(config)
    path = _rewrite(saved, tmp_path / "a.pt2", {record: json.dumps(config).encode()})
    with pytest.raises(InputError) as raised:
        capture(path)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda p: p["schema_version"].update(major=99), "schema version 99; torch"),
        (lambda p: p.pop("schema_version"), "schema version None; torch"),
        (lambda p: p.pop("graph_module"), "is damaged: its graph is not as it should be"),
        (lambda p: p["graph_module"].update(graph=[]), "cannot be read as an exported program"),
        (lambda p: p["graph_module"]["graph"]["nodes"].pop(0), "cannot be read as an exported"),
        (lambda p: p["graph_module"]["graph"]["tensor_values"].pop("x"), "KeyError: 'x'"),
    ],
)
def test_a_damaged_graph_is_refused(
    saved: Path, tmp_path: Path, edit: Callable[[Any], object], sentence: str
) -> None:
    path = _rewrite(saved, tmp_path / "a.pt2", {}, edit)
    with pytest.raises(InputError) as raised:
        capture(path)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_list_of_weights_is_refused(saved: Path, tmp_path: Path) -> None:
    record = "data/weights/model_weights_config.json"
    path = _rewrite(saved, tmp_path / "a.pt2", {record: None})
    with pytest.raises(InputError, match=f"it has no {record}"):
        capture(path)
