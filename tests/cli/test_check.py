"""`fuseline check`: exit codes, what it names as the cause, and the examples of its page."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt

from fuseline.budgets.entries import Planning
from fuseline.budgets.figures import FIGURES
from fuseline.cli import cli, run
from fuseline.report.captures import Capturing
from tests.golden import check_golden
from tests.pages import ROOT, check_page
from tests.report.examples import HOSTILE

yaml = import_module("yaml")  # it has no types of its own
EXAMPLES = ROOT / "docs" / "examples"

NET = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.act = nn.Linear(64, 64), nn.GELU()

    def forward(self, x):
        return x + self.act(self.fc(x))

class Net(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.layer4 = nn.Sequential(*(Block() for _ in range(blocks)))
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.layer4(x))

def make():
    return Net(BLOCKS).eval(), torch.empty(8, 64)

def raises():
    raise RuntimeError("no such weights")
"""

TOML = """
[defaults]
strategy = "tvm"
device = "h100-sxm"

[[model]]
name = "net.py:make"
label = "net"

[model.budget]
launches = 10
"""


def write(folder: Path, blocks: int, toml: str | None = TOML) -> None:
    """A model of some blocks, and how it is checked."""
    (folder / "net.py").write_text(NET.replace("BLOCKS", str(blocks)))
    if toml is not None:
        (folder / "fuseline.toml").write_text(toml)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, 2)
    return tmp_path


def checked(*words: str, code: int = 0) -> str:
    """What a check prints on stdout."""
    done = CliRunner().invoke(cli, ["check", *words], standalone_mode=False, catch_exceptions=False)
    found = done.return_value if isinstance(done.return_value, int) else done.exit_code
    assert found == code, done.output
    return done.stdout


# --- budgets ----------------------------------------------------------------------------------


def test_within_budget(project: Path) -> None:
    del project
    out = checked()
    assert "## Fuseline check: passed" in out
    assert "| net | launches | 3 | 10 | ok |" in out
    assert "| net | unknown_ops | 0 | 0 | ok |" in out


def test_over_budget_names_the_kernels(project: Path) -> None:
    (project / "fuseline.toml").write_text(TOML.replace("launches = 10", 'traffic_bytes = "40kB"'))
    out = checked(code=1)
    # a block of 64 features on 8 rows: 8*64 floats in and out, 64*64 + 64 of weights
    block = 4 * (2 * 8 * 64 + 64 * 64 + 64)
    head = 4 * (8 * 64 + 64 * 10 + 10 + 8 * 10)
    assert f"| net | traffic_bytes | {2 * block + head:,} | 40,000 | over budget |" in out
    assert f"| layer4.1.fc | linear_1 + gelu_1 + add_1 | {block:,} |" in out


# --- baselines --------------------------------------------------------------------------------


def test_one_more_layer_fails_and_names_its_ops(project: Path) -> None:
    assert "passed" in checked("--save-baseline", "base.json.zst")
    assert "passed" in checked("--baseline", "base.json.zst")
    write(project, 3)
    out = checked("--baseline", "base.json.zst", code=1)
    check_golden("check/worse.md", out)
    block = 4 * (2 * 8 * 64 + 64 * 64 + 64)
    assert f"Since the baseline: +1 launch, +{block:,} bytes, +65,536 FLOPs, in layer4.2." in out
    assert "| added | linear_2 | layer4.2.fc | linear | 8x64 float32 |" in out
    assert "| net | launches | 4 | 10 | 3 | 1 | +33.33% | worse than the baseline |" in out


def test_one_layer_less_is_better_and_passes(project: Path) -> None:
    checked("--save-baseline", "base.json")
    write(project, 1)
    out = checked("--baseline", "base.json")
    assert "better: the baseline can be lowered" in out
    assert "| removed | linear_1 | layer4.1.fc |" in out


def test_a_tolerance_lets_a_little_pass(project: Path) -> None:
    checked("--save-baseline", "base.json")
    write(project, 3)
    checked("--baseline", "base.json", "--tolerance", "40%", code=1)
    out = checked("--baseline", "base.json", "--tolerance", "60%")
    assert "worse, within tolerance" in out


