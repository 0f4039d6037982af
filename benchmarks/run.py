"""Measure Fuseline; print Markdown and write docs/benchmarks.md.

python benchmarks/run.py

Times are CPU seconds (user + system): on a busy machine they vary less than the clock does.
A missed target is printed as missed; nothing fails for it.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import fuseline
import large
from chains import make_chain
from processes import run_interleaved, run_once
from tables import section, table, verdict

HERE = Path(__file__).resolve().parent
REPORT = HERE.parent / "docs" / "benchmarks.md"
FUSELINE = str(Path(sys.executable).with_name("fuseline"))
RUNS = 9


def main() -> None:
    """Every section, whole processes first: a child's peak memory starts from its parent's."""
    with tempfile.TemporaryDirectory() as folder:
        saved, large_graph = (
            str(Path(folder) / name) for name in ("vit.json.zst", "405b.json.zst")
        )
        run_once([FUSELINE, "capture", "vit_b_16", "-o", saved])
        sections = [
            heading(),
            whole_process(),
            large.warm(),
            large.large(large_graph),
            large.growth(),
            large.saved_graphs(saved, large_graph),
            in_process(fuseline.load(saved)),
            scaling(),
            peers(),
        ]
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text("\n".join(sections))


@section
def heading() -> Iterator[str]:
    yield "# Benchmarks"
    yield ""
    yield (
        f"Made by `python benchmarks/run.py` on {datetime.now(UTC):%Y-%m-%d}: "
        f"torch {importlib.metadata.version('torch')}, Python {platform.python_version()}, "
        f"{cpu_model()}, {os.cpu_count()} cores. Times are CPU seconds (user + system)."
    )


@section
def whole_process() -> Iterator[str]:
    bare, ours = run_interleaved(
        [[sys.executable, str(HERE / "bare.py")], [FUSELINE, "partition", "vit_b_16"]], RUNS
    )
    yield "## From a name to a plan, the whole process"
    yield ""
    yield (
        "`bare` imports torch and torchvision, builds ViT-B/16 on meta and traces it; every tool "
        f"on torch.fx pays that. Fuseline records every aten op instead. Medians "
        f"of {RUNS} interleaved runs."
    )
    yield ""
    yield from table(
        ("command", "CPU s", "peak RSS MiB", "x bare"),
        [
            ("bare", f"{bare.seconds:.2f}", f"{bare.mebibytes:.0f}", "1.00"),
            (
                "`fuseline partition vit_b_16`",
                f"{ours.seconds:.2f}",
                f"{ours.mebibytes:.0f}",
                f"{ours.seconds / bare.seconds:.2f}",
            ),
        ],
    )
    yield verdict("x bare", ours.seconds / bare.seconds, 1.15)


@section
def in_process(graph: fuseline.Graph) -> Iterator[str]:
    seconds = median(plan_seconds(afresh(graph)) for _ in range(RUNS))
    yield "## Partition and cost of ViT-B/16, in process"
    yield ""
    yield (
        "`unfused`, `fusion` and `extended`, on a recorded graph with nothing derived yet. "
        f"Median of {RUNS}."
    )
    yield ""
    yield from table(("step", "ms"), [("partition + cost", f"{seconds * 1e3:.1f}")])
    yield verdict("ms", seconds * 1e3, 30)


@section
def scaling() -> Iterator[str]:
    graphs = {ops: make_chain(ops) for ops in (10_000, 20_000)}
    rounds = [[plan_seconds(afresh(graph)) for graph in graphs.values()] for _ in range(5)]
    short, long = (median(column) for column in zip(*rounds, strict=True))
    yield "## Scaling"
    yield ""
    yield (
        "Partition and cost by the same, of transformer blocks with squeeze-excitations. "
        "Medians of 5 interleaved runs."
    )
    yield ""
    yield from table(
        ("ops", "CPU s", "x the first"),
        [("10,000", f"{short:.2f}", "1.00"), ("20,000", f"{long:.2f}", f"{long / short:.2f}")],
    )
    yield verdict("x the first", long / short, 2.2)


@section
def peers() -> Iterator[str]:
    from peers import PEERS, count_all

    found = count_all()
    exact = {count.model: count.flops for count in found if count.peer is PEERS[0]}
    yield "## Other FLOP counters"
    yield ""
    yield (
        "FLOPs of a 224 x 224 image (2 x multiply-accumulates; MACs are doubled), the error "
        "against Fuseline's count, which the tests hold to counts by hand, and CPU seconds of a "
        "second, warm call. Random weights, CPU tensors, unless the name says meta."
    )
    yield ""
    rows: list[tuple[str, ...]] = []
    for count in found:
        figures: tuple[str, str, str] = (count.failure, "", "")
        if not count.failure:
            error = 100 * (count.flops / exact[count.model] - 1) if exact[count.model] else 0.0
            figures = (f"{count.flops:,}", f"{error:+.2f}", f"{count.seconds:.2f}")
        rows.append((count.model, count.peer.name, count.peer.unit, *figures))
    yield from table(("model", "counter", "reports", "FLOPs", "error %", "CPU s"), rows)


def plan_seconds(graph: fuseline.Graph) -> float:
    """CPU seconds to partition the graph by pattern chains and price the plans."""
    start = time.process_time()
    for strategy in ("unfused", "fusion", "extended"):
        fuseline.cost(graph, fuseline.partition(graph, strategy))
    return time.process_time() - start


def afresh(graph: fuseline.Graph) -> fuseline.Graph:
    """The same graph without what was derived from it and kept."""
    return fuseline.Graph(graph.source, graph.storages, graph.tensors, graph.ops, graph.outputs)


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


if __name__ == "__main__":
    main()
