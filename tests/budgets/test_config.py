from __future__ import annotations

from pathlib import Path

import pytest

from fuseline.budgets.config import parse_config, read_config
from fuseline.budgets.entries import Entry, Planning
from fuseline.errors import InputError
from fuseline.report.captures import Capturing

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "fuseline.toml"


def parsed(text: str) -> tuple[Entry, ...]:
    return parse_config(text.encode(), "budgets.toml")


def test_the_example() -> None:
    resnet, vit = read_config(EXAMPLE)
    assert resnet == Entry(
        name="resnet18",
        label="resnet18, tvm, h100-sxm",
        planning=Planning("tvm", device="h100-sxm"),
        budget={
            "unknown_ops": 0, "illegal_groups": 0, "launches": 23, "traffic_bytes": 73_000_000,
            "seconds": 0.00018,
        },
        tolerance=0.005,
    )  # fmt: skip
    assert vit.label == "vit"
    assert vit.capture == Capturing(batch=8, dtype="bfloat16")
    assert vit.budget["flops"] == 281_100_000_000
    assert vit.budget["gap"] == 0.001


def test_every_key() -> None:
    [entry] = parsed("""
        [[model]]
        name = "net.py:make"
        label = "net"
        via = "export"
        batch = 2
        dtype = "float16"
        input_shapes = [[2, 8], [2]]
        seq_len = 3
        decode = 4
        train = true
        attention = "decomposed"
        strategy = "optimal"
        rules = "M"
        on_chip = "256KiB"
        objective = "seconds"
        device = "t4"
        launch = "graph"
        tf32 = true
        time_limit = "2s"
        pair_rules = "mine.toml"
        tolerance = { seconds = "2%", launches = 0 }
        budget = { unknown_ops = 3, memory_bytes = "1GB" }
    """)
    assert entry.capture == Capturing(
        "export", 2, "float16", ((2, 8), (2,)), 3, 4, train=True, attention="decomposed"
    )
    assert entry.planning == Planning(
        "optimal", "M", 262_144, "seconds", "t4", "graph", tf32=True, time_limit=2.0,
        pair_rules="mine.toml",
    )  # fmt: skip
    assert entry.budget == {"unknown_ops": 3, "memory_bytes": 10**9}
    assert (entry.tolerance_of("seconds"), entry.tolerance_of("flops")) == (0.02, 0.0)


@pytest.mark.parametrize(
    ("written", "nbytes"),
    [('"24MB"', 25_165_824), ('"24MiB"', 25_165_824), ("24000000", 24 * 10**6)],
)
def test_on_chip_memory_is_written_as_the_option_takes_it(written: str, nbytes: int) -> None:
    [entry] = parsed(f'[[model]]\nname = "net"\non_chip = {written}')
    assert entry.planning.on_chip == nbytes
    # a budget is decimal, as everything in reports
    [entry] = parsed('[[model]]\nname = "net"\nbudget = {traffic_bytes = "24MB"}')
    assert entry.budget["traffic_bytes"] == 24_000_000


def test_defaults_hold_where_a_model_says_nothing_else() -> None:
    one, other = parsed("""
        [defaults]
        strategy = "tvm"
        tolerance = "1%"
        budget = { launches = 9, illegal_groups = 0 }
        [[model]]
        name = "one"
        [[model]]
        name = "other"
        strategy = "fusion"
        [model.budget]
        launches = 5
    """)
    assert one.planning.strategy == "tvm"
    assert other.planning.strategy == "fusion"
    assert one.budget == {"unknown_ops": 0, "launches": 9, "illegal_groups": 0}
    assert other.budget == {"unknown_ops": 0, "launches": 5, "illegal_groups": 0}
    assert other.tolerance_of("traffic_bytes") == 0.01


MODEL = '[[model]]\nname = "net"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'budgets.toml': it names no model: write [[model]] with a name"),
        ("[[model]\n", "'budgets.toml' is no TOML: Expected ']]'"),
        ("[model]\nname = 'net'", "'budgets.toml': write [defaults] once, and [[model]] for each"),
        ("[modle]\n" + MODEL, "'budgets.toml': unknown key 'modle': did you mean 'model'?"),
        ("[[model]]\nbatch = 1", "'budgets.toml', model 1: it has no name"),
        (
            MODEL + "strategi = 'tvm'",
            "'budgets.toml', model 'net': unknown key 'strategi': did you mean 'strategy'?",
        ),
        (
            "defaults = {nmae = 1}\n" + MODEL,
            "'budgets.toml', defaults: unknown key 'nmae': one of via,",
        ),
        (
            MODEL + "launches = 3",
            "model 'net': unknown key 'launches': it is a figure, and belongs in budget",
        ),
        (
            MODEL + "budget = {launchs = 3}",
            "model 'net': budget: unknown figure 'launchs': did you mean 'launches'?",
        ),
        (
            MODEL + "strategy = 'tmv'",
            "'budgets.toml', model 'net': strategy: 'tmv' is not known: did you mean 'tvm'?",
        ),
        (MODEL + "batch = 0", "model 'net': batch: 0 is no whole number above 0"),
        (MODEL + "train = 1", "model 'net': train: 1 is neither true nor false"),
        (MODEL + "input_shapes = [1, 3]", "input_shapes: [1, 3] is no list of shapes"),
        (MODEL + "input_shapes = [['a']]", "input_shapes: 'a' is no whole number above 0"),
        (MODEL + "device = 3", "model 'net': device: 3 is no text"),
        (MODEL + "tolerance = 'much'", "model 'net': tolerance: 'much' is no fraction"),
        (MODEL + "tolerance = {launches = 'x'}", "tolerance, launches: 'x' is no fraction"),
        (MODEL + "budget = 3", "model 'net': budget is a table: write [model.budget]"),
        (
            MODEL + "budget = {seconds = '1ms'}",
            "model 'net': a budget of seconds needs a device: add device = \"NAME\"",
        ),
        (
            MODEL + "launch = 'graph'",
            "model 'net': launch and tf32 say how a device runs: add device",
        ),
        (MODEL + "tf32 = true", "model 'net': launch and tf32 say how a device runs: add device"),
        (MODEL + "on_chip = 'much'", "model 'net': on_chip: 'much' is no size: write 65536, 256KB"),
        (MODEL + "on_chip = 0", "model 'net': on_chip: 0 is no whole number above 0"),
        (MODEL + f"batch = {2**63}", "model 'net': batch: so large a number makes no sense"),
        (MODEL + "budget = {seconds = 1e400}", "seconds: inf is no time"),
        (MODEL * 2, "'budgets.toml': two models are called 'net, fusion': give each a label"),
    ],
)
def test_what_makes_no_sense_is_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parsed(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_number_that_python_does_not_read_is_one_line() -> None:
    with pytest.raises(InputError, match=r"'budgets.toml' is no TOML: Exceeds the limit"):
        parsed(f"{MODEL}batch = {'9' * 5_000}")


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"cannot read 'none.toml': No such file"):
        read_config(Path("none.toml"))
