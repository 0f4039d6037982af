"""Strategies side by side: the page's claims recomputed from its own tables, and a run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fuseline.cli import cli, run
from fuseline.errors import InputError
from fuseline.fusion import STRATEGIES
from fuseline.validate.comparison import (
    BEST,
    LLAMA,
    WORKLOADS,
    Comparison,
    PlanRow,
    compare,
    compare_all,
)
from fuseline.validate.comparison_page import encode, lessons, lines, page

PAGE = Path(__file__).parents[2] / "docs" / "comparison.md"
Line = dict[str, str]


def _tables() -> dict[str, dict[str, Line]]:
    """The committed page's tables: workload -> plan -> column -> cell."""
    found: dict[str, dict[str, Line]] = {}
    for part in PAGE.read_text().split("\n## ")[1:]:
        title, *rest = part.splitlines()
        cells = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in rest
            if line.startswith("| ")
        ]
        if cells and cells[0][1] == "launches":
            rows = [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]
            found[title] = {row["plan"]: row for row in rows}
    return found


TABLES = _tables()


def _mb(workload: str, plan: str) -> float:
    return float(TABLES[workload][plan]["MB"].replace(",", ""))


def _launches(workload: str, plan: str) -> int:
    return int(TABLES[workload][plan]["launches"].replace(",", ""))


def _us(workload: str, plan: str) -> float:
    return float(TABLES[workload][plan]["us pipelined"].replace(",", ""))


def test_every_workload_and_every_strategy_is_on_the_page() -> None:
    assert list(TABLES) == [workload.name for workload in WORKLOADS]
    for rows in TABLES.values():
        assert set(rows) >= {*STRATEGIES, "optimal A", "optimal B", BEST} - {"optimal"}


@pytest.mark.parametrize("workload", list(TABLES))
def test_percentages_follow_from_the_figures_beside_them(workload: str) -> None:
    for plan, row in TABLES[workload].items():
        over = 100 * (_mb(workload, plan) / _mb(workload, BEST) - 1)
        assert abs(over - float(row["over the optimum"].rstrip("%"))) < 0.06
        if row["less"]:
            less = 100 * (1 - _mb(workload, plan) / _mb(workload, "unfused"))
            assert abs(less - float(row["less"].rstrip("%"))) < 0.06


@pytest.mark.parametrize("workload", list(TABLES))
def test_no_legal_partition_moves_less_than_the_optimum(workload: str) -> None:
    for plan, row in TABLES[workload].items():
        if _mb(workload, plan) < _mb(workload, BEST):
            assert row["illegal"] not in {"0", "-"}
        if row["illegal"] == "0":
            assert _mb(workload, plan) >= _mb(workload, BEST)
    optima = [_mb(workload, f"optimal {rules}") for rules in "ABT"]
    assert optima == sorted(optima, reverse=True)
    assert all(TABLES[workload][f"optimal {rules}"]["gap"] == "0.00%" for rules in "ABT")


def test_attention_in_one_kernel_beats_what_b_can_do_with_its_steps() -> None:
    for workload in ("vit_b_16", "bert-base", "gpt2", "llama-3-8b prefill"):
        assert _mb(f"{workload} steps", BEST) < _mb(f"{workload} steps", "optimal B")
        assert _mb(workload, BEST) == _mb(workload, "optimal B")
        assert _launches(f"{workload} steps", BEST) == _launches(workload, BEST)


def test_t_on_steps_reads_the_causal_mask_besides_what_it_moves_on_the_one_op() -> None:
    for workload, layers, tokens in (
        ("vit_b_16", 0, 0),
        ("bert-base", 0, 0),
        ("gpt2", 12, 1024),
        ("llama-3-8b prefill", 32, 2048),
    ):
        mask = layers * tokens * tokens / 1e6  # a byte an element, read once a layer
        more = _mb(f"{workload} steps", BEST) - _mb(workload, BEST)
        assert abs(more - mask) <= 0.021  # rounding


def test_the_compilers_tables_reach_the_optimum_on_resnet50() -> None:
    for plan in ("extended", "onnxruntime", "tensorrt", "tvm", "optimal A"):
        assert _mb("resnet50", plan) == _mb("resnet50", BEST)
        assert _launches("resnet50", plan) == _launches("resnet50", BEST)


