"""Measure in this process, after imports and a warm-up; print the figures as one line of JSON.

python benchmarks/child.py warm NAME
python benchmarks/child.py config FILE SEQ_LEN [GRAPH_FILE]
python benchmarks/child.py growth FILE SEQ_LEN LAYERS...
python benchmarks/child.py reload GRAPH_FILE

Seconds are CPU seconds of this process. Each run is a fresh process: what one leaves behind is in
no other's memory.
"""

from __future__ import annotations

import gc
import itertools
import json
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median

import fuseline

ROUNDS = 3


def warm(name: str) -> dict[str, float]:
    """A model by name, captured again and again."""
    fuseline.capture(name)
    seconds = []
    for _ in range(9):
        started = time.process_time()
        fuseline.capture(name)
        seconds.append(time.process_time() - started)
    return {"capture": median(seconds)}


def config(path: str, seq_len: str, saved: str = "") -> dict[str, float]:
    """A transformers configuration: built, recorded, partitioned, priced."""
    _warm_up(path)
    marks = [time.process_time()]
    graph = fuseline.capture(path, seq_len=int(seq_len))
    marks.append(time.process_time())
    plan = fuseline.partition(graph)
    marks.append(time.process_time())
    price = fuseline.cost(graph, plan)
    marks.append(time.process_time())
    figures = dict(
        zip(
            ("capture", "partition", "cost"),
            (after - before for before, after in itertools.pairwise(marks)),
            strict=True,
        )
    )
    figures["mebibytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if saved:
        fuseline.save(graph, saved)
    return figures | {
        "ops": len(graph.ops),
        "unknown": len(graph.unknown_ops),
        "flops": graph.flops,
        "parameter_bytes": graph.parameter_bytes,
        "launches": price.launches,
    }


def growth(path: str, seq_len: str, *layers: str) -> dict[str, float]:
    """The same configuration with so many layers; medians of interleaved rounds."""
    _warm_up(path)
    content = json.loads(Path(path).read_text())
    with tempfile.TemporaryDirectory() as folder:
        seconds: dict[str, list[float]] = {count: [] for count in layers}
        for count in layers * ROUNDS:
            file = Path(folder) / f"{count}.json"
            file.write_text(json.dumps(content | {"num_hidden_layers": int(count)}))
            gc.collect()
            started = time.process_time()
            fuseline.partition(fuseline.capture(str(file), seq_len=int(seq_len)))
            seconds[count].append(time.process_time() - started)
    return {count: median(found) for count, found in seconds.items()}


def reload(path: str) -> dict[str, float]:
    """A saved graph read again, its checks included."""
    started = time.process_time()
    graph = fuseline.load(path)
    seconds = time.process_time() - started
    return {"load": seconds, "ops": len(graph.ops), "torch": float("torch" in sys.modules)}


def _warm_up(path: str) -> None:
    """Import what the family needs, by capturing a small model of it."""
    content = json.loads(Path(path).read_text())
    sizes = {"num_hidden_layers": 2, "vocab_size": 512, "first_k_dense_replace": 1}
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.json"
        small.write_text(json.dumps(content | sizes))
        fuseline.partition(fuseline.capture(str(small), seq_len=8))


MEASURES = {"warm": warm, "config": config, "growth": growth, "reload": reload}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    gc.set_threshold(100_000, 50, 50)  # as the command sets it
    print(json.dumps(MEASURES[sys.argv[1]](*sys.argv[2:])))
