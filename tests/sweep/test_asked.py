"""What is asked of a sweep: names resolved, repetitions dropped, and what is refused at once."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from fuseline.errors import InputError
from fuseline.frontends.sources.inputs import DTYPES as REAL_DTYPES
from fuseline.graph import save
from fuseline.report.captures import Capturing
from fuseline.sweep.asked import DTYPES, Asked, sweep_of
from fuseline.sweep.grids import Sweep, job_ids
from tests.small_graphs import small_graph

NET = "from torch import nn\nimport torch\ndef net():\n    return nn.ReLU(), torch.empty(1, 4)\n"


def asked(*models: str) -> Asked:
    return Asked(models=models)


def ids(sweep: Sweep) -> list[str]:
    return [id_ for n in range(sweep.captures) for id_ in job_ids(sweep.capture(n))]


def test_the_dtypes_are_those_of_captures() -> None:
    assert DTYPES == REAL_DTYPES


def test_models_devices_and_strategies_are_named_once() -> None:
    sweep = sweep_of([
        Asked(
            models=("resnet18", "torchvision/resnet18", "resnet1[0-9]", "torchvision/resnet18*"),
            device=("jetson-agx-orin-64gb", "orin-agx", "agx-orin"),
            strategy=("fusion", "unfused", "fusion"),
            rules=("T", "T"),
            batch=(1, 1),
        )
    ])  # fmt: skip
    assert len(sweep.grids) == 1
    grid = sweep.grids[0]
    assert grid.models == ("resnet18",)
    assert grid.ways == (Capturing(batch=1),)
    assert grid.planning.devices == ("jetson-agx-orin-64gb",)
    assert grid.planning.strategies == ("fusion", "unfused")
    assert sweep.jobs == 2


def test_all_strategies() -> None:
    sweep = sweep_of([replace(asked("resnet18"), strategy=("all",))])
    assert len(sweep.grids[0].planning.strategies) == 9


def test_what_is_the_default_anyway_does_not_change_an_id() -> None:
    plain = sweep_of([asked("resnet18")])
    said = sweep_of([replace(asked("resnet18"), via=("record",), attention="fused")])
    other = sweep_of([replace(asked("resnet18"), via=("record", "module"))])
    assert ids(plain) == ids(said) == ids(other)[:1]


def test_every_way_in_order() -> None:
    sweep = sweep_of(
        [replace(asked("resnet18"), batch=(1, 64), dtype=("float32", "bfloat16"), train=True)]
    )
    ways = [(way.dtype, way.batch, way.train) for way in sweep.grids[0].ways]
    assert ways == [
        ("float32", 1, True), ("float32", 64, True), ("bfloat16", 1, True), ("bfloat16", 64, True),
    ]  # fmt: skip


def test_tokens_concern_models_of_transformers_alone(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"model_type": "bert"}')
    models = ("hf/llama", "resnet18", str(config), "timm/vit_tiny_patch16_224")
    sweep = sweep_of([replace(asked(*models), seq_len=(128, 512), decode=(1024,), batch=(2,))])
    plain, tokens = sweep.grids
    assert plain.models == ("resnet18", "timm/vit_tiny_patch16_224")
    assert plain.ways == (Capturing(batch=2),)
    assert tokens.models == ("hf/llama", str(config))
    assert [(way.batch, way.seq_len, way.decode) for way in tokens.ways] == [
        (2, 128, None), (2, 512, None), (2, None, 1024),
    ]  # fmt: skip


def test_models_of_transformers_alone_are_one_grid() -> None:
    (grid,) = sweep_of([replace(asked("hf/gpt2"), decode=(7,))]).grids
    assert grid.ways == (Capturing(decode=7),)


def test_a_tag_of_weights_is_taken() -> None:
    assert sweep_of([asked("timm/resnet50.a1_in1k")]).captures == 1


def test_patterns_of_every_zoo() -> None:
    # the 80 classifiers are among torchvision's
    assert sweep_of([asked("torchvision/*")]).captures > 100
    assert sweep_of([asked("timm/convnext_*")]).captures > 10
    llamas = sweep_of([asked("hf/llama*")]).grids[0].models
    assert "hf/llama" in llamas
    assert all(name.startswith("hf/") for name in llamas)


def test_files_are_digested(tmp_path: Path) -> None:
    net, saved = tmp_path / "net.py", tmp_path / "graph.json"
    net.write_text(NET)
    save(small_graph(0), saved)
    sweep = sweep_of([asked(f"{net}:net", str(saved))])
    assert dict(sweep.files) == {
        str(path): sha256(path.read_bytes()).hexdigest() for path in (net, saved)
    }
    net.write_text(NET + "\n")
    assert sweep_of([asked(f"{net}:net", str(saved))]) != sweep


def test_a_device_of_ones_own_is_named_by_its_file(tmp_path: Path) -> None:
    from fuseline import hardware

    mine = tmp_path / "mine.toml"
    mine.write_bytes((Path(hardware.__file__).parent / "devices" / "t4.toml").read_bytes())
    sweep = sweep_of([replace(asked("resnet18"), device=(str(mine), "t4"))])
    assert sweep.grids[0].planning.devices == (str(mine), "t4")
    assert [path for path, _ in sweep.files] == [str(mine)]


REFUSED: tuple[tuple[Asked, str], ...] = (
    (asked(), "no models: name them"),
    (asked("resnet19"), "unknown model 'resnet19': did you mean 'resnet1"),
    (asked("timm/resnet19"), "unknown model 'timm/resnet19': did you mean 'timm/resnet"),
    (asked("hf/lama"), "unknown model 'hf/lama': did you mean 'hf/llama'?"),
    (asked("zzz"), "unknown model 'zzz': 'fuseline models' lists them"),
    (asked("meta-llama/Llama-3"), "unknown model 'meta-llama/Llama-3': a name of the hub needs"),
    (asked("resnext9*"), "no torchvision model matches 'resnext9*': did you mean 'resn"),
    (asked("tim/*"), "unknown zoo 'tim': did you mean 'timm'?"),
    (asked("nowhere.py:net"), "'nowhere.py' does not exist"),
    (asked("nowhere.pt2"), "'nowhere.pt2' does not exist"),
    (replace(asked("resnet18"), dtype=("float8",)), "unknown dtype 'float8': did you mean"),
    (replace(asked("resnet18"), batch=(0,)), "batch 0 is not a positive number"),
    (replace(asked("hf/bert"), decode=(-1,)), "decode -1 is not a positive number"),
    (replace(asked("resnet18"), seq_len=(128,)), "--seq-len and --decode concern models of transf"),
    (replace(asked("resnet18"), via=("modul",)), "unknown frontend 'modul': did you mean 'module'"),
    (
        replace(asked("resnet18"), attention="fusd"),
        "unknown attention 'fusd': did you mean 'fused'",
    ),
    (
        replace(asked("resnet18"), attention="decomposed", via=("module",)),
        "module level shows attention as one op",
    ),
    (replace(asked("resnet18"), strategy=("fusoin",)), "unknown strategy 'fusoin': did you mean"),
    (replace(asked("resnet18"), strategy=()), "no strategies"),
    (
        replace(asked("resnet18"), device=("orin-agz",)),
        "unknown device 'orin-agz': did you mean 'or",
    ),
    (replace(asked("resnet18"), rules=("Q",)), "unknown rules 'Q'"),
    (
        replace(asked("resnet18"), rules=("M",), strategy=("optimal",)),
        "rules M allow what fits on chip: add --on-chip SIZE",
    ),
    (replace(asked("resnet18"), on_chip="much"), "'much' is no size"),
    (replace(asked("resnet18"), objective="time"), "unknown objective 'time'"),
    (replace(asked("resnet18"), objective="seconds"), "the objective seconds needs a device"),
    (replace(asked("resnet18"), launch="graph"), "--launch and --tf32 say how a device runs"),
    (replace(asked("resnet18"), device=("t4",), launch="grpah"), "grpah"),
    (replace(asked("resnet18"), time_limit=0.0), "a time limit must be positive"),
    (replace(asked("resnet18"), pair_rules="tflit"), "unknown pair rules 'tflit'"),
)


@pytest.mark.parametrize(("wrong", "said"), REFUSED, ids=[said[:30] for _, said in REFUSED])
def test_what_cannot_be_is_refused_in_one_line(wrong: Asked, said: str) -> None:
    with pytest.raises(InputError) as caught:
        sweep_of([wrong])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_without_its_function_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    with pytest.raises(InputError, match="name its function too"):
        sweep_of([asked(str(tmp_path / "net.py"))])


def test_a_captured_file_is_captured_already(tmp_path: Path) -> None:
    save(small_graph(0), tmp_path / "graph.json")
    (tmp_path / "net.pt2").write_bytes(b"")
    for name, what in (("graph.json", "a saved graph"), ("net.pt2", "an exported program")):
        with pytest.raises(InputError, match=f"is {what}: how it was captured is fixed"):
            sweep_of([replace(asked(str(tmp_path / name)), batch=(8,))])
    with pytest.raises(InputError, match="no modules to trace"):
        sweep_of([replace(asked(str(tmp_path / "net.pt2")), via=("module",))])
    assert sweep_of([asked(str(tmp_path / "graph.json"), str(tmp_path / "net.pt2"))]).captures == 2


def test_a_job_that_two_tables_ask_for_is_refused() -> None:
    said = "'jobs.toml', [[sweep]] 2: 'resnet18' by fusion is asked for in [[sweep]] 1 too"
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        sweep_of([asked("resnet18"), asked("resnet50", "resnet18")], "jobs.toml")


def test_what_a_table_gets_wrong_names_file_and_table() -> None:
    wrong = replace(asked("resnet18"), device=("t44",))
    with pytest.raises(InputError, match=r"^'jobs.toml', \[\[sweep\]\] 2: unknown device 't44'"):
        sweep_of([asked("resnet50"), wrong], "jobs.toml")


def test_asking_imports_no_zoo() -> None:
    code = (
        "import sys; from fuseline.sweep.asked import Asked, sweep_of; "
        "sweep_of([Asked(models=('resnet18', 'timm/*', 'hf/*'), device=('t4',))]); "
        "print([n for n in ('torch', 'torchvision', 'timm', 'transformers', 'pyarrow', 'pebble') "
        "if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_patterns_without_some_models() -> None:
    sweep = sweep_of([Asked(models=("resnet*",), without=("resnet1*", "torchvision/resnet50"))])
    assert sweep.grids[0].models == ("resnet34",)


def test_without_takes_names_that_are_there_and_leaves_some() -> None:
    with pytest.raises(InputError, match=r"no models: --without leaves none"):
        sweep_of([Asked(models=("resnet18",), without=("resnet*",))])
    with pytest.raises(InputError, match=r"unknown model 'resnet19': did you mean"):
        sweep_of([Asked(models=("resnet18",), without=("resnet19",))])
