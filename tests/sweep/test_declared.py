"""Files of jobs: what is read, what is refused, and that they mean what the options mean."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from fuseline.cli.sweep import command
from fuseline.errors import InputError
from fuseline.sweep.asked import Asked, sweep_of
from fuseline.sweep.declared import KEYS, parse_jobs, read_jobs
from tests.pages import ROOT

EVERY_KEY = """
[[sweep]]
models = ["resnet18", "hf/bert"]
without = "vit_*"
batch = [1, 64]
dtype = "bfloat16"
via = ["record"]
seq-len = [128]
decode = 7
train = true
attention = "fused"
strategy = ["fusion", "optimal"]
device = "t4"
rules = ["A", "M"]
on-chip = "24MB"
objective = "seconds"
launch = "graph"
tf32 = true
time-limit = 5
pair-rules = "tflite-cpu"
"""


def test_every_key() -> None:
    (asked,) = parse_jobs(EVERY_KEY.encode(), "jobs.toml")
    assert asked == Asked(
        models=("resnet18", "hf/bert"), without=("vit_*",), batch=(1, 64), dtype=("bfloat16",),
        via=("record",), seq_len=(128,), decode=(7,), train=True, attention="fused",
        strategy=("fusion", "optimal"), device=("t4",), rules=("A", "M"),
        on_chip="24MB", objective="seconds", launch="graph", tf32=True, time_limit=5.0,
        pair_rules="tflite-cpu",
    )  # fmt: skip
    assert all(f"\n{key} =" in EVERY_KEY for key in KEYS)


def test_keys_are_the_options_of_the_command() -> None:
    options = {option for param in command.params for option in param.opts}
    assert {f"--{key}" for key in KEYS} <= options
    given = command.make_context("sweep", ["--models", "resnet18", "-o", "zoo"]).params
    plain = Asked(models=("resnet18",))
    renamed = {"strategy": "strategies", "device": "devices"}
    for field in fields(Asked):
        assert given[renamed.get(field.name, field.name)] == getattr(plain, field.name), field.name


def test_a_size_may_be_a_number() -> None:
    (asked,) = parse_jobs(b'[[sweep]]\nmodels = "resnet18"\non-chip = 65536\n', "jobs.toml")
    assert asked.on_chip == "65536"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[[", "'jobs.toml' is not TOML: "),
        ("", "'jobs.toml' has no [[sweep]] table"),
        ("sweep = 3", "'jobs.toml': sweep is not a list of tables, [[sweep]] each"),
        ("[sweep]\nmodels = 'a'", "'jobs.toml': sweep is not a list of tables"),
        ("batch = 1", "'jobs.toml': batch is unknown: jobs are in [[sweep]] tables"),
        ("[[sweep]]\nbatch = 1", "'jobs.toml', [[sweep]] 1: models is missing"),
        (
            "[[sweep]]\nmodels = 'a'\n[[sweep]]\nmodel = 'b'",
            "'jobs.toml', [[sweep]] 2: model is unknown: did you mean 'models'?",
        ),
        ("[[sweep]]\nmodels = 'a'\nseq_len = 3", "seq_len is unknown: did you mean 'seq-len'?"),
        ("[[sweep]]\nmodels = 'a'\nxxxx = 3", "xxxx is unknown: one of models, without, batch, "),
        (
            "[[sweep]]\nmodels = 'a'\nbatch = ['x']",
            "'jobs.toml', [[sweep]] 1: batch[0]: expected `int`, got `str`",
        ),
        ("[[sweep]]\nmodels = 'a'\ntf32 = 'yes'", "tf32: expected `bool`, got `str`"),
        ("[[sweep]]\nmodels = 'a'\nseq-len = 1.5", "seq-len[0]: expected `int`, got `float`"),
    ],
)
def test_what_is_no_file_of_jobs_is_refused(content: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_jobs(content.encode(), "jobs.toml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_jobs(tmp_path / "nowhere.toml")


def test_the_file_of_the_page_can_be_run() -> None:
    page = (ROOT / "docs" / "sweep.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    sweep = sweep_of(parse_jobs(block.encode(), "docs/sweep.md"))
    assert f"{sweep.jobs:,} jobs of {sweep.captures:,} captures" in page


def test_the_jobs_of_the_zoo_can_be_run() -> None:
    sweep = sweep_of(read_jobs(ROOT / "docs" / "zoo.toml"))
    assert sweep.captures > 2_000