def test_a_tolerance_ends_where_it_says(project: Path) -> None:
    checked("--save-baseline", "base.json")
    write(project, 3)
    # the largest change is that of other_flops: 3,584 / 7,248 is 49.45%
    for part, code in (("50%", 0), ("49%", 1)):
        out = checked("--baseline", "base.json", "--tolerance", part, code=code)
        assert ("| net | other_flops | 10,832 | - | 7,248 | 3,584 | +49.45% | worse, within"
                in out) is (code == 0)  # fmt: skip


def test_a_baseline_is_saved_of_what_is_held_against_its_budget(project: Path) -> None:
    (project / "fuseline.toml").write_text(TOML.replace("launches = 10", "launches = 2"))
    words = ["--save-baseline", "base.json", "--json", "outcome.json"]
    assert "| net | launches | 3 | 2 | over budget |" in checked(*words, code=1)
    document = json.loads((project / "outcome.json").read_text())
    assert document["passes"] is False
    assert "| net | launches | 3 | 2 | 3 | 0 | 0.00% | over budget |" in checked(
        "--baseline", "base.json", code=1
    )


def test_json_says_the_same(project: Path) -> None:
    checked("--save-baseline", "base.json")
    write(project, 3)
    document = json.loads(checked("--baseline", "base.json", "--json", "-", code=1))
    assert document["schema"] == "fuseline.check/1"
    assert document["passes"] is False
    [model] = document["models"]
    figures = {figure["figure"]: figure for figure in model["figures"]}
    assert figures["launches"] == {
        "figure": "launches", "measure": "count", "now": 4, "limit": 10, "baseline": 3,
        "allowed": 3, "change": 1, "change_fraction": 1 / 3, "passes": False,
        "verdicts": ["worse than the baseline"],
    }  # fmt: skip
    difference = model["difference"]
    assert [row["module"] for row in difference["modules"]] == ["layer4.2"]
    assert [row["name"] for row in difference["ops"]] == ["linear_2", "gelu_2", "add_2"]
    changes = sum(row["traffic_bytes_change"] for row in difference["kernels"])
    assert changes == figures["traffic_bytes"]["change"]
    out = checked("--baseline", "base.json", "--json", "outcome.json", code=1)
    assert "## Fuseline check: failed" in out
    assert json.loads((project / "outcome.json").read_text()) == document


def test_without_a_configuration_the_baseline_says_what_to_check(project: Path) -> None:
    checked("--save-baseline", "base.json")
    (project / "fuseline.toml").unlink()
    write(project, 3, None)
    out = checked("--baseline", "base.json", code=1)
    assert "| net | launches | 4 | 10 | 3 |" in out


def test_models_that_no_file_configures(project: Path) -> None:
    (project / "fuseline.toml").unlink()
    words = ["net.py:make", "--strategy", "tvm", "--batch", "4"]
    checked(*words, "--save-baseline", "base.json")
    write(project, 3, None)
    out = checked(*words, "--baseline", "base.json", code=1)
    assert "| net.py:make, batch 4, tvm | launches | 4 | - | 3 |" in out
    assert out == checked("net.py:make", "--baseline", "base.json", code=1)
    other = checked("net.py:make", "--batch", "2", "--baseline", "base.json")
    assert "1 model within bounds, 1 not in the baseline, 1 of the baseline not checked." in other
    assert "It is not in the baseline, and was compared with nothing: save it again." in other
    assert "In the baseline, and not checked: net.py:make, batch 4, tvm." in other


def test_models_are_chosen_by_name_or_label(project: Path) -> None:
    more = '\n[[model]]\nname = "net.py:make"\nlabel = "large"\nbatch = 64\n'
    (project / "fuseline.toml").write_text(TOML + more)
    assert "| large |" not in checked("net")
    both = checked("net.py:make")
    assert "| large |" in both
    assert "| net |" in both
    checked("--save-baseline", "base.json")
    (project / "fuseline.toml").write_text(TOML)
    assert "In the baseline, and not checked: large." in checked("--baseline", "base.json")
    (project / "fuseline.toml").write_text(TOML + more.replace("large", "larger"))
    renamed = checked("--baseline", "base.json")
    assert "2 models within bounds, 1 not in the baseline, 1 of the baseline not checked" in renamed
    assert "It is not in the baseline, and was compared with nothing: save it again." in renamed
    assert "In the baseline, and not checked: large." in renamed
    assert "In the baseline, and not checked: large." in checked("net", "--baseline", "base.json")


