"""The exact search on real models, and every strategy on 20,000 ops: docs/search-speed.md."""

from __future__ import annotations

import importlib.metadata
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import fuseline
from chains import make_chain
from tables import section, table, verdict

REPORT = Path(__file__).resolve().parents[1] / "docs" / "search-speed.md"
RUNS = 5
MODELS = ("vit_b_16", "swin_t", "efficientnet_b0", "hf/bert")
WIDE = ("timm/nasnetalarge", "timm/crossvit_15_240")
RUNGS = ("A", "B", "T")
OPS = 20_000


def search_seconds(graph: fuseline.Graph, rules: str) -> float:
    """CPU seconds of the strategy `optimal`, refusals and all, with nothing derived yet."""
    start = time.process_time()
    fuseline.partition(_afresh(graph), "optimal", rules=rules)
    return time.process_time() - start


def _afresh(graph: fuseline.Graph) -> fuseline.Graph:
    return fuseline.Graph(graph.source, graph.storages, graph.tensors, graph.ops, graph.outputs)


@section
def optima() -> Iterator[str]:
    yield "## The exact optimum"
    yield ""
    yield (
        '`partition(graph, "optimal", rules=...)` of recorded graphs, BERT with attention in its '
        f"steps: links, candidates, choice, certificate and refusals. Medians of {RUNS}."
    )
    yield ""
    rows, worst = [], {MODELS: 0.0, WIDE: 0.0}
    for names in (MODELS, WIDE):
        for name in names:
            steps = "decomposed" if name.startswith("hf/") else "fused"
            graph = fuseline.capture(name, attention=steps)
            search_seconds(graph, "A")  # the solver is imported once
            seconds = [median(search_seconds(graph, rules) for _ in range(RUNS)) for rules in RUNGS]
            worst[names] = max(worst[names], *seconds)
            rows.append((name, f"{graph.compute_ops:,}", *(f"{s:.3f}" for s in seconds)))
    yield from table(("model", "compute ops", *(f"{rules}, CPU s" for rules in RUNGS)), rows)
    yield verdict("CPU s for the first four", worst[MODELS], 0.3)
    yield verdict("CPU s for the wide ones", worst[WIDE], 10)


@section
def strategies() -> Iterator[str]:
    graph = make_chain(OPS)
    yield f"## Every strategy on {OPS:,} ops"
    yield ""
    yield "Transformer blocks with squeeze-excitations; nothing derived from the graph yet."
    yield ""
    rows, rules, search = [], 0.0, 0.0
    for name in fuseline.STRATEGIES:
        taken = []
        for _ in range(3):
            fresh = _afresh(graph)
            start = time.process_time()
            fuseline.partition(fresh, name)
            taken.append(time.process_time() - start)
        seconds = median(taken)
        rows.append((name, f"{seconds:.2f}"))
        if name == "optimal":
            search = seconds
        else:
            rules = max(rules, seconds)
    yield from table(("strategy", "CPU s"), rows)
    yield verdict("CPU s for a rule strategy", rules, 1.5)
    yield verdict("CPU s for the search", search, 8)


@section
def heading() -> Iterator[str]:
    yield "# How fast plans are made"
    yield ""
    yield (
        f"Made by `python benchmarks/optimum.py` on {datetime.now(UTC):%Y-%m-%d}: "
        f"torch {importlib.metadata.version('torch')}, "
        f"HiGHS {importlib.metadata.version('highspy')}, {os.cpu_count()} cores. "
        "Times are CPU seconds of this process (user + system)."
    )


if __name__ == "__main__":
    sections = (heading, optima, strategies)
    REPORT.write_text("\n".join(write() for write in sections))
