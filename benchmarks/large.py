"""Capture measured in fresh child processes: warm, large configurations, growth, reload."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from processes import run_for_json, run_interleaved, run_once
from tables import section, table, verdict

HERE = Path(__file__).resolve().parent
CHILD = [sys.executable, str(HERE / "child.py")]
CONFIGS = HERE / "configs"
LLAMA = CONFIGS / "llama-3.1-405b.json"
LARGE = {"Llama-3.1-405B": LLAMA, "DeepSeek-V3 671B": CONFIGS / "deepseek-v3-671b.json"}
TOKENS = "4096"
LAYERS = ("32", "64", "128")
RUNS = 3
NO_TORCH = """
import sys
from fuseline.cli import cli, run
code = run(cli, sys.argv[1:])
sys.exit(code or ("torch was imported" if "torch" in sys.modules else 0))
"""
_MEGABYTES = 700


@section
def warm() -> Iterator[str]:
    seconds = run_for_json([*CHILD, "warm", "vit_b_16"])["capture"]
    yield "## ViT-B/16 recorded, warm, in process"
    yield ""
    yield "Built without memory and recorded by the default frontend. Median of 9."
    yield ""
    yield from table(("step", "CPU s"), [("capture", f"{seconds:.3f}")])
    yield verdict("CPU s", seconds, 0.25)


@section
def large(saved: str) -> Iterator[str]:
    yield "## The largest models, after imports"
    yield ""
    yield (
        f"Public configurations (`benchmarks/configs/`), no weights, {TOKENS} tokens, bfloat16. "
        "Each run is a fresh process that has captured a small model of the family before. CPU "
        f"seconds are medians of {RUNS} runs and leave imports out; peak memory is the whole "
        "process's, imports included, the most of the runs."
    )
    rows, verdicts = [], []
    for name, path in LARGE.items():
        target = [saved] if path == LLAMA else []
        runs = [run_for_json([*CHILD, "config", str(path), TOKENS, *target]) for _ in range(RUNS)]
        steps = {
            step: median(run[step] for run in runs) for step in ("capture", "partition", "cost")
        }
        seconds = median(run["capture"] + run["partition"] for run in runs)
        mebibytes = max(run["mebibytes"] for run in runs)
        facts = runs[0]
        rows.append(
            (
                name,
                f"{facts['ops']:,}",
                f"{facts['flops'] / 1e12:,.1f}",
                f"{facts['unknown']}",
                *(f"{steps[step]:.2f}" for step in steps),
                f"{mebibytes:.0f}",
            )
        )
        verdicts += [
            verdict(f"CPU s for {name} captured and partitioned", seconds, 5),
            verdict(f"MiB ({_MEGABYTES} MB) for {name}", mebibytes, _MEGABYTES * 1e6 / 2**20),
        ]
    yield ""
    yield from table(
        ("model", "ops", "TFLOP", "unknown ops", "capture s", "partition s", "cost s",
         "peak RSS MiB"),
        rows,
    )  # fmt: skip
    yield from verdicts


@section
def growth() -> Iterator[str]:
    found = run_for_json([*CHILD, "growth", str(LLAMA), TOKENS, *LAYERS])
    yield "## Growth with layers"
    yield ""
    yield (
        f"Llama-3.1-405B's shape with so many layers, captured and partitioned, {TOKENS} tokens. "
        "Medians of 3 interleaved rounds in one process."
    )
    yield ""
    ratios = [found[more] / found[less] for less, more in itertools.pairwise(LAYERS)]
    yield from table(
        ("layers", "CPU s", "CPU ms a layer", "x half as many"),
        [
            (count, f"{found[count]:.2f}", f"{1e3 * found[count] / int(count):.1f}", ratio)
            for count, ratio in zip(
                LAYERS, ("", *(f"{ratio:.2f}" for ratio in ratios)), strict=True
            )
        ],
    )
    yield verdict("x half as many layers", max(ratios), 2.2)


@section
def saved_graphs(small: str, big: str) -> Iterator[str]:
    """Graph files of ViT-B/16 and of the 405B model: read again, and partitioned without torch."""
    loads = [run_for_json([*CHILD, "reload", big])["load"] for _ in range(RUNS)]
    for path in (small, big):
        run_once([sys.executable, "-c", NO_TORCH, "partition", path])
    command = [str(Path(sys.executable).with_name("fuseline")), "partition"]
    few, many = run_interleaved([[*command, small], [*command, big]], RUNS)
    yield "## From a saved graph to a plan"
    yield ""
    yield (
        "The whole process of `fuseline partition graph.json.zst`, checked to import no torch, and "
        "`load` alone, its checks included. Medians of 3 runs."
    )
    yield ""
    yield from table(
        ("graph", "file kB", "load s", "whole process s", "peak RSS MiB"),
        [
            ("vit_b_16", _kilobytes(small), "", f"{few.seconds:.2f}", f"{few.mebibytes:.0f}"),
            (
                "Llama-3.1-405B",
                _kilobytes(big),
                f"{median(loads):.3f}",
                f"{many.seconds:.2f}",
                f"{many.mebibytes:.0f}",
            ),
        ],
    )
    yield verdict("CPU s to load Llama-3.1-405B", median(loads), 0.2)
    yield verdict("CPU s to partition vit_b_16", few.seconds, 0.4)


def _kilobytes(path: str) -> str:
    return f"{Path(path).stat().st_size / 1e3:,.0f}"