def test_a_figure_that_is_no_longer_told_fails(project: Path) -> None:
    checked("--save-baseline", "base.json")
    (project / "fuseline.toml").write_text(TOML.replace('device = "h100-sxm"', ""))
    out = checked("--baseline", "base.json", code=1)
    assert "| - | - | told in the baseline, and no longer |" in out
    assert "Seconds are told only of the plan before the change: none are compared." in out
    assert "seconds_change" not in out
    checked("--save-baseline", "base.json")
    (project / "fuseline.toml").write_text(TOML)
    out = checked("--baseline", "base.json", code=1)
    assert "| net | seconds | 1.50139e-05 | - | - | - | - | not told in the baseline: save" in out


def test_options_without_a_model_are_not_ignored(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checked("--save-baseline", "base.json")
    (project / "fuseline.toml").unlink()
    for words in (["--strategy", "tvm"], ["--device", "t4"], ["--batch", "2"]):
        capsys.readouterr()
        assert run(cli, ["check", "--baseline", "base.json", *words]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err == (
            "error: --strategy, --device and how to capture are said of a MODEL: name one; a "
            "baseline says how its own are checked\n"
        )


def test_a_model_that_cannot_be_measured_fails_the_check(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "fuseline.toml").write_text(TOML + '\n[[model]]\nname = "net.py:raises"\n')
    assert run(cli, ["check"]) == 2
    captured = capsys.readouterr()
    assert "## Fuseline check: failed" in captured.out
    assert "could not be measured" in captured.out
    assert "| net | launches | 3 | 10 | ok |" in captured.out
    assert captured.err.count("\n") == 1
    assert run(cli, ["check", "--save-baseline", "base.json"]) == 2
    assert not (project / "base.json").exists()
    captured = capsys.readouterr()
    assert "## Fuseline check: failed" in captured.out
    assert captured.err.endswith("no baseline written: net.py:raises, tvm, h100-sxm could not be "
                                 "measured\n")  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config", "none.toml"], "cannot read 'none.toml': No such file"),
        (["--baseline", "none.json"], "cannot read 'none.json': No such file"),
        (["--baseline", "net.py"], "'net.py' is no baseline"),
        (["--baseline", "damaged.json"], "'damaged.json' is damaged: it holds no model"),
        (["nets"], "'fuseline.toml' has no model 'nets': did you mean 'net'?"),
        (["--strategy", "tvm"], "how models are captured and partitioned is in 'fuseline.toml'"),
        (["--strategy", "tmv"], "unknown strategy 'tmv': did you mean 'tvm'?"),
        (["--strategy", "all"], "a check is of one strategy: name it"),
        (["--tolerance", "some"], "'some' is no fraction: write 0.05 or '5%'"),
        (["--save-baseline", "none/base.json"], "'none' is not a directory"),
    ],
)
def test_bad_input_is_one_line(
    project: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = {"schema": "fuseline.baseline/1", "fuseline": "0", "entries": []}
    (project / "damaged.json").write_text(json.dumps(damaged))
    assert run(cli, ["check", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_nothing_to_check_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(cli, ["check"]) == 2
    assert "nothing to check: name a MODEL, or write fuseline.toml" in capsys.readouterr().err


def test_a_configuration_elsewhere_finds_its_files(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert "passed" in checked("--config", str(project / "fuseline.toml"))


# --- names that try to break out --------------------------------------------------------------

HOSTILE_NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, names):
        super().__init__()
        for name in names:
            self.add_module(name.replace(".", "_"), nn.Linear(8, 8))

    def forward(self, x):
        for child in self.children():
            x = child(x)
        return x

def make():
    return Net(NAMES).eval(), torch.empty(2, 8)
"""


def test_hostile_module_names_stay_text(project: Path) -> None:
    names = list(HOSTILE)
    toml = '[[model]]\nname = "net.py:make"\nlabel = "<b>net</b> | @you"\n'
    (project / "fuseline.toml").write_text(toml)
    (project / "net.py").write_text(HOSTILE_NET.replace("NAMES", ascii(names[:1])))
    checked("--save-baseline", "base.json")
    (project / "net.py").write_text(HOSTILE_NET.replace("NAMES", ascii(names)))
    out = checked("--baseline", "base.json", code=1)
    assert "\x1b" not in out
    assert "\u202e" not in out
    html = MarkdownIt("gfm-like", {"linkify": False, "html": True}).render(out)
    tags = set(re.findall(r"</?(\w+)", html))
    assert tags <= {"h2", "h3", "h4", "p", "table", "thead", "tbody", "tr", "th", "td", "ul", "li",
                    "code"}  # fmt: skip
    for table in re.findall(r"<table>.*?</table>", html, re.DOTALL):
        rows = re.findall(r"<tr>.*?</tr>", table, re.DOTALL)
        assert len({len(re.findall(r"<t[hd]", row)) for row in rows}) == 1


# --- the page and its examples ----------------------------------------------------------------


def test_the_page_is_what_the_commands_print(monkeypatch: pytest.MonkeyPatch) -> None:
    def printed(line: str, folder: Path) -> str:
        monkeypatch.chdir(folder)
        name, *words = shlex.split(line)
        assert name == "fuseline"
        return checked(*words[1:])

    assert check_page(ROOT / "docs" / "check.md", printed) == 2


def test_the_page_has_every_figure_and_key() -> None:
    page = (ROOT / "docs" / "check.md").read_text()
    names = [figure.name for figure in FIGURES]
    names += [field.name for kind in (Capturing, Planning) for field in fields(kind)]
    assert [name for name in names if f"`{name}`" not in page] == []


def test_the_hooks_run_the_command() -> None:
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    [repository] = yaml.safe_load((EXAMPLES / "pre-commit-config.yaml").read_text())["repos"]
    [local] = repository["hooks"]
    for entry in (hook, local):
        assert entry["id"] == "fuseline-check"
        assert shlex.split(entry["entry"]) == ["fuseline", "check"]
        assert entry["pass_filenames"] is False
        files = re.compile(entry["files"])
        assert files.search("src/net.py")
        assert files.search("fuseline.toml")
        assert not files.search("README.md")
    assert (hook["language"], local["language"]) == ("python", "system")


def test_the_workflow_finds_what_a_pull_request_made_worse(tmp_path: Path) -> None:
    """Its steps as they stand, in a repository with a branch that adds a block."""
    workflow = yaml.safe_load((EXAMPLES / "github-workflow.yml").read_text())
    steps = [step for step in workflow["jobs"]["check"]["steps"] if "fuseline check" in
             step.get("run", "")]  # fmt: skip
    assert len(steps) == 2
    project, temporary = tmp_path / "project", tmp_path / "temporary"
    project.mkdir()
    temporary.mkdir()
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RUNNER_TEMP": str(temporary),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "BASE": "main",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }

    bash = shutil.which("bash")
    assert bash is not None

    def shell(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [bash, "-e", "-c", script], cwd=project, env=environment, capture_output=True,
            text=True, check=False,
        )  # fmt: skip

    author = "git -c user.name=t -c user.email=t@example.org commit --quiet --all --message"
    write(project, 2)
    assert shell(f"git init --quiet -b main && git add . && {author} before").returncode == 0
    assert shell("git remote add origin . && git fetch --quiet").returncode == 0
    write(project, 3)
    assert shell(f"git switch --quiet -c change && {author} after").returncode == 0
    before, after = steps
    done = shell(before["run"])
    assert done.returncode == 0, done.stderr
    done = shell(after["run"])
    assert done.returncode == 1, done.stderr
    assert "in layer4.2." in done.stdout
    assert (tmp_path / "summary.md").read_text() == done.stdout
