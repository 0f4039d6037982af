"""The commands as a user types them: exit code, stdout and stderr."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fuseline.cli import cli, run
from fuseline.cli.partitioner import command as partitioner

ROOT = Path(__file__).parents[2]

NET = """
import torch
from torch import nn

def net():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 4)).eval(), \\
        torch.empty(2, 8)

def bare():
    return nn.Linear(8, 4)

def raises():
    raise RuntimeError("no\\nsuch weights")

def number():
    return 7

def leaves():
    raise SystemExit(3)

class Branch(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x

def branch():
    return Branch(), torch.empty(2, 8)
"""


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def net(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(NET)
    return str(tmp_path / "net.py")


@pytest.fixture
def graph(net: str, tmp_path: Path) -> str:
    path = str(tmp_path / "graph.json")
    assert run(cli, ["capture", f"{net}:net", "-o", path]) == 0
    return path


def test_a_factory_is_partitioned_and_printed(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    # 2 x (2*8*16 + 2*16*4) = 768 FLOPs
    for via, pattern in (("module", "Linear_ReLU_Dropout"), ("record", "linear_relu")):
        assert run(cli, ["partition", f"{net}:net", "--via", via]) == 0
        out = capsys.readouterr().out
        assert pattern in out
        assert "768" in out


def test_json_on_stdout_is_the_document_alone(net: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--via", "module", "--strategy", "unfused", "--strategy", "fusion", "--json", "-"]
    assert run(cli, ["partition", f"{net}:net", *words]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "fuseline.result/1"
    assert document["model"]["via"] == "module"
    assert document["graph"]["operators"] == 4
    assert [plan["strategy"] for plan in document["plans"]] == ["unfused", "fusion"]
    unfused, fused = document["plans"]
    # unfused, floats: Linear 2*8 + (8*16+16) + 2*16, ReLU 2*(2*16), Linear 2*16 + (16*4+4) + 2*4
    assert unfused["traffic_bytes"] == 4 * ((16 + 144 + 32) + 64 + (32 + 68 + 8))
    assert fused["traffic_bytes"] == unfused["traffic_bytes"] - 4 * 64
    assert fused["launches"] == 2
    (refusal,) = fused["refusals"]
    assert list(refusal) == ["from", "to", "rule", "reason", "bytes"]
    assert refusal["reason"] == "no pattern joins Dropout and Linear"
    assert refusal["bytes"] == 2 * 4 * 32


def test_a_saved_graph_gives_the_same_result(
    net: str, graph: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(cli, ["partition", f"{net}:net", "--json", "-"]) == 0
    live = capsys.readouterr().out
    assert run(cli, ["partition", graph, "--json", "-"]) == 0
    assert capsys.readouterr().out == live


def test_a_saved_graph_is_partitioned_without_torch(graph: str) -> None:
    code = (
        "import sys; from fuseline.cli import cli, run; "
        f"code = run(cli, ['partition', {graph!r}, '--strategy', 'all', '--compare', "
        "'--quantify', '--visualize', '--analyze-balance']); "
        "sys.exit(code or ('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_section_of_the_balance_is_printed(
    graph: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, ["partition", graph, "--analyze-balance"]) == 0
    out = capsys.readouterr().out
    for section in (
        "totals",
        "Group sizes",
        "Single-op groups",
        "Over-large groups",
        "Patterns",
        "Bottlenecks",
        "Traffic",
        "Missed opportunities",
        "sequential chains",
        "Recommendations",
    ):
        assert section in out, section


def test_json_goes_to_a_file_beside_the_tables(
    graph: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "result.json"
    assert run(cli, ["partition", graph, "--json", str(target)]) == 0
    assert json.loads(target.read_text())["plans"][0]["groups"] == 2
    assert "Strategy 'fusion'" in capsys.readouterr().out


def test_a_device_times_every_plan(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["partition", graph, "--strategy", "all", "--compare", "--device", "t4"]
    assert run(cli, [*words, "--what-if", "dtype=float16"]) == 0
    out = capsys.readouterr().out
    assert "On t4, launched by eager" in out
    assert "optimal (T): optimal: no partition legal under rules T moves fewer bytes" in out
    assert "What if" in out


def test_answers_are_in_the_document(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["partition", graph, "--strategy", "optimal", "--rules", "A", "--rules", "B"]
    words += ["--device", "t4", "--missed", "2", "--what-if", "dtype=float16", "--json", "-"]
    assert run(cli, words) == 0
    document = json.loads(capsys.readouterr().out)
    assert [plan["rules"] for plan in document["plans"]] == ["A", "B"]
    for plan in document["plans"]:
        assert plan["lower_bound_bytes"] <= plan["traffic_bytes"]
        assert plan["proof"]["is_optimal"] is True
        assert plan["device"] == "t4"
        assert plan["bottlenecks"]["basis"] == "roofline"
        members = [member["seconds"] for member in plan["members"]]
        assert sum(members) == pytest.approx(plan["seconds"])
    assert [missed["strategy"] for missed in document["missed"]] == ["optimal", "optimal"]
    (changed,) = document["what_ifs"]
    before = document["plans"][0]["traffic_bytes"]
    assert changed["plans"][0]["traffic_bytes"] * 2 == before  # every element half as wide


def test_max_nodes_limits_the_picture(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["partition", graph, "--visualize", "--max-nodes", "2"]) == 0
    assert "2 of 4 ops" in capsys.readouterr().out


def _refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str], *, command: object = cli
) -> str:
    """Exit code 2 and one line on stderr; nothing on stdout."""
    capsys.readouterr()
    assert run(partitioner if command is partitioner else cli, arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = [line for line in captured.err.splitlines() if not line.startswith("warning:")]
    assert len(lines) == 1, captured.err
    assert "Traceback" not in captured.err
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["partition", "vit_b16"], "unknown model 'vit_b16': did you mean 'vit_b_16'?"),
        (["partition", "GRAPH", "--strategy", "fusoin"], "unknown strategy 'fusoin': did you mean"),
        (["partition", "GRAPH", "--strategy", "optimal", "--rules", "TT"], "did you mean 'T'"),
        (["partition", "GRAPH", "--on-chip", "0"], "must be positive"),
        (["partition", "GRAPH", "--on-chip", "-4KB"], "must be positive"),
        (["partition", "GRAPH", "--on-chip", "much"], "'much'"),
        (["partition", "GRAPH", "--device", "h100"], "h100"),
        (["partition", "GRAPH", "--device", "h100-sxm", "--launch", "egaer"], "'egaer': did you"),
        (["partition", "GRAPH", "--launch", "graph"], "add --device NAME"),
        (["partition", "GRAPH", "--objective", "seconds"], "the objective seconds needs a device"),
        (["partition", "GRAPH", "--objective", "byte"], "unknown objective 'byte': did you mean"),
        (["partition", "GRAPH", "--time-limit", "0"], "a time limit must be positive"),
        (["partition", "GRAPH", "--what-if", "dtyp=int8"], "cannot change 'dtyp': did you mean"),
        (["partition", "GRAPH", "--what-if", "int8"], "'int8' is no change"),
        (["partition", "GRAPH", "--what-if", "weights=int5"], "cannot pack weights to 'int5'"),
        (["partition", "GRAPH", "--explain", "nowhere", "elsewhere"], "no op or module 'nowhere'"),
        (["partition", "GRAPH", "--strategy", "pairs", "--pair-rules", "tflite"], "did you mean"),
        (["partition", "NET:net", "--dtype", "float31"], "unknown dtype 'float31': did you mean"),
        (["partition", "NET:net", "--via", "modul"], "unknown frontend 'modul': did you mean"),
        (["partition", "NET:net", "--input-shape", "1,3,x"], "is not a shape"),
        (["partition", "NET:net", "--input-shape", "2,9"], "cannot run on inputs (2, 9)"),
        (["partition", "NET:net", "--via", "module", "--input-shape", "2,9"], "refuses the input"),
        (["partition", "NET:net", "--batch", "0"], "batch 0 is not a positive number"),
        (["partition", "NET:raises"], "RuntimeError: no"),
        (["partition", "NET:number"], "returned int, not a torch.nn.Module"),
        (["partition", "NET:nte"], "has no 'nte': did you mean 'net'?"),
        (["partition", "NET:bare"], "comes without example inputs"),
        (["partition", "NET:branch", "--via", "module"], "cannot be traced by torch.fx"),
        (["partition", "nowhere.py:net"], "'nowhere.py' does not exist"),
        (["partition", "nowhere.json"], "cannot read 'nowhere.json'"),
        (["partition", "GRAPH", "--batch", "2"], "is a saved graph"),
        (["partition", "GRAPH", "--json", "no/such/place.json"], "cannot write"),
        (["partition", "GRAPH", "--max-nodes", "0"], "max-nodes"),
        (["partition", "net.py"], "name its function too, as net.py:FACTORY"),
        (["partition", "NET:bare", "--input-shape", "2,8", "--batch", "9" * 20], "below 2^31"),
        (["partition", "GRAPH", "--via", "export"], "is a saved graph"),
        (["partition", "NET:net", "--attention", "fsued"], "unknown attention 'fsued': did you"),
        (["partition", "NET:net", "--via", "module", "--attention", "decomposed"], "one op"),
        (["partition", "NET:net", "--seq-len", "8"], "net.py:net"),
        (["partition", "GRAPH", "--json", "/"], "it is a directory"),
        (["partition"], "Missing argument"),
        (["partiton", "GRAPH"], "unknown command 'partiton': did you mean 'partition'?"),
        (["capture", "NET:net", "-o", "graph.txt"], "no known ending"),
        (["capture", "NET:net", "-o", "no/such/graph.json"], "cannot write"),
        (["models", "vitt"], "no torchvision model matches 'vitt': did you mean"),
        (["validate", "sede"], "cannot validate against 'sede': did you mean 'seed'?"),
        (["validate", "seed", "--model", "vit_b_17"], "did you mean 'vit_b_16'?"),
        (["partition", "hf/vit", "--seq-len", "5"], "takes no sequence"),
        (["partition", "hf/gpt2", "--seq-len", "5", "--decode", "9"], "leave out the sequence"),
        (["partition", "openai/gpt9"], "a name of the hub needs a download"),
        (["partition", "NET:leaves"], "failed: it exits (3)"),
        (["partition", "hf/lama"], "unknown family 'lama': did you mean 'llama'?"),
        (["partition", "hf/meta-llama/Llama-3.1-8B"], "no download: pass a config.json"),
        (["partition", "hf/gpt2", "--seq-len", "5000"], "has 1024 positions"),
        (["partition", "hf/vit", "--decode", "3"], "has no cache"),
        (["partition", "timm/resnet5O"], "did you mean 'timm/resnet50'?"),
        (["partition", "vit_b_16", "--decode", "4"], "takes no decode"),
        (["partition", "vit_b_16", "--input-shape", "1,3,100,100"], "Wrong image height"),
        (["partition", "nothing.pt2"], "'nothing.pt2' is not there"),
        (["partition", "no/config.json"], "cannot read 'no/config.json'"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    arguments: list[str],
    message: str,
    net: str,
    graph: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [word.replace("NET", net).replace("GRAPH", graph) for word in arguments]
    assert message in _refused(words, capsys)


def test_a_truncated_graph_file_is_refused(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    content = Path(graph).read_bytes()
    Path(graph).write_bytes(content[: len(content) // 2])
    assert "is not a graph file" in _refused(["partition", graph], capsys)


def test_a_deeply_nested_graph_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "deep.json"
    path.write_text('{"schema":"fuseline.graph/1","graph":' + "[" * 200_000)
    assert str(path) in _refused(["partition", str(path)], capsys)


def test_what_a_users_file_prints_is_no_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "neighbour.py").write_text("WIDTH = 4\n")
    (tmp_path / "loud.py").write_text(
        "print('hello')\nfrom torch import nn\nfrom neighbour import WIDTH\n"
        "def net():\n    print('made')\n    return nn.Linear(8, WIDTH)\n"
    )
    words = ["partition", f"{tmp_path}/loud.py:net", "--input-shape", "2,8", "--json", "-"]
    assert run(cli, words) == 0
    assert json.loads(capsys.readouterr().out)["graph"]["flops"] == 2 * 2 * 8 * 4


def test_a_full_disk_is_one_line(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot write '/dev/full'" in _refused(
        ["partition", graph, "--json", "/dev/full"], capsys
    )


def test_debug_shows_the_traceback(graph: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["partition", graph, "--strategy", "x", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_models_are_listed_and_searched(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["models"]) == 0
    assert len(capsys.readouterr().out.split()) == 121
    for pattern in ("swin_v2_?", "torchvision/swin_v2_?", "swin_v2"):
        assert run(cli, ["models", pattern]) == 0
        assert capsys.readouterr().out.split() == ["swin_v2_b", "swin_v2_s", "swin_v2_t"]
    assert run(cli, ["models", "timm/*convnextv2_[np]*"]) == 0
    assert capsys.readouterr().out.split() == ["timm/convnextv2_nano", "timm/convnextv2_pico"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("convnextv2", "no torchvision model matches 'convnextv2': 'timm/*convnextv2*' has 9"),
        ("resnet??t", "no torchvision model matches 'resnet??t': 'timm/resnet??t' has 4"),
        ("timm/resnet18x", "no timm model matches 'resnet18x': did you mean 'timm/resnet18'?"),
        ("torchvision/resnet18x", "matches 'resnet18x': did you mean 'resnet18'?"),
        ("tim/resnet18", "unknown zoo 'tim': did you mean 'timm'?"),
    ],
)
def test_models_that_are_elsewhere_or_nowhere(
    pattern: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in _refused(["models", pattern], capsys)


def test_models_imports_no_zoo() -> None:
    code = (
        "import sys; from fuseline.cli import cli, run; "
        "assert run(cli, ['models']) == run(cli, ['models', 'timm/vit*']) == 0; "
        "print([name for name in ('torch', 'torchvision', 'timm') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_doctor_names_torch_and_the_zoos(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["doctor"]) == 0
    out = capsys.readouterr().out
    assert "torch:" in out
    assert all(f" {package}: " in out for package in ("torchvision", "timm", "transformers"))


SEED_COMMANDS = (
    "--model vit_b_16 --strategy fusion --analyze-balance",
    "--model vit_l_16 --strategy fusion --quantify",
    "--model swin_t --strategy fusion --analyze-balance",
    "--model swin_s --strategy fusion --visualize",
    "--model vit_b_16 --strategy fusion --visualize --max-nodes 100",
    "--model vit_b_16 --strategy all --compare",
    "--model efficientnet_b0 --strategy all --compare",
)
GROUPS = {"vit_b_16": 156, "vit_l_16": 288, "swin_t": 122, "swin_s": 230, "efficientnet_b0": 71}


@pytest.mark.parametrize("words", SEED_COMMANDS)
def test_the_documents_commands_run_word_for_word(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(partitioner, words.split()) == 0
    out = capsys.readouterr().out
    if "--visualize" in words:
        assert "in execution order" in out
    else:
        assert str(GROUPS[words.split()[1]]) in out


def test_the_documents_script_takes_a_shape_in_four_words() -> None:
    script = str(ROOT / "cli" / "partitioner.py")
    words = "--model resnet50 --input-shape 2 3 128 128 --strategy all --compare"
    done = subprocess.run(
        [sys.executable, script, *words.split()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "input 2x3x128x128" in done.stdout


def test_a_shape_the_model_refuses_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model", "vit_b_16", "--input-shape", "1", "3", "225", "225"]
    assert "Wrong image" in _refused(words, capsys, command=partitioner)


def test_an_option_that_no_strategy_reads_is_said(
    graph: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["partition", graph, "--strategy", "tvm", "--rules", "A", "--pair-rules", "tvm"]
    assert run(cli, words) == 0
    said = capsys.readouterr().err
    assert "note: --rules, --pair-rules: no strategy here reads it" in said