def test_a_small_network_at_batch_1_waits_for_launches() -> None:
    for plan in ("unfused", BEST):
        a_launch = _us("efficientnet_b0", plan) / _launches("efficientnet_b0", plan)
        assert 4.9 < a_launch < 5.1  # the device's 5 us of overhead


def test_decoding_reads_the_weights_whatever_is_fused() -> None:
    decode = "llama-3-8b decode"
    assert 1 - _mb(decode, BEST) / _mb(decode, "unfused") < 0.002
    at_bandwidth = _mb(decode, BEST) / 3.35  # us, at the H100's 3.35 TB/s
    assert at_bandwidth <= _us(decode, BEST) < 1.02 * at_bandwidth
    assert _us(decode, "unfused") > 1.5 * _us(decode, BEST)


def test_llama_is_the_published_model() -> None:
    config = json.loads(LLAMA.read_bytes())
    width, ffn, vocab, layers = 4096, 14336, 128256, 32
    assert (config["hidden_size"], config["intermediate_size"]) == (width, ffn)
    keys = width * config["num_key_value_heads"] // config["num_attention_heads"]
    a_layer = 2 * width * width + 2 * width * keys + 3 * width * ffn + 2 * width
    assert layers * a_layer + 2 * vocab * width + width == 8_030_261_248  # 8.03B


@pytest.fixture(scope="module")
def resnet() -> Comparison:
    workload = next(workload for workload in WORKLOADS if workload.name == "resnet50")
    return compare(workload)


def test_the_page_is_what_a_run_gives(resnet: Comparison) -> None:
    for row in lines([resnet]):
        _, plan, launches, nbytes, *_, pipelined, _, _, _ = row
        assert TABLES["resnet50"][plan]["launches"] == launches
        assert TABLES["resnet50"][plan]["MB"] == nbytes
        assert TABLES["resnet50"][plan]["us pipelined"] == pipelined


def test_figures_are_written_unrounded(resnet: Comparison) -> None:
    document = json.loads(encode((resnet,)))
    assert document["device"] == "h100-sxm"
    plans = {plan["plan"]: plan for plan in document["workloads"][0]["plans"]}
    assert plans[BEST]["nbytes"] == 216_059_456  # 216.1 MB of the reference
    assert plans[BEST]["bound"] == plans[BEST]["nbytes"]


def _row(plan: str, nbytes: int, illegal: int = 0) -> PlanRow:
    broken = {"second contraction": illegal} if illegal else {}
    return PlanRow(plan, 2, nbytes, illegal, 2e-5, 1e-5, "launch", 1, None, broken)


def test_lessons_follow_the_figures() -> None:
    plans = (_row("unfused", 9), _row("optimal B", 7), _row("optimal T", 5))
    assert any("T, which has a kernel" in said for said in
               lessons((Comparison("net steps", "", 1, 1, 1, plans),)))  # fmt: skip
    below = (*plans, _row("fusion", 4, illegal=3))
    (said,) = (
        said
        for said in lessons((Comparison("net steps", "", 1, 1, 1, below),))
        if said.startswith("**Fewer bytes")
    )
    assert "`fusion` on net steps (3)" in said
    assert "second contraction 3" in said
    same = (_row("unfused", 9), _row("optimal B", 5), _row("optimal T", 5))
    (only,) = lessons((Comparison("net", "", 1, 1, 1, same),))
    assert only == "**No strategy moves fewer bytes than the optimum under T.**"


def test_the_page_says_how_it_was_made(resnet: Comparison) -> None:
    head = re.sub(r"torch [\w.+]+", "torch X", PAGE.read_text()).partition("\n## ")[0]
    assert page((resnet,), "X").partition("\n## ")[0] == head


def test_an_unknown_workload_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="unknown workload 'resnet5': did you mean 'resnet50'"):
        compare_all(("resnet5",))
    assert run(cli, ["validate", "comparison", "--workload", "resnet5"]) != 0
    assert "did you mean 'resnet50'" in capsys.readouterr().err
